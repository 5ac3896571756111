//! What a client wants to see of a topic: an expression and the language it is in.

use crossdock_hub::{FilterError, Hub, HubError, Subscription, TopicName};

/// The language of tags; also what an absent name means.
pub(crate) const TAG: &str = "TAG";
/// The language of filters over properties.
pub(crate) const SQL92: &str = "SQL92";

/// Why an expression cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Tags(HubError),
    #[error(transparent)]
    Sql(FilterError),
    #[error("filters in the language {0:?} are not known here, only TAG and SQL92")]
    Language(String),
}

/// Reads an expression in a language.
pub(crate) fn parse(
    hub: &Hub,
    topic: TopicName,
    (language, text): (&str, &str),
    version: i64,
) -> Result<Subscription, Fault> {
    if language.is_empty() || language.eq_ignore_ascii_case(TAG) {
        Subscription::parse(topic, text, version).map_err(Fault::Tags)
    } else if language.eq_ignore_ascii_case(SQL92) {
        let filter = hub.compile_filter(text).map_err(Fault::Sql)?;
        Ok(Subscription::sql(topic, filter, version))
    } else {
        Err(Fault::Language(language.chars().take(32).collect()))
    }
}
