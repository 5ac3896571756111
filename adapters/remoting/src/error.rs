//! Failures: why the adapter does not start, and why a request is refused. Every hub error maps
//! to one response code here, without a wildcard, so that a new kind breaks the build.

use std::borrow::Cow;

use crossdock_hub::{AppendError, HubError, ReadError};
use crossdock_kit::BindError;
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::{BodyError, HeaderError, RecordError};

/// Why the adapter does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The advertised address cannot be used.
    #[error("the advertised address {address:?} cannot be used: {reason}")]
    Advertise {
        /// The address as configured.
        address: String,
        /// Why not.
        reason: String,
    },
    /// A name server to register with is not `host:port`.
    #[error("the name server address {0:?} is not host:port")]
    NameServer(String),
}

/// A request that is answered with a code and a sentence instead of what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) remark: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(code: i32, remark: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            remark: remark.into(),
        }
    }

    pub(crate) fn invalid(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::INVALID_PARAMETER, remark)
    }

    pub(crate) fn denied(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::NO_PERMISSION, remark)
    }

    pub(crate) fn system(remark: impl Into<Cow<'static, str>>) -> Self {
        Self::new(response::SYSTEM_ERROR, remark)
    }

    /// The request names a topic that does not exist; clients know this sentence.
    pub(crate) fn no_topic(topic: &str) -> Self {
        Self::new(
            response::TOPIC_NOT_EXIST,
            format!("topic[{topic}] not exist, apply first please!"),
        )
    }

    /// The server is going away. An error and not an empty answer: after an empty one clients ask again at once, on a
    /// connection that is about to end, and then wait for their full timeout.
    pub(crate) fn leaving() -> Self {
        Self::new(
            response::SERVICE_NOT_AVAILABLE,
            "the server is shutting down".to_owned(),
        )
    }

    pub(crate) fn no_group(group: &str) -> Self {
        Self::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group [{group}] does not exist"),
        )
    }
}

/// The response code of a hub error.
pub(crate) fn code_of(error: &HubError) -> i32 {
    match error {
        HubError::Name { .. } | HubError::Invalid(_) | HubError::NoQueue { .. } => {
            response::INVALID_PARAMETER
        }
        HubError::NoTopic(_) => response::TOPIC_NOT_EXIST,
        HubError::NoGroup(_) => response::SUBSCRIPTION_GROUP_NOT_EXIST,
        HubError::Lease(_) => response::NO_MESSAGE,
        HubError::NotPrepared => response::SYSTEM_ERROR,
        HubError::Denied(_) => response::NO_PERMISSION,
        HubError::TooLarge { .. } | HubError::Append(AppendError::TooLarge) => {
            response::MESSAGE_ILLEGAL
        }
        HubError::Busy(_) | HubError::Append(AppendError::Busy | AppendError::SourceTooOld) => {
            response::SYSTEM_BUSY
        }
        HubError::Append(AppendError::Full | AppendError::Fenced | AppendError::Closed)
        | HubError::Closed => response::SERVICE_NOT_AVAILABLE,
        HubError::Read(
            ReadError::Expired(_)
            | ReadError::NotFound(_)
            | ReadError::Damaged(_)
            | ReadError::Io(_)
            | ReadError::Index(_),
        )
        | HubError::NoUser(_)
        | HubError::UserExists(_)
        | HubError::Limit { .. }
        | HubError::Corrupt(_)
        | HubError::Internal(_) => response::SYSTEM_ERROR,
    }
}

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        let remark = match &error {
            HubError::NoTopic(topic) => return Self::no_topic(topic),
            HubError::NoGroup(group) => return Self::no_group(group),
            // The text of the operating system may name files.
            HubError::Read(ReadError::Io(_) | ReadError::Index(_)) => {
                "reading the log failed".to_owned()
            }
            _ => error.to_string(),
        };
        Self::new(code_of(&error), remark)
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        HubError::from(error).into()
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::system(error.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::system(error.to_string())
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        Self::new(response::MESSAGE_ILLEGAL, error.to_string())
    }
}
