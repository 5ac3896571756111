//! Who sends a request, and whether it may. Clients sign the text of a date header and nothing else, so a signature says who
//! somebody is and nothing about the request. Each request family names what it needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossdock_hub::{
    Action, Actions, Credentials, DEAD_PREFIX, Hub, HubError, Identity, RETRY_PREFIX, Resource,
};
use smallvec::SmallVec;
use tonic::metadata::MetadataMap;

use crate::call::{Call, Peer, word};
use crate::error::Refusal;

const ALGORITHM: &str = "MQv2-HMAC-SHA1";
const AUTHORIZATION: &str = "authorization";
/// The header whose text is signed, exactly as it came: it is never read as a date.
const DATE_TIME: &str = "x-mq-date-time";
/// Bytes of an HMAC-SHA1.
const SIGNATURE_BYTES: usize = 20;

/// Tells who sends a request.
pub(crate) async fn identify(
    hub: &Hub,
    metadata: &MetadataMap,
    peer: &Peer,
) -> Result<Identity, Refusal> {
    let header = word(metadata, AUTHORIZATION);
    // Without users nobody can be checked, and some clients send a header with empty keys then.
    if !hub.has_users() || header.is_empty() {
        let is_loopback = peer.address.ip().is_loopback();
        let anonymous = Credentials::Anonymous { is_loopback };
        return hub.authenticate(anonymous).await.map_err(refused);
    }
    let shown = Shown::parse(header).ok_or_else(unreadable)?;
    let signature = shown.signature().ok_or_else(unreadable)?;
    let date = word(metadata, DATE_TIME);
    if date.is_empty() {
        return Err(unreadable());
    }
    let signed = Credentials::Signature {
        access_key: shown.access_key,
        content: &[date.as_bytes()],
        signature: &signature,
    };
    hub.authenticate(signed).await.map_err(refused)
}

fn unreadable() -> Refusal {
    Refusal::unauthorized("the authorization of the request cannot be read")
}

/// Every refusal of the guard is one code to clients; a guard that is busy is not a refusal.
fn refused(error: HubError) -> Refusal {
    match error {
        HubError::Denied(text) => Refusal::unauthorized(text),
        other => other.into(),
    }
}

/// The parts of an authorization header.
#[derive(Debug, PartialEq, Eq)]
struct Shown<'a> {
    access_key: &'a str,
    hex: &'a str,
}

impl<'a> Shown<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let (algorithm, fields) = header.split_once(' ')?;
        if algorithm != ALGORITHM {
            return None;
        }
        let field = |name: &str| {
            fields.split(',').find_map(|field| {
                let (known, value) = field.trim().split_once('=')?;
                (known == name).then_some(value)
            })
        };
        // Some clients put region and service behind the access key.
        let credential = field("Credential")?;
        let access_key = credential.split('/').next().unwrap_or(credential);
        Some(Self {
            access_key,
            hex: field("Signature")?,
        })
    }

    /// The signature in the hub's terms: clients write it in hexadecimal, some in capitals.
    fn signature(&self) -> Option<String> {
        let digits = self.hex.as_bytes();
        if digits.len() != SIGNATURE_BYTES * 2 {
            return None;
        }
        let mut bytes = [0; SIGNATURE_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16)?;
                *byte = *byte << 4 | value as u8;
            }
        }
        Some(STANDARD.encode(bytes))
    }
}

/// Checks needs, all of them.
pub(crate) fn may(
    hub: &Hub,
    call: &Call,
    needs: &[(Actions, Resource<'_>)],
) -> Result<(), Refusal> {
    hub.authorize(&call.identity, needs).map_err(refused)
}

/// The resource behind a topic name: retry and dead-letter topics belong to their group.
fn behind(topic: &str) -> Resource<'_> {
    let owned = topic
        .strip_prefix(RETRY_PREFIX)
        .or_else(|| topic.strip_prefix(DEAD_PREFIX));
    match owned {
        Some(group) => Resource::group(group),
        None => Resource::topic(topic),
    }
}

/// Publishing to a topic.
pub(crate) fn may_send(hub: &Hub, call: &Call, topic: &str) -> Result<(), Refusal> {
    may(hub, call, &[(Action::Pub.into(), Resource::topic(topic))])
}

/// Asking where a topic is: whoever may do anything with it needs to know.
pub(crate) fn may_look_up(hub: &Hub, call: &Call, topic: &str) -> Result<(), Refusal> {
    let any = Action::Pub | Action::Sub | Action::Get;
    may(hub, call, &[(any, behind(topic))])
}

/// Consuming a topic for a group.
pub(crate) fn may_consume(hub: &Hub, call: &Call, topic: &str, group: &str) -> Result<(), Refusal> {
    let mut needs: SmallVec<[(Actions, Resource<'_>); 2]> = SmallVec::new();
    needs.push((Action::Sub.into(), Resource::group(group)));
    needs.push((Action::Sub.into(), behind(topic)));
    may(hub, call, &needs)
}

/// Being a member of a group.
pub(crate) fn may_join(hub: &Hub, call: &Call, group: &str) -> Result<(), Refusal> {
    may(hub, call, &[(Action::Sub.into(), Resource::group(group))])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "6ad36db9c73b60f5f5a8ea5bf5d7d2f9b5b3a2c1";

    #[test]
    fn every_form_of_the_header_is_read() {
        for credential in ["ak", "ak//Rocketmq", "ak/cn-hangzhou/RocketMQ"] {
            let header = format!(
                "MQv2-HMAC-SHA1 Credential={credential}, SignedHeaders=x-mq-date-time, Signature={HEX}"
            );
            let shown = Shown::parse(&header).unwrap();
            assert_eq!(
                shown,
                Shown {
                    access_key: "ak",
                    hex: HEX
                }
            );
        }
    }

    #[test]
    fn the_case_of_a_signature_does_not_matter() {
        let signature = |hex: String| {
            let (access_key, hex) = ("", hex.as_str());
            Shown { access_key, hex }.signature()
        };
        assert_eq!(signature(HEX.into()), signature(HEX.to_uppercase()));
        assert!(signature(HEX.into()).is_some());
    }

    #[test]
    fn anything_else_is_unreadable() {
        for bad in [
            "Basic abc",
            "MQv2-HMAC-SHA1",
            "MQv2-HMAC-SHA1 Signature=00",
            "MQv2-HMAC-SHA1 Credential=ak",
        ] {
            assert_eq!(Shown::parse(bad), None, "{bad}");
        }
        for hex in [
            "",
            "00",
            &"zz".repeat(20),
            &"é".repeat(20),
            &"00".repeat(21),
        ] {
            assert_eq!(
                Shown {
                    access_key: "",
                    hex
                }
                .signature(),
                None,
                "{hex}"
            );
        }
    }
}
