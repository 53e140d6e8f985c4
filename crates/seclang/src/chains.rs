//! Chains of transformations, as a tree: what begins alike is computed once.

use std::collections::HashMap;

use crate::bytes::ByteSet;
use crate::transform::Transform;

/// A place in the tree: a chain of transformations. Parents have lower numbers than children.
pub(crate) type Node = u16;

/// The place of no transformation.
pub(crate) const ROOT: Node = 0;

/// The most different chains. The Core Rule Set has about sixty; more than this are refused.
const NODES_MAX: usize = 512;

/// A step of the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The chain before it.
    pub(crate) parent: Node,
    /// The last transformation.
    pub(crate) transform: Transform,
    /// See [`Transform::wakes_at`].
    pub(crate) wakes_at: ByteSet,
}

/// The tree of all chains.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chains {
    steps: Vec<Step>,
    places: HashMap<(Node, Transform), Node>,
}

impl Chains {
    /// How many places there are, the root included.
    pub(crate) fn len(&self) -> usize {
        self.steps.len() + 1
    }

    /// The place of a chain.
    pub(crate) fn place_of(&mut self, transforms: &[Transform]) -> Result<Node, String> {
        let mut node = ROOT;
        for transform in transforms {
            if NODES_MAX <= self.len() && !self.places.contains_key(&(node, *transform)) {
                return Err(format!("more than {NODES_MAX} different chains of transformations"));
            }
            // Below the limit, which is far below that of the type.
            let next = u16::try_from(self.len()).unwrap_or(u16::MAX);
            node = *self.places.entry((node, *transform)).or_insert_with(|| {
                self.steps.push(Step { parent: node, transform: *transform, wakes_at: transform.wakes_at() });
                next
            });
        }
        Ok(node)
    }

    /// The last step of a chain; none for the root.
    pub(crate) fn step(&self, node: Node) -> Option<&Step> {
        self.steps.get(usize::from(node).checked_sub(1)?)
    }

    /// A chain and all that it begins with, the longest first.
    pub(crate) fn path(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        std::iter::successors(Some(node), |it| self.step(*it).map(|it| it.parent))
    }
}

#[cfg(test)]
mod tests {
    use super::{Chains, ROOT};
    use crate::transform::Transform;

    #[test]
    fn chains_that_begin_alike_share_their_beginning() {
        let mut chains = Chains::default();
        let one = chains.place_of(&[Transform::UrlDecodeUni, Transform::Lowercase]).unwrap();
        let other = chains.place_of(&[Transform::UrlDecodeUni, Transform::RemoveNulls]).unwrap();
        assert_eq!(chains.place_of(&[]), Ok(ROOT));
        assert_eq!(chains.len(), 4);
        assert_eq!(chains.path(other).collect::<Vec<_>>(), [other, 1, ROOT]);
        assert_eq!(chains.step(one).unwrap().parent, 1);
    }

    #[test]
    fn refuses_more_chains_than_its_limit() {
        let mut chains = Chains::default();
        assert!(chains.place_of(&[Transform::Trim; 600]).is_err());
        assert!(chains.place_of(&[Transform::Trim; 100]).is_ok());
    }
}
