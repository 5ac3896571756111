//! Attributes of topics: the names there are, their values, and the rules by which they change. A value that the hub
//! does not implement is refused, not stored.

use crossdock_store::types::Durability;
use serde::{Deserialize, Serialize};

use crate::error::HubError;

/// Longest list of edits, in bytes.
const EDITS_MAX: usize = 4096;

const MESSAGE_TYPE: &str = "message.type";
const DURABILITY: &str = "durability";

struct Definition {
    name: &'static str,
    values: &'static [&'static str],
    is_mutable: bool,
}

const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "queue.type",
        values: &["SimpleCQ"],
        is_mutable: false,
    },
    Definition {
        name: "cleanup.policy",
        values: &["DELETE"],
        is_mutable: false,
    },
    Definition {
        name: MESSAGE_TYPE,
        values: &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION"],
        is_mutable: true,
    },
    // The log is kept for one time for all topics.
    Definition {
        name: "reserve.time",
        values: &["-1"],
        is_mutable: true,
    },
    // Ours: what an acknowledgement of this topic promises.
    Definition {
        name: DURABILITY,
        values: &["written", "durable"],
        is_mutable: true,
    },
];

/// What a topic's messages are meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageType {
    /// Nothing is said.
    Unspecified,
    /// Ordinary messages.
    #[default]
    Normal,
    /// Ordered by message group.
    Fifo,
    /// Delayed.
    Delay,
    /// Transactional.
    Transaction,
}

/// One edit of a topic's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeEdit {
    /// Sets an attribute.
    Set(Box<str>, Box<str>),
    /// Removes an attribute.
    Remove(Box<str>),
}

impl AttributeEdit {
    /// Reads a list of edits: `+name=value` and `-name`, separated by commas.
    ///
    /// # Errors
    /// An edit has neither form, names an attribute twice, or the list is too long.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, HubError> {
        if text.len() > EDITS_MAX {
            return Err(HubError::TooLarge {
                what: "bytes of attribute edits",
                size: text.len(),
                limit: EDITS_MAX,
            });
        }
        let mut edits: Vec<Self> = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let edit = if let Some(set) = part.strip_prefix('+') {
                match set.split_once('=') {
                    Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                        Self::Set(name.trim().into(), value.trim().into())
                    }
                    _ => return Err(malformed(part)),
                }
            } else if let Some(name) = part.strip_prefix('-') {
                if name.is_empty() || name.contains('=') {
                    return Err(malformed(part));
                }
                Self::Remove(name.trim().into())
            } else {
                return Err(malformed(part));
            };
            if edits.iter().any(|known| known.name() == edit.name()) {
                return Err(HubError::invalid(format!(
                    "attribute {} is edited twice",
                    edit.name()
                )));
            }
            edits.push(edit);
        }
        Ok(edits)
    }

    fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Remove(name) => name,
        }
    }
}

fn malformed(part: &str) -> HubError {
    HubError::invalid(format!(
        "attribute edit {part:?} is neither +name=value nor -name"
    ))
}

/// The attributes that were set, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Attributes(Box<[(Box<str>, Box<str>)]>);

impl Attributes {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn message_type(&self) -> MessageType {
        match self.get(MESSAGE_TYPE) {
            Some("UNSPECIFIED") => MessageType::Unspecified,
            Some("FIFO") => MessageType::Fifo,
            Some("DELAY") => MessageType::Delay,
            Some("TRANSACTION") => MessageType::Transaction,
            _ => MessageType::Normal,
        }
    }

    pub(crate) fn declared_type(&self) -> Option<MessageType> {
        self.get(MESSAGE_TYPE)?;
        let declared = self.message_type();
        (declared != MessageType::Unspecified).then_some(declared)
    }

    pub(crate) fn durability(&self) -> Option<Durability> {
        match self.get(DURABILITY) {
            Some("written") => Some(Durability::Written),
            Some("durable") => Some(Durability::Durable),
            _ => None,
        }
    }

    /// These attributes after `edits`. A new topic takes any value but has nothing to remove; an existing one keeps what
    /// cannot change.
    pub(crate) fn edited(&self, edits: &[AttributeEdit], is_new: bool) -> Result<Self, HubError> {
        let mut all = self.0.to_vec();
        for edit in edits {
            let name = edit.name();
            let Some(definition) = DEFINITIONS.iter().find(|known| known.name == name) else {
                return Err(HubError::invalid(format!("there is no attribute {name}")));
            };
            let old = all.iter().position(|(known, _)| **known == *name);
            match edit {
                AttributeEdit::Remove(_) if is_new => {
                    return Err(HubError::invalid(format!(
                        "attribute {name} of a new topic cannot be removed"
                    )));
                }
                AttributeEdit::Remove(_) => {
                    let Some(old) = old else {
                        return Err(HubError::invalid(format!(
                            "attribute {name} is not set and cannot be removed"
                        )));
                    };
                    check_mutable(definition)?;
                    all.remove(old);
                }
                AttributeEdit::Set(_, value) => {
                    if !definition.values.contains(&&**value) {
                        return Err(HubError::invalid(format!(
                            "attribute {name} cannot be {value}, it can be {}",
                            definition.values.join(", ")
                        )));
                    }
                    match old.and_then(|old| all.get_mut(old)) {
                        Some((_, known)) if *known == *value => {}
                        Some((_, known)) => {
                            check_mutable(definition)?;
                            known.clone_from(value);
                        }
                        None => {
                            if !is_new {
                                check_mutable(definition)?;
                            }
                            all.push((name.into(), value.clone()));
                        }
                    }
                }
            }
        }
        all.sort_unstable();
        Ok(Self(all.into()))
    }
}

fn check_mutable(definition: &Definition) -> Result<(), HubError> {
    if definition.is_mutable {
        return Ok(());
    }
    Err(HubError::invalid(format!(
        "attribute {} of an existing topic cannot change",
        definition.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(before: &Attributes, edits: &str, is_new: bool) -> Result<Attributes, HubError> {
        before.edited(&AttributeEdit::parse_list(edits)?, is_new)
    }

    #[test]
    fn edits_are_read_in_both_forms() {
        assert_eq!(
            AttributeEdit::parse_list("+message.type=FIFO, -reserve.time,").unwrap(),
            [
                AttributeEdit::Set("message.type".into(), "FIFO".into()),
                AttributeEdit::Remove("reserve.time".into())
            ]
        );
        for bad in [
            "message.type=FIFO",
            "+message.type",
            "+=x",
            "-",
            "-a=b",
            "+a=1,-a",
            "+a=",
        ] {
            assert!(AttributeEdit::parse_list(bad).is_err(), "{bad}");
        }
        assert!(AttributeEdit::parse_list(&"+a=b,".repeat(2000)).is_err());
    }

    #[test]
    fn a_new_topic_only_sets() {
        let none = Attributes::default();
        let set = edit(&none, "+cleanup.policy=DELETE,+message.type=FIFO", true).unwrap();
        assert_eq!(set.message_type(), MessageType::Fifo);
        assert!(edit(&none, "-message.type", true).is_err());
    }

    #[test]
    fn an_existing_topic_changes_what_is_mutable() {
        let fifo = edit(&Attributes::default(), "+message.type=FIFO", true).unwrap();
        let delay = edit(&fifo, "+message.type=DELAY,+durability=written", false).unwrap();
        assert_eq!(delay.message_type(), MessageType::Delay);
        assert_eq!(delay.durability(), Some(Durability::Written));
        assert_eq!(
            edit(&delay, "-durability", false).unwrap().durability(),
            None
        );
        assert!(edit(&fifo, "-durability", false).is_err());
        assert!(edit(&fifo, "+queue.type=SimpleCQ", false).is_err());
        let simple = edit(&fifo, "+queue.type=SimpleCQ", true).unwrap();
        assert!(edit(&simple, "-queue.type", false).is_err());
        assert!(edit(&simple, "+queue.type=SimpleCQ", false).is_ok());
    }

    #[test]
    fn unknown_names_and_values_nobody_implements_are_refused() {
        for bad in [
            "+colour=red",
            "+queue.type=BatchCQ",
            "+cleanup.policy=COMPACTION",
            "+message.type=MIXED",
        ] {
            assert!(edit(&Attributes::default(), bad, true).is_err(), "{bad}");
        }
    }
}
