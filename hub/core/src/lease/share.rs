//! Groups in which some members lease and others read by position: which queues are whose.
//!
//! The rule: members that read by position share the queues of a topic among *all* clients of the group, sorted by name,
//! in contiguous ranges, as their libraries do by default; the hub does the same computation. A queue whose turn falls on
//! a client that reads is read by that client and is not leased to anybody; a queue whose turn falls on a client that
//! leases is leased, to whoever of the leasing members asks first. Without a reading member all queues are leased. So
//! every queue has one kind of consumer at a time, and what the group's position says of it is true for both kinds: a
//! queue that changes hands goes on where the group stands, and only what was under way is given twice.
//!
//! A client leases a topic if its heartbeat says that the server leases to it, or if its door saw it do so.

use std::ops::Range;
use std::sync::Arc;

use super::Acquire;
use super::poll::Poll;
use crate::group::Group;
use crate::hub::Hub;
use crate::member::{ConnectionId, Puller};
use crate::topic::Topic;

/// The queues of a topic that are leased, as they were at a version of the group's members.
#[derive(Debug)]
pub(super) struct Leasable {
    version: u64,
    read_queues: u32,
    /// All of them if absent.
    queues: Option<Arc<[u32]>>,
}

/// The queues that fall on one of `clients` clients, by the place of its name among theirs.
#[must_use]
pub fn average_share(queues: u32, clients: usize, place: usize) -> Range<u32> {
    let (Ok(clients), Ok(place)) = (u32::try_from(clients), u32::try_from(place)) else {
        return 0..0;
    };
    if clients == 0 || place >= clients {
        return 0..0;
    }
    let (share, rest) = (queues / clients, queues % clients);
    let start = place * share + place.min(rest);
    start..start + share + u32::from(place < rest)
}

/// The queues of which the turn falls on a client that leases.
fn leasable(queues: u32, clients: &[Puller]) -> Arc<[u32]> {
    let places = clients.iter().enumerate().filter(|(_, c)| !c.pulls);
    let shares = places.map(|(place, _)| average_share(queues, clients.len(), place));
    shares.flatten().collect()
}

impl Hub {
    /// Tells that a member leases a topic, or that it does no more, whatever its heartbeat says. Without the name of the
    /// client it is told of all that the connection stands for.
    pub fn mark_leasing(
        &self,
        group: &Group,
        connection: ConnectionId,
        client: Option<&str>,
        topic: &Topic,
        leases: bool,
    ) {
        for name in self.clients_on(group, connection) {
            if client.is_none_or(|client| *client == *name) {
                let session = &group.live.session;
                session.mark_leasing(connection, &name, topic.id, leases, false);
            }
        }
    }

    /// Tells that all members on a connection seem to lease a topic; what was told of them with [`Hub::mark_leasing`], before
    /// or after, counts more.
    pub fn presume_leasing(&self, group: &Group, connection: ConnectionId, topic: &Topic) {
        for name in self.clients_on(group, connection) {
            let session = &group.live.session;
            session.mark_leasing(connection, &name, topic.id, true, true);
        }
    }

    /// The queues that are asked for and not read by a member of the group.
    pub(super) fn leasable_queues(&self, poll: &Poll, request: &Acquire<'_>) -> Vec<u32> {
        let topic = request.topic;
        let all = |wanted: &[u32]| {
            if wanted.is_empty() {
                (0..topic.read_queues).collect()
            } else {
                wanted.to_vec()
            }
        };
        match poll.leasable(request.group, topic) {
            None => all(request.queues),
            Some(leasable) if request.queues.is_empty() => leasable.to_vec(),
            Some(leasable) => {
                let wanted = request.queues.iter().copied();
                wanted.filter(|queue| leasable.contains(queue)).collect()
            }
        }
    }
}

impl Poll {
    fn leasable(&self, group: &Group, topic: &Topic) -> Option<Arc<[u32]>> {
        let session = &group.live.session;
        // Asked for before looking: a change in between makes it look again.
        let version = session.version();
        let mut known = self.leasable.lock();
        if let Some(known) = &*known
            && known.version == version
            && known.read_queues == topic.read_queues
        {
            return known.queues.clone();
        }
        let clients = session.pullers(topic.name.as_str(), topic.id);
        let queues = clients.map(|clients| leasable(topic.read_queues, &clients));
        *known = Some(Leasable {
            version,
            read_queues: topic.read_queues,
            queues: queues.clone(),
        });
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(queues: u32, clients: usize) -> Vec<Range<u32>> {
        (0..clients)
            .map(|place| average_share(queues, clients, place))
            .collect()
    }

    #[test]
    fn queues_are_shared_in_contiguous_ranges_the_first_clients_having_one_more() {
        assert_eq!(shares(8, 3), [0..3, 3..6, 6..8]);
        assert_eq!(shares(4, 2), [0..2, 2..4]);
        assert_eq!(shares(2, 4), [0..1, 1..2, 2..2, 2..2]);
        assert_eq!(average_share(0, 1, 0), 0..0);
        assert_eq!(average_share(8, 0, 0), 0..0);
        assert_eq!(average_share(8, 2, 2), 0..0);
    }

    #[test]
    fn what_falls_on_leasing_clients_is_leased() {
        let client = |name: &str, pulls| Puller {
            client: name.into(),
            pulls,
        };
        let clients = [client("a", false), client("b", true), client("c", false)];
        assert_eq!(*leasable(8, &clients), [0, 1, 2, 6, 7]);
        assert_eq!(*leasable(2, &clients), [0]);
    }
}
