//! Wire ↔ hub message, both ways. Messages are stored in the native flavour, as the older protocol's door stores them, so
//! that clients of both generations read each other's. Properties of the protocol have names there; what is left belongs
//! to the application.

pub(crate) mod digest;
pub(crate) mod encoding;
pub(crate) mod incoming;
pub(crate) mod kind;
pub(crate) mod outgoing;
pub(crate) mod time;
