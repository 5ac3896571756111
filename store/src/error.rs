//! Why a store cannot be opened.

use crate::io::IoError;
use crate::kv::KvError;
use crate::log;
use crate::view::ViewError;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder open.
    #[error("the data folder is in use by another process")]
    Locked,
    /// The folder cannot be used.
    #[error(transparent)]
    Io(IoError),
    /// The log cannot be recovered as it is.
    #[error(transparent)]
    Log(#[from] log::OpenError),
    /// The index database cannot be used.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The views cannot be opened.
    #[error(transparent)]
    Views(#[from] ViewError),
    /// The log cannot be read while the views are brought up to its end.
    #[error("replaying the log failed: {0}")]
    Replay(log::ReadError),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl From<IoError> for OpenError {
    fn from(error: IoError) -> Self {
        match error {
            IoError::Locked => Self::Locked,
            other => Self::Io(other),
        }
    }
}
