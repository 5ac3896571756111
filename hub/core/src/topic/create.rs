//! Creating and changing topics. Changes of one name are serialised; a definition is durable before it is visible, and a
//! change that has begun is finished even if the caller goes away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossdock_store::types::Durability;

use super::{Attributes, Perm, QUEUES_MAX, REPLACED, Row, Topic, TopicSpec};
use crate::changelog::Edit;
use crate::error::HubError;
use crate::hub::Hub;
use crate::name::{TEMPLATE_TOPIC, TopicName};
use crate::switch::Switch;
use crate::table;

/// Most topics in one request.
const SPECS_MAX: usize = 1024;
const PERM_MASK: u8 = 15;

impl Hub {
    /// Creates the topic or changes it to what `spec` says.
    ///
    /// # Errors
    /// The topic is the hub's own, the specification breaks a rule, or the store refuses.
    pub async fn put_topic(&self, spec: TopicSpec) -> Result<Arc<Topic>, HubError> {
        let mut topics = self.put_topics(vec![spec]).await?;
        topics
            .pop()
            .ok_or(HubError::Internal("a topic was not entered"))
    }

    /// Creates or changes topics: all of them or, if one specification breaks a rule, none.
    ///
    /// # Errors
    /// As [`Hub::put_topic`]; or there are too many.
    pub async fn put_topics(&self, specs: Vec<TopicSpec>) -> Result<Vec<Arc<Topic>>, HubError> {
        if let Some(spec) = specs.iter().find(|spec| self.is_system_topic(&spec.name)) {
            return Err(HubError::invalid(format!(
                "topic {} belongs to the hub and cannot be changed",
                spec.name
            )));
        }
        self.enter_topics(specs, OnExisting::Change).await
    }

    /// The topic of this name, created like `template` with at most `queues` queues if there is none and both the
    /// configuration and the template allow it.
    ///
    /// # Errors
    /// There is none and it may not be created, or the store refuses.
    pub async fn ensure_topic(
        &self,
        name: &TopicName,
        template: &str,
        queues: u32,
    ) -> Result<Arc<Topic>, HubError> {
        if let Some(topic) = self.topic(name.as_str()) {
            return Ok(topic);
        }
        let missing = || HubError::NoTopic(name.to_string());
        if template == TEMPLATE_TOPIC && !self.is_on(Switch::CreateTopics) {
            return Err(missing());
        }
        let template = self.topic(template).ok_or_else(missing)?;
        let queues = queues.min(template.write_queues);
        if !template.perm.has(Perm::INHERIT) || queues == 0 {
            return Err(missing());
        }
        let spec = TopicSpec {
            perm: template.perm.without(Perm::INHERIT),
            filter: template.filter,
            ..TopicSpec::new(name.clone(), queues)
        };
        self.ensure(spec).await
    }

    /// The topic of this name, created as `spec` says if there is none.
    pub(crate) async fn ensure(&self, spec: TopicSpec) -> Result<Arc<Topic>, HubError> {
        if let Some(topic) = self.topic(spec.name.as_str()) {
            return Ok(topic);
        }
        let mut topics = self.enter_topics(vec![spec], OnExisting::Keep).await?;
        topics
            .pop()
            .ok_or(HubError::Internal("a topic was not entered"))
    }

    pub(crate) async fn enter_topics(
        &self,
        specs: Vec<TopicSpec>,
        existing: OnExisting,
    ) -> Result<Vec<Arc<Topic>>, HubError> {
        if specs.len() > SPECS_MAX {
            return Err(HubError::Limit {
                what: "topics in one request",
                limit: SPECS_MAX,
            });
        }
        let hub = self.clone();
        self.0
            .tasks
            .finish(async move { hub.enter_topics_now(&specs, existing).await })
            .await
    }

    async fn enter_topics_now(
        &self,
        specs: &[TopicSpec],
        existing: OnExisting,
    ) -> Result<Vec<Arc<Topic>>, HubError> {
        let topics = &self.0.topics;
        let names = specs.iter().map(|spec| spec.name.as_str());
        let _alone = topics.flights.enter_all(names).await;
        // Everything is checked before a number is taken or a byte is written.
        let mut plans = Vec::with_capacity(specs.len());
        let mut created = 0;
        for (index, spec) in specs.iter().enumerate() {
            if specs
                .iter()
                .take(index)
                .any(|other| other.name == spec.name)
            {
                return Err(HubError::invalid(format!(
                    "topic {} is named twice",
                    spec.name
                )));
            }
            let old = topics.table.get(spec.name.as_str());
            if let (Some(old), OnExisting::Keep) = (&old, existing) {
                plans.push(Plan::Keep(Arc::clone(old)));
                continue;
            }
            created += usize::from(old.is_none());
            plans.push(self.plan(spec, old)?);
        }
        let limit = self.0.config.topics_max;
        if topics.table.len().saturating_add(created) > limit {
            return Err(HubError::Limit {
                what: "topics",
                limit,
            });
        }
        let mut entered = Vec::with_capacity(plans.len());
        let mut changes = Vec::with_capacity(plans.len());
        for plan in plans {
            let topic = match plan {
                Plan::Keep(topic) => topic,
                Plan::Enter(mut row, name, old) => {
                    if old.is_none() {
                        row.id = topics.ids.next(&self.0.store).await?;
                    }
                    changes.push(table::put(
                        table::TOPICS,
                        name.as_str(),
                        &row,
                        "topic bytes",
                    )?);
                    Arc::new(row.into_topic(name))
                }
            };
            entered.push(topic);
        }
        if changes.is_empty() {
            return Ok(entered);
        }
        self.0.store.change(&changes, Durability::Durable).await?;
        for topic in &entered {
            self.show_topic(topic);
        }
        Ok(entered)
    }

    fn show_topic(&self, topic: &Arc<Topic>) {
        let topics = &self.0.topics;
        if topics
            .table
            .get(topic.name.as_str())
            .is_some_and(|known| Arc::ptr_eq(&known, topic))
        {
            return;
        }
        let old = topics.table.put(Arc::clone(topic));
        if let Some(old) = &old {
            topic
                .cursor
                .store(old.cursor.load(Ordering::Relaxed), Ordering::Relaxed);
            old.retire(REPLACED);
        }
        topics
            .changes
            .record(Edit::Put(Arc::clone(topic)), self.now_ms());
        tracing::info!(
            topic = %topic.name,
            read_queues = topic.read_queues,
            write_queues = topic.write_queues,
            perm = topic.perm.0,
            is_new = old.is_none(),
            "topic defined"
        );
    }

    fn plan(&self, spec: &TopicSpec, old: Option<Arc<Topic>>) -> Result<Plan, HubError> {
        let limit = self.0.config.queues_max.min(QUEUES_MAX);
        for queues in [spec.read_queues, spec.write_queues] {
            if queues == 0 || queues > limit {
                return Err(HubError::invalid(format!(
                    "topic {} cannot have {queues} queues, it can have 1 to {limit}",
                    spec.name
                )));
            }
        }
        if spec.perm.0 & !PERM_MASK != 0 {
            return Err(HubError::invalid(format!(
                "{} is not a permission of a topic",
                spec.perm.0
            )));
        }
        let none = Attributes::default();
        let before = old.as_ref().map_or(&none, |old| &old.attributes);
        let attributes = before.edited(&spec.attributes, old.is_none())?;
        let row = Row {
            id: old.as_ref().map_or(0, |old| old.id),
            read: spec.read_queues,
            write: spec.write_queues,
            ever: old
                .as_ref()
                .map_or(0, |old| old.queues_ever)
                .max(spec.read_queues)
                .max(spec.write_queues),
            perm: spec.perm,
            filter: spec.filter,
            order: spec.is_order,
            flag: spec.sys_flag,
            attributes,
        };
        Ok(Plan::Enter(row, spec.name.clone(), old))
    }
}

/// What to do with a topic that exists already.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnExisting {
    Change,
    Keep,
}

enum Plan {
    Keep(Arc<Topic>),
    Enter(Row, TopicName, Option<Arc<Topic>>),
}
