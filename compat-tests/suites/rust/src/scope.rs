//! What one case works with: names of its own, clients, and an inbox.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocketmq_client_rust::{
    ClientConfig, ClientResult, ClientRuntime, ConsumeConcurrentlyContext,
    ConsumeConcurrentlyStatus, ConsumeOrderlyContext, ConsumeOrderlyStatus, DefaultMQProducer,
    DefaultMQPushConsumer, MQPushConsumer, MessageListenerConcurrently, MessageListenerOrderly,
    SendResult, SendStatus,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;

pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Long enough for a loaded machine; a condition that holds is noticed at once.
pub const LIMIT: Duration = Duration::from_secs(40);

#[derive(Debug, Default)]
pub struct Settings {
    nameserver: String,
    only: Vec<String>,
    run: String,
}

impl Settings {
    pub fn from_arguments() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut settings = Self {
            run: since.as_millis().to_string(),
            ..Self::default()
        };
        for argument in std::env::args().skip(1) {
            match argument.split_once('=') {
                Some(("nameserver", value)) => settings.nameserver = value.to_owned(),
                Some(("only", value)) => {
                    settings.only = value
                        .split(',')
                        .filter(|word| !word.is_empty())
                        .map(str::to_owned)
                        .collect();
                }
                _ => {}
            }
        }
        settings
    }

    pub fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

pub struct Scope {
    settings: Arc<Settings>,
    runtime: Arc<ClientRuntime>,
    name: &'static str,
}

impl Scope {
    pub fn new(settings: Arc<Settings>, runtime: Arc<ClientRuntime>, name: &'static str) -> Self {
        Self {
            settings,
            runtime,
            name,
        }
    }

    pub fn group(&self) -> String {
        format!("RustG_{}_{}", self.name, self.settings.run)
    }

    pub fn fresh_topic(&self) -> String {
        format!("RustT_{}_{}", self.name, self.settings.run)
    }

    /// Creates a topic through the client and waits until it is routed.
    pub async fn topic(
        &self,
        producer: &mut DefaultMQProducer,
        queues: i32,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let topic = self.fresh_topic();
        producer
            .create_topic("TBW102", &topic, queues, HashMap::new())
            .await?;
        let wanted = usize::try_from(queues)?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = producer.fetch_publish_message_queues(&topic).await;
            if found.is_ok_and(|found| found.len() == wanted) {
                return Ok(topic);
            }
            if Instant::now() > deadline {
                return Err(format!("no route for {topic}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn config(&self) -> ClientConfig {
        static INSTANCES: AtomicU32 = AtomicU32::new(0);
        let mut config = ClientConfig::default();
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        config.set_instance_name(format!("rust_{instance}").into());
        config
    }

    pub async fn producer(&self) -> ClientResult<DefaultMQProducer> {
        let mut producer = DefaultMQProducer::builder(Arc::clone(&self.runtime))
            .client_config(self.config())
            .producer_group(format!("RustP_{}", self.name))
            .name_server_addr(self.settings.nameserver.clone())
            .send_msg_timeout(10_000)
            .build();
        producer.start().await?;
        Ok(producer)
    }

    fn new_consumer(&self) -> DefaultMQPushConsumer {
        DefaultMQPushConsumer::builder(Arc::clone(&self.runtime))
            .client_config(self.config())
            .consumer_group(self.group())
            .name_server_addr(self.settings.nameserver.clone())
            .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
            .consume_message_batch_max_size(1)
            // What finds no free thread is sent back to the server unseen and comes again after 10 s.
            .consume_thread_min(2)
            .consume_thread_max(2)
            .build()
    }

    pub async fn consumer(
        &self,
        topic: &str,
        filter: &str,
        inbox: &Inbox,
    ) -> ClientResult<DefaultMQPushConsumer> {
        let mut consumer = self.new_consumer();
        consumer
            .subscribe(topic.to_owned(), filter.to_owned())
            .await?;
        consumer.register_message_listener_concurrently(inbox.clone());
        consumer.start().await?;
        Ok(consumer)
    }

    pub async fn orderly(&self, topic: &str, inbox: &Inbox) -> ClientResult<DefaultMQPushConsumer> {
        let mut consumer = self.new_consumer();
        consumer.subscribe(topic.to_owned(), "*".to_owned()).await?;
        consumer.register_message_listener_orderly(inbox.clone());
        consumer.start().await?;
        Ok(consumer)
    }
}

/// One delivery.
#[derive(Debug, Clone)]
pub struct Item {
    pub body: String,
    pub queue: i32,
    pub id: String,
    pub tag: Option<String>,
    pub at: Instant,
}

/// Keeps what was delivered, in order of delivery.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Mutex<Vec<Item>>>);

impl Inbox {
    pub fn items(&self) -> Vec<Item> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn add(&self, messages: &[&MessageExt]) {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            let body = message.body().unwrap_or_default();
            items.push(Item {
                body: String::from_utf8_lossy(&body).into_owned(),
                queue: message.queue_id(),
                id: message.msg_id().to_string(),
                tag: message.get_tags().map(|tag| tag.to_string()),
                at: Instant::now(),
            });
        }
    }

    /// Waits for all bodies and checks that each came once and nothing else came.
    pub async fn await_exactly(&self, bodies: &[String]) -> Outcome {
        let deadline = Instant::now() + LIMIT;
        while self.items().len() < bodies.len() {
            if Instant::now() > deadline {
                return Err(format!("{} of {} delivered", self.items().len(), bodies.len()).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut wanted: HashSet<&String> = bodies.iter().collect();
        for item in self.items() {
            if !wanted.remove(&item.body) {
                return Err(format!("{} was not expected or came twice", item.body).into());
            }
        }
        Ok(())
    }
}

impl MessageListenerConcurrently for Inbox {
    fn consume_message(
        &self,
        messages: &[&MessageExt],
        _context: &ConsumeConcurrentlyContext,
    ) -> ClientResult<ConsumeConcurrentlyStatus> {
        self.add(messages);
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    }
}

impl MessageListenerOrderly for Inbox {
    fn consume_message(
        &self,
        messages: &[&MessageExt],
        _context: &mut ConsumeOrderlyContext,
    ) -> ClientResult<ConsumeOrderlyStatus> {
        self.add(messages);
        Ok(ConsumeOrderlyStatus::Success)
    }
}

pub fn texts(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

pub fn message(topic: &str, tag: &str, body: &str) -> Message {
    Message::builder()
        .topic(topic)
        .tags(tag)
        .body(body.as_bytes().to_vec())
        .build_unchecked()
}

pub fn stored(
    result: Option<SendResult>,
) -> Result<SendResult, Box<dyn std::error::Error + Send + Sync>> {
    match result {
        Some(result) if result.send_status == SendStatus::SendOk => Ok(result),
        other => Err(format!("send answered {other:?}").into()),
    }
}
