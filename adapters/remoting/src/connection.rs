//! One connection. Its task owns the protocol state: it reads frames, hands each to its handler,
//! answers pipelined sends when the log has decided them, and runs the writer beside itself, so
//! that a burst costs one wake-up. Reading stops while too much is in flight; that is the
//! protocol's only back-pressure.

mod asked;
mod peer;
mod pending;
mod reader;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use crossdock_hub::{ConnectionId, Identity};
use crossdock_kit::outbound::{self, Limits, Outbound};
use crossdock_kit::{Connection, Frame, Scope, panics};
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::{Command, ExtBuilder, FrameDecoder, FrameError};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::config::RemotingConfig;
use crate::dispatch::{Boxed, Call, Dispatcher, Flow, Handler};
use crate::error::Refusal;
use crate::reply::{Answer, Meta, Reply};
use crate::sending::{self, Sent};
use crate::stats::Stats;

pub(crate) use asked::Silence;
pub(crate) use peer::Peer;
pub(crate) use pending::Decided;
use pending::{Outcome, Pending};
use reader::{Input, Progress};

/// How often idleness and half-received frames are looked at.
const TICK: Duration = Duration::from_secs(5);
/// Encoded responses kept back to go out together.
const GATHER_BYTES: usize = 64 * 1024;
/// Room kept for the next response, and what is allocated when it runs low.
const OUT_LOW: usize = 512;
const OUT_CHUNK: usize = 8 * 1024;
/// Clients above this version reconnect when told to go away.
pub(crate) const UNDERSTANDS_GO_AWAY_ABOVE: i32 = 475;

/// What stands behind a listener: the broker or the name server.
pub(crate) trait Door: std::fmt::Debug + Send + Sync + Sized + 'static {
    fn config(&self) -> &RemotingConfig;
    fn dispatcher(&self) -> &Dispatcher<Self>;
    fn stats(&self) -> &Arc<Stats>;
    fn scope(&self) -> &Scope;
    /// Bytes of large frames that may still be begun, in KiB.
    fn large_frames(&self) -> &Arc<Semaphore>;
    fn next_connection(&self) -> ConnectionId;
    /// Name of this node.
    fn node(&self) -> Arc<str>;
    /// The address under which a client that dialled `local` reaches the broker.
    fn advertised_to(&self, local: std::net::SocketAddr) -> std::net::SocketAddr;
    /// Begins with the sends that handlers have submitted.
    fn drive(&self);
    /// Who sends this request.
    fn identify(
        &self,
        command: &Command,
        peer: &Peer,
    ) -> impl Future<Output = Result<Identity, Refusal>> + Send;
    /// The connection is over.
    fn left(&self, peer: &Arc<Peer>);
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client closed, or the connection broke.
    Gone,
    /// The bytes are not frames.
    Malformed(FrameError),
    /// Nothing came for too long, or a frame did not get complete.
    Idle,
    /// Drained.
    Drained,
}

/// Serves a connection to its end.
pub(crate) async fn run<D: Door>(door: Arc<D>, connection: Connection) {
    let (read, write) = connection.stream.split();
    let (outbound, writer) =
        outbound::channel(Limits::default(), Arc::clone(&door.stats().outbound));
    let peer = Arc::new(Peer::new(
        door.next_connection(),
        connection.peer,
        connection.local,
        door.advertised_to(connection.local),
        door.node(),
        outbound.clone(),
        Arc::clone(door.stats()),
    ));
    let config = door.config();
    let input = Input::new(
        read,
        FrameDecoder::new(config.frame_bytes_max),
        Arc::clone(door.large_frames()),
        config.frame_timeout,
    );
    let presence = Presence { door, peer };
    let reading = Box::pin(async move {
        let mut session = Session::new(&presence, outbound);
        let end = session.serve(input, &connection.draining).await;
        session.say_goodbye(&end).await;
    });
    // One task for both halves: what the reader queues, the writer sends in the same turn.
    tokio::join!(biased; reading, writer.run(write));
}

/// Tells the door and everything that waits for the client when the connection ends, however it
/// ends.
struct Presence<D: Door> {
    door: Arc<D>,
    peer: Arc<Peer>,
}

impl<D: Door> Drop for Presence<D> {
    fn drop(&mut self) {
        self.peer.closed.cancel();
        self.door.left(&self.peer);
    }
}

/// The state of a connection, owned by its task. Handlers of pipelined requests work on it.
pub(crate) struct Session<D: Door> {
    pub(crate) door: Arc<D>,
    pub(crate) peer: Arc<Peer>,
    /// Sends whose outcome is not known yet.
    pending: Pending<Sent>,
    /// Small pieces of messages are built here.
    pub(crate) scratch: BytesMut,
    /// Responses encoded and not queued yet, then one more that is still growing.
    frames: Vec<Frame>,
    out: BytesMut,
    gathered: usize,
    ext: ExtBuilder,
    outcomes: Vec<(u64, Outcome)>,
    tasks: Arc<Semaphore>,
    outbound: Outbound,
    /// Sends were submitted that the log has not begun with.
    is_undriven: bool,
    is_draining: bool,
}

impl<D: Door> Session<D> {
    fn new(presence: &Presence<D>, outbound: Outbound) -> Self {
        let config = presence.door.config();
        Self {
            door: Arc::clone(&presence.door),
            peer: Arc::clone(&presence.peer),
            pending: Pending::new(config.sends_in_flight_max),
            scratch: BytesMut::new(),
            frames: Vec::new(),
            out: BytesMut::new(),
            gathered: 0,
            ext: ExtBuilder::new(),
            outcomes: Vec::new(),
            tasks: Arc::new(Semaphore::new(config.tasks_in_flight_max)),
            outbound,
            is_undriven: false,
            is_draining: false,
        }
    }

    async fn serve(&mut self, mut input: Input, draining: &CancellationToken) -> End {
        let door = Arc::clone(&self.door);
        let decided = Arc::clone(self.pending.decided());
        let outbound = self.outbound.clone();
        let mut gone = pin!(outbound.ended());
        let mut drain = pin!(draining.cancelled());
        let mut grace = pin!(tokio::time::sleep(Duration::MAX));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            match input.next_command() {
                Ok(Some(command)) => {
                    self.handle(command).await;
                    if self.gathered >= GATHER_BYTES && self.flush().await.is_err() {
                        return End::Gone;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => return End::Malformed(error),
            }
            if self.is_undriven {
                self.drive();
                self.answer_sends();
            }
            if self.flush().await.is_err() {
                return End::Gone;
            }
            tokio::select! {
                biased;
                () = decided.reported() => self.answer_sends(),
                () = &mut gone => return End::Gone,
                () = &mut drain, if !self.is_draining => {
                    self.is_draining = true;
                    grace.as_mut().reset(Instant::now() + door.config().drain_grace);
                }
                () = &mut grace, if self.is_draining => return End::Drained,
                progress = input.read() => match progress {
                    Progress::Bytes(n) => {
                        Stats::add(&door.stats().bytes_in, n as u64);
                        heard = Instant::now();
                    }
                    Progress::End => return End::Gone,
                },
                _ = tick.tick() => {
                    if input.is_overdue() || heard.elapsed() >= door.config().idle_timeout {
                        return End::Idle;
                    }
                    input.rest();
                }
            }
        }
    }

    /// Answers what is decided and closes the queue; the writer sends the rest.
    async fn say_goodbye(&mut self, end: &End) {
        let stats = self.door.stats();
        match end {
            End::Gone => {}
            End::Malformed(error) => {
                Stats::count(&stats.malformed_frames);
                tracing::debug!(peer = %self.peer.address, %error, "connection closed: not a frame");
            }
            End::Idle => Stats::count(&stats.idle_closed),
            End::Drained => {
                // What the log has taken is answered; the scope's deadline bounds the wait.
                let decided = Arc::clone(self.pending.decided());
                while self.pending.len() > 0 {
                    decided.reported().await;
                    self.answer_sends();
                }
                // Tasks answer for themselves; the queue closes behind the last of them.
                let all = u32::try_from(self.door.config().tasks_in_flight_max);
                let tasks = Arc::clone(&self.tasks);
                drop(tasks.acquire_many(all.unwrap_or(u32::MAX)).await);
            }
        }
        // A client that is gone does not miss what could not be queued.
        let _ = self.flush().await;
        self.outbound.close();
    }

    async fn handle(&mut self, command: Command) {
        let stats = self.door.stats();
        if command.is_response() {
            return self.peer.answered(command);
        }
        stats.request(command.code);
        let meta = Meta::of(&command);
        let Some(handler) = self.door.dispatcher().find(command.code) else {
            let remark = format!(" request type {} not supported", command.code);
            let reply = Reply::new(response::REQUEST_CODE_NOT_SUPPORTED).with_remark(remark);
            return self.reply(&meta, reply);
        };
        if self.is_draining && meta.version > UNDERSTANDS_GO_AWAY_ABOVE && !meta.is_oneway {
            let reply = Reply::new(response::GO_AWAY).with_remark("please go away");
            return self.reply(&meta, reply);
        }
        let identity = match self.door.identify(&command, &self.peer).await {
            Ok(identity) => identity,
            Err(refusal) => return self.answer(&meta, Err(refusal)),
        };
        let call = Call {
            command,
            peer: Arc::clone(&self.peer),
            identity,
        };
        match handler {
            Handler::Now(run) => {
                let answer = run(&self.door, &call);
                self.answer(&meta, answer);
            }
            Handler::Task(run) => {
                let work = run(Arc::clone(&self.door), call);
                self.spawn(&meta, work).await;
            }
            Handler::Flow(run) => {
                if self.pending.is_full() && self.make_room().await.is_err() {
                    return;
                }
                let flow = run(self, call);
                self.follow(&meta, flow).await;
            }
        }
    }

    async fn spawn(&mut self, meta: &Meta, work: Boxed<Answer>) {
        let tasks = Arc::clone(&self.tasks);
        let Ok(permit) = self.meanwhile(tasks.acquire_owned()).await else {
            return;
        };
        let (door, peer, meta) = (Arc::clone(&self.door), Arc::clone(&self.peer), *meta);
        let task = async move {
            let answer = match panics::contain(work).await {
                Ok(answer) => answer,
                Err(panicked) => Err(panicked_in(door.stats(), meta.code, &panicked)),
            };
            peer.answer(&meta, reply_of(&meta, &peer, answer)).await;
            drop(permit);
        };
        drop(self.door.scope().spawn("request", task));
    }

    /// Waits until another send may be in flight.
    async fn make_room(&mut self) -> Result<(), crossdock_kit::PushError> {
        let decided = Arc::clone(self.pending.decided());
        while self.pending.is_full() {
            self.drive();
            decided.reported().await;
            self.answer_sends();
            self.flush().await?;
        }
        Ok(())
    }

    /// Does what a flow handler leaves to be done.
    async fn follow(&mut self, meta: &Meta, mut flow: Flow<D>) {
        loop {
            match flow {
                Flow::Done => return,
                Flow::Task(work) => return self.spawn(meta, work).await,
                Flow::Wait(until, next) => {
                    if let Err(refusal) = self.meanwhile(until).await {
                        return self.answer(meta, Err(refusal));
                    }
                    flow = next(self);
                }
            }
        }
    }

    /// Waits for `future` and keeps answering decided sends.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.drive();
        let decided = Arc::clone(self.pending.decided());
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                () = decided.reported() => {
                    self.answer_sends();
                    // A broken connection is noticed by the loop behind us.
                    let _ = self.flush().await;
                }
            }
        }
    }

    /// Tells that a send was submitted: the log begins with it before the connection waits for anything.
    pub(crate) fn submitted(&mut self) {
        self.is_undriven = true;
    }

    fn drive(&mut self) {
        if std::mem::take(&mut self.is_undriven) {
            self.door.drive();
        }
    }

    /// Remembers a send under the token its outcome will carry.
    pub(crate) fn expect(&mut self, sent: Sent) -> u64 {
        self.pending.insert(sent)
    }

    /// Forgets a send that was not taken after all.
    pub(crate) fn forget(&mut self, token: u64) {
        drop(self.pending.remove(token));
    }

    /// Where outcomes of sends are reported to.
    pub(crate) fn decided(&self) -> Arc<Decided> {
        Arc::clone(self.pending.decided())
    }

    /// Encodes the responses of all sends decided since the last time.
    fn answer_sends(&mut self) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.pending.decided().take(&mut outcomes);
        let (config, stats) = (self.door.config(), self.door.stats());
        for (token, outcome) in outcomes.drain(..) {
            refill(&mut self.out);
            let Some(mut sent) = self.pending.remove(token) else {
                continue;
            };
            if let Some(trace) = sent.trace.take() {
                trace.end(Some(&outcome));
            }
            let before = self.out.len();
            let code = sending::answer(&sent, outcome, config, stats, &mut self.ext, &mut self.out);
            stats.response(code);
            self.gathered += self.out.len() - before;
        }
        self.outcomes = outcomes;
    }

    /// Queues the outcome of a handler.
    pub(crate) fn answer(&mut self, meta: &Meta, answer: Answer) {
        self.reply(meta, reply_of(meta, &self.peer, answer));
    }

    /// Queues a response unless the request wants none.
    pub(crate) fn reply(&mut self, meta: &Meta, reply: Reply) {
        if meta.is_oneway {
            return;
        }
        self.door.stats().response(reply.code);
        refill(&mut self.out);
        let before = self.out.len();
        let body = reply.encode(meta, &mut self.out);
        self.gathered += self.out.len() - before;
        if !body.is_empty() {
            // The body goes out as it lies, so the frame ends here.
            let mut frame = Frame::from(self.out.split());
            for slice in body {
                self.gathered += slice.len();
                frame.push(slice);
            }
            self.frames.push(frame);
        }
    }

    /// Hands what is gathered to the writer, waiting while the client is slow.
    async fn flush(&mut self) -> Result<(), crossdock_kit::PushError> {
        if self.gathered == 0 {
            return Ok(());
        }
        self.gathered = 0;
        for frame in self.frames.drain(..) {
            self.outbound.push(frame).await?;
        }
        if !self.out.is_empty() {
            self.outbound.push(Frame::from(self.out.split())).await?;
        }
        Ok(())
    }
}

impl<D: Door> Drop for Session<D> {
    fn drop(&mut self) {
        // Sends of a connection that ends as soon as they have come are stored like all others.
        self.drive();
    }
}

/// The response to an outcome; refusals leave a trace for whoever looks for a client's trouble.
pub(crate) fn reply_of(meta: &Meta, peer: &Peer, answer: Answer) -> Reply {
    answer.unwrap_or_else(|refusal| {
        tracing::debug!(
            request = Stats::request_name(meta.code),
            code = refusal.code,
            reason = %refusal.remark,
            peer = %peer.address,
            "request refused"
        );
        Reply::from(refusal)
    })
}

/// Keeps room in a buffer that small pieces are split off from, so that many share an allocation.
pub(crate) fn refill(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < OUT_LOW {
        buffer.reserve(OUT_CHUNK);
    }
}

fn panicked_in(stats: &Stats, code: i32, panicked: &panics::Panicked) -> Refusal {
    Stats::count(&stats.handler_panics);
    tracing::error!(
        request = Stats::request_name(code),
        panic = panicked.0,
        "a request handler panicked"
    );
    Refusal::system("the request failed")
}
