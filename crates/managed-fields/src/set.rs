//! A set of paths, as a tree. A path can be in the set without those above and below it.

use std::cmp::Ordering;

use super::element::Element;

/// Paths into one object. Elements are sorted; no node of the tree is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    nodes: Vec<(Element, Node)>,
}

/// The paths at an element and below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Whether the path that ends here is in the set.
    pub(super) own: bool,
    /// The paths that go on.
    pub(super) below: Set,
}

// === impl Node ===

impl Node {
    pub(super) fn leaf() -> Self {
        Self {
            own: true,
            below: Set::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }
}

// === impl Set ===

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn nodes(&self) -> &[(Element, Node)] {
        &self.nodes
    }

    /// Adds the paths of `node` at this element.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if node.is_empty() {
            return;
        }
        // Elements are mostly added in order.
        if self.nodes.last().is_none_or(|(last, _)| *last < element) {
            self.nodes.push((element, node));
            return;
        }
        match self.nodes.binary_search_by(|(e, _)| e.cmp(&element)) {
            Err(at) => self.nodes.insert(at, (element, node)),
            Ok(at) => {
                let found = &mut self.nodes[at].1;
                found.own |= node.own;
                if found.below.is_empty() {
                    found.below = node.below;
                } else if !node.below.is_empty() {
                    found.below = found.below.union(&node.below);
                }
            }
        }
    }

    pub(super) fn get(&self, element: &Element) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|(e, _)| e.cmp(element)).ok()?;
        Some(&self.nodes[at].1)
    }

    /// Whether this path is in the set.
    pub(super) fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|node| node.own),
            [first, rest @ ..] => self.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    /// Every path, each before those below it.
    pub(super) fn paths(&self) -> Vec<Vec<Element>> {
        fn collect(set: &Set, above: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
            // Paths that end at this level come before those that go on.
            for (element, _) in set.nodes.iter().filter(|(_, node)| node.own) {
                above.push(element.clone());
                paths.push(above.clone());
                above.pop();
            }
            for (element, node) in &set.nodes {
                above.push(element.clone());
                collect(&node.below, above, paths);
                above.pop();
            }
        }
        let mut paths = Vec::new();
        collect(self, &mut Vec::new(), &mut paths);
        paths
    }

    /// The paths that are in one of the two sets or in both.
    pub(super) fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| match (a, b) {
            (Some(node), None) | (None, Some(node)) => node.clone(),
            (Some(a), Some(b)) => Node {
                own: a.own || b.own,
                below: a.below.union(&b.below),
            },
            (None, None) => Node::default(),
        })
    }

    /// The paths that are in both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                own: a.own && b.own,
                below: a.below.intersection(&b.below),
            },
            (None, _) | (_, None) => Node::default(),
        })
    }

    /// The paths that are only in this set.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                own: a.own && !b.own,
                below: a.below.difference(&b.below),
            },
            (Some(a), None) => a.clone(),
            (None, _) => Node::default(),
        })
    }

    /// Without these top-level fields, and without everything below them.
    pub(super) fn without(mut self, fields: &[&str]) -> Self {
        self.nodes.retain(|(element, _)| match element {
            Element::Field(name) => !fields.contains(&name.as_str()),
            Element::Key(_) | Element::Value(_) | Element::Index(_) => true,
        });
        self
    }

    /// Calls `change` for every node of this level, and removes nodes that are empty then.
    pub(super) fn retain(&mut self, mut change: impl FnMut(&Element, &mut Node)) {
        self.nodes.retain_mut(|(element, node)| {
            change(element, node);
            !node.is_empty()
        });
    }

    fn zip(&self, other: &Self, each: impl Fn(Option<&Node>, Option<&Node>) -> Node) -> Self {
        let mut nodes = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let a = left.next_if(|_| order != Ordering::Greater);
            let b = right.next_if(|_| order != Ordering::Less);
            let Some((element, _)) = a.or(b) else { break };
            let node = each(a.map(|(_, node)| node), b.map(|(_, node)| node));
            if !node.is_empty() {
                nodes.push((element.clone(), node));
            }
        }
        Self { nodes }
    }
}
