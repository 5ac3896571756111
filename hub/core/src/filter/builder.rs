//! Builds a program from its leaves up, and keeps the rules about types while it does: what may be a condition, what has an
//! order, what equals what. The limits on depth and names are kept here, too.

use std::cmp::Ordering;

use super::program::{Node, NodeId, Order, Part, Program, Run};
use super::value::Value;
use super::{FILTER_DEPTH_MAX, FILTER_NAMES_MAX, FilterError};

/// What is built so far. `at` is where in the text a faulty node stands.
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    /// Height of each node.
    heights: Vec<usize>,
    lists: Vec<NodeId>,
    names: Vec<Box<str>>,
}

impl Builder {
    pub(super) fn finish(mut self, root: NodeId, at: usize) -> Result<Program, FilterError> {
        let root = self.condition(root, at)?;
        Ok(Program::new(self.nodes, root, self.lists, self.names))
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::Null)
    }

    fn height(&self, id: NodeId) -> usize {
        self.heights.get(id as usize).copied().unwrap_or(0)
    }

    /// Adds a node over its operands.
    fn over(&mut self, node: Node, operands: &[NodeId]) -> Result<NodeId, FilterError> {
        let height = operands
            .iter()
            .map(|id| self.height(*id))
            .max()
            .unwrap_or(0)
            + 1;
        if height > FILTER_DEPTH_MAX {
            return Err(too_deep());
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(node);
        self.heights.push(height);
        Ok(id)
    }

    pub(super) fn leaf(&mut self, node: Node) -> Result<NodeId, FilterError> {
        self.over(node, &[])
    }

    pub(super) fn property(&mut self, name: &str) -> Result<NodeId, FilterError> {
        let slot = match self.names.iter().position(|known| **known == *name) {
            Some(slot) => slot,
            None if self.names.len() == FILTER_NAMES_MAX => {
                return Err(FilterError::TooMany {
                    what: "different names",
                    limit: FILTER_NAMES_MAX,
                });
            }
            None => {
                self.names.push(name.into());
                self.names.len() - 1
            }
        };
        self.leaf(Node::Property(slot as u8))
    }

    pub(super) fn negate(&mut self, operand: NodeId) -> Result<NodeId, FilterError> {
        self.over(Node::Negate(operand), &[operand])
    }

    pub(super) fn not(&mut self, operand: NodeId, at: usize) -> Result<NodeId, FilterError> {
        let operand = self.condition(operand, at)?;
        self.over(Node::Not(operand), &[operand])
    }

    pub(super) fn all(&mut self, operands: &[NodeId], at: usize) -> Result<NodeId, FilterError> {
        let run = self.run(operands, at)?;
        self.over(Node::All(run.0), &run.1)
    }

    pub(super) fn any(&mut self, operands: &[NodeId], at: usize) -> Result<NodeId, FilterError> {
        let run = self.run(operands, at)?;
        self.over(Node::Any(run.0), &run.1)
    }

    fn run(&mut self, operands: &[NodeId], at: usize) -> Result<(Run, Vec<NodeId>), FilterError> {
        let operands = operands.iter().map(|id| self.condition(*id, at));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let run = Run {
            first: self.lists.len() as u32,
            count: operands.len() as u32,
        };
        self.lists.extend_from_slice(&operands);
        Ok((run, operands))
    }

    pub(super) fn equal(
        &mut self,
        left: NodeId,
        right: NodeId,
        at: usize,
    ) -> Result<NodeId, FilterError> {
        let (l, r) = (self.node(left), self.node(right));
        if matches!(l, Node::Null) || matches!(r, Node::Null) {
            return types(at, "NULL equals nothing, use IS NULL");
        }
        if matches!(l, Node::Bool(_)) && r.is_constant() && !matches!(r, Node::Bool(_)) {
            return types(at, "TRUE and FALSE do not compare with other constants");
        }
        self.over(Node::Equal(left, right), &[left, right])
    }

    pub(super) fn is_null(&mut self, operand: NodeId) -> Result<NodeId, FilterError> {
        self.over(Node::IsNull(operand), &[operand])
    }

    /// Wraps a condition in a negation.
    pub(super) fn opposite(&mut self, condition: NodeId) -> Result<NodeId, FilterError> {
        self.over(Node::Not(condition), &[condition])
    }

    pub(super) fn order(
        &mut self,
        order: Order,
        left: NodeId,
        right: NodeId,
        at: usize,
    ) -> Result<NodeId, FilterError> {
        for operand in [left, right] {
            let node = self.node(operand);
            let is_orderable =
                node.is_number() || matches!(node, Node::Property(_) | Node::Negate(_));
            if !is_orderable {
                return types(at, "only numbers and properties have an order");
            }
        }
        self.over(Node::Order(order, left, right), &[left, right])
    }

    pub(super) fn between(
        &mut self,
        operand: NodeId,
        (low, high): (NodeId, NodeId),
        negated: bool,
        at: usize,
    ) -> Result<NodeId, FilterError> {
        use Order::{Greater, GreaterOrEqual, Less, LessOrEqual};
        if negated {
            let below = self.order(Less, operand, low, at)?;
            let above = self.order(Greater, operand, high, at)?;
            return self.any(&[below, above], at);
        }
        if let (Some(low), Some(high)) = (self.number(low), self.number(high))
            && high.order(low) == Ok(Ordering::Less)
        {
            return types(at, "BETWEEN wants the lower number first");
        }
        let from = self.order(GreaterOrEqual, operand, low, at)?;
        let to = self.order(LessOrEqual, operand, high, at)?;
        self.all(&[from, to], at)
    }

    fn number(&self, id: NodeId) -> Option<Value<'static>> {
        match self.node(id) {
            Node::Int(n) => Some(Value::Int(*n)),
            Node::Long(n) => Some(Value::Long(*n)),
            Node::Double(n) => Some(Value::Double(*n)),
            _ => None,
        }
    }

    pub(super) fn has(
        &mut self,
        operand: NodeId,
        part: Part,
        needle: String,
        negated: bool,
    ) -> Result<NodeId, FilterError> {
        let node = Node::Has {
            operand,
            part,
            needle: needle.into(),
            negated,
        };
        self.over(node, &[operand])
    }

    pub(super) fn is_in(
        &mut self,
        operand: NodeId,
        mut texts: Vec<Box<str>>,
        negated: bool,
        at: usize,
    ) -> Result<NodeId, FilterError> {
        let Node::Property(slot) = *self.node(operand) else {
            return types(at, "IN wants a property on its left");
        };
        texts.sort_unstable();
        let texts = texts.into();
        let node = Node::In {
            slot,
            texts,
            negated,
        };
        self.over(node, &[operand])
    }

    /// The node as a condition.
    fn condition(&mut self, id: NodeId, at: usize) -> Result<NodeId, FilterError> {
        match self.node(id) {
            Node::Property(_) => self.over(Node::Condition(id), &[id]),
            Node::Int(_) | Node::Long(_) | Node::Double(_) | Node::Text(_) | Node::Negate(_) => {
                types(at, "a number or a text is no condition")
            }
            _ => Ok(id),
        }
    }
}

impl Node {
    fn is_constant(&self) -> bool {
        matches!(self, Self::Null | Self::Bool(_) | Self::Text(_)) || self.is_number()
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Long(_) | Self::Double(_))
    }
}

pub(super) fn too_deep() -> FilterError {
    FilterError::TooMany {
        what: "levels",
        limit: FILTER_DEPTH_MAX,
    }
}

fn types<T>(at: usize, why: &'static str) -> Result<T, FilterError> {
    Err(FilterError::Types { at, why })
}
