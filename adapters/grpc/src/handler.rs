//! Handlers, one file per request family. Each parses, authorizes, makes one or two hub calls and answers.

pub(crate) mod lease;
pub(crate) mod offset;
pub(crate) mod presence;
pub(crate) mod pull;
pub(crate) mod route;
pub(crate) mod send;
pub(crate) mod settings;
pub(crate) mod transaction;
