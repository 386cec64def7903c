//! Random operations on an index, and every question after each.

use std::collections::BTreeMap;

use fulmar_storage::{Filters, Removed, SubjectIndex, SubjectState};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Operation {
    /// `gap` sequences are left out before each.
    Append {
        seed: u64,
        messages: u64,
        gap: u64,
        variety: Variety,
    },
    Remove {
        seed: u64,
        thousandths: u64,
    },
    RemoveFirst {
        messages: usize,
    },
    /// Of what is there, in thousandths.
    TruncateFront(usize),
}

/// Which subjects are appended to.
#[derive(Clone, Copy, Debug)]
enum Variety {
    One,
    Few,
    Many,
    Odd,
}

#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, (Vec<u8>, u32)>,
}

const ODD_SUBJECTS: [&str; 12] = [
    ".",
    "a.",
    ".a",
    "a..b",
    "*",
    "a.*",
    "a.>",
    ">",
    "a",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p",
];

fn subject(random: &mut fastrand::Rng, variety: Variety) -> String {
    match variety {
        Variety::One => "one".to_owned(),
        Variety::Few => format!("a.{}", random.u8(0..5)),
        Variety::Many => {
            let tokens = random.usize(1..5);
            let token = |random: &mut fastrand::Rng| random.choice(["a", "b", "c1", "c2"]);
            let tokens: Vec<&str> = (0..tokens).filter_map(|_| token(random)).collect();
            format!("{}.{}", tokens.join("."), random.u16(0..300))
        }
        Variety::Odd => (*random.choice(&ODD_SUBJECTS).unwrap()).to_owned(),
    }
}

fn filters(random: &mut fastrand::Rng) -> Filters {
    let filter = |random: &mut fastrand::Rng| match random.u8(0..10) {
        0 => ">".to_owned(),
        1 => "*".to_owned(),
        2 => "a.>".to_owned(),
        3 => "*.b.*".to_owned(),
        4 => "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.*".to_owned(),
        5 => "a.b.c.d.*.f.g.h.i.j.k.l.m.n.o.p.>".to_owned(),
        6 => format!("*.{}", random.u16(0..300)),
        _ => {
            let variety = *random.choice(&[Variety::Few, Variety::Many, Variety::Odd]).unwrap();
            let mut tokens: Vec<String> =
                subject(random, variety).split('.').map(str::to_owned).collect();
            if random.bool() {
                let at = random.usize(..tokens.len());
                "*".clone_into(&mut tokens[at]);
            }
            if random.u8(..) < 60 {
                tokens.truncate(2);
                tokens.push(">".to_owned());
            }
            tokens.join(".")
        }
    };
    loop {
        let count = *random.choice(&[0, 1, 1, 1, 2, 4]).unwrap();
        // Some are malformed, as the odd subjects are.
        if let Ok(filters) = Filters::parse((0..count).map(|_| filter(random))) {
            return filters;
        }
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let gap = prop_oneof![6 => Just(0_u64), 2 => 1_u64..4, 1 => Just(5_000), 1 => Just(1 << 33)];
    let variety = prop_oneof![
        1 => Just(Variety::One),
        2 => Just(Variety::Few),
        3 => Just(Variety::Many),
        1 => Just(Variety::Odd)
    ];
    prop_oneof![
        6 => (any::<u64>(), 1_u64..3_000, gap, variety).prop_map(
            |(seed, messages, gap, variety)| Operation::Append { seed, messages, gap, variety }
        ),
        4 => (any::<u64>(), 0_u64..=1_000).prop_map(
            |(seed, thousandths)| Operation::Remove { seed, thousandths }
        ),
        1 => (0_usize..2_000).prop_map(|messages| Operation::RemoveFirst { messages }),
        1 => (0_usize..=1_000).prop_map(Operation::TruncateFront),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_is_a_list_of_messages(
        operations in prop::collection::vec(operation(), 1..16),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        // They live on, as those of consumers do.
        let asked: Vec<Filters> = (0..12).map(|_| filters(&mut random)).collect();
        let (mut index, mut model) = (SubjectIndex::new(), Model::default());
        let mut last = 0;
        for operation in operations {
            apply(&mut index, &mut model, &mut last, operation);
            check(&index, &model, last, &asked, &mut random);
        }
        let all = model.messages.keys().copied().collect::<Vec<_>>();
        for sequence in all {
            index.remove(sequence);
        }
        prop_assert_eq!((index.messages(), index.bytes(), index.subject_count()), (0, 0, 0));
        prop_assert!(index.memory_bytes() < 160 << 10, "{} bytes", index.memory_bytes());
    }
}

fn apply(index: &mut SubjectIndex, model: &mut Model, last: &mut u64, operation: Operation) {
    match operation {
        Operation::Append { seed, messages, gap, variety } => {
            let mut random = fastrand::Rng::with_seed(seed);
            let new: Vec<(u64, (Vec<u8>, u32))> = (0..messages)
                .map(|_| {
                    *last += 1 + gap;
                    let subject = subject(&mut random, variety).into_bytes();
                    let bytes = if random.u8(..) < 5 { random.u32(..) } else { 100 };
                    (*last, (subject, bytes))
                })
                .collect();
            append(index, &new, &mut random);
            model.messages.extend(new);
        }
        Operation::Remove { seed, thousandths } => {
            let mut random = fastrand::Rng::with_seed(seed);
            let all: Vec<u64> = model.messages.keys().copied().collect();
            let mut gone: Vec<u64> =
                all.into_iter().filter(|_| random.u64(..1_000) < thousandths).collect();
            if random.bool() {
                random.shuffle(&mut gone);
            }
            for sequence in gone {
                remove(index, model, sequence);
            }
        }
        Operation::RemoveFirst { messages } => {
            for _ in 0..messages {
                let Some(first) = index.first_sequence() else { break };
                remove(index, model, first);
            }
        }
        Operation::TruncateFront(thousandths) => {
            let at = model.messages.len() * thousandths / 1_000;
            let front = model.messages.keys().copied().nth(at).unwrap_or(*last + 1);
            let kept = model.messages.split_off(&front);
            let bytes = model.messages.values().map(|(_, bytes)| u64::from(*bytes)).sum();
            let removed = Removed { messages: model.messages.len() as u64, bytes };
            assert_eq!(index.truncate_front(front), removed);
            model.messages = kept;
        }
    }
}

/// One by one, many together, or with a list of their subjects.
fn append(index: &mut SubjectIndex, new: &[(u64, (Vec<u8>, u32))], random: &mut fastrand::Rng) {
    match random.u8(0..3) {
        0 => {
            for (sequence, (subject, bytes)) in new {
                index.append(*sequence, subject, *bytes);
            }
        }
        1 => index.append_many(
            new.iter().map(|(sequence, (subject, bytes))| (*sequence, &subject[..], *bytes)),
        ),
        _ => {
            let mut subjects: Vec<&[u8]> =
                new.iter().map(|(_, (subject, _))| &subject[..]).collect();
            subjects.sort_unstable();
            // Some are there twice, and one has no message.
            subjects.dedup_by(|one, other| one == other && random.bool());
            subjects.push(b"listed.only");
            let place = |subject: &Vec<u8>| {
                let at = subjects[..subjects.len() - 1].binary_search(&&subject[..]).unwrap();
                u32::try_from(at).unwrap()
            };
            let messages =
                new.iter().map(|(sequence, (subject, bytes))| (*sequence, place(subject), *bytes));
            index.append_listed(subjects.iter().copied(), messages);
        }
    }
}

fn remove(index: &mut SubjectIndex, model: &mut Model, sequence: u64) {
    let (subject, bytes) = model.messages.remove(&sequence).unwrap();
    assert_eq!(index.subject_of(sequence), Some(&subject[..]));
    assert_eq!(index.bytes_of(sequence), Some(bytes));
    let removed = Removed { messages: 1, bytes: u64::from(bytes) };
    assert_eq!(index.remove(sequence), Some(removed));
    assert_eq!(index.remove(sequence), None);
    assert!(!index.contains(sequence));
}

fn check(
    index: &SubjectIndex,
    model: &Model,
    last: u64,
    asked: &[Filters],
    random: &mut fastrand::Rng,
) {
    let messages = &model.messages;
    assert_eq!(index.messages(), messages.len() as u64);
    assert_eq!(index.bytes(), messages.values().map(|(_, bytes)| u64::from(*bytes)).sum::<u64>());
    assert_eq!(index.first_sequence(), messages.keys().next().copied());
    assert_eq!(index.last_sequence(), messages.keys().next_back().copied());

    let mut states: BTreeMap<&[u8], SubjectState> = BTreeMap::new();
    for (sequence, (subject, _)) in messages {
        let new = SubjectState { first: *sequence, last: *sequence, count: 0 };
        let state = states.entry(subject).or_insert(new);
        state.last = *sequence;
        state.count += 1;
    }
    assert_eq!(index.subject_count(), states.len());
    for (subject, state) in &states {
        assert_eq!(index.state_of(subject), Some(*state));
        assert_eq!(index.first_of(subject), Some(state.first));
        assert_eq!(index.last_of(subject), Some(state.last));
        assert_eq!(index.count_of(subject), state.count);
    }
    assert_eq!(index.state_of(b"no.such.subject"), None);
    assert_eq!(index.count_of(b"no.such.subject"), 0);

    let known: Vec<u64> = messages.keys().copied().collect();
    let new = filters(random);
    for filters in asked.iter().chain([&new]) {
        let found: BTreeMap<&[u8], SubjectState> = index.subjects_matching(filters).collect();
        assert_eq!(index.subjects_matching(filters).len(), found.len(), "once each");
        let expected: BTreeMap<&[u8], SubjectState> = states
            .iter()
            .filter(|(subject, _)| filters.matches(subject))
            .map(|(subject, state)| (*subject, *state))
            .collect();
        assert_eq!(found, expected, "{filters:?}");

        let matching: Vec<u64> = messages
            .iter()
            .filter(|(_, (subject, _))| filters.matches(subject))
            .map(|(sequence, _)| *sequence)
            .collect();
        // In order, as a consumer asks, and somewhere.
        let mut next = 0;
        for sequence in matching.iter().take(50) {
            assert_eq!(index.next_matching(filters, next), Some(*sequence), "{filters:?} {next}");
            next = sequence + 1;
        }
        let mut probes = vec![0, last, last + 1, u64::MAX];
        for _ in 0..6 {
            let at = random.choice(&known).copied().unwrap_or(1);
            probes.extend([at - 1, at, at + 1]);
        }
        for from in probes.clone() {
            let at = matching.partition_point(|sequence| *sequence < from);
            let after = matching.get(at).copied();
            assert_eq!(index.next_matching(filters, from), after, "{filters:?} {from}");
            let end = matching.partition_point(|sequence| *sequence <= from);
            let before = end.checked_sub(1).map(|at| matching[at]);
            assert_eq!(index.previous_matching(filters, from), before, "{filters:?} {from}");
            let to = *random.choice(&probes).unwrap();
            let end = matching.partition_point(|sequence| *sequence <= to);
            let count = end.saturating_sub(at) as u64;
            assert_eq!(index.count_matching(filters, from, to), count, "{filters:?} {from} {to}");
        }
        let up_to = *random.choice(&probes).unwrap();
        let mut last_of: BTreeMap<&[u8], u64> = BTreeMap::new();
        for sequence in matching.iter().filter(|sequence| **sequence <= up_to) {
            last_of.insert(&messages[sequence].0, *sequence);
        }
        let mut expected: Vec<u64> = last_of.into_values().collect();
        expected.sort_unstable();
        assert_eq!(index.last_per_subject(filters, up_to), expected, "{filters:?} {up_to}");
    }
}
