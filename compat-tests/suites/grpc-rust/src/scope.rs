//! What one case works with: names of its own, clients, and ways to receive and to check.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{MessageBuilder, MessageView};
use rocketmq::model::transaction::TransactionChecker;
use rocketmq::{Producer, SimpleConsumer};

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Long enough for a loaded machine; a condition that holds is noticed at once.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The shortest time the server may keep a message from others.
pub const SHORT: Duration = Duration::from_secs(10);
pub const LONG: Duration = Duration::from_secs(120);
/// This client gives a poll no more time than it asks the server to wait.
const POLL: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(10);
const BATCH: i32 = 16;

#[derive(Debug, Default)]
pub struct Settings {
    values: HashMap<String, String>,
    only: Vec<String>,
    run: String,
    /// Held while a question to the harness is open.
    asking: Mutex<()>,
}

impl Settings {
    pub fn from_arguments() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let values: HashMap<String, String> = std::env::args()
            .skip(1)
            .filter_map(|argument| {
                let (key, value) = argument.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            })
            .collect();
        let only = values.get("only").map_or("", String::as_str);
        Self {
            only: only
                .split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
            values,
            run: since.as_millis().to_string(),
            ..Self::default()
        }
    }

    pub fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    fn get(&self, key: &str) -> Outcome<&str> {
        let value = self.values.get(key).map(String::as_str);
        Ok(value.ok_or_else(|| format!("the harness gave no {key}"))?)
    }
}

/// Where a client connects, and as whom.
#[derive(Debug, Clone)]
pub struct Door {
    endpoint: String,
    user: Option<(String, String)>,
}

pub struct Scope {
    settings: Arc<Settings>,
    name: &'static str,
}

impl Scope {
    pub fn new(settings: Arc<Settings>, name: &'static str) -> Self {
        Self { settings, name }
    }

    /// Lets the harness do something to the server and waits until it has.
    pub async fn control(&self, words: String) -> Outcome {
        let settings = Arc::clone(&self.settings);
        tokio::task::spawn_blocking(move || {
            let _asking = settings
                .asking
                .lock()
                .map_err(|_| "another question was not answered")?;
            println!("CONTROL {words}");
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            equal("ok", answer.trim(), &words)
        })
        .await?
    }

    pub fn fresh_topic(&self) -> String {
        format!("RT_{}_{}", self.name, self.settings.run)
    }

    pub fn fresh_group(&self) -> String {
        format!("RG_{}_{}", self.name, self.settings.run)
    }

    pub async fn topic(&self, kind: &str, queues: u32) -> Outcome<String> {
        let topic = self.fresh_topic();
        self.control(format!("topic {topic} {kind} {queues}"))
            .await?;
        Ok(topic)
    }

    pub async fn group(&self, kind: &str) -> Outcome<String> {
        let group = self.fresh_group();
        self.control(format!("group {group} {kind} 16")).await?;
        Ok(group)
    }

    /// The server for everyone.
    pub fn open(&self) -> Outcome<Door> {
        Ok(Door {
            endpoint: self.settings.get("grpc")?.to_owned(),
            user: None,
        })
    }

    /// The server that wants signatures.
    pub fn secured(&self) -> Outcome<Door> {
        let access = self.settings.get("access")?.to_owned();
        let secret = self.settings.get("secret")?.to_owned();
        self.secured_as(Some((access, secret)))
    }

    pub fn secured_as(&self, user: Option<(String, String)>) -> Outcome<Door> {
        Ok(Door {
            endpoint: self.settings.get("secured")?.to_owned(),
            user,
        })
    }

    pub fn access(&self) -> Outcome<String> {
        Ok(self.settings.get("access")?.to_owned())
    }

    pub async fn producer(&self, topic: &str) -> Outcome<Producer> {
        self.producer_at(&self.open()?, topic).await
    }

    pub async fn producer_at(&self, door: &Door, topic: &str) -> Outcome<Producer> {
        let mut option = ProducerOption::default();
        option.set_topics(vec![topic]);
        // The server shall judge; what it refuses is a case.
        option.set_validate_message_type(false);
        let mut producer = Producer::new(option, client(door))?;
        producer.start().await?;
        Ok(producer)
    }

    pub async fn transactional(
        &self,
        topic: &str,
        checker: Box<TransactionChecker>,
    ) -> Outcome<Producer> {
        let mut option = ProducerOption::default();
        option.set_topics(vec![topic]);
        let client = client(&self.open()?);
        let mut producer = Producer::new_transaction_producer(option, client, checker)?;
        producer.start().await?;
        Ok(producer)
    }

    pub async fn consumer(&self, group: &str, topic: &str) -> Outcome<Consumer> {
        self.consumer_at(&self.open()?, group, topic, FilterType::Tag, "*")
            .await
    }

    pub async fn consumer_at(
        &self,
        door: &Door,
        group: &str,
        topic: &str,
        kind: FilterType,
        filter: &str,
    ) -> Outcome<Consumer> {
        let mut option = SimpleConsumerOption::default();
        option.set_consumer_group(group);
        option.set_topics(vec![topic]);
        let mut inner = SimpleConsumer::new(option, client(door))?;
        inner.start().await?;
        Ok(Consumer {
            inner,
            may_be_late: self.settings.get("target")? == "apache",
            topic: topic.to_owned(),
            filter: FilterExpression::new(kind, filter),
        })
    }
}

fn client(door: &Door) -> ClientOption {
    let mut client = ClientOption::default();
    client.set_access_url(door.endpoint.clone());
    client.set_enable_tls(false);
    client.set_timeout(REQUEST);
    client.set_long_polling_timeout(POLL);
    if let Some((access, secret)) = &door.user {
        client.set_access_key(access.clone());
        client.set_secret_key(secret.clone());
    }
    client
}

/// A simple consumer of one topic.
pub struct Consumer {
    pub inner: SimpleConsumer,
    /// The real Proxy answers an empty poll a tenth of a second before this client gives it up, which is too late on a
    /// busy machine.
    may_be_late: bool,
    topic: String,
    filter: FilterExpression,
}

impl Consumer {
    pub async fn poll(&self, batch: i32, invisible: Duration) -> Outcome<Vec<MessageView>> {
        let received = self
            .inner
            .receive_with(&self.topic, &self.filter, batch, invisible);
        match received.await {
            Err(error) if self.may_be_late && format!("{error:?}").contains("Timeout expired") => {
                Ok(Vec::new())
            }
            other => Ok(other?),
        }
    }

    /// Receives until so many messages came, without acknowledging any.
    pub async fn receive(&self, count: usize, invisible: Duration) -> Outcome<Vec<MessageView>> {
        let deadline = Instant::now() + LIMIT;
        let mut all = Vec::new();
        while all.len() < count {
            if Instant::now() > deadline {
                return Err(
                    format!("only {} of {count} messages within {LIMIT:?}", all.len()).into(),
                );
            }
            all.extend(self.poll(BATCH, invisible).await?);
        }
        equal(count, all.len(), "messages")?;
        Ok(all)
    }

    /// Receives and acknowledges so many messages.
    pub async fn take(&self, count: usize) -> Outcome<Vec<MessageView>> {
        let messages = self.receive(count, LONG).await?;
        for message in &messages {
            self.inner.ack(message).await?;
        }
        Ok(messages)
    }

    /// Polls once and acknowledges what comes, in order.
    pub async fn take_some(&self) -> Outcome<Vec<MessageView>> {
        let messages = self.poll(BATCH, LONG).await?;
        for message in &messages {
            self.inner.ack(message).await?;
        }
        Ok(messages)
    }

    /// Polls once and checks that nothing comes.
    pub async fn nothing_more(&self, why: &str) -> Outcome {
        equal(
            Vec::<String>::new(),
            texts(&self.poll(BATCH, LONG).await?),
            why,
        )
    }
}

pub fn builder(topic: &str, body: &str) -> MessageBuilder {
    MessageBuilder::builder()
        .set_topic(topic)
        .set_body(body.as_bytes().to_vec())
}

pub fn text(message: &MessageView) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

pub fn texts(messages: &[MessageView]) -> Vec<String> {
    messages.iter().map(text).collect()
}

pub fn now_millis() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub fn equal<T: PartialEq<U> + Debug, U: Debug>(expected: T, got: U, what: &str) -> Outcome {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}").into())
}

pub fn between(low: Duration, high: Duration, got: Duration, what: &str) -> Outcome {
    if (low..=high).contains(&got) {
        return Ok(());
    }
    Err(format!("{what}: expected {low:?} to {high:?}, got {got:?}").into())
}

/// The action must have failed, and its error must name what was wrong.
pub fn refused<T, E: Debug>(result: Result<T, E>, with: &str, what: &str) -> Outcome {
    let Err(error) = result else {
        return Err(format!("{what} was accepted").into());
    };
    let story = format!("{error:?}");
    if story.contains(with) {
        return Ok(());
    }
    Err(format!("{what} was refused otherwise: {story}").into())
}
