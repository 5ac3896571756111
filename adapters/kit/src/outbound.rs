//! The outbound queue of one connection. Any number of producers push encoded frames; one writer
//! task takes whatever is queued and hands it to the socket in gathered writes, without copying a
//! body and without an allocation per frame. The queue is bounded in bytes and frames, counting
//! what the socket has not taken yet. A producer either waits for room (in order of arrival) or is
//! told that there is none. A client that takes nothing for the stall time is closed.
//!
//! Lock order: `turn` (async, waiting producers) before `state` (short, never held across await).

mod frame;
mod stats;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::{PushError, TryPushError};

pub use frame::Frame;
pub use stats::{OutboundSnapshot, OutboundStats};
pub use writer::{Writer, WriterExit};

/// The bounds of one connection's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes queued or in the writer's hands. A frame larger than this passes alone.
    pub bytes_max: usize,
    /// Frames queued or in the writer's hands.
    pub frames_max: usize,
    /// Longest time without the socket taking a byte while there are bytes to take.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 1 << 20,
            frames_max: 1024,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// Creates the queue of a connection: a handle for producers and the writer for its task.
/// `stats` may be shared by all connections of an adapter.
#[must_use]
pub fn channel(limits: Limits, stats: Arc<OutboundStats>) -> (Outbound, Writer) {
    let shared = Arc::new(Shared {
        limits,
        stats,
        handles: AtomicUsize::new(1),
        state: Mutex::default(),
        work: Notify::new(),
        turn: tokio::sync::Mutex::new(()),
        room: Notify::new(),
        ended: CancellationToken::new(),
    });
    (
        Outbound {
            shared: Arc::clone(&shared),
        },
        Writer::new(shared),
    )
}

/// One slice of a frame; the last one carries the end mark, so that frames can be counted off.
#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    ends_frame: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Open,
    /// No new frames; the writer sends what is queued and ends.
    Closing,
    /// The writer is gone.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    queued: VecDeque<Segment>,
    /// Bytes and frames the socket has not taken yet, the writer's batch included.
    bytes: usize,
    frames: usize,
    life: Life,
    /// The writer sleeps: the next push wakes it, and only that one.
    writer_idle: bool,
    /// Producers in the slow path; while there are any, nobody overtakes them.
    waiting: usize,
}

impl State {
    fn has_room(&self, limits: &Limits, frame: &Frame) -> bool {
        self.frames == 0
            || (self.frames < limits.frames_max
                && self.bytes.saturating_add(frame.len()) <= limits.bytes_max)
    }

    /// Queues the frame and says whether the writer must be woken.
    fn put(&mut self, frame: Frame) -> bool {
        self.bytes += frame.len();
        self.frames += 1;
        frame.into_segments(|bytes, ends_frame| {
            self.queued.push_back(Segment { bytes, ends_frame });
        });
        std::mem::take(&mut self.writer_idle)
    }
}

struct Shared {
    limits: Limits,
    stats: Arc<OutboundStats>,
    /// Producer handles; the last one to go closes the queue.
    handles: AtomicUsize,
    state: Mutex<State>,
    /// Wakes the writer.
    work: Notify,
    /// Orders waiting producers; the holder is the only one waiting on `room`.
    turn: tokio::sync::Mutex<()>,
    room: Notify,
    ended: CancellationToken,
}

/// A producer's handle; cheap to clone.
pub struct Outbound {
    shared: Arc<Shared>,
}

impl Outbound {
    /// Queues a frame, waiting for room behind those who came first.
    ///
    /// # Errors
    /// When the connection is closed, also while waiting.
    pub async fn push(&self, frame: Frame) -> Result<(), PushError> {
        match self.try_push_quietly(frame) {
            Ok(()) => Ok(()),
            Err(TryPushError::Closed(_)) => Err(PushError),
            Err(TryPushError::Full(frame)) => self.push_slowly(frame).await,
        }
    }

    /// Queues a frame or hands it back.
    ///
    /// # Errors
    /// When there is no room or the connection is closed.
    pub fn try_push(&self, frame: Frame) -> Result<(), TryPushError> {
        let pushed = self.try_push_quietly(frame);
        if let Err(TryPushError::Full(_)) = &pushed {
            self.shared.stats.overflow();
        }
        pushed
    }

    fn try_push_quietly(&self, frame: Frame) -> Result<(), TryPushError> {
        if frame.is_empty() {
            return Ok(());
        }
        let wake = {
            let mut state = self.shared.state.lock();
            if state.life != Life::Open {
                return Err(TryPushError::Closed(frame));
            }
            if state.waiting > 0 || !state.has_room(&self.shared.limits, &frame) {
                return Err(TryPushError::Full(frame));
            }
            state.put(frame)
        };
        if wake {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    async fn push_slowly(&self, frame: Frame) -> Result<(), PushError> {
        let _waiting = Waiting::new(&self.shared);
        self.shared.stats.waited();
        let _turn = self.shared.turn.lock().await;
        loop {
            {
                let mut state = self.shared.state.lock();
                if state.life != Life::Open {
                    return Err(PushError);
                }
                if state.has_room(&self.shared.limits, &frame) {
                    let wake = state.put(frame);
                    drop(state);
                    if wake {
                        self.shared.work.notify_one();
                    }
                    return Ok(());
                }
            }
            // The permit of `notify_one` is kept, so room made since the check is not missed.
            self.shared.room.notified().await;
        }
    }

    /// No new frames; what is queued is sent, then the stream ends.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Resolves when the writer has ended, for whatever reason.
    pub async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }

    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.shared.ended.is_cancelled()
    }

    /// Bytes the socket has not taken yet.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.state.lock().bytes
    }

    /// Frames the socket has not taken completely yet.
    #[must_use]
    pub fn queued_frames(&self) -> usize {
        self.shared.state.lock().frames
    }
}

impl Clone for Outbound {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
        }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("ended", &self.is_ended())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn close(&self) {
        {
            let mut state = self.state.lock();
            if state.life == Life::Open {
                state.life = Life::Closing;
            }
        }
        self.work.notify_one();
        self.room.notify_one();
    }
}

/// Counts a producer as waiting, also when its future is dropped half-way.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.state.lock().waiting += 1;
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
        // The room this one was woken for may serve the next.
        self.0.room.notify_one();
    }
}
