//! The subjects that have messages, by name, by number, and by filter.
//!
//! A name is kept once, and found by its hash. Filters find names through a tree of the tokens
//! that names begin with, all but the last: a node knows the names that have one more token than
//! itself. It knows names and tokens. It refuses to know messages: what belongs to a subject is
//! kept for it, whatever it is.
//!
//! ```text
//!  root ─┬─ orders ─┬─ 17 ── names orders.17.new, orders.17.paid
//!        │          └─ 18 ── name  orders.18.new
//!        └─ names metrics, ping
//! ```

use std::ops::ControlFlow;

use fulmar_protocol::subject::tokens;

use super::paged::Paged;
use super::slabs::{NOWHERE, Slabs};
use super::table::Table;
use crate::filters::{Filters, Pattern};

/// A subject: at most 2^32 - 2 of them.
pub(super) type Number = u32;

/// How many names are found at once.
pub(super) const MANY: usize = 64;

/// No subject, no node.
const NONE: u32 = NOWHERE;
/// The node that every name is below.
const ROOT: u32 = 0;
/// Nodes know this many tokens at most; what comes behind is compared. A name of 64 KiB could
/// otherwise have 32,000 nodes.
const DEPTH_MAX: usize = 16;
/// A name is kept behind two bytes that say how long it is.
const LENGTH_BYTES: usize = 2;
const LENGTHS: &[u32] = &slot_lengths();

/// Names, and a `T` for each.
#[derive(Debug)]
pub(super) struct Names<T> {
    subjects: Paged<Subject<T>>,
    numbers: Table,
    nodes: Paged<Node>,
    node_numbers: Table,
    bytes: Slabs<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Subject<T> {
    of_owner: T,
    name: u32,
    /// The node of all its tokens but the last, or of the first [`DEPTH_MAX`].
    node: u32,
    /// Others of the same node.
    next: u32,
    previous: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Its token, in [`Names::bytes`]; the root has none.
    token: u32,
    parent: u32,
    first_child: u32,
    /// Others of the same parent.
    next: u32,
    previous: u32,
    first_subject: u32,
    /// Names that have one token more.
    direct: u32,
    /// Names that begin so: these, and those of all nodes below.
    below: u32,
}

impl<T: Copy> Names<T> {
    pub(super) fn new() -> Self {
        let root = Node {
            token: NOWHERE,
            parent: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            first_subject: NONE,
            direct: 0,
            below: 0,
        };
        let mut nodes = Paged::default();
        nodes.insert(root);
        Self {
            subjects: Paged::default(),
            numbers: Table::default(),
            nodes,
            node_numbers: Table::default(),
            bytes: Slabs::new(LENGTHS),
        }
    }

    /// No number is as large as this.
    pub(super) fn numbers_end(&self) -> usize {
        self.subjects.numbers_end()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    /// The number of a subject.
    pub(super) fn find(&self, name: &[u8]) -> Option<Number> {
        self.find_hashed(self.numbers.hash(0, name), name)
    }

    /// The number of a subject, which is made with what `of_owner` is if it is not there.
    pub(super) fn find_or_insert(&mut self, name: &[u8], of_owner: T) -> Number {
        let hash = self.numbers.hash(0, name);
        self.find_hashed(hash, name).unwrap_or_else(|| self.insert(hash, name, of_owner))
    }

    pub(super) fn name(&self, number: Number) -> &[u8] {
        text(&self.bytes, self.subjects.get(number).name)
    }

    pub(super) fn get(&self, number: Number) -> &T {
        &self.subjects.get(number).of_owner
    }

    pub(super) fn get_mut(&mut self, number: Number) -> &mut T {
        &mut self.subjects.get_mut(number).of_owner
    }

    /// Forgets a subject. Its number may be that of another one soon.
    pub(super) fn remove(&mut self, number: Number) {
        let Subject { name, node, next, previous, .. } = *self.subjects.get(number);
        let hash = self.numbers.hash(0, text(&self.bytes, name));
        let Self { subjects, numbers, bytes, .. } = self;
        let hash_of = |number: u32| (0, text(bytes, subjects.get(number).name));
        numbers.remove(hash, number, hash_of);
        if previous == NONE {
            self.nodes.get_mut(node).first_subject = next;
        } else {
            self.subjects.get_mut(previous).next = next;
        }
        if next != NONE {
            self.subjects.get_mut(next).previous = previous;
        }
        self.subjects.remove(number);
        self.bytes.free(name);
        self.nodes.get_mut(node).direct -= 1;
        self.each_up_from(node, |node| node.below -= 1);
        self.prune(node);
    }

    /// What is kept for a subject, if there is one of that number. It may be another one than
    /// there once was.
    pub(super) fn get_if_there(&self, number: Number) -> Option<&T> {
        self.subjects.get_if_there(number).map(|subject| &subject.of_owner)
    }

    /// The numbers of many subjects, [`NOWHERE`] for those that are not there. To find them at
    /// once costs a fraction of finding each: most of it is waiting for memory, and this waits for
    /// all of them together.
    pub(super) fn find_many(&self, names: &[&[u8]; MANY]) -> [Number; MANY] {
        let hashes = names.map(|name| self.numbers.hash(0, name));
        // Each of these steps asks for the memory that the one before it has named.
        let maybe = hashes.map(|hash| self.numbers.find(hash, |_| true).unwrap_or(NONE));
        let places = maybe.map(|number| match number {
            NONE => NOWHERE,
            number => self.subjects.get(number).name,
        });
        let mut numbers = maybe;
        for (at, place) in places.into_iter().enumerate() {
            if place != NOWHERE && text(&self.bytes, place) != names[at] {
                numbers[at] = self.find_hashed(hashes[at], names[at]).unwrap_or(NONE);
            }
        }
        numbers
    }

    /// Whether the filters match every subject that there is, as far as that can be told at once.
    pub(super) fn all_match(&self, filters: &Filters) -> bool {
        filters.is_all() || {
            let matched = filters.patterns().iter().map(|pattern| self.below(pattern));
            matched.filter(|(_, exact)| *exact).any(|(below, _)| below == self.len())
        }
    }

    /// How many subjects begin as a pattern does before its first wildcard, and whether that is
    /// how many it matches.
    fn below(&self, pattern: &Pattern) -> (usize, bool) {
        if !pattern.has_wildcard() {
            return (1, false);
        }
        let mut node = ROOT;
        let mut tokens = tokens(pattern.as_bytes());
        for _ in 0..DEPTH_MAX {
            let known = self.nodes.get(node);
            match tokens.next() {
                Some(b">") => return (known.below as usize, true),
                Some(b"*") if tokens.next().is_none() => return (known.direct as usize, true),
                Some(b"*") | None => break,
                Some(token) => match self.find_child(node, token) {
                    Some(child) => node = child,
                    None => return (0, true),
                },
            }
        }
        (self.nodes.get(node).below as usize, false)
    }

    /// The subjects that the filters match, each once, in no order. `None`: to find them takes
    /// more than so many steps. A match is a step, and so is each node that a `*` in front of
    /// other tokens tries.
    pub(super) fn matching_within(&self, filters: &Filters, steps: usize) -> Option<Vec<Number>> {
        let patterns = filters.patterns();
        let (mut numbers, mut steps_left) = (Vec::new(), steps);
        for (at, pattern) in patterns.iter().enumerate() {
            let earlier = &patterns[..at];
            let mut walk = Walk { names: self, pattern, earlier, numbers, steps_left };
            let ended = walk.run();
            (numbers, steps_left) = (walk.numbers, walk.steps_left);
            if ended.is_break() {
                return None;
            }
        }
        Some(numbers)
    }

    /// As [`matching_within`](Self::matching_within), whatever it takes.
    pub(super) fn matching(&self, filters: &Filters) -> Vec<Number> {
        if filters.is_all() {
            return self.subjects_below_root();
        }
        let matching = self.matching_within(filters, usize::MAX);
        matching.expect("so many steps are always enough")
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        self.subjects.memory_bytes()
            + self.numbers.memory_bytes()
            + self.nodes.memory_bytes()
            + self.node_numbers.memory_bytes()
            + self.bytes.memory_bytes()
    }

    /// A name that begins as the node says.
    fn any_below(&self, mut node: u32) -> Option<Number> {
        loop {
            let Node { first_subject, first_child, .. } = *self.nodes.get(node);
            if first_subject != NONE {
                return Some(first_subject);
            }
            if first_child == NONE {
                // Only the root may have nothing.
                return None;
            }
            node = first_child;
        }
    }

    fn subjects_below_root(&self) -> Vec<Number> {
        let all = Pattern::everything();
        let (numbers, steps_left) = (Vec::with_capacity(self.len()), usize::MAX);
        let mut walk = Walk { names: self, pattern: &all, earlier: &[], numbers, steps_left };
        let ended = walk.run();
        debug_assert!(ended.is_continue());
        walk.numbers
    }

    fn find_hashed(&self, hash: u64, name: &[u8]) -> Option<Number> {
        self.numbers.find(hash, |number| text(&self.bytes, self.subjects.get(number).name) == name)
    }

    fn insert(&mut self, hash: u64, name: &[u8], of_owner: T) -> Number {
        let mut node = ROOT;
        let mut rest = name;
        for _ in 0..DEPTH_MAX {
            let Some(dot) = rest.iter().position(|byte| *byte == b'.') else { break };
            node = self.find_or_insert_child(node, &rest[..dot]);
            rest = &rest[dot + 1..];
        }
        let next = self.nodes.get(node).first_subject;
        let place = keep(&mut self.bytes, name);
        let subject = Subject { of_owner, name: place, node, next, previous: NONE };
        let number = self.subjects.insert(subject);
        if next != NONE {
            self.subjects.get_mut(next).previous = number;
        }
        self.nodes.get_mut(node).first_subject = number;
        self.nodes.get_mut(node).direct += 1;
        self.each_up_from(node, |node| node.below += 1);
        let Self { subjects, numbers, bytes, .. } = self;
        numbers.insert(hash, number, |number| (0, text(bytes, subjects.get(number).name)));
        number
    }

    fn find_child(&self, parent: u32, token: &[u8]) -> Option<u32> {
        self.node_numbers.find(self.node_numbers.hash(parent, token), |number| {
            let node = self.nodes.get(number);
            node.parent == parent && text(&self.bytes, node.token) == token
        })
    }

    fn find_or_insert_child(&mut self, parent: u32, token: &[u8]) -> u32 {
        if let Some(number) = self.find_child(parent, token) {
            return number;
        }
        let hash = self.node_numbers.hash(parent, token);
        let next = self.nodes.get(parent).first_child;
        let place = keep(&mut self.bytes, token);
        let number = self.nodes.insert(Node {
            token: place,
            parent,
            first_child: NONE,
            next,
            previous: NONE,
            first_subject: NONE,
            direct: 0,
            below: 0,
        });
        if next != NONE {
            self.nodes.get_mut(next).previous = number;
        }
        self.nodes.get_mut(parent).first_child = number;
        let Self { nodes, node_numbers, bytes, .. } = self;
        node_numbers.insert(hash, number, |number| {
            let node = nodes.get(number);
            (node.parent, text(bytes, node.token))
        });
        number
    }

    /// Changes a node and those that it is below.
    fn each_up_from(&mut self, mut number: u32, mut change: impl FnMut(&mut Node)) {
        while number != NONE {
            let node = self.nodes.get_mut(number);
            change(node);
            number = node.parent;
        }
    }

    /// Forgets nodes that nothing is below any more, from this one up.
    fn prune(&mut self, mut number: u32) {
        while number != ROOT {
            let Node { token, parent, next, previous, below, .. } = *self.nodes.get(number);
            if below > 0 {
                return;
            }
            let hash = self.node_numbers.hash(parent, text(&self.bytes, token));
            let Self { nodes, node_numbers, bytes, .. } = self;
            node_numbers.remove(hash, number, |number| {
                let node = nodes.get(number);
                (node.parent, text(bytes, node.token))
            });
            if previous == NONE {
                nodes.get_mut(parent).first_child = next;
            } else {
                nodes.get_mut(previous).next = next;
            }
            if next != NONE {
                nodes.get_mut(next).previous = previous;
            }
            nodes.remove(number);
            bytes.free(token);
            number = parent;
        }
    }
}

/// Looks for the subjects that a pattern matches.
struct Walk<'a, T> {
    names: &'a Names<T>,
    pattern: &'a Pattern,
    /// What these match was found before.
    earlier: &'a [Pattern],
    numbers: Vec<Number>,
    steps_left: usize,
}

impl<T: Copy> Walk<'_, T> {
    /// Breaks off when there are no steps left.
    fn run(&mut self) -> ControlFlow<()> {
        if !self.pattern.has_wildcard() {
            let found = self.names.find(self.pattern.as_bytes());
            return found.map_or(ControlFlow::Continue(()), |number| self.take(number));
        }
        let tokens: Vec<&[u8]> = tokens(self.pattern.as_bytes()).collect();
        self.node(ROOT, 0, &tokens)
    }

    /// Takes what the pattern matches below a node that its first `depth` tokens lead to.
    fn node(&mut self, node: u32, depth: usize, tokens: &[&[u8]]) -> ControlFlow<()> {
        let token = tokens[depth];
        if token == b">" {
            self.subtree(node)
        } else if depth == DEPTH_MAX {
            self.compare_direct(node)
        } else if depth + 1 == tokens.len() {
            if token == b"*" { self.direct(node) } else { self.named(node, depth, token) }
        } else if token == b"*" {
            let mut child = self.names.nodes.get(node).first_child;
            while child != NONE {
                self.step()?;
                self.node(child, depth + 1, tokens)?;
                child = self.names.nodes.get(child).next;
            }
            ControlFlow::Continue(())
        } else if let Some(child) = self.names.find_child(node, token) {
            self.node(child, depth + 1, tokens)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Takes the name that is a node and one token more.
    fn named(&mut self, node: u32, depth: usize, token: &[u8]) -> ControlFlow<()> {
        let mut name = Vec::with_capacity(64);
        let Some(any) = self.names.any_below(node) else { return ControlFlow::Continue(()) };
        for before in tokens(self.names.name(any)).take(depth) {
            name.extend_from_slice(before);
            name.push(b'.');
        }
        name.extend_from_slice(token);
        let found = self.names.find(&name);
        found.map_or(ControlFlow::Continue(()), |number| self.take(number))
    }

    fn subtree(&mut self, node: u32) -> ControlFlow<()> {
        self.direct(node)?;
        let mut child = self.names.nodes.get(node).first_child;
        while child != NONE {
            self.subtree(child)?;
            child = self.names.nodes.get(child).next;
        }
        ControlFlow::Continue(())
    }

    fn direct(&mut self, node: u32) -> ControlFlow<()> {
        let mut number = self.names.nodes.get(node).first_subject;
        while number != NONE {
            self.take(number)?;
            number = self.names.subjects.get(number).next;
        }
        ControlFlow::Continue(())
    }

    fn compare_direct(&mut self, node: u32) -> ControlFlow<()> {
        let mut number = self.names.nodes.get(node).first_subject;
        while number != NONE {
            if self.pattern.matches(self.names.name(number)) {
                self.take(number)?;
            } else {
                self.step()?;
            }
            number = self.names.subjects.get(number).next;
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, number: Number) -> ControlFlow<()> {
        self.step()?;
        let is_new = self.earlier.is_empty() || {
            let name = self.names.name(number);
            !self.earlier.iter().any(|pattern| pattern.matches(name))
        };
        if is_new {
            self.numbers.push(number);
        }
        ControlFlow::Continue(())
    }

    fn step(&mut self) -> ControlFlow<()> {
        let Some(left) = self.steps_left.checked_sub(1) else { return ControlFlow::Break(()) };
        self.steps_left = left;
        ControlFlow::Continue(())
    }
}

fn keep(bytes: &mut Slabs<u8>, name: &[u8]) -> u32 {
    let length = u16::try_from(name.len()).expect("a subject has at most 65535 bytes");
    let place = bytes.allocate(LENGTH_BYTES + name.len());
    let slot = bytes.get_mut(place);
    slot[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    slot[LENGTH_BYTES..][..name.len()].copy_from_slice(name);
    place
}

fn text(bytes: &Slabs<u8>, place: u32) -> &[u8] {
    let slot = bytes.get(place);
    let length = usize::from(u16::from_le_bytes([slot[0], slot[1]]));
    &slot[LENGTH_BYTES..][..length]
}

/// Every fourth length up to 64, where most names are, and then four lengths for each doubling.
const fn slot_lengths() -> [u32; 57] {
    let mut lengths = [0; 57];
    let mut at = 0;
    let (mut length, mut step) = (4_u32, 4_u32);
    while at < lengths.len() {
        lengths[at] = length;
        at += 1;
        if length >= 64 && length.is_power_of_two() {
            step = length / 4;
        }
        length += step;
    }
    lengths
}

const _: () = assert!(LENGTHS[LENGTHS.len() - 1] as usize >= LENGTH_BYTES + u16::MAX as usize);
