//! The live side of one group: members by connection and client, and subscriptions by topic. Owned by the group; a lock
//! that is held for the change only, never while somebody is notified.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use super::{
    ConnectionId, ConsumeFrom, ConsumeKind, ConsumeModel, GroupView, Heartbeat, Member,
    MemberChannel, SubscriptionLookup, Subscriptions,
};
use crate::error::HubError;
use crate::name::TopicName;
use crate::subscription::Subscription;

#[derive(Debug, Default)]
pub(crate) struct Session(RwLock<State>);

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
        let mut state = self.0.write();
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
        let seen = Seen {
            member: heartbeat.member,
            at_ms: now_ms,
        };
        state.members.insert(key, seen);
        state.kind = heartbeat.kind;
        state.model = heartbeat.model;
        state.from = heartbeat.from;
        let is_resubscribed = match heartbeat.subscriptions {
            Some(subscriptions) => state.subscribe(subscriptions),
            None => false,
        };
        Ok(Beat {
            is_new_member,
            is_changed: is_new_member || is_resubscribed,
        })
    }

    /// Removes one member; true if it was there.
    pub(crate) fn leave(&self, connection: ConnectionId, client: &Arc<str>) -> bool {
        let mut state = self.0.write();
        let was_there = state
            .members
            .remove(&(connection, Arc::clone(client)))
            .is_some();
        state.tidy();
        was_there
    }

    /// Removes the members whose last heartbeat is too old or whose connection is closed.
    pub(crate) fn expire(&self, oldest_ms: u64) -> Vec<Member> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut state = self.0.write();
        let gone = state
            .members
            .extract_if(|_, seen| seen.at_ms < oldest_ms || !seen.member.channel.is_open())
            .map(|(_, seen)| seen.member)
            .collect();
        state.tidy();
        gone
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().members.is_empty()
    }

    /// Who has to hear of a change: nobody when the group broadcasts.
    pub(crate) fn audience(&self) -> Vec<Arc<dyn MemberChannel>> {
        let state = self.0.read();
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
        let state = self.0.read();
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
        let state = self.0.read();
        if state.members.is_empty() {
            return SubscriptionLookup::NoMembers;
        }
        match state.subscriptions.get(topic) {
            None => SubscriptionLookup::NotSubscribed(state.model),
            Some(found) => SubscriptionLookup::Subscribed(state.model, Arc::clone(found)),
        }
    }

    pub(crate) fn view(&self) -> Option<GroupView> {
        let state = self.0.read();
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
        self.subscriptions.retain(|topic, _| named.contains(topic));
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
