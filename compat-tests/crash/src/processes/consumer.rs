//! A consumer that outlives the server. It reads every queue in turn and commits each step with an
//! answer; a position whose answer came is remembered, and so is one whose answer did not.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::actors::Progress;
use super::client::{Client, Found, Queue, Refusal};

pub(super) const GROUP: &str = "crash_consumer";

/// Where the consumer stands in a queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    /// The last one that was answered well.
    pub(super) acked: Option<i64>,
    /// One that was sent and not answered, after the acknowledged one.
    pub(super) doubtful: Option<i64>,
}

/// Messages of one queue, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) messages: Vec<Found>,
}

#[derive(Debug)]
pub(super) struct Consumer {
    /// By queue.
    pub(super) positions: Vec<Position>,
    /// By queue, since they were last taken.
    pub(super) delivered: Vec<Delivered>,
    /// What the server did that no healthy one does, and whether it was a refusal.
    pub(super) complaints: Vec<(String, bool)>,
}

impl Consumer {
    pub(super) fn new(queues: usize) -> Self {
        Self {
            positions: vec![Position::default(); queues],
            delivered: (0..queues).map(|_| Delivered::default()).collect(),
            complaints: Vec::new(),
        }
    }

    /// Consumes until the connection breaks or a stop is asked for. It begins where the server says the
    /// group stands.
    pub(super) fn live(
        &mut self,
        broker: SocketAddr,
        topics: &[String],
        queues: &[Queue],
        progress: &Progress,
    ) {
        let result = (|| {
            let mut client = Client::connect(broker)?;
            client.join(GROUP, topics)?;
            let mut next = Vec::new();
            for queue in queues {
                let position = client.position(GROUP, queue)?;
                next.push(position.unwrap_or_default());
            }
            while !progress.stop.load(Ordering::Relaxed) {
                for (index, queue) in queues.iter().enumerate() {
                    next[index] = self.step(&mut client, index, queue, next[index])?;
                }
            }
            anyhow::Ok(())
        })();
        // A broken connection is what is waited for; an answer that makes no sense is not.
        if let Err(error) = result
            && !error.root_cause().is::<std::io::Error>()
        {
            let is_refusal = error.root_cause().is::<Refusal>();
            self.complaints.push((format!("{error:#}"), is_refusal));
        }
    }

    fn step(
        &mut self,
        client: &mut Client,
        index: usize,
        queue: &Queue,
        offset: i64,
    ) -> anyhow::Result<i64> {
        let pulled = client.pull(GROUP, queue, offset)?;
        let mut expected = offset;
        for found in &pulled.messages {
            if found.offset != expected {
                // Retention may have overtaken us; then the queue begins where we are sent to.
                let (min, _) = client.bounds(queue)?;
                if min < found.offset {
                    let complaint = format!(
                        "{queue}: {} delivered after {expected}, the smallest offset is {min}",
                        found.offset
                    );
                    self.complaints.push((complaint, false));
                }
            }
            expected = found.offset + 1;
        }
        self.delivered[index].messages.extend(pulled.messages);
        if pulled.next == offset {
            return Ok(offset);
        }
        let position = &mut self.positions[index];
        position.doubtful = Some(pulled.next);
        client.commit(GROUP, queue, pulled.next)?;
        *position = Position {
            acked: Some(pulled.next),
            doubtful: None,
        };
        Ok(pulled.next)
    }
}
