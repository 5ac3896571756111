//! The one error of the hub. Every error answers three questions for the adapter that has to translate it: what kind it
//! is, whether trying again helps, and whether the request may have taken effect.

use std::time::Duration;

use crossdock_store::api::{AppendError, ReadError};
use crossdock_store::lease::LeaseError;
use crossdock_store::record::DraftError;
use crossdock_store::view::ViewError;

/// The closed set of error kinds; adapters match it without a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request breaks a rule.
    Invalid,
    /// What the request names does not exist.
    NotFound,
    /// What the request wants to create exists.
    Exists,
    /// The caller may not do this.
    Denied,
    /// The log refuses everything until it is recovered.
    Fenced,
    /// A bound on disk or of a table is reached.
    Full,
    /// A bound on work in flight is reached.
    Busy,
    /// The message or value is larger than allowed.
    TooLarge,
    /// What the request names has been removed by retention.
    Expired,
    /// The hub is not taking requests.
    Unavailable,
    /// The time for the request ran out.
    TimedOut,
    /// Stored bytes are damaged.
    Corrupt,
    /// A fault of the hub.
    Internal,
}

/// Whether trying again helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// At once, possibly after waiting for room.
    Now,
    /// After about this long, or elsewhere.
    After(Duration),
}

/// Whether the request may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not happen.
    DidNotHappen,
    /// It may have happened.
    MayHaveHappened,
}

/// Why the hub did not do what was asked. Messages name only what the caller sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// A topic or group name is not legal.
    #[error("{what} name {name:?} is not legal: {reason}")]
    Name {
        /// `topic` or `group`.
        what: &'static str,
        /// The name, cut to a printable length.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The request breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// No topic of that name.
    #[error("topic {0} does not exist")]
    NoTopic(String),
    /// The topic has no queue of that number.
    #[error("topic {topic} has no queue {queue}, its queues are 0 to {last}")]
    NoQueue {
        /// The topic.
        topic: String,
        /// The number asked for.
        queue: u32,
        /// The highest number there is.
        last: u32,
    },
    /// No group of that name.
    #[error("group {0} does not exist")]
    NoGroup(String),
    /// No user of that name.
    #[error("user {0} does not exist")]
    NoUser(String),
    /// The user exists.
    #[error("user {0} exists")]
    UserExists(String),
    /// The caller may not do this.
    #[error("{0}")]
    Denied(String),
    /// A message or value is too large.
    #[error("{what} of {size} is more than {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A table of the hub holds as much as it may.
    #[error("no more than {limit} {what} are allowed")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Too much work of this kind is in flight.
    #[error("too much is in flight: {0}")]
    Busy(&'static str),
    /// There is no undecided message where the caller says, or it is not the caller's to decide.
    #[error("no prepared message waits for this decision")]
    NotPrepared,
    /// A lease is not what the caller holds.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The store did not append.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store did not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A stored definition cannot be read.
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    /// The hub is closing.
    #[error("the hub is closed")]
    Closed,
    /// A fault of the hub.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

const LATER: Retry = Retry::After(Duration::from_secs(1));

impl HubError {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. } | Self::Invalid(_) | Self::NoQueue { .. } => ErrorKind::Invalid,
            Self::NoTopic(_) | Self::NoGroup(_) | Self::NoUser(_) => ErrorKind::NotFound,
            Self::UserExists(_) => ErrorKind::Exists,
            Self::Denied(_) => ErrorKind::Denied,
            Self::TooLarge { .. } | Self::Append(AppendError::TooLarge) => ErrorKind::TooLarge,
            Self::Limit { .. } | Self::Append(AppendError::Full) => ErrorKind::Full,
            Self::Busy(_) | Self::Append(AppendError::Busy | AppendError::SourceTooOld) => {
                ErrorKind::Busy
            }
            Self::Append(AppendError::Fenced) => ErrorKind::Fenced,
            Self::Append(AppendError::Closed) | Self::Closed => ErrorKind::Unavailable,
            Self::Read(ReadError::Expired(_)) | Self::Lease(_) | Self::NotPrepared => {
                ErrorKind::Expired
            }
            Self::Read(ReadError::NotFound(_)) => ErrorKind::NotFound,
            Self::Read(ReadError::Damaged(_)) | Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Read(ReadError::Index(ViewError::WaitersFull)) => ErrorKind::Busy,
            Self::Read(ReadError::Io(_) | ReadError::Index(_)) | Self::Internal(_) => {
                ErrorKind::Internal
            }
        }
    }

    /// Whether trying again helps.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self.kind() {
            ErrorKind::Busy => Retry::Now,
            ErrorKind::Full
            | ErrorKind::Fenced
            | ErrorKind::Unavailable
            | ErrorKind::TimedOut
            | ErrorKind::Internal => LATER,
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Exists
            | ErrorKind::Denied
            | ErrorKind::TooLarge
            | ErrorKind::Expired
            | ErrorKind::Corrupt => Retry::Never,
        }
    }

    /// Whether the request may have taken effect.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.kind() {
            ErrorKind::Fenced | ErrorKind::TimedOut | ErrorKind::Internal => {
                Outcome::MayHaveHappened
            }
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Exists
            | ErrorKind::Denied
            | ErrorKind::Full
            | ErrorKind::Busy
            | ErrorKind::TooLarge
            | ErrorKind::Expired
            | ErrorKind::Unavailable
            | ErrorKind::Corrupt => Outcome::DidNotHappen,
        }
    }
}

impl From<DraftError> for HubError {
    fn from(error: DraftError) -> Self {
        use crossdock_store::record::{DISPATCH_MAX, EXTENSION_MAX, RECORD_MAX};
        let (what, size, limit) = match error {
            DraftError::TooLarge(size) => ("record bytes", size, RECORD_MAX),
            DraftError::Extensions(size) => ("index key bytes", size, EXTENSION_MAX),
            DraftError::Dispatch(size) => ("dispatch targets", size, DISPATCH_MAX),
            DraftError::ScheduledDispatch => {
                return Self::Internal("a scheduled record goes to one queue");
            }
            DraftError::Count => return Self::Internal("a record takes at least one offset"),
        };
        Self::TooLarge { what, size, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_append_did_not_happen_but_a_fenced_one_may_have() {
        assert_eq!(
            HubError::from(AppendError::Full).outcome(),
            Outcome::DidNotHappen
        );
        assert_eq!(HubError::from(AppendError::Busy).retry(), Retry::Now);
        let fenced = HubError::from(AppendError::Fenced);
        assert_eq!(
            (fenced.kind(), fenced.outcome()),
            (ErrorKind::Fenced, Outcome::MayHaveHappened)
        );
    }
}
