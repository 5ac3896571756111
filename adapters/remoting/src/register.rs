//! Registration of the hub with a foreign name server. One task per server keeps the connection
//! open, since closing it takes the broker out of every route at once; it registers in full at
//! first, in time and after changes, and says goodbye when the door drains.

mod credential;
mod link;

use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{Edit, Edits};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::body::registration::Registration;
use crossdock_proto_remoting::body::topic::TopicConfigTable;
use crossdock_proto_remoting::body::{self, route::MASTER_ID};
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::namesrv::{RegisterBroker, UnregisterBroker};
use crossdock_proto_remoting::record::body_crc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::broker::Broker;
use crate::error::StartError;
use crate::handler::{config_of, data_version, table_of};
pub use credential::Credential;
use link::{Link, LinkError};

/// Waits between attempts to connect, doubling up to the last.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_LAST: Duration = Duration::from_secs(30);
/// How long we ask to be kept without renewal.
const LIFETIME_MS: i64 = 120_000;
/// Longest wait for the goodbye to be answered.
const GOODBYE: Duration = Duration::from_secs(1);
/// Changes within this time are registered together.
const GATHER: Duration = Duration::from_millis(20);
/// With more topics than this, a change registers what changed and not everything.
const WHOLE_MAX: usize = 256;

/// Checks that an address is `host:port`.
pub(crate) fn parse(text: &str) -> Result<String, StartError> {
    let is_good = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0));
    if is_good {
        Ok(text.to_owned())
    } else {
        Err(StartError::NameServer(text.to_owned()))
    }
}

/// Keeps the hub registered with one name server.
#[derive(Debug)]
pub(crate) struct Registrar {
    broker: Arc<Broker>,
    server: String,
}

/// Why a session with the server ended.
enum Ended {
    /// The door drains; goodbye was said.
    Drained,
    Failed(LinkError),
}

impl Registrar {
    pub(crate) fn new(broker: Arc<Broker>, server: String) -> Self {
        Self { broker, server }
    }

    pub(crate) async fn run(self) {
        let mut back_off = BACK_OFF_FIRST;
        let draining = self.broker.scope.draining().clone();
        loop {
            let connected = tokio::select! {
                () = draining.cancelled() => return,
                connected = Link::connect(&self.server) => connected,
            };
            let error = match connected {
                Ok(mut link) => {
                    let begun = Instant::now();
                    match self.session(&mut link).await {
                        Ended::Drained => return,
                        Ended::Failed(error) => {
                            if begun.elapsed() > BACK_OFF_LAST {
                                back_off = BACK_OFF_FIRST;
                            }
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            tracing::warn!(server = self.server, %error, "not registered with a name server");
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(back_off) => {}
            }
            back_off = (back_off * 2).min(BACK_OFF_LAST);
        }
    }

    async fn session(&self, link: &mut Link) -> Ended {
        let hub = &self.broker.hub;
        let mut topics = hub.watch_topics();
        let mut period = tokio::time::interval(self.broker.config.register_period);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut registered = 0;
        let mut is_first = true;
        loop {
            let whole = tokio::select! {
                biased;
                () = self.broker.scope.draining().cancelled() => {
                    self.goodbye(link).await;
                    return Ended::Drained;
                }
                _ = period.tick() => true,
                changed = topics.changed(), if !is_first => {
                    if changed.is_err() {
                        return Ended::Drained;
                    }
                    tokio::time::sleep(GATHER).await;
                    false
                }
                error = link.serve() => return Ended::Failed(error),
            };
            topics.mark_unchanged();
            let (version, table) = self.table(registered, whole || is_first);
            if let Err(error) = self.register(link, table).await {
                return Ended::Failed(error);
            }
            if is_first {
                tracing::info!(server = self.server, "registered with a name server");
            }
            registered = version;
            is_first = false;
        }
    }

    /// The topics to register, and the version of the table that leads to.
    fn table(&self, since: u64, whole: bool) -> (u64, TopicConfigTable) {
        let hub = &self.broker.hub;
        let (version, edits) = hub.topics_since(since);
        if !whole
            && hub.topic_count() > WHOLE_MAX
            && let Edits::Known(edits) = edits
        {
            let changed = edits.iter().filter_map(|edit| match edit {
                Edit::Put(topic) => Some((topic.name.to_string(), config_of(topic))),
                // Servers forget a topic only when they are told to by whoever deleted it.
                Edit::Removed(_) => None,
            });
            let table = TopicConfigTable {
                data_version: data_version(version),
                topic_config_table: changed.collect(),
            };
            return (version.counter, table);
        }
        let table = table_of(&self.broker);
        (version.counter, table)
    }

    async fn register(&self, link: &mut Link, topics: TopicConfigTable) -> Result<(), LinkError> {
        let hub = self.broker.hub.config();
        let address = self.broker.advertise.text(link.local());
        let registration = Registration {
            filter_server_list: Vec::new(),
            topics,
        };
        let body = body::write(&registration).map_err(|_| LinkError::Unsendable)?;
        let header = RegisterBroker {
            broker_name: &hub.node,
            broker_addr: &address,
            cluster_name: &hub.cluster,
            // There are no replicas that could ask.
            ha_server_addr: "",
            broker_id: MASTER_ID,
            heartbeat_timeout_millis: Some(LIFETIME_MS),
            enable_acting_master: Some(false),
            compressed: Some(false),
            body_crc32: Some(body_crc(&body)),
        };
        let command = Command::request(request::REGISTER_BROKER)
            .with_header(&header)
            .with_body(body);
        let answer = link.ask(self.signed(command)).await?;
        if answer.code == response::SUCCESS {
            return Ok(());
        }
        let remark = answer.remark.unwrap_or_default();
        Err(LinkError::Refused(
            answer.code,
            remark.chars().take(200).collect(),
        ))
    }

    fn signed(&self, command: Command) -> Command {
        match &self.broker.config.register_as {
            Some(credential) => credential.signed(command),
            None => command,
        }
    }

    async fn goodbye(&self, link: &mut Link) {
        let hub = self.broker.hub.config();
        let address = self.broker.advertise.text(link.local());
        let header = UnregisterBroker {
            broker_name: &hub.node,
            broker_addr: &address,
            cluster_name: &hub.cluster,
            broker_id: MASTER_ID,
        };
        let command = Command::request(request::UNREGISTER_BROKER).with_header(&header);
        // Without an answer in time the end of the connection says the same.
        let _ = tokio::time::timeout(GOODBYE, link.ask(self.signed(command))).await;
    }
}
