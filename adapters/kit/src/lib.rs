//! What every door of the hub needs and no protocol owns: listeners with limits, TLS on a shared
//! port, the PROXY protocol, task scopes that drain in order, and the outbound queue of a
//! connection. Nothing here knows a frame format; an adapter hands in encoded bytes.

pub mod drain;
mod error;
pub mod idle;
pub mod limits;
pub mod listener;
pub mod outbound;
pub mod panics;
pub mod proxy_protocol;
pub mod stream;
pub mod tls;

pub use drain::{Drained, Phase, Scope};
pub use error::{BindError, ProxyError, PushError, TlsError, TryPushError};
pub use idle::Idle;
pub use limits::Budget;
pub use listener::{Connection, Listener, ListenerConfig, ListenerSnapshot, ListenerStats};
pub use outbound::{Frame, Outbound, OutboundStats, WriterExit};
pub use stream::{ReadHalf, Stream, WriteHalf};
pub use tls::{Mode, Tls};
