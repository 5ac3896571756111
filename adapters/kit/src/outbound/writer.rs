//! The writing side of a connection: gathers what is queued, writes it, gives the room back. One
//! lock per write, one wake-up per burst, a timer only when the socket is full.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Life, Segment, Shared};

/// Slices per gathered write: a small set for the usual burst, a large one for a backlog.
const SLICES_FEW: usize = 16;
const SLICES_MANY: usize = 256;
/// Queue capacity kept by a connection after a burst.
const CAPACITY_KEPT: usize = 64;

/// Why the writer ended.
#[derive(Debug)]
pub enum WriterExit {
    /// Closed by us; everything queued was sent.
    Closed,
    /// The client took nothing for the stall time.
    Stalled,
    /// The connection broke.
    Failed(io::Error),
}

/// The consumer of the queue; [`run`](Writer::run) is the connection's writer task. Dropping it
/// closes the queue and drops what is in it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// Taken from the queue, not yet taken by the socket.
    batch: VecDeque<Segment>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What the writer does next.
enum Next {
    Write,
    /// Nothing queued right now.
    Pause,
    Finish,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            batch: VecDeque::new(),
        }
    }

    /// Writes until the queue is closed and empty, the client stalls or the connection breaks.
    pub async fn run<W: AsyncWrite + Unpin>(mut self, mut socket: W) -> WriterExit {
        if let Err(exit) = self.pump(&mut socket).await {
            if matches!(exit, WriterExit::Stalled) {
                self.shared.stats.stalled();
            }
            return exit;
        }
        // The client may be gone already; the queue was sent, which is what counts.
        let _ = tokio::time::timeout(self.shared.limits.stall_timeout, socket.shutdown()).await;
        WriterExit::Closed
    }

    async fn pump<W: AsyncWrite + Unpin>(&mut self, socket: &mut W) -> Result<(), WriterExit> {
        let mut is_flushed = true;
        let (mut bytes, mut frames) = (0, 0);
        loop {
            match self.gather(bytes, frames, is_flushed) {
                Next::Write => {
                    bytes = self.write(socket).await?;
                    frames = self.advance(bytes);
                    self.shared.stats.written(frames, bytes);
                    is_flushed = false;
                }
                Next::Pause if is_flushed => {
                    (bytes, frames) = (0, 0);
                    self.shared.work.notified().await;
                }
                Next::Pause => {
                    // TLS keeps bytes back until told; frames may arrive meanwhile, so look again.
                    (bytes, frames) = (0, 0);
                    self.flush(socket).await?;
                    is_flushed = true;
                }
                Next::Finish => return self.flush(socket).await,
            }
        }
    }

    /// Gives back the room of what was written and takes everything that is queued.
    fn gather(&mut self, bytes: usize, frames: usize, may_idle: bool) -> Next {
        let mut state = self.shared.state.lock();
        state.bytes -= bytes;
        state.frames -= frames;
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut state.queued);
        } else {
            self.batch.append(&mut state.queued);
        }
        let next = match (self.batch.is_empty(), state.life) {
            (false, _) => Next::Write,
            (true, Life::Open) => {
                state.writer_idle = may_idle;
                Next::Pause
            }
            (true, Life::Closing | Life::Closed) => Next::Finish,
        };
        if may_idle && matches!(next, Next::Pause) {
            self.batch.shrink_to(CAPACITY_KEPT);
            state.queued.shrink_to(CAPACITY_KEPT);
        }
        let wake = state.waiting > 0 && bytes > 0;
        drop(state);
        if wake {
            self.shared.room.notify_one();
        }
        next
    }

    /// One gathered write. The timer exists only while the socket is full.
    async fn write<W: AsyncWrite + Unpin>(&self, socket: &mut W) -> Result<usize, WriterExit> {
        let at_once = poll_fn(|cx| Poll::Ready(self.poll_write(socket, cx))).await;
        let written = match at_once {
            Poll::Ready(written) => written.map_err(WriterExit::Failed)?,
            Poll::Pending => {
                self.unless_stalled(poll_fn(|cx| self.poll_write(socket, cx)))
                    .await?
            }
        };
        if written == 0 {
            return Err(WriterExit::Failed(io::ErrorKind::WriteZero.into()));
        }
        Ok(written)
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.batch.len() <= SLICES_FEW {
            self.poll_write_slices::<W, SLICES_FEW>(socket, cx)
        } else {
            self.poll_write_slices::<W, SLICES_MANY>(socket, cx)
        }
    }

    fn poll_write_slices<W: AsyncWrite + Unpin, const N: usize>(
        &self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); N];
        let mut count = 0;
        for (slot, segment) in slices.iter_mut().zip(&self.batch) {
            *slot = IoSlice::new(&segment.bytes);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        Pin::new(socket).poll_write_vectored(cx, slices)
    }

    async fn flush<W: AsyncWrite + Unpin>(&self, socket: &mut W) -> Result<(), WriterExit> {
        self.unless_stalled(socket.flush()).await
    }

    async fn unless_stalled<T>(
        &self,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, WriterExit> {
        match tokio::time::timeout(self.shared.limits.stall_timeout, work).await {
            Ok(done) => done.map_err(WriterExit::Failed),
            Err(_) => Err(WriterExit::Stalled),
        }
    }

    /// Drops what the socket took from the batch and counts the frames that are complete.
    fn advance(&mut self, mut written: usize) -> usize {
        let mut frames = 0;
        while written > 0 {
            let Some(front) = self.batch.front_mut() else {
                break;
            };
            let len = front.bytes.len();
            if written < len {
                front.bytes.advance(written);
                break;
            }
            written -= len;
            frames += usize::from(front.ends_frame);
            self.batch.pop_front();
        }
        frames
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let unsent = {
            let mut state = self.shared.state.lock();
            state.life = Life::Closed;
            state.bytes = 0;
            state.frames = 0;
            std::mem::take(&mut state.queued)
        };
        drop(unsent);
        self.shared.room.notify_one();
        self.shared.ended.cancel();
    }
}
