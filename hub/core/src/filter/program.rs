//! The compiled form: nodes in one flat array, children before parents, and the names they ask for. The builder keeps the
//! rules about types; evaluation walks from the root with a depth the builder has bounded.

use std::cmp::Ordering;

use super::value::{Fault, Value};
use super::{FILTER_DEPTH_MAX, FILTER_NAMES_MAX, FilterError};

/// Place of a node in its program.
pub(super) type NodeId = u32;

/// Names that an evaluation keeps on a small stack frame.
const FEW_NAMES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Anywhere,
    Start,
    End,
}

/// A run of node ids in the program's lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    first: u32,
    count: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
    /// A property, by its slot.
    Property(u8),
    Negate(NodeId),
    /// A property where a condition is wanted: false if it is there, whatever it says.
    Condition(NodeId),
    Not(NodeId),
    All(Run),
    Any(Run),
    Equal(NodeId, NodeId),
    IsNull(NodeId),
    Order(Order, NodeId, NodeId),
    /// An operand that has, or `negated` has not, a text in it.
    Has {
        operand: NodeId,
        part: Part,
        needle: Box<str>,
        negated: bool,
    },
    /// A property that is, or `negated` is not, in a sorted list.
    In {
        slot: u8,
        texts: Box<[Box<str>]>,
        negated: bool,
    },
}

impl Node {
    fn is_constant(&self) -> bool {
        matches!(self, Self::Null | Self::Bool(_) | Self::Text(_)) || self.is_number()
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Long(_) | Self::Double(_))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    nodes: Box<[Node]>,
    root: NodeId,
    lists: Box<[NodeId]>,
    /// Names by length and text, each with its slot.
    names: Box<[(Box<str>, u8)]>,
    /// Bit n: a name has n bytes; the last bit stands for every greater length.
    lengths: u64,
}

fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}

impl Program {
    pub(super) fn is_true<'a>(
        &self,
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        if self.names.len() <= FEW_NAMES {
            self.run::<FEW_NAMES>(properties)
        } else {
            self.run::<FILTER_NAMES_MAX>(properties)
        }
    }

    fn run<'a, const SLOTS: usize>(
        &self,
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        let mut slots = [None; SLOTS];
        for (name, value) in properties {
            if let Some(slot) = self.slot(name).and_then(|slot| slots.get_mut(slot)) {
                *slot = Some(value);
            }
        }
        let run = Evaluation {
            program: self,
            slots: &slots,
        };
        run.truth(self.root) == Ok(Some(true))
    }

    fn slot(&self, name: &str) -> Option<usize> {
        if self.lengths & length_bit(name.len()) == 0 {
            return None;
        }
        let found = self
            .names
            .binary_search_by(|(known, _)| (known.len(), &**known).cmp(&(name.len(), name)));
        let (_, slot) = self.names.get(found.ok()?)?;
        Some(usize::from(*slot))
    }
}

struct Evaluation<'p, 'a> {
    program: &'p Program,
    slots: &'p [Option<&'a str>],
}

impl<'p> Evaluation<'p, '_> {
    fn node(&self, id: NodeId) -> Result<&'p Node, Fault> {
        self.program.nodes.get(id as usize).ok_or(Fault)
    }

    fn value(&self, id: NodeId) -> Result<Value<'_>, Fault> {
        Ok(match self.node(id)? {
            Node::Int(n) => Value::Int(*n),
            Node::Long(n) => Value::Long(*n),
            Node::Double(n) => Value::Double(*n),
            Node::Text(text) => Value::Text(text),
            Node::Property(slot) => self.property(*slot).map_or(Value::Null, Value::Text),
            Node::Negate(operand) => self.value(*operand)?.negated(),
            _ => self.truth(id)?.map_or(Value::Null, Value::Bool),
        })
    }

    fn property(&self, slot: u8) -> Option<&str> {
        self.slots.get(usize::from(slot)).copied().flatten()
    }

    /// True, false or unknown.
    fn truth(&self, id: NodeId) -> Result<Option<bool>, Fault> {
        match self.node(id)? {
            Node::Null => Ok(None),
            Node::Bool(truth) => Ok(Some(*truth)),
            Node::Condition(operand) => Ok(match self.value(*operand)? {
                Value::Null => None,
                _ => Some(false),
            }),
            Node::Not(operand) => Ok(self.truth(*operand)?.map(|truth| !truth)),
            Node::All(run) => self.first_of(*run, false),
            Node::Any(run) => self.first_of(*run, true),
            Node::Equal(left, right) => self.value(*left)?.equals(self.value(*right)?),
            Node::IsNull(operand) => Ok(Some(self.value(*operand)? == Value::Null)),
            Node::Order(order, left, right) => self.order(*order, *left, *right),
            Node::Has {
                operand,
                part,
                needle,
                negated,
            } => self.has(*operand, *part, needle, *negated).map(Some),
            Node::In {
                slot,
                texts,
                negated,
            } => Ok(self.property(*slot).map(|text| {
                let found = texts.binary_search_by(|known| (**known).cmp(text));
                found.is_ok() != *negated
            })),
            Node::Int(_)
            | Node::Long(_)
            | Node::Double(_)
            | Node::Text(_)
            | Node::Property(_)
            | Node::Negate(_) => Err(Fault),
        }
    }

    /// `decisive` if an operand is, else its opposite, or unknown if an operand is that.
    fn first_of(&self, run: Run, decisive: bool) -> Result<Option<bool>, Fault> {
        let first = run.first as usize;
        let operands = self.program.lists.get(first..first + run.count as usize);
        let mut outcome = Some(!decisive);
        for operand in operands.ok_or(Fault)? {
            match self.truth(*operand)? {
                Some(truth) if truth == decisive => return Ok(Some(decisive)),
                Some(_) => {}
                None => outcome = None,
            }
        }
        Ok(outcome)
    }

    fn order(&self, order: Order, left: NodeId, right: NodeId) -> Result<Option<bool>, Fault> {
        let left = self.value(left)?;
        if left == Value::Null {
            return Ok(None);
        }
        let right = self.value(right)?;
        if right == Value::Null {
            return Ok(None);
        }
        let ordering = left.order(right)?;
        Ok(Some(match order {
            Order::Less => ordering == Ordering::Less,
            Order::LessOrEqual => ordering != Ordering::Greater,
            Order::Greater => ordering == Ordering::Greater,
            Order::GreaterOrEqual => ordering != Ordering::Less,
        }))
    }

    /// An empty needle and an operand that is no text are false, negated or not.
    fn has(&self, operand: NodeId, part: Part, needle: &str, negated: bool) -> Result<bool, Fault> {
        if needle.is_empty() {
            return Ok(false);
        }
        let Value::Text(text) = self.value(operand)? else {
            return Ok(false);
        };
        let has = match part {
            Part::Anywhere => text.contains(needle),
            Part::Start => text.starts_with(needle),
            Part::End => text.ends_with(needle),
        };
        Ok(has != negated)
    }
}

/// Builds a program from its leaves up. `at` is where in the text a faulty node stands.
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
        let mut names: Vec<_> = (0u8..)
            .zip(self.names)
            .map(|(slot, name)| (name, slot))
            .collect();
        names.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        Ok(Program {
            lengths: names
                .iter()
                .fold(0, |bits, (name, _)| bits | length_bit(name.len())),
            nodes: self.nodes.into(),
            root,
            lists: self.lists.into(),
            names: names.into(),
        })
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

pub(super) fn too_deep() -> FilterError {
    FilterError::TooMany {
        what: "levels",
        limit: FILTER_DEPTH_MAX,
    }
}

fn types<T>(at: usize, why: &'static str) -> Result<T, FilterError> {
    Err(FilterError::Types { at, why })
}
