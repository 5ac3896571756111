//! The topics every hub has from its start.

use super::create::OnExisting;
use super::{Perm, TopicSpec};
use crate::error::HubError;
use crate::hub::Hub;
use crate::name::{
    BENCHMARK_TOPIC, MOVED_TOPIC, SELF_TEST_TOPIC, TEMPLATE_TOPIC, TRACE_TOPIC, TopicName,
};
use crate::switch::Switch;

/// Queues of the topic named after the cluster.
const CLUSTER_QUEUES: u32 = 16;
/// Queues of the topic of the stock benchmark programs.
const BENCHMARK_QUEUES: u32 = 1024;

impl Hub {
    pub(crate) async fn create_system_topics(&self) -> Result<(), HubError> {
        let config = &self.0.config;
        // Clients take a template they find in the route for permission to create; without that permission there must be
        // nothing to inherit.
        let template_perm = if self.is_on(Switch::CreateTopics) {
            Perm::READ_WRITE.with(Perm::INHERIT)
        } else {
            Perm::READ_WRITE
        };
        let inherited = Perm::READ_WRITE.with(Perm::INHERIT);
        let replies = config.reply_topic();
        let wanted = [
            (TEMPLATE_TOPIC, config.default_queues, template_perm),
            (&config.cluster, CLUSTER_QUEUES, inherited),
            (&config.node, 1, inherited),
            (SELF_TEST_TOPIC, 1, Perm::READ_WRITE),
            (MOVED_TOPIC, 1, Perm::READ_WRITE),
            (TRACE_TOPIC, 1, Perm::READ_WRITE),
            (&replies, 1, Perm::READ_WRITE),
            (BENCHMARK_TOPIC, BENCHMARK_QUEUES, Perm::READ_WRITE),
        ];
        let mut specs: Vec<TopicSpec> = Vec::with_capacity(wanted.len());
        for (name, queues, perm) in wanted {
            let name = TopicName::parse(name)?;
            let queues = queues.min(config.queues_max);
            let is_same = self.topic(name.as_str()).is_some_and(|known| {
                known.perm == perm && known.read_queues == queues && known.write_queues == queues
            });
            // A node may be named like its cluster.
            if is_same || specs.iter().any(|spec| spec.name == name) {
                continue;
            }
            specs.push(TopicSpec {
                perm,
                ..TopicSpec::new(name, queues)
            });
        }
        if !specs.is_empty() {
            self.enter_topics(specs, OnExisting::Change).await?;
        }
        Ok(())
    }
}
