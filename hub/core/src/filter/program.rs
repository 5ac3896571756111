//! The compiled form: nodes in one flat array, children before parents, and the names they ask for. Evaluation walks from
//! the root with a depth the builder has bounded.

use std::cmp::Ordering;

use super::FILTER_NAMES_MAX;
use super::value::{Fault, Value};

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
    pub(super) first: u32,
    pub(super) count: u32,
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

impl Program {
    /// `names` by slot.
    pub(super) fn new(
        nodes: Vec<Node>,
        root: NodeId,
        lists: Vec<NodeId>,
        names: Vec<Box<str>>,
    ) -> Self {
        let mut names: Vec<_> = (0u8..)
            .zip(names)
            .map(|(slot, name)| (name, slot))
            .collect();
        names.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        let lengths = names.iter().map(|(name, _)| length_bit(name.len()));
        Self {
            lengths: lengths.fold(0, |bits, bit| bits | bit),
            nodes: nodes.into(),
            root,
            lists: lists.into(),
            names: names.into(),
        }
    }
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
