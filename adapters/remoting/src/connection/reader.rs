//! The incoming bytes of a connection. Owns the read buffer, which grows with what has really
//! arrived and never with what is merely announced. Large frames are begun only within a budget
//! shared by all connections; every frame must get complete in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use crossdock_kit::ReadHalf;
use crossdock_proto_remoting::{Command, FrameDecoder, FrameError};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Smallest and largest room offered to one read.
const READ_MIN: usize = 4 * 1024;
const READ_MAX: usize = 256 * 1024;
/// Frames up to this length need no share of the budget.
const LARGE: usize = 64 * 1024;

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Bytes(usize),
    End,
}

#[derive(Debug)]
pub(super) struct Input {
    socket: ReadHalf,
    decoder: FrameDecoder,
    buffer: BytesMut,
    /// Room for the next read; doubles while reads fill it.
    room: usize,
    /// Length of the frame at the front, once known.
    awaited: Option<usize>,
    /// When the first bytes of an incomplete frame were seen.
    begun: Option<Instant>,
    /// The share of the budget that a large frame under way holds.
    share: Option<OwnedSemaphorePermit>,
    budget: Arc<Semaphore>,
    timeout: Duration,
}

impl Input {
    pub(super) fn new(
        socket: ReadHalf,
        decoder: FrameDecoder,
        budget: Arc<Semaphore>,
        timeout: Duration,
    ) -> Self {
        Self {
            socket,
            decoder,
            buffer: BytesMut::new(),
            room: READ_MIN,
            awaited: None,
            begun: None,
            share: None,
            budget,
            timeout,
        }
    }

    /// The next whole command, if it has arrived.
    pub(super) fn next_command(&mut self) -> Result<Option<Command>, FrameError> {
        let command = self.decoder.decode(&mut self.buffer)?;
        if command.is_some() {
            self.share = None;
            self.begun = None;
            self.awaited = None;
        } else {
            self.awaited = self.decoder.frame_len(&self.buffer)?;
        }
        Ok(command)
    }

    /// Waits for more bytes. May be dropped at any time without losing one.
    pub(super) async fn read(&mut self) -> Progress {
        if let Some(len) = self.awaited
            && len > LARGE
            && self.share.is_none()
        {
            let share = u32::try_from(len / 1024).unwrap_or(u32::MAX);
            let Ok(share) = Arc::clone(&self.budget).acquire_many_owned(share).await else {
                return Progress::End;
            };
            self.share = Some(share);
        }
        if !self.buffer.is_empty() && self.begun.is_none() {
            self.begun = Some(Instant::now());
        }
        let missing = self
            .awaited
            .map_or(0, |len| len.saturating_sub(self.buffer.len()));
        // As much again as has arrived: at most half of the buffer is ever unused.
        let room = self.room.max(missing.min(self.buffer.len()));
        self.buffer.reserve(room);
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Progress::End,
            Ok(n) => {
                if n >= self.room {
                    self.room = (self.room * 2).min(READ_MAX);
                } else if n < self.room / 4 {
                    self.room = (self.room / 2).max(READ_MIN);
                }
                Progress::Bytes(n)
            }
        }
    }

    /// True if the frame under way takes longer than it may.
    pub(super) fn is_overdue(&self) -> bool {
        self.begun
            .is_some_and(|begun| begun.elapsed() >= self.timeout)
    }

    /// Gives back the buffer of a connection that is quiet.
    pub(super) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.room = READ_MIN;
        }
    }
}
