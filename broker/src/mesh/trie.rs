//! Filters with wildcards, as a trie of tokens.
//!
//! A level is a token. A node keeps its children by token, the child for `*` apart, and the
//! value of a filter that ends in `>` below it. Nodes live in one vector and name each other by
//! index; a node nobody needs is given to the next insertion.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use fulmar_protocol::subject::tokens;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// Values by filter; `T` is what a filter leads to.
pub(super) struct Trie<T> {
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    hasher: FixedState,
}

/// No node.
const NONE: u32 = u32::MAX;
/// The node all filters begin at.
const ROOT: u32 = 0;

/// What is still to be walked: a node, and the rest of the subject from its level on.
type Branch<'a> = (u32, Option<&'a [u8]>);

struct Node<T> {
    children: Children,
    /// The child for `*`, or `NONE`.
    any: u32,
    /// The value of the filter that ends here.
    here: Option<T>,
    /// The value of the filter that ends here with `>`.
    tail: Option<T>,
}

/// Literal children. Most nodes have one or none, and a table would be most of their size.
enum Children {
    None,
    One(Box<[u8]>, u32),
    Many(Box<HashTable<(Box<[u8]>, u32)>>),
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { children: Children::None, any: NONE, here: None, tail: None }
    }
}

impl<T> Node<T> {
    fn is_unused(&self) -> bool {
        matches!(self.children, Children::None)
            && self.any == NONE
            && self.here.is_none()
            && self.tail.is_none()
    }
}

impl<T> Trie<T> {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new(), hasher: FixedState::default() }
    }

    /// The place of `filter`'s value, made when it is not there.
    pub(super) fn entry(&mut self, filter: &[u8]) -> &mut Option<T> {
        let mut node = ROOT;
        for token in tokens(filter) {
            match token {
                b">" => return &mut self.nodes[node as usize].tail,
                b"*" => {
                    let mut next = self.nodes[node as usize].any;
                    if next == NONE {
                        next = self.allocate();
                        self.nodes[node as usize].any = next;
                    }
                    node = next;
                }
                token => {
                    node = match self.child(node, token) {
                        Some(next) => next,
                        None => {
                            let next = self.allocate();
                            self.add_child(node, token, next);
                            next
                        }
                    };
                }
            }
        }
        &mut self.nodes[node as usize].here
    }

    /// Calls `remove` with the place of `filter`'s value, if there is one, and gives back the
    /// nodes that are not needed any more.
    pub(super) fn remove(&mut self, filter: &[u8], remove: impl FnOnce(&mut Option<T>)) {
        // The way down, to be walked back up.
        let mut path: Vec<(u32, &[u8])> = Vec::new();
        let mut node = ROOT;
        let mut at_tail = false;
        for token in tokens(filter) {
            let next = match token {
                b">" => {
                    at_tail = true;
                    break;
                }
                b"*" => Some(self.nodes[node as usize].any).filter(|next| *next != NONE),
                token => self.child(node, token),
            };
            let Some(next) = next else { return };
            path.push((node, token));
            node = next;
        }
        let last = &mut self.nodes[node as usize];
        remove(if at_tail { &mut last.tail } else { &mut last.here });
        for (parent, token) in path.into_iter().rev() {
            if !self.nodes[node as usize].is_unused() {
                return;
            }
            match token {
                b"*" => self.nodes[parent as usize].any = NONE,
                token => self.remove_child(parent, token),
            }
            self.free.push(node);
            node = parent;
        }
    }

    /// Calls `found` with the value of each filter that matches `subject`.
    pub(super) fn for_each_match<'a>(&'a self, subject: &[u8], mut found: impl FnMut(&'a T)) {
        let mut branches: SmallVec<[Branch<'_>; 16]> = SmallVec::new();
        branches.push((ROOT, Some(subject)));
        while let Some((node, rest)) = branches.pop() {
            let node_ref = &self.nodes[node as usize];
            let Some(rest) = rest else {
                node_ref.here.iter().for_each(&mut found);
                continue;
            };
            node_ref.tail.iter().for_each(&mut found);
            let (token, rest) = match rest.iter().position(|byte| *byte == b'.') {
                Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
                None => (rest, None),
            };
            if node_ref.any != NONE {
                branches.push((node_ref.any, rest));
            }
            if let Some(next) = self.child(node, token) {
                branches.push((next, rest));
            }
        }
    }

    fn child(&self, node: u32, token: &[u8]) -> Option<u32> {
        match &self.nodes[node as usize].children {
            Children::None => None,
            Children::One(name, next) => (**name == *token).then_some(*next),
            Children::Many(table) => table
                .find(self.hasher.hash_one(token), |(name, _)| **name == *token)
                .map(|(_, next)| *next),
        }
    }

    fn add_child(&mut self, node: u32, token: &[u8], next: u32) {
        let hasher = self.hasher.clone();
        let hash = |(name, _): &(Box<[u8]>, u32)| hasher.hash_one(&**name);
        let children = &mut self.nodes[node as usize].children;
        let added = (Box::from(token), next);
        match std::mem::replace(children, Children::None) {
            Children::None => *children = Children::One(added.0, added.1),
            Children::One(name, first) => {
                let mut table = HashTable::with_capacity(2);
                for entry in [(name, first), added] {
                    table.insert_unique(hash(&entry), entry, hash);
                }
                *children = Children::Many(Box::new(table));
            }
            Children::Many(mut table) => {
                table.insert_unique(hash(&added), added, hash);
                *children = Children::Many(table);
            }
        }
    }

    fn remove_child(&mut self, node: u32, token: &[u8]) {
        let hash = self.hasher.hash_one(token);
        let children = &mut self.nodes[node as usize].children;
        match children {
            Children::None => {}
            Children::One(..) => *children = Children::None,
            Children::Many(table) => {
                if let Ok(entry) = table.find_entry(hash, |(name, _)| **name == *token) {
                    entry.remove();
                }
                if table.is_empty() {
                    *children = Children::None;
                }
            }
        }
    }

    fn allocate(&mut self) -> u32 {
        if let Some(node) = self.free.pop() {
            self.nodes[node as usize] = Node::default();
            return node;
        }
        let node = u32::try_from(self.nodes.len()).expect("memory ends before four billion nodes");
        self.nodes.push(Node::default());
        node
    }

    /// Whether no filter is in it, and no node in use but the root.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes_used() == 1
    }

    /// How many nodes are in use, the root included.
    fn nodes_used(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fulmar_protocol::subject::Filter;
    use proptest::prelude::*;

    use super::*;

    fn matches(trie: &Trie<String>, subject: &str) -> Vec<String> {
        let mut found = Vec::new();
        trie.for_each_match(subject.as_bytes(), |value| found.push(value.clone()));
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn agrees_with_asking_each_filter(
            filters in proptest::collection::vec(("[ab*]{1}(\\.[abc*]){0,3}(\\.>)?", any::<bool>()), 0..40),
            subjects in proptest::collection::vec("[abc]{1}(\\.[abc]){0,4}", 0..20),
        ) {
            let mut trie = Trie::new();
            let mut model = BTreeMap::new();
            for (filter, add) in &filters {
                if *add {
                    *trie.entry(filter.as_bytes()) = Some(filter.clone());
                    model.insert(filter.clone(), ());
                } else {
                    trie.remove(filter.as_bytes(), |place| *place = None);
                    model.remove(filter);
                }
            }
            for subject in &subjects {
                let expected: Vec<_> = model
                    .keys()
                    .filter(|filter| Filter::parse(filter.as_bytes()).unwrap().matches(subject.as_bytes()))
                    .cloned()
                    .collect();
                prop_assert_eq!(matches(&trie, subject), expected);
            }
            for filter in model.keys() {
                trie.remove(filter.as_bytes(), |place| *place = None);
            }
            prop_assert_eq!(trie.nodes_used(), 1);
        }
    }

    #[test]
    fn odd_subjects_meet_only_what_stands_for_any_token() {
        let mut trie = Trie::new();
        for filter in ["a.*", "a.>", "*.*", ">"] {
            *trie.entry(filter.as_bytes()) = Some(filter.to_owned());
        }
        assert_eq!(matches(&trie, "a.*"), ["*.*", ">", "a.*", "a.>"]);
        assert_eq!(matches(&trie, "a."), ["*.*", ">", "a.*", "a.>"]);
        assert_eq!(matches(&trie, ""), [">"]);
    }
}
