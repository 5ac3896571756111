//! Opens a listening socket with the options every door wants.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::ListenerConfig;

pub(super) fn listen(config: &ListenerConfig) -> io::Result<TcpListener> {
    let domain = Domain::for_address(config.address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' time-wait; on Unix this does not let two
    // listeners share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if config.address.is_ipv6() {
        // `[::]` serves IPv4 clients too, wherever the system's default points.
        let any = config.address.ip().is_unspecified();
        socket.set_only_v6(!any)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&config.address.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}
