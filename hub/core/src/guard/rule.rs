//! Rules: which actions on which resources are allowed or denied. The most specific rule that applies decides; of equally
//! specific ones a denial wins; without any, the answer is no.

use std::fmt;
use std::ops::BitOr;

use serde::{Deserialize, Serialize};

use crate::error::HubError;

/// Longest pattern, in bytes.
const PATTERN_MAX: usize = 300;

/// Something one may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// Publish.
    Pub = 1,
    /// Subscribe and consume.
    Sub = 1 << 1,
    /// Create.
    Create = 1 << 2,
    /// Change.
    Update = 1 << 3,
    /// Delete.
    Delete = 1 << 4,
    /// Look at one.
    Get = 1 << 5,
    /// Look at all.
    List = 1 << 6,
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actions(u8);

const NAMES: [(&str, Action); 7] = [
    ("Pub", Action::Pub),
    ("Sub", Action::Sub),
    ("Create", Action::Create),
    ("Update", Action::Update),
    ("Delete", Action::Delete),
    ("Get", Action::Get),
    ("List", Action::List),
];

impl Actions {
    /// Every action.
    pub const ALL: Self = Self(0x7f);

    /// The action of this name as a set, or every action for `All`; the case of letters does not matter.
    ///
    /// # Errors
    /// There is no such action.
    pub fn parse(name: &str) -> Result<Self, HubError> {
        if name.eq_ignore_ascii_case("all") {
            return Ok(Self::ALL);
        }
        let known = NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        known
            .map(|(_, action)| Self::from(*action))
            .ok_or_else(|| HubError::invalid(format!("there is no action {name}")))
    }

    /// Names of the actions in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let held = NAMES
            .into_iter()
            .filter(move |(_, action)| self.0 & *action as u8 != 0);
        held.map(|(name, _)| name)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str("|")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Self(action as u8)
    }
}

impl<T: Into<Actions>> BitOr<T> for Actions {
    type Output = Self;
    fn bitor(self, other: T) -> Self {
        Self(self.0 | other.into().0)
    }
}

impl<T: Into<Actions>> BitOr<T> for Action {
    type Output = Actions;
    fn bitor(self, other: T) -> Actions {
        Actions::from(self) | other
    }
}

/// Kinds of things that are guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// Topics.
    Topic,
    /// Consumer groups.
    Group,
    /// The cluster itself.
    Cluster,
}

impl ResourceKind {
    const ALL: [Self; 3] = [Self::Topic, Self::Group, Self::Cluster];

    fn name(self) -> &'static str {
        match self {
            Self::Topic => "Topic",
            Self::Group => "Group",
            Self::Cluster => "Cluster",
        }
    }
}

/// One guarded thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What kind of thing.
    pub kind: ResourceKind,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// A topic.
    #[must_use]
    pub fn topic(name: &'a str) -> Self {
        Self {
            kind: ResourceKind::Topic,
            name,
        }
    }

    /// A consumer group.
    #[must_use]
    pub fn group(name: &'a str) -> Self {
        Self {
            kind: ResourceKind::Group,
            name,
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(name: &'a str) -> Self {
        Self {
            kind: ResourceKind::Cluster,
            name,
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.name)
    }
}

/// Which resources a rule is about: `Topic:name`, `Topic:prefix*`, `Topic:*` and the like, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    kind: Option<ResourceKind>,
    name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Any,
    Prefix(Box<str>),
    Literal(Box<str>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It has none of the forms.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let wrong = || {
            let shown: String = text.chars().take(PATTERN_MAX).collect();
            HubError::invalid(format!(
                "{shown:?} is not a resource like Topic:name or Group:prefix*"
            ))
        };
        if text.len() > PATTERN_MAX {
            return Err(wrong());
        }
        if text == "*" {
            return Ok(Self {
                kind: None,
                name: Name::Any,
            });
        }
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let kind = ResourceKind::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(kind))
            .ok_or_else(wrong)?;
        let name = match name.strip_suffix('*') {
            Some("") => Name::Any,
            Some(prefix) if !prefix.contains('*') => Name::Prefix(prefix.into()),
            None if !name.is_empty() && !name.contains('*') => Name::Literal(name.into()),
            _ => return Err(wrong()),
        };
        Ok(Self {
            kind: Some(kind),
            name,
        })
    }

    fn matches(&self, resource: Resource<'_>) -> bool {
        if self.kind.is_some_and(|kind| kind != resource.kind) {
            return false;
        }
        match &self.name {
            Name::Any => true,
            Name::Prefix(prefix) => resource.name.starts_with(&**prefix),
            Name::Literal(name) => **name == *resource.name,
        }
    }

    /// Grows with how specific the pattern is: literal names, then longer prefixes, then any name of a kind, then all.
    fn rank(&self) -> (u8, usize) {
        match &self.name {
            Name::Literal(_) => (3, 0),
            Name::Prefix(prefix) => (2, prefix.len()),
            Name::Any => (u8::from(self.kind.is_some()), 0),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{}:", kind.name())?;
        }
        match &self.name {
            Name::Any => f.write_str("*"),
            Name::Prefix(prefix) => write!(f, "{prefix}*"),
            Name::Literal(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = HubError;
    fn try_from(text: String) -> Result<Self, HubError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// One rule of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is about.
    pub pattern: Pattern,
    /// Which actions.
    pub actions: Actions,
    /// What it decides.
    pub decision: Decision,
}

/// What the rules say about any of the actions on the resource.
pub(crate) fn decide(rules: &[Rule], resource: Resource<'_>, actions: Actions) -> Option<Decision> {
    let applies = |rule: &&Rule| rule.actions.meets(actions) && rule.pattern.matches(resource);
    rules
        .iter()
        .filter(applies)
        .max_by_key(|rule| (rule.pattern.rank(), rule.decision == Decision::Deny))
        .map(|rule| rule.decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, actions: impl Into<Actions>, decision: Decision) -> Rule {
        Rule {
            pattern: Pattern::parse(pattern).unwrap(),
            actions: actions.into(),
            decision,
        }
    }

    fn allows(rules: &[Rule], topic: &str, actions: impl Into<Actions>) -> bool {
        decide(rules, Resource::topic(topic), actions.into()) == Some(Decision::Allow)
    }

    #[test]
    fn patterns_are_written_as_they_are_read() {
        for text in ["*", "Topic:*", "Topic:a*", "Group:g", "Cluster:*"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "Topic",
            "Topic:",
            "Topic:a*b",
            "Topic:**",
            "Queue:a",
            ":a",
            "a*",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_rule_that_applies_the_answer_is_no() {
        assert!(!allows(&[], "T", Action::Pub));
        assert!(!allows(
            &[rule("Topic:T", Action::Sub, Decision::Allow)],
            "T",
            Action::Pub
        ));
        assert!(!allows(
            &[rule("Group:T", Actions::ALL, Decision::Allow)],
            "T",
            Action::Pub
        ));
    }

    #[test]
    fn the_more_specific_rule_decides_whatever_the_order() {
        let mut rules = vec![
            rule("*", Actions::ALL, Decision::Deny),
            rule("Topic:*", Actions::ALL, Decision::Allow),
            rule("Topic:log*", Actions::ALL, Decision::Deny),
            rule("Topic:logs-*", Actions::ALL, Decision::Allow),
            rule("Topic:logs-secret", Actions::ALL, Decision::Deny),
        ];
        for _ in 0..rules.len() {
            rules.rotate_left(1);
            assert!(allows(&rules, "T", Action::Pub));
            assert!(!allows(&rules, "logbook", Action::Pub));
            assert!(allows(&rules, "logs-a", Action::Pub));
            assert!(!allows(&rules, "logs-secret", Action::Pub));
        }
    }

    #[test]
    fn of_equally_specific_rules_the_denial_wins() {
        let mut rules = vec![
            rule("Topic:T", Action::Pub, Decision::Deny),
            rule("Topic:T", Actions::ALL, Decision::Allow),
        ];
        assert!(!allows(&rules, "T", Action::Pub));
        rules.reverse();
        assert!(!allows(&rules, "T", Action::Pub));
        assert!(allows(&rules, "T", Action::Sub));
    }

    #[test]
    fn one_of_several_actions_suffices() {
        let rules = [rule("Topic:T", Action::Sub, Decision::Allow)];
        assert!(allows(&rules, "T", Action::Pub | Action::Sub | Action::Get));
    }

    #[test]
    fn actions_are_named_without_regard_to_case() {
        assert_eq!(Actions::parse("pUB").unwrap(), Action::Pub.into());
        assert_eq!(Actions::parse("All").unwrap(), Actions::ALL);
        assert!(Actions::parse("Fly").is_err());
        assert_eq!((Action::Pub | Action::Get).to_string(), "Pub|Get");
        assert_eq!(Actions::ALL.names().count(), 7);
    }
}
