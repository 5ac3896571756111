//! Joining and leaving. Owns the index from connections to the groups they are members of, so that a closed connection
//! leaves them all at once.
//!
//! Lock order: a shard of the index, then the session of a group.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::session::Bounds;
use super::{ConnectionId, GroupView, Heartbeat, Member, SubscriptionLookup};
use crate::error::HubError;
use crate::group::Group;
use crate::hub::Hub;
use crate::name::GroupName;

const SHARDS: usize = 16;
/// Most groups one connection may be a member of.
const GROUPS_PER_CONNECTION: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Roster {
    next: AtomicU64,
    index: [Mutex<Index>; SHARDS],
}

type Index = HashMap<ConnectionId, Vec<Place>, foldhash::fast::RandomState>;

/// One membership of a connection. The handle may be older than the group's definition; its session is the same.
#[derive(Debug)]
struct Place {
    group: Arc<Group>,
    client: Arc<str>,
}

impl Place {
    /// A group created anew under an old name has a session of its own.
    fn is(&self, group: &Group, client: &str) -> bool {
        Arc::ptr_eq(&self.group.live, &group.live) && *self.client == *client
    }
}

impl Roster {
    fn shard(&self, connection: ConnectionId) -> &Mutex<Index> {
        &self.index[connection.0 as usize % SHARDS]
    }
}

impl Hub {
    /// A connection identity that was never given out before in this process.
    #[must_use]
    pub fn new_connection(&self) -> ConnectionId {
        ConnectionId(self.0.roster.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a member's heartbeat: creates the group and its retry topic if need be, enters or refreshes the member, takes
    /// over its subscriptions, and tells every member if that changed anything. True if it did.
    ///
    /// # Errors
    /// The group does not exist and may not be created, a bound is reached, or the store refuses.
    pub async fn heartbeat(
        &self,
        group: &GroupName,
        heartbeat: Heartbeat,
    ) -> Result<bool, HubError> {
        let group = self.ensure_group(group).await?;
        if group.config.retry_queues > 0 {
            self.ensure_retry_topic(&group).await?;
        }
        let bounds = Bounds {
            members: self.0.config.members_max,
            subscriptions: self.0.config.subscriptions_max,
        };
        let (connection, client) = (
            heartbeat.member.connection,
            Arc::clone(&heartbeat.member.client),
        );
        let channel = Arc::clone(&heartbeat.member.channel);
        let is_changed = {
            let mut index = self.0.roster.shard(connection).lock();
            let places = index.entry(connection).or_default();
            let is_known = places.iter().any(|place| place.is(&group, &client));
            if !is_known && places.len() >= GROUPS_PER_CONNECTION {
                return Err(HubError::Limit {
                    what: "groups of one connection",
                    limit: GROUPS_PER_CONNECTION,
                });
            }
            let now_ms = self.uptime_ms();
            let beat = group.live.session.beat(heartbeat, bounds, now_ms);
            if beat.is_ok() && !is_known {
                places.push(Place {
                    group: Arc::clone(&group),
                    client,
                });
            }
            if places.is_empty() {
                index.remove(&connection);
            }
            beat?.is_changed
        };
        if is_changed {
            self.notify_members(&group);
        }
        // The connection may have closed since; what it just joined would otherwise stay until it expires.
        if !channel.is_open() {
            self.connection_closed(connection);
        }
        Ok(is_changed)
    }

    /// Removes a member from a group and tells the others.
    pub fn leave_group(&self, group: &str, connection: ConnectionId, client: &str) {
        let Some(group) = self.group(group) else {
            return;
        };
        let client: Arc<str> = client.into();
        {
            let mut index = self.0.roster.shard(connection).lock();
            if let Some(places) = index.get_mut(&connection) {
                places.retain(|place| !place.is(&group, &client));
                if places.is_empty() {
                    index.remove(&connection);
                }
            }
        }
        self.leave_session(&group, connection, &client);
    }

    /// The connection is gone: it leaves every group, as consumer and as producer.
    pub fn connection_closed(&self, connection: ConnectionId) {
        let places = self.0.roster.shard(connection).lock().remove(&connection);
        for place in places.into_iter().flatten() {
            self.leave_session(&place.group, connection, &place.client);
        }
        self.0.producers.connection_closed(connection);
    }

    fn leave_session(&self, group: &Group, connection: ConnectionId, client: &Arc<str>) {
        if group.live.session.leave(connection, client) {
            self.notify_members(group);
        }
    }

    fn notify_members(&self, group: &Group) {
        // The definition may have changed since the handle was taken.
        let notifies = self
            .group(group.name.as_str())
            .map_or(group.config.notifies_members, |now| {
                now.config.notifies_members
            });
        if !notifies {
            return;
        }
        for channel in group.live.session.audience() {
            channel.members_changed(&group.name);
        }
    }

    /// Clients of the group that a connection stands for.
    pub(crate) fn clients_on(&self, group: &Group, connection: ConnectionId) -> Vec<Arc<str>> {
        let index = self.0.roster.shard(connection).lock();
        let places = index.get(&connection).into_iter().flatten();
        places
            .filter(|place| Arc::ptr_eq(&place.group.live, &group.live))
            .map(|place| Arc::clone(&place.client))
            .collect()
    }

    /// Clients of the group in the order of their names.
    #[must_use]
    pub fn group_clients(&self, group: &Group) -> Vec<Arc<str>> {
        group.live.session.clients()
    }

    /// The group as its members make it now; `None` without members.
    #[must_use]
    pub fn group_view(&self, group: &Group) -> Option<GroupView> {
        group.live.session.view()
    }

    /// What the group subscribes to in this topic.
    #[must_use]
    pub fn subscription(&self, group: &Group, topic: &str) -> SubscriptionLookup {
        group.live.session.subscription(topic)
    }

    pub(crate) fn spawn_member_scan(&self) {
        let hub = Arc::downgrade(&self.0);
        let every = self.0.config.member_scan;
        self.0
            .tasks
            .supervise("member scan", move |token: CancellationToken| {
                let hub = hub.clone();
                async move {
                    loop {
                        tokio::select! {
                            () = token.cancelled() => return,
                            () = tokio::time::sleep(every) => {}
                        }
                        let Some(inner) = hub.upgrade() else { return };
                        Hub(inner).scan_members();
                    }
                }
            });
    }

    /// Removes who has not been heard of, everywhere.
    fn scan_members(&self) {
        let expiry_ms = self.0.config.member_expiry.as_millis() as u64;
        let oldest_ms = self.uptime_ms().saturating_sub(expiry_ms);
        for group in self.groups() {
            self.sweep_locks(&group);
            let gone: Vec<Member> = group.live.session.expire(oldest_ms);
            if gone.is_empty() {
                continue;
            }
            tracing::info!(group = %group.name, members = gone.len(), "members expired");
            for member in gone {
                let mut index = self.0.roster.shard(member.connection).lock();
                if let Some(places) = index.get_mut(&member.connection) {
                    places.retain(|place| !place.is(&group, &member.client));
                    if places.is_empty() {
                        index.remove(&member.connection);
                    }
                }
            }
            self.notify_members(&group);
        }
        self.0.producers.expire(oldest_ms);
    }
}
