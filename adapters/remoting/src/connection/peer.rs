//! The client at the other end of a connection, as handlers, held pulls and the hub's membership
//! see it: who it is, how to send it something and how to ask it something. It owns the table of
//! what the client was asked and has not answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use crossdock_hub::{ConnectionId, GroupName, MemberChannel, Undecided};
use crossdock_kit::{Frame, Outbound};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::group::NotifyConsumerIdsChanged;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::asked::{Asked, Silence};
use crate::handler::transaction::question;
use crate::reply::{Meta, Reply};
use crate::stats::Stats;

/// One connected client; shared by everything that may answer it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Number of the connection, given out by the hub and never twice.
    pub(crate) id: ConnectionId,
    /// The client's address.
    pub(crate) address: SocketAddr,
    /// The address the client dialled.
    pub(crate) local: SocketAddr,
    /// The address under which the client reaches the broker.
    pub(crate) advertised: SocketAddr,
    /// Cancelled when the connection is over.
    pub(crate) closed: CancellationToken,
    /// Pulls of this connection that wait for messages.
    pub(crate) held_pulls: AtomicUsize,
    /// Name of the broker the client is connected to.
    node: Arc<str>,
    outbound: Outbound,
    /// Fingerprint of the last heartbeat that said its subscriptions in full; 0 for none.
    fingerprint: AtomicI32,
    /// Numbers of requests we make; the client's own requests have theirs.
    opaque: AtomicI32,
    asked: Asked,
    /// Wakes held pulls of this connection when a position was moved from outside.
    pub(crate) moved: Notify,
    stats: Arc<Stats>,
}

impl Peer {
    pub(crate) fn new(
        id: ConnectionId,
        address: SocketAddr,
        local: SocketAddr,
        advertised: SocketAddr,
        node: Arc<str>,
        outbound: Outbound,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            id,
            address,
            local,
            advertised,
            closed: CancellationToken::new(),
            held_pulls: AtomicUsize::new(0),
            node,
            outbound,
            fingerprint: AtomicI32::new(0),
            opaque: AtomicI32::new(0),
            asked: Asked::default(),
            moved: Notify::new(),
            stats,
        }
    }

    pub(crate) fn fingerprint(&self) -> i32 {
        self.fingerprint.load(Ordering::Acquire)
    }

    /// Remembers a fingerprint and returns the one before.
    pub(crate) fn set_fingerprint(&self, fingerprint: i32) -> i32 {
        self.fingerprint.swap(fingerprint, Ordering::AcqRel)
    }

    /// Sends a response from a task, waiting while the client is slow. One-way requests get none.
    pub(crate) async fn answer(&self, meta: &Meta, reply: Reply) {
        if meta.is_oneway {
            return;
        }
        self.stats.response(reply.code);
        // The client may be gone; then nobody misses the answer.
        let _ = self.outbound.push(reply.into_frame(meta)).await;
    }

    /// Sends a one-way request of ours unless the client is too slow to take it now, and says whether it was.
    pub(crate) fn push(&self, command: Command) -> bool {
        let number = self.opaque.fetch_add(1, Ordering::Relaxed);
        let command = command.with_opaque(number).oneway();
        let mut frame = BytesMut::with_capacity(256);
        command.encode(&mut frame).is_ok() && self.outbound.try_push(Frame::from(frame)).is_ok()
    }

    /// As [`push`](Self::push), for a notice that nobody misses much.
    pub(crate) fn notify(&self, command: Command) {
        let sent = self.push(command);
        Stats::count(if sent {
            &self.stats.notices_sent
        } else {
            &self.stats.notices_dropped
        });
    }

    /// Asks the client something and waits for its response.
    pub(crate) async fn ask(&self, command: Command, limit: Duration) -> Result<Command, Silence> {
        let number = self.opaque.fetch_add(1, Ordering::Relaxed);
        let waiting = self.asked.enter(number)?;
        let mut frame = BytesMut::with_capacity(256);
        let command = command.with_opaque(number);
        command
            .encode(&mut frame)
            .map_err(|_| Silence::Unspeakable)?;
        let asking = async {
            let pushed = self.outbound.push(Frame::from(frame)).await;
            pushed.map_err(|_| Silence::Gone)?;
            waiting.response().await
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Silence::Gone),
            asked = tokio::time::timeout(limit, asking) => asked.unwrap_or(Err(Silence::TimedOut)),
        }
    }

    /// Takes a response of the client; one that nobody waits for is dropped.
    pub(crate) fn answered(&self, response: Command) {
        if !self.asked.answer(response) {
            Stats::count(&self.stats.unmatched_responses);
        }
    }
}

impl MemberChannel for Peer {
    fn members_changed(&self, group: &GroupName) {
        let header = NotifyConsumerIdsChanged {
            consumer_group: group.as_str(),
        };
        self.notify(Command::request(request::NOTIFY_CONSUMER_IDS_CHANGED).with_header(&header));
    }

    fn ask_decision(&self, undecided: &Undecided) -> bool {
        question(self, undecided, &self.node).is_some_and(|question| self.push(question))
    }

    fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
