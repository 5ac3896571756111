//! Failures: why the adapter does not start, and why a request is refused. Every hub error maps to one status code here,
//! without a wildcard, so that a new kind breaks the build.

use std::borrow::Cow;

use crossdock_hub::rmq4::RecordError;
use crossdock_hub::{AppendError, HubError, ReadError};
use crossdock_kit::BindError;
use crossdock_proto_grpc::v2::{Code, Status};

/// Why the adapter does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The descriptors of the protocol cannot be served.
    #[error("the reflection service cannot be built: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A request that is answered with a code and a sentence instead of what it asks for. It travels in the answer's own
/// status: to clients an error of gRPC itself is a broken transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) text: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, text)
    }

    pub(crate) fn unauthorized(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthorized, text)
    }

    /// The method, or this use of it, does not exist here.
    pub(crate) fn not_implemented(what: &'static str) -> Self {
        Self::new(Code::NotImplemented, format!("{what} is not supported"))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.into(),
            message: refusal.text.into_owned(),
        }
    }
}

/// The status of a request that was done.
pub(crate) fn ok() -> Status {
    Status {
        code: Code::Ok.into(),
        message: "OK".to_owned(),
    }
}

/// The status code of a hub error.
pub(crate) fn code_of(error: &HubError) -> Code {
    match error {
        HubError::Name { what: "group", .. } => Code::IllegalConsumerGroup,
        HubError::Name { .. } => Code::IllegalTopic,
        HubError::Invalid(_) | HubError::NoQueue { .. } | HubError::UserExists(_) => {
            Code::BadRequest
        }
        HubError::NoTopic(_) => Code::TopicNotFound,
        HubError::NoGroup(_) => Code::ConsumerGroupNotFound,
        HubError::NoUser(_) => Code::NotFound,
        // What a rule of the guard refuses is mapped where the guard is asked; this is a topic or group that is closed.
        HubError::Denied(_) => Code::Forbidden,
        HubError::TooLarge { .. } | HubError::Append(AppendError::TooLarge) => {
            Code::PayloadTooLarge
        }
        HubError::Busy(_)
        | HubError::Limit { .. }
        | HubError::Append(AppendError::Busy | AppendError::SourceTooOld | AppendError::Full) => {
            Code::TooManyRequests
        }
        HubError::Read(ReadError::Expired(_) | ReadError::NotFound(_)) => Code::MessageNotFound,
        HubError::Lease(_) => Code::InvalidReceiptHandle,
        HubError::NotPrepared => Code::InvalidTransactionId,
        HubError::Append(AppendError::Fenced | AppendError::Closed)
        | HubError::Closed
        | HubError::Read(ReadError::Damaged(_) | ReadError::Io(_) | ReadError::Index(_))
        | HubError::Corrupt(_)
        | HubError::Internal(_) => Code::InternalServerError,
    }
}

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        let text = match &error {
            // The text of the operating system may name files.
            HubError::Read(ReadError::Io(_) | ReadError::Index(_)) => {
                Cow::Borrowed("reading the log failed")
            }
            _ => Cow::Owned(error.to_string()),
        };
        Self::new(code_of(&error), text)
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        let code = match &error {
            RecordError::TooLong {
                what: "properties", ..
            } => Code::MessagePropertiesTooLarge,
            RecordError::TooLong { what: "body", .. } => Code::MessageBodyTooLarge,
            RecordError::BadProperty(_) => Code::IllegalMessagePropertyKey,
            RecordError::TooLong { .. }
            | RecordError::Truncated(_)
            | RecordError::BadLength { .. }
            | RecordError::BadMagic(_)
            | RecordError::BadPort(_)
            | RecordError::Utf8(_)
            | RecordError::BadMessageId
            | RecordError::BadRecallHandle => Code::MessageCorrupted,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hear_the_codes_they_act_on() {
        let codes = [
            (HubError::NoTopic("t".into()), Code::TopicNotFound),
            (HubError::NoGroup("g".into()), Code::ConsumerGroupNotFound),
            (HubError::Append(AppendError::Full), Code::TooManyRequests),
            (
                HubError::Append(AppendError::Fenced),
                Code::InternalServerError,
            ),
            (HubError::Denied("x".into()), Code::Forbidden),
        ];
        for (error, code) in codes {
            assert_eq!(code_of(&error), code, "{error}");
        }
    }

    #[test]
    fn names_of_topics_and_groups_have_codes_of_their_own() {
        let topic = "not legal".parse::<crossdock_hub::TopicName>().unwrap_err();
        let group = "not legal".parse::<crossdock_hub::GroupName>().unwrap_err();
        assert_eq!(code_of(&topic), Code::IllegalTopic);
        assert_eq!(code_of(&group), Code::IllegalConsumerGroup);
    }
}
