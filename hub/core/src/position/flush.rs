//! The task that writes positions: waits until something is pending, lets more come together, writes all of it as few
//! records, answers who waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossdock_store::change::Change;
use crossdock_store::types::Durability;
use tokio_util::sync::CancellationToken;

use super::{FLUSH_AT, Key, Pending};
use crate::error::HubError;
use crate::hub::{Hub, Inner};
use crate::lease::AGAIN_AFTER;

impl Hub {
    pub(crate) fn spawn_position_flush(&self) {
        let inner = Arc::downgrade(&self.0);
        let pause = self.0.config.position_flush;
        self.0.tasks.supervise("position flush", move |token: CancellationToken| {
            let inner = inner.clone();
            async move {
                let Some(inner) = inner.upgrade() else { return };
                let mut is_failing = false;
                loop {
                    tokio::select! {
                        () = token.cancelled() => break,
                        () = inner.positions.dirty.notified() => {}
                        () = tokio::time::sleep(AGAIN_AFTER), if inner.has_young_leases() => {
                            inner.list_young_leases();
                        }
                    }
                    tokio::select! {
                        () = token.cancelled() => break,
                        () = inner.positions.urgent.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    let leases = inner.flush_leases().await;
                    let outcome = inner.flush_positions().await.and(leases);
                    if let Err(error) = &outcome
                        && !is_failing
                    {
                        tracing::warn!(%error, "positions cannot be written and are kept in memory");
                    }
                    is_failing = outcome.is_err();
                    if inner.positions.len.load(Ordering::Acquire) > 0 {
                        inner.positions.dirty.notify_one();
                    }
                }
                inner.close_positions();
            }
        });
    }

    /// Writes what is pending for the last time.
    pub(crate) async fn close_positions(&self) -> Result<(), HubError> {
        match self.0.positions.flushed().await {
            Err(HubError::Closed) => Ok(()),
            flushed => flushed,
        }
    }
}

impl Inner {
    async fn flush_positions(&self) -> Result<(), HubError> {
        // Waiters first: what they wait for was entered before they asked, so it is in the snapshot or already written.
        let waiters = std::mem::take(&mut *self.positions.waiters.lock());
        let pending = self.positions.snapshot();
        let is_durable = pending.iter().any(|(_, pending)| pending.is_durable);
        let outcome = self.write_positions(&pending, is_durable).await;
        for waiter in waiters {
            // Who no longer waits does not need the answer.
            let _ = waiter.send(outcome.clone());
        }
        outcome
    }

    async fn write_positions(
        &self,
        pending: &[(Key, Pending)],
        is_durable: bool,
    ) -> Result<(), HubError> {
        let durability = if is_durable {
            self.config.durability
        } else {
            Durability::Written
        };
        for part in pending.chunks(FLUSH_AT) {
            let changes: Vec<Change> = part
                .iter()
                .map(|((group, queue), pending)| Change::Commit {
                    group: *group,
                    queue: *queue,
                    offset: pending.offset,
                })
                .collect();
            self.store.change(&changes, durability).await?;
            self.positions.settle(part, is_durable);
        }
        Ok(())
    }

    /// Takes no more and answers who still waits.
    fn close_positions(&self) {
        let mut waiters = self.positions.waiters.lock();
        self.positions.is_closed.store(true, Ordering::Release);
        for waiter in waiters.drain(..) {
            let _ = waiter.send(Err(HubError::Closed));
        }
    }
}
