//! Wire ↔ hub message, both ways. Outward a record of this protocol's own flavour is a generated
//! head and slices of the log; inward the body and the property text stay slices of the socket
//! buffer, between small generated pieces.

pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod popped;
pub(crate) mod scan;
pub(crate) mod select;
