//! The live side of one group: members by connection and client, and subscriptions by topic. Owned by the group; a lock
//! that is held for the change only, never while somebody is notified.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::{
    ConnectionId, ConsumeFrom, ConsumeKind, ConsumeModel, GroupView, Heartbeat, Member,
    MemberChannel, SubscriptionLookup, Subscriptions,
};
use crate::error::HubError;
use crate::name::{RETRY_PREFIX, TopicName};
use crate::subscription::Subscription;

/// Most topics of which it is remembered that a member leases them.
const LEASED_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Session {
    state: RwLock<State>,
    /// Grows with every change of who consumes how.
    version: AtomicU64,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    members: HashMap<Key, Seen, foldhash::fast::RandomState>,
    subscriptions: Subscriptions,
    kind: ConsumeKind,
    model: ConsumeModel,
    from: ConsumeFrom,
}

type Key = (ConnectionId, Arc<str>);

#[derive(Debug)]
struct Seen {
    member: Member,
    at_ms: u64,
    kind: ConsumeKind,
    /// Topics, by number, that it was seen leasing or told not to lease.
    leased: SmallVec<[(u32, bool); 2]>,
}

impl Seen {
    fn leases(&self, topic: u32) -> Option<bool> {
        let known = self.leased.iter().find(|(known, _)| *known == topic);
        known.map(|(_, leases)| *leases)
    }

    fn pulls(&self, topic: u32) -> bool {
        self.kind != ConsumeKind::Leased && self.leases(topic) != Some(true)
    }
}

/// A client of a group, and whether it reads the queues of a topic by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Puller {
    pub(crate) client: Arc<str>,
    pub(crate) pulls: bool,
}

/// Bounds of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) members: usize,
    pub(crate) subscriptions: usize,
}

/// What a heartbeat did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) is_new_member: bool,
    pub(crate) is_changed: bool,
}

impl Session {
    pub(crate) fn beat(
        &self,
        heartbeat: Heartbeat,
        bounds: Bounds,
        now_ms: u64,
    ) -> Result<Beat, HubError> {
        if let Some(subscriptions) = &heartbeat.subscriptions
            && subscriptions.len() > bounds.subscriptions
        {
            return Err(HubError::Limit {
                what: "subscriptions of a group",
                limit: bounds.subscriptions,
            });
        }
        let mut state = self.state.write();
        let key = (
            heartbeat.member.connection,
            Arc::clone(&heartbeat.member.client),
        );
        let is_new_member = !state.members.contains_key(&key);
        if is_new_member && state.members.len() >= bounds.members {
            return Err(HubError::Limit {
                what: "members of a group",
                limit: bounds.members,
            });
        }
        let known = state.members.remove(&key);
        let is_other_kind = known
            .as_ref()
            .is_none_or(|known| known.kind != heartbeat.kind);
        let seen = Seen {
            member: heartbeat.member,
            at_ms: now_ms,
            kind: heartbeat.kind,
            leased: known.map(|known| known.leased).unwrap_or_default(),
        };
        state.members.insert(key, seen);
        let is_other_model = state.model != heartbeat.model;
        state.kind = heartbeat.kind;
        state.model = heartbeat.model;
        state.from = heartbeat.from;
        let is_resubscribed = match heartbeat.subscriptions {
            Some(subscriptions) => state.subscribe(subscriptions),
            None => false,
        };
        drop(state);
        if is_other_kind || is_other_model || is_resubscribed {
            self.changes();
        }
        Ok(Beat {
            is_new_member,
            is_changed: is_new_member || is_resubscribed,
        })
    }

    /// Removes one member; true if it was there.
    pub(crate) fn leave(&self, connection: ConnectionId, client: &Arc<str>) -> bool {
        let mut state = self.state.write();
        let was_there = state
            .members
            .remove(&(connection, Arc::clone(client)))
            .is_some();
        state.tidy();
        drop(state);
        self.changes();
        was_there
    }

    fn changes(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Grows when the answer of [`Session::pullers`] may have changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Ends with the next change after the call.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.changed.notified()
    }

    /// Remembers whether a member leases a topic; what is presumed counts only while nothing is known.
    pub(crate) fn mark_leasing(
        &self,
        connection: ConnectionId,
        client: &Arc<str>,
        topic: u32,
        leases: bool,
        is_presumed: bool,
    ) {
        let key = (connection, Arc::clone(client));
        let is_settled = |seen: &Seen| match seen.leases(topic) {
            Some(known) => is_presumed || known == leases,
            None => seen.leased.len() >= LEASED_MAX,
        };
        if self.state.read().members.get(&key).is_none_or(is_settled) {
            return;
        }
        let mut state = self.state.write();
        let Some(seen) = state.members.get_mut(&key).filter(|seen| !is_settled(seen)) else {
            return;
        };
        seen.leased.retain(|(known, _)| *known != topic);
        seen.leased.push((topic, leases));
        drop(state);
        self.changes();
    }

    /// The group's clients in the order of their names, if any of them reads the queues of this topic by a position that
    /// all members share.
    pub(crate) fn pullers(&self, topic: &str, number: u32) -> Option<Vec<Puller>> {
        let state = self.state.read();
        let is_read = topic.starts_with(RETRY_PREFIX) || state.subscriptions.contains_key(topic);
        if state.model == ConsumeModel::Broadcasting || !is_read {
            return None;
        }
        if !state.members.values().any(|seen| seen.pulls(number)) {
            return None;
        }
        let mut all: Vec<Puller> = state
            .members
            .iter()
            .map(|((_, client), seen)| Puller {
                client: Arc::clone(client),
                pulls: seen.pulls(number),
            })
            .collect();
        drop(state);
        // A client with several connections reads if it reads on one.
        all.sort_unstable_by(|a, b| a.client.cmp(&b.client).then(b.pulls.cmp(&a.pulls)));
        all.dedup_by(|later, first| later.client == first.client);
        Some(all)
    }

    /// Removes the members whose last heartbeat is too old or whose connection is closed.
    pub(crate) fn expire(&self, oldest_ms: u64) -> Vec<Member> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut state = self.state.write();
        let gone = state
            .members
            .extract_if(|_, seen| seen.at_ms < oldest_ms || !seen.member.channel.is_open())
            .map(|(_, seen)| seen.member)
            .collect::<Vec<_>>();
        state.tidy();
        drop(state);
        if !gone.is_empty() {
            self.changes();
        }
        gone
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.read().members.is_empty()
    }

    /// Who has to hear of a change: nobody when the group broadcasts.
    pub(crate) fn audience(&self) -> Vec<Arc<dyn MemberChannel>> {
        let state = self.state.read();
        if state.model == ConsumeModel::Broadcasting {
            return Vec::new();
        }
        let mut connections = HashSet::<ConnectionId, foldhash::fast::RandomState>::default();
        let members = state.members.values().map(|seen| &seen.member);
        members
            .filter(|member| connections.insert(member.connection))
            .map(|member| Arc::clone(&member.channel))
            .collect()
    }

    /// Clients in the order of their names, each once.
    pub(crate) fn clients(&self) -> Vec<Arc<str>> {
        let state = self.state.read();
        let mut clients: Vec<Arc<str>> = state
            .members
            .keys()
            .map(|(_, client)| Arc::clone(client))
            .collect();
        drop(state);
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    pub(crate) fn subscription(&self, topic: &str) -> SubscriptionLookup {
        let state = self.state.read();
        if state.members.is_empty() {
            return SubscriptionLookup::NoMembers;
        }
        match state.subscriptions.get(topic) {
            None => SubscriptionLookup::NotSubscribed(state.model),
            Some(found) => SubscriptionLookup::Subscribed(state.model, Arc::clone(found)),
        }
    }

    pub(crate) fn view(&self) -> Option<GroupView> {
        let state = self.state.read();
        if state.members.is_empty() {
            return None;
        }
        Some(GroupView {
            kind: state.kind,
            model: state.model,
            from: state.from,
            members: state
                .members
                .values()
                .map(|seen| seen.member.clone())
                .collect(),
            subscriptions: state.subscriptions.values().cloned().collect(),
        })
    }
}

impl State {
    /// Takes over what the latest heartbeat says: a newer version wins, an older one does not bring back what another
    /// member replaced, and topics that are no longer named are dropped. True if the group selects differently now.
    fn subscribe(&mut self, wanted: Vec<Subscription>) -> bool {
        let named: HashSet<TopicName, foldhash::fast::RandomState> =
            wanted.iter().map(|sub| sub.topic.clone()).collect();
        let before = self.subscriptions.len();
        // Members that lease need no retry topic and do not name it; those that read it still do.
        self.subscriptions
            .retain(|topic, _| named.contains(topic) || topic.as_str().starts_with(RETRY_PREFIX));
        let mut is_changed = self.subscriptions.len() != before;
        for subscription in wanted {
            match self.subscriptions.get_mut(&subscription.topic) {
                None => {
                    is_changed = true;
                    let topic = subscription.topic.clone();
                    self.subscriptions.insert(topic, Arc::new(subscription));
                }
                Some(known) if subscription.version > known.version => {
                    is_changed |= !subscription.selects_like(known);
                    *known = Arc::new(subscription);
                }
                Some(_) => {}
            }
        }
        is_changed
    }

    /// A group nobody is left in forgets what it subscribed to, and its memory.
    fn tidy(&mut self) {
        if self.members.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
