//! Producers by group: who can be asked about a message its group sent. In memory only, kept alive by heartbeats. One
//! table and its indexes by connection and by client, changed together under one lock.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::HubError;
use crate::hub::Hub;
use crate::member::{ConnectionId, Member};
use crate::name::GroupName;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Key = (ConnectionId, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Producers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    groups: Map<GroupName, Map<Key, Seen>>,
    index: Map<ConnectionId, Vec<(GroupName, Arc<str>)>>,
    /// Groups of each client, by the connections it has.
    clients: Map<Arc<str>, Vec<(ConnectionId, GroupName)>>,
    len: usize,
}

#[derive(Debug)]
struct Seen {
    member: Member,
    at_ms: u64,
}

impl State {
    fn remove(&mut self, group: &str, key: &Key) {
        let Some(producers) = self.groups.get_mut(group) else {
            return;
        };
        if producers.remove(key).is_some() {
            self.len -= 1;
        }
        if producers.is_empty() {
            self.groups.remove(group);
        }
        if let Some(places) = self.clients.get_mut(&key.1) {
            places.retain(|(connection, name)| *connection != key.0 || name.as_str() != group);
            if places.is_empty() {
                self.clients.remove(&key.1);
            }
        }
    }

    fn unindex(&mut self, group: &str, key: &Key) {
        if let Some(places) = self.index.get_mut(&key.0) {
            places.retain(|(name, client)| name.as_str() != group || *client != key.1);
            if places.is_empty() {
                self.index.remove(&key.0);
            }
        }
    }
}

impl Producers {
    fn beat(
        &self,
        group: &GroupName,
        member: Member,
        now_ms: u64,
        limit: usize,
    ) -> Result<(), HubError> {
        let mut state = self.0.lock();
        let key = (member.connection, Arc::clone(&member.client));
        if let Some(seen) = state.groups.get_mut(group).and_then(|g| g.get_mut(&key)) {
            seen.at_ms = now_ms;
            seen.member = member;
            return Ok(());
        }
        if state.len >= limit {
            return Err(HubError::Limit {
                what: "producers",
                limit,
            });
        }
        state.len += 1;
        let place = (group.clone(), Arc::clone(&key.1));
        state.index.entry(key.0).or_default().push(place);
        let place = (key.0, group.clone());
        let places = state.clients.entry(Arc::clone(&key.1)).or_default();
        places.push(place);
        let seen = Seen {
            member,
            at_ms: now_ms,
        };
        state
            .groups
            .entry(group.clone())
            .or_default()
            .insert(key, seen);
        Ok(())
    }

    fn leave(&self, group: &str, connection: ConnectionId, client: &str) {
        let mut state = self.0.lock();
        let key = (connection, client.into());
        state.remove(group, &key);
        state.unindex(group, &key);
    }

    pub(crate) fn connection_closed(&self, connection: ConnectionId) {
        let mut state = self.0.lock();
        for (group, client) in state.index.remove(&connection).into_iter().flatten() {
            state.remove(group.as_str(), &(connection, client));
        }
    }

    pub(crate) fn expire(&self, oldest_ms: u64) {
        let mut state = self.0.lock();
        let mut gone = Vec::new();
        for (group, producers) in &state.groups {
            for (key, seen) in producers {
                if seen.at_ms < oldest_ms || !seen.member.channel.is_open() {
                    gone.push((group.clone(), key.clone()));
                }
            }
        }
        for (group, key) in gone {
            state.remove(group.as_str(), &key);
            state.unindex(group.as_str(), &key);
        }
    }

    fn all(&self) -> Vec<(GroupName, Vec<(Member, u64)>)> {
        let state = self.0.lock();
        let of = |producers: &Map<Key, Seen>| {
            let seen = producers.values();
            seen.map(|seen| (seen.member.clone(), seen.at_ms)).collect()
        };
        let groups = state.groups.iter();
        groups.map(|(name, all)| (name.clone(), of(all))).collect()
    }

    fn by_client(&self, client: &str) -> Option<Member> {
        let state = self.0.lock();
        // The newest connection that still stands: a client that reconnected listens there.
        let places = state.clients.get(client)?.iter().rev();
        let members = places.filter_map(|(connection, group)| {
            let producers = state.groups.get(group.as_str())?;
            let seen = producers.get(&(*connection, Arc::from(client)))?;
            seen.member.channel.is_open().then_some(&seen.member)
        });
        members.max_by_key(|member| member.connection).cloned()
    }

    fn of(&self, group: &str) -> Vec<Member> {
        let state = self.0.lock();
        let producers = state.groups.get(group).into_iter().flat_map(Map::values);
        producers.map(|seen| seen.member.clone()).collect()
    }
}

impl Hub {
    /// Takes a producer's heartbeat.
    ///
    /// # Errors
    /// There are too many producers.
    pub fn producer_heartbeat(&self, group: &GroupName, member: Member) -> Result<(), HubError> {
        let producers = &self.0.producers;
        let connection = member.connection;
        let channel = Arc::clone(&member.channel);
        producers.beat(group, member, self.uptime_ms(), self.0.config.producers_max)?;
        // The connection may have closed since; what it just entered would otherwise stay until it expires.
        if !channel.is_open() {
            producers.connection_closed(connection);
        }
        Ok(())
    }

    /// Removes a producer from its group.
    pub fn producer_left(&self, group: &str, connection: ConnectionId, client: &str) {
        self.0.producers.leave(group, connection, client);
    }

    /// Every group of producers, each producer with the time of its last heartbeat.
    #[must_use]
    pub fn all_producers(&self) -> Vec<(GroupName, Vec<(Member, i64)>)> {
        let (now, uptime) = (self.now_ms(), self.uptime_ms());
        let at = |ms: u64| now.saturating_sub(uptime.saturating_sub(ms) as i64);
        let groups = self.0.producers.all().into_iter();
        groups
            .map(|(name, all)| {
                let all = all.into_iter();
                (name, all.map(|(member, ms)| (member, at(ms))).collect())
            })
            .collect()
    }

    /// The producer that calls itself so, by its newest connection.
    #[must_use]
    pub fn producer_by_client(&self, client: &str) -> Option<Member> {
        self.0.producers.by_client(client)
    }

    /// Producers of the group.
    #[must_use]
    pub fn producers(&self, group: &str) -> Vec<Member> {
        self.0.producers.of(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    fn group(name: &str) -> GroupName {
        GroupName::parse(name).unwrap()
    }

    #[test]
    fn a_closed_connection_takes_its_producers_with_it() {
        let producers = Producers::default();
        producers
            .beat(&group("a"), member(1, "c").0, 0, 10)
            .unwrap();
        producers
            .beat(&group("b"), member(1, "c").0, 0, 10)
            .unwrap();
        producers
            .beat(&group("a"), member(2, "c").0, 0, 10)
            .unwrap();
        producers.connection_closed(ConnectionId(1));
        assert_eq!(producers.of("a").len(), 1);
        assert!(producers.of("b").is_empty());
        assert_eq!(producers.0.lock().len, 1);
    }

    #[test]
    fn silent_producers_expire_and_refreshed_ones_stay() {
        let producers = Producers::default();
        producers
            .beat(&group("a"), member(1, "c").0, 0, 10)
            .unwrap();
        producers
            .beat(&group("a"), member(2, "d").0, 0, 10)
            .unwrap();
        producers
            .beat(&group("a"), member(1, "c").0, 50, 10)
            .unwrap();
        producers.expire(1);
        assert_eq!(producers.of("a").len(), 1);
        assert_eq!(producers.0.lock().index.len(), 1);
    }

    #[test]
    fn a_client_is_found_by_its_newest_open_connection() {
        let producers = Producers::default();
        let (first, _first) = member(1, "c");
        let (second, channel) = member(2, "c");
        for name in ["a", "b"] {
            producers.beat(&group(name), first.clone(), 0, 10).unwrap();
            producers.beat(&group(name), second.clone(), 0, 10).unwrap();
        }
        let found = |client: &str| producers.by_client(client).map(|m| m.connection.0);
        assert_eq!((found("c"), found("d")), (Some(2), None));
        channel.close();
        assert_eq!(found("c"), Some(1));
        producers.leave("a", ConnectionId(1), "c");
        assert_eq!(found("c"), Some(1));
        producers.leave("b", ConnectionId(1), "c");
        producers.connection_closed(ConnectionId(2));
        assert_eq!(found("c"), None);
        assert!(producers.0.lock().clients.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_leaving_makes_room() {
        let producers = Producers::default();
        producers.beat(&group("a"), member(1, "c").0, 0, 1).unwrap();
        assert!(producers.beat(&group("a"), member(2, "c").0, 0, 1).is_err());
        producers.leave("a", ConnectionId(1), "c");
        producers.beat(&group("a"), member(2, "c").0, 0, 1).unwrap();
    }
}
