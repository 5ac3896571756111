//! What a group wants from a topic: tags with their hashes or a compiled filter, and the version.

use std::sync::Arc;

use crossdock_store::api::TagFilter;

use crate::error::HubError;
use crate::filter::{FilterError, SqlFilter};
use crate::hub::Hub;
use crate::name::TopicName;

/// Longest expression, in bytes.
const EXPRESSION_MAX: usize = 16 * 1024;
/// Most tags in one expression.
const TAGS_MAX: usize = 1024;

/// Hash of a tag as records carry it; 0 for the empty tag.
///
/// Each UTF-16 unit is added to 31 times the hash so far in 32-bit arithmetic, then the sign is extended.
#[must_use]
pub fn tag_hash(tag: &str) -> i64 {
    let hash = tag.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    i64::from(hash)
}

/// How a subscription selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Everything.
    All,
    /// Messages with one of these tags. Hashes may collide: who needs certainty compares the tag text.
    Tags(Box<[Box<str>]>),
    /// Messages whose properties satisfy a filter.
    Sql(Arc<SqlFilter>),
    /// Nothing, because the expression cannot be evaluated.
    Unusable {
        /// The language it is said to be in.
        language: Box<str>,
        /// What is wrong with it.
        reason: Box<str>,
    },
}

/// A group's subscription of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: TopicName,
    /// The expression as it was written.
    pub text: Box<str>,
    /// The expression as it is understood.
    pub expression: Expression,
    /// What its tag hashes say of the messages to look at.
    pub filter: TagFilter,
    /// Grows when a member changes its subscription.
    pub version: i64,
}

impl Subscription {
    /// Reads a tag expression: `*` or nothing for everything, else tags separated by `||`.
    ///
    /// # Errors
    /// The expression is too long, has too many tags, or has separators but no tag.
    pub fn parse(topic: TopicName, text: &str, version: i64) -> Result<Self, HubError> {
        check_length(text)?;
        let (expression, filter) = if text.is_empty() || text == "*" {
            (Expression::All, TagFilter::All)
        } else {
            let mut tags: Vec<Box<str>> = Vec::new();
            for tag in text
                .split("||")
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
            {
                if !tags.iter().any(|known| **known == *tag) {
                    tags.push(tag.into());
                }
                if tags.len() > TAGS_MAX {
                    return Err(HubError::TooLarge {
                        what: "tags of an expression",
                        size: tags.len(),
                        limit: TAGS_MAX,
                    });
                }
            }
            if tags.is_empty() {
                return Err(HubError::invalid("the tag expression names no tag"));
            }
            let hashes = tags.iter().map(|tag| tag_hash(tag)).collect();
            (Expression::Tags(tags.into()), TagFilter::Any(hashes))
        };
        Ok(Self {
            topic,
            text: text.into(),
            expression,
            filter,
            version,
        })
    }

    /// A subscription with a filter, as [`Hub::compile_filter`] gives it.
    #[must_use]
    pub fn sql(topic: TopicName, filter: Arc<SqlFilter>, version: i64) -> Self {
        Self {
            topic,
            text: filter.text().into(),
            expression: Expression::Sql(filter),
            filter: TagFilter::All,
            version,
        }
    }

    /// A subscription that cannot be evaluated, kept so that its readers can be told why they get nothing.
    ///
    /// # Errors
    /// The expression or the name of its language is too long.
    pub fn unusable(
        topic: TopicName,
        (language, text): (&str, &str),
        reason: &str,
        version: i64,
    ) -> Result<Self, HubError> {
        check_length(text)?;
        check_length(language)?;
        Ok(Self {
            topic,
            text: text.into(),
            expression: Expression::Unusable {
                language: language.into(),
                reason: reason.into(),
            },
            filter: TagFilter::Any(smallvec::SmallVec::new()),
            version,
        })
    }

    /// True if a message with this tag text may be wanted; decides what the hash alone cannot.
    #[must_use]
    pub fn wants_tag(&self, tag: Option<&str>) -> bool {
        match &self.expression {
            Expression::All | Expression::Sql(_) => true,
            Expression::Tags(tags) => {
                tag.is_some_and(|tag| tags.iter().any(|known| **known == *tag))
            }
            Expression::Unusable { .. } => false,
        }
    }

    /// True if both select the same way, whatever their versions.
    pub(crate) fn selects_like(&self, other: &Self) -> bool {
        self.expression == other.expression && self.text == other.text
    }
}

impl Hub {
    /// The filter of a text. Filters are kept by their text, so the same text gives the same filter for as long as it is
    /// in use.
    ///
    /// # Errors
    /// The text is no filter, or exceeds a limit.
    pub fn compile_filter(&self, text: &str) -> Result<Arc<SqlFilter>, FilterError> {
        self.0.filters.compile(text)
    }
}

fn check_length(text: &str) -> Result<(), HubError> {
    if text.len() > EXPRESSION_MAX {
        return Err(HubError::TooLarge {
            what: "bytes of an expression",
            size: text.len(),
            limit: EXPRESSION_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Subscription, HubError> {
        Subscription::parse(TopicName::parse("T").unwrap(), text, 1)
    }

    #[test]
    fn tag_hashes_are_those_of_the_native_clients() {
        assert_eq!(tag_hash("TagA"), 2_598_919);
        assert_eq!(tag_hash("A"), 65);
        assert_eq!(tag_hash(""), 0);
        assert_eq!(tag_hash("Aa"), tag_hash("BB"));
        // Overflows into the sign, which is kept in 64 bits.
        assert_eq!(tag_hash("polygenelubricants"), i64::from(i32::MIN));
        // Two UTF-16 units, not four bytes: 31 * 0xD83D + 0xDE00.
        assert_eq!(tag_hash("😀"), 31 * 0xD83D + 0xDE00);
    }

    #[test]
    fn star_and_nothing_select_everything() {
        for text in ["", "*"] {
            assert_eq!(parse(text).unwrap().filter, TagFilter::All);
        }
    }

    #[test]
    fn alternatives_are_trimmed_and_deduplicated() {
        let sub = parse(" a ||b|| || a").unwrap();
        assert_eq!(
            sub.expression,
            Expression::Tags([Box::from("a"), Box::from("b")].into())
        );
        assert!(sub.filter.wants(97) && sub.filter.wants(98) && !sub.filter.wants(0));
        assert!(sub.wants_tag(Some("a")) && !sub.wants_tag(Some("c")) && !sub.wants_tag(None));
    }

    #[test]
    fn colliding_hashes_pass_the_filter_but_not_the_tag_check() {
        let sub = parse("Aa").unwrap();
        assert!(sub.filter.wants(tag_hash("BB")));
        assert!(!sub.wants_tag(Some("BB")));
    }

    #[test]
    fn hostile_expressions_are_refused() {
        assert!(parse("||").is_err());
        assert!(parse(&"x".repeat(EXPRESSION_MAX + 1)).is_err());
        let many: Vec<String> = (0..=TAGS_MAX).map(|n| n.to_string()).collect();
        assert!(parse(&many.join("||")).is_err());
    }

    #[test]
    fn what_cannot_be_evaluated_selects_nothing() {
        let topic = TopicName::parse("T").unwrap();
        let sub = Subscription::unusable(topic, ("XPATH", "a > 1"), "not known", 1).unwrap();
        assert!(!sub.filter.wants(65) && !sub.wants_tag(Some("A")));
    }

    #[test]
    fn a_filter_looks_at_messages_of_every_tag() {
        let topic = TopicName::parse("T").unwrap();
        let filter = Arc::new(SqlFilter::compile("a > 1").unwrap());
        let sub = Subscription::sql(topic, filter, 1);
        assert!(sub.filter.wants(65) && sub.wants_tag(Some("A")) && sub.wants_tag(None));
        assert_eq!(&*sub.text, "a > 1");
    }
}
