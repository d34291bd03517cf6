//! Which tree a node is in, while links are made and cut.
//!
//! Whether a link would close a loop has to be known before it is made. To walk
//! from a node up to its root costs the depth of the tree for each link, so the
//! square of it for a chain that comes in the worst order. This is a forest of
//! link-cut trees (Sleator and Tarjan, A Data Structure for Dynamic Trees, 1983,
//! on splay trees): each question and each change costs the logarithm of the
//! number of nodes, on average over any order of them.

/// No node.
const NONE: u32 = u32::MAX;

/// A node in the splay tree of the path that it is on: those nearer to the root
/// are left of it.
#[derive(Debug, Clone)]
struct Place {
    /// In the splay tree; of its topmost one, where the path goes on.
    up: u32,
    left: u32,
    right: u32,
}

/// Trees of nodes that are numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    places: Vec<Place>,
    /// Places looked at or changed.
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Ancestry {
    /// So many nodes, each a root.
    pub(super) fn new(nodes: usize) -> Ancestry {
        let mut new = Ancestry::default();
        new.places.reserve(nodes);
        for _ in 0..nodes {
            new.add();
        }
        new
    }

    /// One more node, a root.
    pub(super) fn add(&mut self) {
        self.places.push(Place {
            up: NONE,
            left: NONE,
            right: NONE,
        });
    }

    /// Puts a root below a node of another tree.
    pub(super) fn link(&mut self, root: usize, below: usize) {
        let (root, below) = (root as u32, below as u32);
        self.access(root);
        self.access(below);
        self.at(root).up = below;
    }

    /// Takes a node, and all below it, from what it is below.
    pub(super) fn cut(&mut self, node: usize) {
        let node = node as u32;
        self.access(node);
        let above = std::mem::replace(&mut self.at(node).left, NONE);
        if above != NONE {
            self.at(above).up = NONE;
        }
    }

    /// The root above a node; itself, if it is one.
    pub(super) fn root(&mut self, node: usize) -> usize {
        let mut at = node as u32;
        self.access(at);
        loop {
            let left = self.at(at).left;
            if left == NONE {
                break;
            }
            at = left;
        }
        // A long way is not walked twice.
        self.splay(at);
        at as usize
    }

    fn at(&mut self, node: u32) -> &mut Place {
        #[cfg(test)]
        {
            self.steps += 1;
        }
        &mut self.places[node as usize]
    }

    /// Makes the path from the root to a node one splay tree, the node on top.
    fn access(&mut self, node: u32) {
        self.splay(node);
        self.at(node).right = NONE;
        loop {
            let up = self.at(node).up;
            if up == NONE {
                return;
            }
            self.splay(up);
            self.at(up).right = node;
            self.splay(node);
        }
    }

    /// Brings a node to the top of its splay tree.
    fn splay(&mut self, node: u32) {
        while let Some((up, is_left)) = self.above(node) {
            match self.above(up) {
                None => {}
                Some((_, up_is_left)) if up_is_left == is_left => self.rotate(up),
                Some(_) => self.rotate(node),
            }
            self.rotate(node);
        }
    }

    /// What a node is below in its splay tree, and whether it is left of it.
    fn above(&mut self, node: u32) -> Option<(u32, bool)> {
        let up = self.at(node).up;
        if up == NONE {
            return None;
        }
        let above = self.at(up);
        let (left, right) = (above.left, above.right);
        (left == node || right == node).then_some((up, left == node))
    }

    /// Changes places with what is above in the splay tree.
    fn rotate(&mut self, node: u32) {
        let Some((up, is_left)) = self.above(node) else {
            return;
        };
        let top = self.above(up);
        let between = {
            let place = self.at(node);
            match is_left {
                true => std::mem::replace(&mut place.right, up),
                false => std::mem::replace(&mut place.left, up),
            }
        };
        let above = self.at(up);
        match is_left {
            true => above.left = between,
            false => above.right = between,
        }
        let higher = std::mem::replace(&mut above.up, node);
        if between != NONE {
            self.at(between).up = up;
        }
        self.at(node).up = higher;
        match top {
            Some((top, true)) => self.at(top).left = node,
            Some((top, false)) => self.at(top).right = node,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against walks over plain parents.
        #[test]
        fn roots_are_those_of_a_walk(changes in proptest::collection::vec((0..24_usize, 0..24_usize, any::<bool>()), 0..200)) {
            let mut ancestry = Ancestry::new(24);
            let mut parents = [None; 24];
            fn walk(parents: &[Option<usize>], mut node: usize) -> usize {
                while let Some(parent) = parents[node] {
                    node = parent;
                }
                node
            }
            for (node, other, cut) in changes {
                if cut {
                    ancestry.cut(node);
                    parents[node] = None;
                } else if parents[node].is_none() && walk(&parents, other) != node {
                    ancestry.link(node, other);
                    parents[node] = Some(other);
                }
                for node in [node, other] {
                    prop_assert_eq!(ancestry.root(node), walk(&parents, node));
                }
            }
            for node in 0..24 {
                prop_assert_eq!(ancestry.root(node), walk(&parents, node));
            }
        }
    }
}
