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

use fulmar_protocol::subject::tokens;

use super::paged::Paged;
use super::slabs::{NOWHERE, Slabs};
use super::table::Table;
use crate::filters::{Filters, Pattern};

/// A subject: at most 2^32 - 2 of them.
pub(super) type Number = u32;

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
        self.prune(node);
    }

    /// Shows the number of each subject that a filter matches, once, in no order. The cost is
    /// that of the matches, and of the nodes that a `*` in front of a literal token tries.
    pub(super) fn each_matching(&self, filters: &Filters, mut show: impl FnMut(Number)) {
        let patterns = filters.patterns();
        for (at, pattern) in patterns.iter().enumerate() {
            let earlier = &patterns[..at];
            let mut show_once = |number| {
                let again = !earlier.is_empty() && {
                    let name = self.name(number);
                    earlier.iter().any(|pattern| pattern.matches(name))
                };
                if !again {
                    show(number);
                }
            };
            if pattern.has_wildcard() {
                let tokens: Vec<&[u8]> = tokens(pattern.as_bytes()).collect();
                self.walk(ROOT, 0, &tokens, pattern, &mut show_once);
            } else if let Some(number) = self.find(pattern.as_bytes()) {
                show_once(number);
            }
        }
        if patterns.is_empty() {
            self.subtree(ROOT, &mut show);
        }
    }

    /// Bytes of memory, as far as they are asked of the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        self.subjects.memory_bytes()
            + self.numbers.memory_bytes()
            + self.nodes.memory_bytes()
            + self.node_numbers.memory_bytes()
            + self.bytes.memory_bytes()
    }

    /// Shows what `pattern` matches below a node that its first `depth` tokens lead to.
    fn walk(
        &self,
        node: u32,
        depth: usize,
        tokens: &[&[u8]],
        pattern: &Pattern,
        show: &mut impl FnMut(Number),
    ) {
        let token = tokens[depth];
        if token == b">" {
            self.subtree(node, show);
        } else if depth == DEPTH_MAX {
            self.each_of_node(node, &mut |number| {
                if pattern.matches(self.name(number)) {
                    show(number);
                }
            });
        } else if depth + 1 == tokens.len() {
            if token == b"*" {
                self.each_of_node(node, show);
            } else {
                self.each_named(node, depth, token, show);
            }
        } else if token == b"*" {
            let mut child = self.nodes.get(node).first_child;
            while child != NONE {
                self.walk(child, depth + 1, tokens, pattern, show);
                child = self.nodes.get(child).next;
            }
        } else if let Some(child) = self.find_child(node, token) {
            self.walk(child, depth + 1, tokens, pattern, show);
        }
    }

    /// Shows the name that is `node` and one token more.
    fn each_named(&self, node: u32, depth: usize, token: &[u8], show: &mut impl FnMut(Number)) {
        let mut name = Vec::with_capacity(64);
        if let Some(any) = self.any_below(node) {
            for before in tokens(self.name(any)).take(depth) {
                name.extend_from_slice(before);
                name.push(b'.');
            }
        }
        name.extend_from_slice(token);
        if let Some(number) = self.find(&name) {
            show(number);
        }
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

    fn each_of_node(&self, node: u32, show: &mut impl FnMut(Number)) {
        let mut number = self.nodes.get(node).first_subject;
        while number != NONE {
            show(number);
            number = self.subjects.get(number).next;
        }
    }

    fn subtree(&self, node: u32, show: &mut impl FnMut(Number)) {
        self.each_of_node(node, show);
        let mut child = self.nodes.get(node).first_child;
        while child != NONE {
            self.subtree(child, show);
            child = self.nodes.get(child).next;
        }
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

    /// Forgets nodes that nothing is below any more, from this one up.
    fn prune(&mut self, mut number: u32) {
        while number != ROOT {
            let Node { token, parent, first_child, next, previous, first_subject } =
                *self.nodes.get(number);
            if first_child != NONE || first_subject != NONE {
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
