//! Publishing: choosing the queue, checking limits, handing the record to the store. The hot path: no lock that topics
//! share, no allocation beyond the record's own, and no await while there is room.

use std::sync::Arc;

use bytes::Bytes;
use crossdock_store::api::{AppendError, Batch, Done, Receipt, Refused};
use crossdock_store::record::{Draft, Prepared, TailSource, UNDECIDED};
use crossdock_store::types::{Durability, Flavour, Position};
use smallvec::SmallVec;

use crate::error::HubError;
use crate::hub::Hub;
use crate::topic::{Perm, Topic};
use crate::transaction::Decider;

/// Most hashes a message can be found under.
const KEYS_MAX: usize = 1024;
/// Most messages in one batch.
const BATCH_MAX: usize = 64 * 1024;

/// Which queue of its topic a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChoice {
    /// This one.
    Number(u32),
    /// The next in turn.
    Any,
    /// The one that belongs to this hash of a key.
    Key(u64),
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where to.
    pub topic: Arc<Topic>,
    /// Which of its queues.
    pub queue: QueueChoice,
    /// Hash of the tag, see [`crate::tag_hash`]; 0 without a tag.
    pub tag_hash: i64,
    /// Hashes it can be found under, see [`key_hash`].
    pub keys: SmallVec<[u64; 2]>,
    /// When the producer made it, milliseconds since 1970.
    pub born_ms: i64,
    /// Socket address of the producer: 4 or 16 address bytes, then the port, big-endian.
    pub born_host: SmallVec<[u8; 18]>,
    /// Deliveries that failed before.
    pub attempt: u16,
    /// When it is due; at once if absent or past.
    pub due_ms: Option<i64>,
    /// Who is to decide whether the message is delivered, see [`Hub::decide`]; it is delivered if absent.
    pub decider: Option<Decider>,
    /// Opaque to the hub.
    pub sys_flags: u32,
    /// Opaque to the hub.
    pub user_flags: u32,
    /// Checksum of the body in the protocol's terms.
    pub body_crc: Option<u32>,
    /// How the tail is to be read.
    pub flavour: Flavour,
    /// The protocol's own bytes.
    pub tail: SmallVec<[Bytes; 6]>,
    /// Earlier record whose bytes begin the tail.
    pub source: Option<TailSource>,
    /// What the acknowledgement promises; the topic's or the hub's default if absent.
    pub durability: Option<Durability>,
}

impl Publish {
    /// A message with nothing but a place and a tail.
    #[must_use]
    pub fn new(topic: Arc<Topic>, flavour: Flavour, tail: SmallVec<[Bytes; 6]>) -> Self {
        Self {
            topic,
            queue: QueueChoice::Any,
            tag_hash: 0,
            keys: SmallVec::new(),
            born_ms: 0,
            born_host: SmallVec::new(),
            attempt: 0,
            due_ms: None,
            decider: None,
            sys_flags: 0,
            user_flags: 0,
            body_crc: None,
            flavour,
            tail,
            source: None,
            durability: None,
        }
    }

    fn bytes(&self) -> usize {
        let own: usize = self.tail.iter().map(Bytes::len).sum();
        let source = self
            .source
            .map_or(0, |s| s.to.saturating_sub(s.from) as usize);
        own.saturating_add(source)
    }
}

/// Hash a message can be found under by topic and key. Part of the stored format: FNV-1a of topic, `#` and key, with a
/// final mix.
#[must_use]
pub fn key_hash(topic: &str, key: &str) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = topic.bytes().chain([b'#']).chain(key.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Checked messages with their queues chosen, ready to be handed to the store.
#[derive(Debug)]
pub struct Ready {
    records: SmallVec<[Prepared; 1]>,
    queues: SmallVec<[u32; 1]>,
    durability: Durability,
}

impl Ready {
    /// Queue number chosen for each message, in order.
    #[must_use]
    pub fn queues(&self) -> &[u32] {
        &self.queues
    }

    /// Queue number chosen for the first message.
    #[must_use]
    pub fn queue(&self) -> u32 {
        self.queues.first().copied().unwrap_or_default()
    }

    /// Number of messages.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// What the acknowledgement will promise.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Bytes in the log, what [`Hub::room`] has to find.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Prepared::bytes).sum()
    }
}

/// What was not handed over, given back with the reason.
#[derive(Debug)]
pub struct Unsent {
    /// Why.
    pub error: HubError,
    /// The messages.
    pub ready: Ready,
    /// Has heard nothing.
    pub done: Done,
}

impl Unsent {
    fn of(refused: Refused, queues: SmallVec<[u32; 1]>) -> Box<Self> {
        let Refused { error, batch } = refused;
        Box::new(Self {
            error: error.into(),
            ready: Ready {
                records: batch.records,
                queues,
                durability: batch.durability,
            },
            done: batch.done,
        })
    }

    /// True if it is only for want of room: wait for [`Hub::room`] and try again.
    #[must_use]
    pub fn wants_room(&self) -> bool {
        self.error == HubError::Append(AppendError::Busy)
    }
}

impl Hub {
    /// Checks a message, chooses its queue and encodes it.
    ///
    /// # Errors
    /// The topic is gone or may not be written, it has no such queue, or the message is too large.
    pub fn prepare(&self, message: Publish) -> Result<Ready, HubError> {
        let durability = self.durability_of(&message);
        let (record, queue) = self.prepare_one(message)?;
        Ok(Ready {
            records: SmallVec::from_buf([record]),
            queues: SmallVec::from_buf([queue]),
            durability,
        })
    }

    /// Checks messages that are to be appended together: all of them or, if one breaks a rule, none.
    ///
    /// # Errors
    /// As [`Hub::prepare`]; or there are none or too many.
    pub fn prepare_batch(
        &self,
        messages: impl IntoIterator<Item = Publish>,
    ) -> Result<Ready, HubError> {
        let mut ready = Ready {
            records: SmallVec::new(),
            queues: SmallVec::new(),
            durability: Durability::Written,
        };
        for message in messages {
            if ready.records.len() == BATCH_MAX {
                return Err(HubError::Limit {
                    what: "messages in one batch",
                    limit: BATCH_MAX,
                });
            }
            ready.durability = ready.durability.max(self.durability_of(&message));
            let (record, queue) = self.prepare_one(message)?;
            ready.records.push(record);
            ready.queues.push(queue);
        }
        if ready.records.is_empty() {
            return Err(HubError::invalid("a batch needs a message"));
        }
        Ok(ready)
    }

    /// Hands over what is ready; its outcome goes to `done`. Never waits. The log begins with it when the caller, having
    /// nothing more to hand over, calls [`Hub::drive`].
    ///
    /// # Errors
    /// Nothing was handed over, and everything is given back.
    pub fn submit(&self, ready: Ready, done: Done) -> Result<(), Box<Unsent>> {
        let Ready {
            records,
            queues,
            durability,
        } = ready;
        let batch = Batch {
            records,
            durability,
            done,
        };
        let added = self.0.store.add(batch);
        added.map_err(|refused| Unsent::of(*refused, queues))
    }

    /// Begins with what was submitted: on this thread if it is little and needs no sync, so that a lone caller waits for
    /// no other thread.
    pub fn drive(&self) {
        self.0.store.drive();
    }

    /// Publishes what is ready and waits for the outcome.
    ///
    /// # Errors
    /// It was not published, or may have been; the error says which.
    pub async fn submit_wait(&self, ready: Ready) -> Result<Receipt, HubError> {
        let appended = self.0.store.append(ready.records, ready.durability);
        Ok(appended.await?)
    }

    /// Publishes a message and waits for the outcome. Returns the number of its queue and where it came to stand.
    ///
    /// # Errors
    /// It was not published, or may have been; the error says which.
    pub async fn publish_wait(&self, message: Publish) -> Result<(u32, Receipt), HubError> {
        let ready = self.prepare(message)?;
        let queue = ready.queue();
        Ok((queue, self.submit_wait(ready).await?))
    }

    /// True if a message published soon may borrow bytes of the record at a position; otherwise it has to copy them.
    #[must_use]
    pub fn may_borrow(&self, position: Position) -> bool {
        self.0.store.may_borrow(position)
    }

    /// Waits until there is room for `bytes` more.
    pub async fn room(&self, bytes: usize) {
        self.0.store.room(bytes).await;
    }

    fn durability_of(&self, message: &Publish) -> Durability {
        let own = message.durability;
        own.unwrap_or_else(|| self.durability_for(&message.topic))
    }

    /// What acknowledgements promise for a topic.
    pub(crate) fn durability_for(&self, topic: &Topic) -> Durability {
        topic.durability.unwrap_or(self.0.config.durability)
    }

    fn prepare_one(&self, mut message: Publish) -> Result<(Prepared, u32), HubError> {
        if !message.topic.is_current() {
            message.topic = self.current_topic(&message.topic)?;
        }
        message.due_ms = if message.decider.is_none() {
            message.due_ms.filter(|due| *due > self.now_ms())
        } else {
            Some(UNDECIDED)
        };
        check(message, self.0.config.message_bytes_max)
    }

    /// What a handle taken earlier stands for now.
    fn current_topic(&self, topic: &Topic) -> Result<Arc<Topic>, HubError> {
        match self.topic_of(topic.queue(0)?) {
            Some((now, _)) if !now.is_deleted() => Ok(now),
            _ => Err(HubError::NoTopic(topic.name.to_string())),
        }
    }
}

fn check(message: Publish, bytes_max: usize) -> Result<(Prepared, u32), HubError> {
    let topic = &message.topic;
    if !topic.perm.has(Perm::WRITE) {
        return Err(HubError::Denied(format!(
            "topic {} may not be written",
            topic.name
        )));
    }
    let number = match message.queue {
        QueueChoice::Number(number) => Some(number),
        QueueChoice::Any => topic.next_queue(),
        QueueChoice::Key(hash) => hash
            .checked_rem(u64::from(topic.write_queues))
            .map(|number| number as u32),
    };
    let number = number
        .ok_or_else(|| HubError::Denied(format!("topic {} has no write queue", topic.name)))?;
    let queue = topic.queue(number)?;
    for (what, size, limit) in [
        ("message bytes", message.bytes(), bytes_max),
        ("index keys", message.keys.len(), KEYS_MAX),
    ] {
        if size > limit {
            return Err(HubError::TooLarge { what, size, limit });
        }
    }
    let draft = Draft {
        attempt: message.attempt,
        born_ms: message.born_ms,
        tag_hash: message.tag_hash,
        sys_flags: message.sys_flags,
        user_flags: message.user_flags,
        keys: message.keys,
        due_ms: message.due_ms,
        decider: message
            .decider
            .map(|decider| decider.encode())
            .unwrap_or_default(),
        source: message.source,
        born_host: message.born_host,
        body_crc: message.body_crc,
        ..Draft::new(queue, message.flavour, message.tail)
    };
    Ok((draft.prepare()?, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::topic::tests::topic;
    use smallvec::smallvec;

    fn message(topic: Topic) -> Publish {
        Publish::new(
            Arc::new(topic),
            Flavour::Neutral,
            smallvec![Bytes::from_static(b"body")],
        )
    }

    #[test]
    fn key_hashes_are_part_of_the_format_and_never_change() {
        assert_eq!(key_hash("T", "k"), 0xe970_b525_5222_7929);
        assert_eq!(
            key_hash("orders", "7F0000010A8C18B4AAC216E0DB1C0000"),
            0xb99d_ec48_ecb2_4acb
        );
        assert_ne!(key_hash("T", "k"), key_hash("T#k", ""));
        assert_ne!(key_hash("T", "k"), key_hash("U", "k"));
    }

    #[test]
    fn a_message_goes_to_the_queue_it_names() {
        let publish = Publish {
            queue: QueueChoice::Number(3),
            ..message(topic(5, 4))
        };
        let (record, number) = check(publish, 100).unwrap();
        assert_eq!(number, 3);
        assert_eq!(record.queue, topic(5, 4).queue(3).unwrap());
    }

    #[test]
    fn the_same_key_goes_to_the_same_write_queue() {
        let mut few = topic(5, 8);
        few.write_queues = 3;
        let shared = Arc::new(few);
        for hash in 0..10 {
            let publish = || Publish {
                queue: QueueChoice::Key(hash),
                ..Publish::new(Arc::clone(&shared), Flavour::Neutral, smallvec![])
            };
            let number = check(publish(), 100).unwrap().1;
            assert!(number < 3);
            assert_eq!(check(publish(), 100).unwrap().1, number);
        }
    }

    #[test]
    fn a_queue_the_topic_does_not_have_is_refused() {
        let publish = Publish {
            queue: QueueChoice::Number(4),
            ..message(topic(5, 4))
        };
        assert_eq!(check(publish, 100).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_topic_that_may_not_be_written_refuses() {
        let mut closed = topic(5, 4);
        closed.perm = Perm::READ;
        assert_eq!(
            check(message(closed), 100).unwrap_err().kind(),
            ErrorKind::Denied
        );
    }

    #[test]
    fn the_limit_counts_bytes_taken_from_an_earlier_record() {
        assert!(check(message(topic(5, 4)), 4).is_ok());
        assert_eq!(
            check(message(topic(5, 4)), 3).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        let publish = Publish {
            source: Some(TailSource {
                position: crossdock_store::types::Position(0),
                record_bytes: 200,
                from: 10,
                to: 20,
            }),
            ..message(topic(5, 4))
        };
        assert!(check(publish.clone(), 14).is_ok());
        assert_eq!(check(publish, 13).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn a_delayed_message_gets_no_queue_entry_yet() {
        let publish = Publish {
            due_ms: Some(99),
            queue: QueueChoice::Number(1),
            ..message(topic(5, 4))
        };
        let (record, _) = check(publish, 100).unwrap();
        assert!(record.queue.is_none());
        assert_eq!(record.target, topic(5, 4).queue(1).unwrap());
    }
}
