//! A client connection to a name server: one question at a time, and whatever the server itself
//! wants to say in between.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::{Command, FrameDecoder, FrameError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT: Duration = Duration::from_secs(3);
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest answer: the KV table of a name server.
const FRAME_MAX: usize = 16 * 1024 * 1024;

/// Why the connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server sends what is not a frame: {0}")]
    Frame(#[from] FrameError),
    #[error("no answer in time")]
    TimedOut,
    #[error("the server closed the connection")]
    Closed,
    #[error("refused with code {0}: {1}")]
    Refused(i32, String),
    #[error("the registration does not fit a frame")]
    Unsendable,
}

#[derive(Debug)]
pub(crate) struct Link {
    socket: TcpStream,
    local: SocketAddr,
    buffer: BytesMut,
    decoder: FrameDecoder,
    opaque: i32,
}

impl Link {
    pub(crate) async fn connect(server: &str) -> Result<Self, LinkError> {
        let connecting = timeout(CONNECT, TcpStream::connect(server));
        let socket = connecting.await.map_err(|_| LinkError::TimedOut)??;
        socket.set_nodelay(true)?;
        Ok(Self {
            local: socket.local_addr()?,
            socket,
            buffer: BytesMut::new(),
            decoder: FrameDecoder::new(FRAME_MAX),
            opaque: 0,
        })
    }

    /// Our address as the server sees it.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, command: Command) -> Result<Command, LinkError> {
        self.opaque = self.opaque.wrapping_add(1);
        let opaque = self.opaque;
        self.send(&command.with_opaque(opaque)).await?;
        let answered = timeout(ANSWER, async {
            loop {
                let received = self.receive().await?;
                if received.is_response() && received.opaque == opaque {
                    return Ok(received);
                }
                self.handle(&received).await?;
            }
        });
        answered.await.map_err(|_| LinkError::TimedOut)?
    }

    /// Reads what the server says on its own account until the connection fails. May be dropped
    /// at any time without losing a byte.
    pub(crate) async fn serve(&mut self) -> LinkError {
        loop {
            let received = match self.receive().await {
                Ok(received) => received,
                Err(error) => return error,
            };
            if let Err(error) = self.handle(&received).await {
                return error;
            }
        }
    }

    async fn handle(&mut self, received: &Command) -> Result<(), LinkError> {
        let is_request = !received.is_response() && !received.is_oneway();
        if !is_request || received.code == request::NOTIFY_MIN_BROKER_ID_CHANGE {
            return Ok(());
        }
        let remark = format!(" request type {} not supported", received.code);
        let answer = received.response(response::REQUEST_CODE_NOT_SUPPORTED);
        self.send(&answer.with_remark(remark)).await
    }

    async fn send(&mut self, command: &Command) -> Result<(), LinkError> {
        let mut frame = BytesMut::new();
        command
            .encode(&mut frame)
            .map_err(|_| LinkError::Unsendable)?;
        let writing = timeout(ANSWER, self.socket.write_all(&frame));
        Ok(writing.await.map_err(|_| LinkError::TimedOut)??)
    }

    async fn receive(&mut self) -> Result<Command, LinkError> {
        loop {
            if let Some(command) = self.decoder.decode(&mut self.buffer)? {
                return Ok(command);
            }
            // Room grows with what has arrived, not with what is announced.
            let room = self.buffer.len().clamp(4096, 1024 * 1024);
            self.buffer.reserve(room);
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(LinkError::Closed);
            }
        }
    }
}
