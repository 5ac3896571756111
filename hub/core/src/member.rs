//! Membership of consumer groups: who is connected, and what the group subscribes to. The session of a group is owned by
//! the group, the index of connections by the roster. Nothing here is durable: members come back with their heartbeats.

mod roster;
mod session;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use roster::Roster;
pub(crate) use session::{Puller, Session};

use crate::name::{GroupName, TopicName};
use crate::subscription::Subscription;
use crate::transaction::Undecided;

/// Identity of a connection, unique in the process; see [`crate::Hub::new_connection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The way to a connected client. Implemented by adapters; called without any lock of the hub held.
pub trait MemberChannel: Send + Sync + fmt::Debug {
    /// Members or subscriptions of the group changed. Must not block: a notice that finds no room is dropped.
    fn members_changed(&self, group: &GroupName);
    /// Asks the client, as a producer, what is to become of a message it prepared. Must not block. False if the client
    /// cannot be asked, or not now.
    fn ask_decision(&self, undecided: &Undecided) -> bool;
    /// False once the connection is closed. Must be false before [`crate::Hub::connection_closed`] is called.
    fn is_open(&self) -> bool;
    /// The adapter's own connection behind this, for what only the adapter can do with it.
    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync);
}

/// A connected client, as a consumer or a producer.
#[derive(Clone, Debug)]
pub struct Member {
    /// What the client calls itself.
    pub client: Arc<str>,
    /// Its connection.
    pub connection: ConnectionId,
    /// Name of the protocol it came by.
    pub door: &'static str,
    /// Language of the client.
    pub language: Arc<str>,
    /// Version of the client, in the terms of its protocol.
    pub version: u32,
    /// Its address.
    pub peer: SocketAddr,
    /// The way to it.
    pub channel: Arc<dyn MemberChannel>,
}

/// How members get their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumeKind {
    /// The application asks.
    Actively,
    /// The client library asks and hands over.
    #[default]
    Passively,
    /// The server leases.
    Leased,
}

/// Whether members share messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumeModel {
    /// Each message goes to one member.
    #[default]
    Clustering,
    /// Each message goes to every member.
    Broadcasting,
}

/// Where a group without a position starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumeFrom {
    /// At the end.
    #[default]
    Last,
    /// At the beginning.
    First,
    /// At a time.
    Time,
}

/// What a member says about itself and its group.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The member.
    pub member: Member,
    /// How it gets its messages.
    pub kind: ConsumeKind,
    /// Whether it shares them.
    pub model: ConsumeModel,
    /// Where the group starts.
    pub from: ConsumeFrom,
    /// What the group subscribes to; `None` leaves that as it is.
    pub subscriptions: Option<Vec<Subscription>>,
}

/// A group as its members make it now.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// How its members get their messages.
    pub kind: ConsumeKind,
    /// Whether they share them.
    pub model: ConsumeModel,
    /// Where the group starts.
    pub from: ConsumeFrom,
    /// The members.
    pub members: Vec<Member>,
    /// What the group subscribes to.
    pub subscriptions: Vec<Arc<Subscription>>,
}

/// What a group subscribes to, as one who wants to read for it sees it.
#[derive(Clone, Debug)]
pub enum SubscriptionLookup {
    /// The group has no members.
    NoMembers,
    /// The group has members and none subscribes to the topic.
    NotSubscribed(ConsumeModel),
    /// The group subscribes to the topic.
    Subscribed(ConsumeModel, Arc<Subscription>),
}

/// Topics a group subscribes to, by name.
pub(crate) type Subscriptions =
    hashbrown::HashMap<TopicName, Arc<Subscription>, foldhash::fast::RandomState>;

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// A connection that counts its notices.
    #[derive(Debug, Default)]
    pub(crate) struct FakeChannel {
        pub(crate) notices: AtomicUsize,
        is_closed: AtomicBool,
    }

    impl FakeChannel {
        pub(crate) fn close(&self) {
            self.is_closed.store(true, Ordering::Release);
        }
    }

    impl MemberChannel for FakeChannel {
        fn members_changed(&self, _group: &GroupName) {
            self.notices.fetch_add(1, Ordering::Relaxed);
        }

        fn ask_decision(&self, _undecided: &crate::transaction::Undecided) -> bool {
            false
        }

        fn is_open(&self) -> bool {
            !self.is_closed.load(Ordering::Acquire)
        }

        fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
            self
        }
    }

    pub(crate) fn member(connection: u64, client: &str) -> (Member, Arc<FakeChannel>) {
        let channel = Arc::new(FakeChannel::default());
        let member = Member {
            client: client.into(),
            connection: ConnectionId(connection),
            door: "test",
            language: "RUST".into(),
            version: 1,
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            channel: Arc::clone(&channel) as Arc<dyn MemberChannel>,
        };
        (member, channel)
    }
}
