//! Consumer groups: their definitions, and the table of them. What lives only while members are connected — the
//! membership and the queue locks — hangs on the group and survives a change of its definition.

mod config;
mod delivered;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossdock_store::change::Change;
use crossdock_store::store::Store;
use crossdock_store::types::{Durability, GroupId};
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use config::{DeclaredSubscription, GroupConfig, GroupHints, RetryPolicy};
use delivered::Delivered;
pub use delivered::DeliveredCounts;

use crate::changelog::{Changelog, Edit, Edits, Version};
use crate::error::HubError;
use crate::hub::Hub;
use crate::ids::Ids;
use crate::lock::LockTable;
use crate::member::Session;
use crate::name::GroupName;
use crate::registry::{Entry, Registry};
use crate::single_flight::Flights;
use crate::switch::Switch;
use crate::table;

/// What becomes of a deleted group's positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// A group created later under the same name continues where this one stood.
    KeepPositions,
    /// A group created later under the same name starts anew.
    ForgetPositions,
}

/// A consumer group as it is defined now. Take it anew for every request: a change of the definition makes a new one.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Its number, never used again.
    pub id: GroupId,
    /// What it may do.
    pub config: GroupConfig,
    pub(crate) live: Arc<Live>,
}

/// What a group has besides its definition; the same for every handle of the group.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) session: Session,
    pub(crate) locks: LockTable,
    pub(crate) delivered: Delivered,
    deleted: AtomicBool,
}

impl Group {
    pub(crate) fn is_deleted(&self) -> bool {
        self.live.deleted.load(Ordering::Acquire)
    }

    fn set_deleted(&self, deleted: bool) {
        self.live.deleted.store(deleted, Ordering::Release);
    }
}

impl Entry for Group {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn number(&self) -> u32 {
        self.id.0
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    id: u32,
    /// The group was deleted and its positions kept: the row holds its number for a group of the same name.
    #[serde(default)]
    gone: bool,
    #[serde(flatten)]
    config: GroupConfig,
}

/// The table of groups.
#[derive(Debug)]
pub(crate) struct Groups {
    table: Registry<Group>,
    changes: Changelog<Group>,
    flights: Flights,
    ids: Ids,
    /// Numbers of deleted groups whose positions are kept.
    gone: Mutex<HashMap<GroupName, GroupId>>,
}

impl Groups {
    pub(crate) fn load(store: &Store) -> Result<Self, HubError> {
        let groups = Self {
            table: Registry::default(),
            changes: Changelog::new(store.now_ms()),
            flights: Flights::default(),
            ids: Ids::load(store, "group")?,
            gone: Mutex::default(),
        };
        for (key, value) in store.rows(table::GROUPS, b"") {
            let name = GroupName::parse(table::name(&key, "group")?)?;
            let row: Row = table::read(&value, "group")?;
            if row.gone {
                groups.gone.lock().insert(name, GroupId(row.id));
                continue;
            }
            groups.table.put(Arc::new(Group {
                name,
                id: GroupId(row.id),
                config: row.config,
                live: Arc::default(),
            }));
        }
        Ok(groups)
    }
}

impl Hub {
    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.0.groups.table.get(name)
    }

    /// The group of this name, or the error that says there is none.
    ///
    /// # Errors
    /// There is none.
    pub fn require_group(&self, name: &str) -> Result<Arc<Group>, HubError> {
        self.group(name)
            .ok_or_else(|| HubError::NoGroup(name.chars().take(255).collect()))
    }

    /// Every group, in no order.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.0.groups.table.list()
    }

    /// Number of groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.0.groups.table.len()
    }

    /// Version of the table of groups.
    #[must_use]
    pub fn groups_version(&self) -> Version {
        self.0.groups.changes.version()
    }

    /// Wakes on every change of the table of groups.
    #[must_use]
    pub fn watch_groups(&self) -> watch::Receiver<Version> {
        self.0.groups.changes.watch()
    }

    /// What changed in the table of groups after the version with this counter, and the version that leads to.
    #[must_use]
    pub fn groups_since(&self, counter: u64) -> (Version, Edits<Group>) {
        self.0.groups.changes.since(counter)
    }

    /// Creates the group or changes it to what `config` says.
    ///
    /// # Errors
    /// Name or configuration break a rule, or the store refuses.
    pub async fn put_group(
        &self,
        name: &GroupName,
        config: GroupConfig,
    ) -> Result<Arc<Group>, HubError> {
        config.check()?;
        self.enter_group(name, Some(config)).await
    }

    /// The group of this name, created if there is none and the configuration allows it.
    ///
    /// # Errors
    /// There is none and it may not be created, or the store refuses.
    pub async fn ensure_group(&self, name: &GroupName) -> Result<Arc<Group>, HubError> {
        if let Some(group) = self.group(name.as_str()) {
            return Ok(group);
        }
        if !self.is_on(Switch::CreateGroups) {
            return Err(HubError::NoGroup(name.to_string()));
        }
        self.enter_group(name, None).await
    }

    async fn enter_group(
        &self,
        name: &GroupName,
        config: Option<GroupConfig>,
    ) -> Result<Arc<Group>, HubError> {
        let (hub, name) = (self.clone(), name.clone());
        self.0
            .tasks
            .finish(async move { hub.enter_group_now(name, config).await })
            .await
    }

    /// Without a configuration an existing group is left as it is.
    async fn enter_group_now(
        &self,
        name: GroupName,
        config: Option<GroupConfig>,
    ) -> Result<Arc<Group>, HubError> {
        let groups = &self.0.groups;
        let _alone = groups.flights.enter(name.as_str()).await;
        let old = groups.table.get(name.as_str());
        let config = match (config, &old) {
            (None, Some(old)) => return Ok(Arc::clone(old)),
            (None, None) => GroupConfig {
                retry_queues: self.0.config.retry_queues,
                retry_max: self.0.config.retry_max,
                ..GroupConfig::default()
            },
            (Some(config), _) => config,
        };
        config.check()?;
        let (id, live) = match &old {
            Some(old) => (old.id, Arc::clone(&old.live)),
            None => {
                name.check_new()?;
                let limit = self.0.config.groups_max;
                if groups.table.len() >= limit {
                    return Err(HubError::Limit {
                        what: "groups",
                        limit,
                    });
                }
                let known = groups.gone.lock().get(&name).copied();
                let id = match known {
                    Some(id) => id,
                    None => GroupId(groups.ids.next(&self.0.store).await?),
                };
                (id, Arc::default())
            }
        };
        let row = Row {
            id: id.0,
            gone: false,
            config: config.clone(),
        };
        let change = table::put(table::GROUPS, name.as_str(), &row, "group bytes")?;
        self.0.store.change(&[change], Durability::Durable).await?;
        let group = Arc::new(Group {
            name,
            id,
            config,
            live,
        });
        groups.gone.lock().remove(&group.name);
        groups.table.put(Arc::clone(&group));
        groups
            .changes
            .record(Edit::Put(Arc::clone(&group)), self.now_ms());
        tracing::info!(group = %group.name, is_new = old.is_none(), "group defined");
        Ok(group)
    }

    /// Deletes the group; `false` if there is none. Its positions are forgotten or kept for a group of the same name;
    /// its retry and dead-letter topics stay.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn delete_group(
        &self,
        name: &GroupName,
        positions: OnDelete,
    ) -> Result<bool, HubError> {
        let (hub, name) = (self.clone(), name.clone());
        self.0
            .tasks
            .finish(async move { hub.delete_group_now(&name, positions).await })
            .await
    }

    async fn delete_group_now(
        &self,
        name: &GroupName,
        positions: OnDelete,
    ) -> Result<bool, HubError> {
        let groups = &self.0.groups;
        let _alone = groups.flights.enter(name.as_str()).await;
        let Some(group) = groups.table.get(name.as_str()) else {
            return Ok(false);
        };
        // From here on nobody commits through a handle taken earlier.
        group.set_deleted(true);
        if let Err(error) = self.write_deletion(&group, positions).await {
            group.set_deleted(false);
            return Err(error);
        }
        if positions == OnDelete::KeepPositions {
            groups.gone.lock().insert(name.clone(), group.id);
        }
        groups.table.remove(name.as_str());
        groups
            .changes
            .record(Edit::Removed(Arc::clone(&group)), self.now_ms());
        tracing::info!(group = %name, "group deleted");
        Ok(true)
    }

    async fn write_deletion(&self, group: &Group, positions: OnDelete) -> Result<(), HubError> {
        let name = group.name.as_str();
        if positions == OnDelete::KeepPositions {
            let limit = self.0.config.groups_max;
            if self.0.groups.gone.lock().len() >= limit {
                return Err(HubError::Limit {
                    what: "deleted groups with positions",
                    limit,
                });
            }
            let row = Row {
                id: group.id.0,
                gone: true,
                config: group.config.clone(),
            };
            let change = table::put(table::GROUPS, name, &row, "group bytes")?;
            self.0.store.change(&[change], Durability::Durable).await?;
            return Ok(());
        }
        self.drop_positions(|id, _| id == group.id).await?;
        let mut changes = vec![table::delete(table::GROUPS, name)];
        let known = self.0.store.group_positions(group.id);
        changes.extend(known.into_iter().map(|(queue, _)| Change::Forget {
            group: group.id,
            queue,
        }));
        for part in changes.chunks(crate::topic::CHANGES_AT_ONCE) {
            self.0.store.change(part, Durability::Durable).await?;
        }
        Ok(())
    }

    /// Numbers of every group that may have positions.
    pub(crate) fn group_ids(&self) -> Vec<GroupId> {
        let mut ids: Vec<GroupId> = self.groups().iter().map(|group| group.id).collect();
        ids.extend(self.0.groups.gone.lock().values());
        ids
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn group(id: u32) -> Group {
        Group {
            name: GroupName::parse("g").unwrap(),
            id: GroupId(id),
            config: GroupConfig::default(),
            live: Arc::default(),
        }
    }

    #[test]
    fn a_row_survives_its_round_trip_and_knows_defaults_for_what_it_lacks() {
        let declared = DeclaredSubscription {
            topic: "T".into(),
            kind: "TAG".into(),
            expression: "a || b".into(),
            version: 4,
        };
        let listed = RetryPolicy::Listed([1, 2, 3].into());
        let exponential = RetryPolicy::Exponential {
            initial_ms: 1,
            max_ms: 9,
            multiplier: 2,
        };
        for retry_policy in [None, Some(listed), Some(exponential)] {
            let config = GroupConfig {
                may_broadcast: false,
                retry_max: 3,
                retry_policy,
                is_ordered: true,
                hints: GroupHints {
                    may_start_at_oldest: false,
                    replica: 2,
                    replica_when_slow: -1,
                    consume_minutes: 7,
                    declared: Some([declared.clone()].into()),
                },
                ..GroupConfig::default()
            };
            let row = serde_json::to_vec(&Row {
                id: 9,
                gone: false,
                config: config.clone(),
            })
            .unwrap();
            let row: Row = serde_json::from_slice(&row).unwrap();
            assert_eq!((row.id, row.config), (9, config));
        }
        let young: Row = serde_json::from_slice(br#"{"id":1,"retry_max":2}"#).unwrap();
        let expected = GroupConfig {
            retry_max: 2,
            ..GroupConfig::default()
        };
        assert_eq!(young.config, expected);
    }
}
