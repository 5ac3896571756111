//! Asking about messages that stay undecided.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossdock_store::types::Position;
use tokio_util::sync::CancellationToken;

use super::{PAGE, Undecided};
use crate::error::HubError;
use crate::hub::{Hub, Inner};
use crate::name::{TopicName, UNDECIDED_TOPIC};
use crate::topic::TopicSpec;

/// What is remembered of an undecided message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) times: u32,
    next_ms: i64,
}

/// Members of a group take turns.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl Hub {
    pub(crate) fn spawn_transaction_check(&self) {
        let inner = Arc::downgrade(&self.0);
        let pause = self.0.config.transaction_scan;
        self.0
            .tasks
            .supervise("transaction check", move |token: CancellationToken| {
                let inner = inner.clone();
                async move {
                    loop {
                        tokio::select! {
                            () = token.cancelled() => return,
                            () = tokio::time::sleep(pause) => {}
                        }
                        let Some(inner) = inner.upgrade() else { return };
                        if let Err(error) = Self(inner).check_transactions().await {
                            tracing::warn!(%error, "undecided messages cannot be looked at");
                        }
                    }
                }
            });
    }

    /// Asks about every message that is undecided for long enough.
    async fn check_transactions(&self) -> Result<(), HubError> {
        let now_ms = self.now_ms();
        let mut after = None;
        let mut seen = hashbrown::HashSet::new();
        loop {
            let page = self.0.store.undecided(after, PAGE)?;
            for timer in &page {
                seen.insert(timer.position);
                if self.0.is_left_alone(timer.position, now_ms) {
                    continue;
                }
                let undecided = match self.undecided_at(timer.position).await {
                    Ok(undecided) => undecided,
                    // Decided in between, or its topic is gone.
                    Err(HubError::NotPrepared | HubError::NoTopic(_)) => continue,
                    Err(error) => return Err(error),
                };
                let stored_ms = undecided.message.record.stored_ms;
                let usual = self.0.config.transaction_timeout;
                let patience = undecided.patience.unwrap_or(usual);
                if undecided.asked == 0 && !is_over(stored_ms, patience, now_ms) {
                    if is_over(stored_ms, usual, now_ms) {
                        continue;
                    }
                    // Those behind it are younger.
                    self.0.forget_decided(&seen, false);
                    return Ok(());
                }
                self.check(undecided, now_ms).await?;
            }
            after = page.last().map(|timer| timer.position);
            if page.len() < PAGE {
                self.0.forget_decided(&seen, true);
                return Ok(());
            }
        }
    }

    async fn check(&self, undecided: Undecided, now_ms: i64) -> Result<(), HubError> {
        let position = undecided.message.record.position;
        let config = &self.0.config;
        if undecided.asked >= config.transaction_checks_max {
            return self.give_up(&undecided).await;
        }
        let producers = self.producers(&undecided.decider);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let was_asked = (0..producers.len()).any(|step| {
            let producer = &producers[turn.wrapping_add(step) % producers.len()];
            producer.channel.is_open() && producer.channel.ask_decision(&undecided)
        });
        let interval = config.transaction_interval.as_millis() as i64;
        let asked = Asked {
            times: undecided.asked + u32::from(was_asked),
            next_ms: now_ms.saturating_add(interval),
        };
        self.0.transactions.asked.lock().insert(position, asked);
        Ok(())
    }

    /// Nobody knows: the message goes where an operator finds it.
    async fn give_up(&self, undecided: &Undecided) -> Result<(), HubError> {
        let transactions = &self.0.transactions;
        let position = undecided.message.record.position;
        let Some(_claim) = transactions.claim(position) else {
            return Ok(());
        };
        if !self.0.store.is_pending(position)? {
            return Ok(());
        }
        let name = TopicName::parse(UNDECIDED_TOPIC)?;
        let topic = self.ensure(TopicSpec::new(name, 1)).await?;
        let flags = undecided.message.record.sys_flags;
        self.deliver(undecided, topic.queue(0)?, flags).await?;
        transactions.asked.lock().remove(&position);
        tracing::warn!(
            %position,
            topic = %undecided.topic.name,
            group = %undecided.decider,
            "nobody decided about a prepared message"
        );
        Ok(())
    }
}

fn is_over(since_ms: i64, patience: Duration, now_ms: i64) -> bool {
    let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    since_ms.saturating_add(patience) <= now_ms
}

impl Inner {
    fn is_left_alone(&self, position: Position, now_ms: i64) -> bool {
        let asked = self.transactions.asked.lock();
        asked
            .get(&position)
            .is_some_and(|asked| now_ms < asked.next_ms)
    }

    /// Forgets what was asked about messages that are decided; `all` says that every undecided one was seen.
    fn forget_decided(&self, seen: &hashbrown::HashSet<Position>, all: bool) {
        let last = seen.iter().max().copied();
        let mut asked = self.transactions.asked.lock();
        asked.retain(|position, _| seen.contains(position) || (!all && Some(*position) > last));
    }
}
