//! Who calls: the metadata every request carries, read once before its handler runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::Identity;
use crossdock_proto_grpc::v2::Code;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use crate::adapter::Door;
use crate::auth;
use crate::error::Refusal;

/// Longest client id, language, version or namespace.
const WORD_MAX: usize = 1024;
/// A deadline further away says that there is none: clients write decades to mean that.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Digits of a time-out, by the definition of gRPC.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// Name of the header that holds the client's identity.
const CLIENT_ID: &str = "x-mq-client-id";
const NAMESPACE: &str = "x-mq-namespace";
const LANGUAGE: &str = "x-mq-language";
const VERSION: &str = "x-mq-client-version";

/// Both ends of the connection a request came by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// One request with what is known about who asks.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) client: Arc<str>,
    /// Namespace of names that do not say their own; empty for none.
    pub(crate) namespace: Box<str>,
    pub(crate) language: Arc<str>,
    pub(crate) version: Box<str>,
    pub(crate) identity: Identity,
    pub(crate) peer: Peer,
    pub(crate) deadline: Option<Instant>,
}

impl Call {
    /// Tells who sends a request: first whether they are who they say, then which client of theirs it is.
    pub(crate) async fn open<T>(door: &Door, request: &tonic::Request<T>) -> Result<Self, Refusal> {
        let metadata = request.metadata();
        let peer = *request
            .extensions()
            .get::<Peer>()
            .ok_or_else(|| Refusal::new(Code::InternalServerError, "the connection is unknown"))?;
        let identity = auth::identify(&door.hub, metadata, &peer).await?;
        let client = word(metadata, CLIENT_ID);
        if client.trim().is_empty() {
            let text = format!("the header {CLIENT_ID} is missing");
            return Err(Refusal::new(Code::ClientIdRequired, text));
        }
        Ok(Self {
            client: client.into(),
            namespace: word(metadata, NAMESPACE).into(),
            language: word(metadata, LANGUAGE).into(),
            version: word(metadata, VERSION).into(),
            identity,
            peer,
            deadline: timeout(metadata).map(|left| Instant::now() + left),
        })
    }

    /// Time until the client gives up.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// A header as text; empty if it is missing, no text, or longer than any honest one.
pub(crate) fn word<'a>(metadata: &'a MetadataMap, name: &'static str) -> &'a str {
    let value = metadata.get(name).and_then(|value| value.to_str().ok());
    value
        .filter(|value| value.len() <= WORD_MAX)
        .unwrap_or_default()
}

/// The time-out of the call; `None` if it has none worth the name.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    parse_timeout(word(metadata, "grpc-timeout")).filter(|left| *left <= DEADLINE_MAX)
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let unit_at = text.len().checked_sub(1)?;
    let (digits, unit) = text.split_at_checked(unit_at)?;
    if digits.len() > TIMEOUT_DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_read_in_every_unit() {
        assert_eq!(parse_timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse_timeout("3000m"), Some(Duration::from_secs(3)));
        assert_eq!(
            parse_timeout("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        for bad in ["", "S", "3", "-3S", "999999999S", "3x", "3é", "+3S"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_out_of_decades_is_none() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "31536000M".parse().unwrap());
        assert_eq!(timeout(&metadata), None);
        metadata.insert("grpc-timeout", "5S".parse().unwrap());
        assert_eq!(timeout(&metadata), Some(Duration::from_secs(5)));
    }
}
