//! Clients, by user and client id: what they said of themselves and the way to them. The table owns its sessions; a session
//! outlives the connections and telemetry streams of its client, because clients come back without saying again who they
//! are. To the hub a session is a connection: when it ends, the client leaves all its groups.

mod telemetry;

pub(crate) use telemetry::open;

use std::any::Any;
use std::sync::Arc;

use crossdock_hub::{
    ConnectionId, ConsumeFrom, ConsumeKind, ConsumeModel, GroupName, Heartbeat, Hub, Member,
    MemberChannel, Subscription, TopicName, Undecided,
};
use crossdock_kit::Scope;
use crossdock_proto_grpc::v2::{Code, TelemetryCommand};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::adapter::Door;
use crate::call::{Call, Peer};
use crate::error::Refusal;
use crate::stats::{Present, Stats};

/// How often forgotten clients are looked for, in a session's expiry.
const LOOKS_PER_EXPIRY: u32 = 6;
/// What clients are asked for and told through their stream, before they have read it.
pub(crate) const COMMANDS_MAX: usize = 64;

type Outbound = mpsc::Sender<Result<TelemetryCommand, tonic::Status>>;

/// What a client said it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// It publishes to these topics.
    Producer(Vec<TopicName>),
    /// It consumes for this group.
    Consumer {
        group: GroupName,
        kind: ConsumeKind,
        subscriptions: Vec<Subscription>,
    },
}

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Arc<str>,
    language: Arc<str>,
    version: Box<str>,
    peer: Peer,
    connection: ConnectionId,
    /// Cancelled once the client said goodbye or was forgotten.
    pub(crate) ended: CancellationToken,
    state: Mutex<State>,
    _present: Present<fn(&Stats) -> &std::sync::atomic::AtomicU64>,
}

#[derive(Debug)]
struct State {
    role: Option<Role>,
    stream: Option<Stream>,
    streams_ever: u64,
    seen: Instant,
}

/// The open telemetry stream of a client.
#[derive(Debug)]
struct Stream {
    number: u64,
    sender: Outbound,
    /// Cancelled when a newer stream takes its place.
    superseded: CancellationToken,
}

impl MemberChannel for Session {
    /// Members of this protocol share by leasing; they need not know each other.
    fn members_changed(&self, _group: &GroupName) {}

    /// This protocol's clients prepare nothing yet.
    fn ask_decision(&self, _undecided: &Undecided) -> bool {
        false
    }

    fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

impl Session {
    fn touch(&self) {
        self.state.lock().seen = Instant::now();
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.state.lock().role.clone()
    }

    pub(crate) fn set_role(&self, role: Role) {
        self.state.lock().role = Some(role);
    }

    fn member(self: &Arc<Self>) -> Member {
        Member {
            client: Arc::clone(&self.client),
            connection: self.connection,
            door: "grpc",
            language: Arc::clone(&self.language),
            version: version(&self.version),
            peer: self.peer.address,
            channel: Arc::clone(self) as Arc<dyn MemberChannel>,
        }
    }

    /// Tells the hub that the client is there, in what it said it is.
    pub(crate) async fn beat(self: &Arc<Self>, hub: &Hub) -> Result<(), Refusal> {
        match self.role() {
            None => Ok(()),
            Some(Role::Producer(topics)) => {
                for topic in &topics {
                    // Producers of this protocol have no group of their own: they are asked about what their topic holds.
                    let group = GroupName::parse(topic.as_str())?;
                    hub.producer_heartbeat(&group, self.member())?;
                }
                Ok(())
            }
            Some(Role::Consumer {
                group,
                kind,
                subscriptions,
            }) => self.join(hub, &group, kind, Some(subscriptions)).await,
        }
    }

    /// Makes the client a member of a group.
    pub(crate) async fn join(
        self: &Arc<Self>,
        hub: &Hub,
        group: &GroupName,
        kind: ConsumeKind,
        subscriptions: Option<Vec<Subscription>>,
    ) -> Result<(), Refusal> {
        let heartbeat = Heartbeat {
            member: self.member(),
            kind,
            model: ConsumeModel::Clustering,
            from: ConsumeFrom::Last,
            subscriptions,
        };
        hub.heartbeat(group, heartbeat).await?;
        Ok(())
    }

    /// Takes a new stream; an earlier one ends.
    fn open_stream(&self, sender: Outbound) -> (u64, CancellationToken) {
        let superseded = CancellationToken::new();
        let mut state = self.state.lock();
        state.streams_ever += 1;
        let number = state.streams_ever;
        let old = state.stream.replace(Stream {
            number,
            sender,
            superseded: superseded.clone(),
        });
        if let Some(old) = old {
            old.superseded.cancel();
        }
        (number, superseded)
    }

    /// Forgets the stream if it is still the client's newest.
    fn close_stream(&self, number: u64) {
        let mut state = self.state.lock();
        state.seen = Instant::now();
        if state.stream.as_ref().is_some_and(|s| s.number == number) {
            state.stream = None;
        }
    }

    /// Hands a command to the client if it has an open stream with room; what finds none is dropped, since whoever sends
    /// commands has to repeat them anyway.
    fn push(&self, command: TelemetryCommand, stats: &Stats) {
        let sent = match &self.state.lock().stream {
            Some(stream) => stream.sender.try_send(Ok(command)).is_ok(),
            None => false,
        };
        if !sent {
            Stats::count(&stats.telemetry_dropped);
        }
    }

    fn is_forgotten(&self, oldest: Instant) -> bool {
        let state = self.state.lock();
        state.stream.is_none() && state.seen < oldest
    }

    fn end(&self, hub: &Hub) {
        self.ended.cancel();
        hub.connection_closed(self.connection);
    }
}

/// A version like `5.0.7` as one number, two digits for each part.
fn version(text: &str) -> u32 {
    let parts = text.split('.').take(3).map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).take(2);
        digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    });
    parts.fold(0, |number, part| number * 100 + part)
}

/// A user and the client id it uses.
type Key = (Box<str>, Arc<str>);

fn key(call: &Call) -> Key {
    let user = call.identity.name().unwrap_or_default();
    (user.into(), Arc::clone(&call.client))
}

/// The table of clients.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<HashMap<Key, Arc<Session>>>,
    max: usize,
    stats: Arc<Stats>,
}

impl Sessions {
    pub(crate) fn new(max: usize, stats: &Arc<Stats>) -> Self {
        Self {
            table: Mutex::default(),
            max,
            stats: Arc::clone(stats),
        }
    }

    /// The client behind a call, made known if it is not.
    pub(crate) fn enter(&self, hub: &Hub, call: &Call) -> Result<Arc<Session>, Refusal> {
        let key = key(call);
        let mut table = self.table.lock();
        if let Some(session) = table.get(&key) {
            session.touch();
            return Ok(Arc::clone(session));
        }
        if table.len() >= self.max {
            let text = format!("no more than {} clients are served", self.max);
            return Err(Refusal::new(Code::TooManyRequests, text));
        }
        let which: fn(&Stats) -> &std::sync::atomic::AtomicU64 = |stats| &stats.sessions;
        let session = Arc::new(Session {
            client: Arc::clone(&call.client),
            language: Arc::clone(&call.language),
            version: call.version.clone(),
            peer: call.peer,
            connection: hub.new_connection(),
            ended: CancellationToken::new(),
            state: Mutex::new(State {
                role: None,
                stream: None,
                streams_ever: 0,
                seen: Instant::now(),
            }),
            _present: Present::new(&self.stats, which),
        });
        table.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// The client behind a call, if it is known.
    pub(crate) fn find(&self, call: &Call) -> Option<Arc<Session>> {
        let session = self.table.lock().get(&key(call)).cloned();
        session.inspect(|session| session.touch())
    }

    /// The client said goodbye.
    pub(crate) fn leave(&self, hub: &Hub, call: &Call) {
        let session = self.table.lock().remove(&key(call));
        if let Some(session) = session {
            session.end(hub);
        }
    }

    fn forget(&self, hub: &Hub, oldest: Instant) {
        let forgotten: Vec<Arc<Session>> = self
            .table
            .lock()
            .extract_if(|_, session| session.is_forgotten(oldest))
            .map(|(_, session)| session)
            .collect();
        for session in forgotten {
            tracing::debug!(client = %session.client, "a client went silent and was forgotten");
            session.end(hub);
        }
    }
}

/// Forgets silent clients until the door drains.
pub(crate) async fn expire(door: Arc<Door>, scope: Scope) {
    let expiry = door.config.session_expiry;
    loop {
        tokio::select! {
            () = scope.draining().cancelled() => return,
            () = tokio::time::sleep(expiry / LOOKS_PER_EXPIRY) => {}
        }
        if let Some(oldest) = Instant::now().checked_sub(expiry) {
            door.sessions.forget(&door.hub, oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_comparable_numbers() {
        assert_eq!(version("5.0.7"), 50_007);
        assert_eq!(version("5.1.2-SNAPSHOT"), 50_102);
        assert_eq!(version(""), 0);
        assert!(version("99999.99999.99999.9") <= 999_999);
    }
}
