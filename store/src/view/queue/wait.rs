//! Waiting for the next record of a queue.
//!
//! Waiters are kept beside the queues of a shard; a queue without any carries a flag that says so, and costs nothing. A
//! waiter is woken once, by the first entry that matches it, or when its queue is dropped; it leaves when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{Addition, Map, QueueTable};
use crate::api::TagFilter;
use crate::types::QueueId;
use crate::view::ViewError;

#[derive(Debug)]
pub(super) struct Waiter {
    id: u64,
    from: u64,
    filter: TagFilter,
    wake: oneshot::Sender<()>,
}

/// Waiters taken out of the table, to be woken without its locks.
#[derive(Debug, Default)]
pub(crate) struct Woken(Vec<oneshot::Sender<()>>);

impl Woken {
    /// Wakes them; returns their number.
    pub(crate) fn wake(&mut self) -> usize {
        let count = self.0.len();
        for waiter in self.0.drain(..) {
            // A waiter that has just left does not mind.
            let _ = waiter.send(());
        }
        count
    }
}

/// Moves the waiters an entry satisfies to `woken`; true if others remain.
pub(super) fn wake(
    waiters: &mut Map<QueueId, Vec<Waiter>>,
    queue: QueueId,
    add: &Addition,
    woken: &mut Woken,
) -> bool {
    let Some(list) = waiters.get_mut(&queue) else {
        return false;
    };
    let end = add.offset + u64::from(add.count);
    let mut at = 0;
    while let Some(waiter) = list.get(at) {
        if end > waiter.from && waiter.filter.wants(add.tag_hash) {
            woken.0.push(list.swap_remove(at).wake);
        } else {
            at += 1;
        }
    }
    if list.is_empty() {
        waiters.remove(&queue);
        return false;
    }
    true
}

pub(super) fn wake_all(waiters: &mut Map<QueueId, Vec<Waiter>>, queue: QueueId, woken: &mut Woken) {
    let list = waiters.remove(&queue).unwrap_or_default();
    woken.0.extend(list.into_iter().map(|w| w.wake));
}

/// Ends when a record has arrived that may be what was waited for. Dropping it ends the wait.
#[derive(Debug)]
#[must_use = "a wait that is dropped is cancelled"]
pub struct Arrival {
    table: Arc<QueueTable>,
    queue: QueueId,
    /// `None` if there was something to read at once.
    waiter: Option<(u64, oneshot::Receiver<()>)>,
}

impl Future for Arrival {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.waiter {
            None => Poll::Ready(()),
            // A sender that is gone has nothing to tell any more.
            Some((_, woken)) => Pin::new(woken).poll(cx).map(|_| ()),
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let Some((id, _)) = self.waiter else { return };
        self.table.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut guard = self.table.shard(self.queue).write();
        let shard = &mut *guard;
        let Some(list) = shard.waiters.get_mut(&self.queue) else {
            return;
        };
        list.retain(|w| w.id != id);
        if list.is_empty() {
            shard.waiters.remove(&self.queue);
            if let Some(hot) = shard.hot.get_mut(&self.queue) {
                hot.waited = false;
            }
        }
    }
}

impl QueueTable {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Wakes everybody.
    pub(crate) fn release_waiters(&self) {
        let mut woken = Woken::default();
        for shard in &self.shards {
            let mut shard = shard.write();
            for list in std::mem::take(&mut shard.waiters).into_values() {
                woken.0.extend(list.into_iter().map(|w| w.wake));
            }
            shard.hot.values_mut().for_each(|hot| hot.waited = false);
        }
        woken.wake();
    }

    /// Waits for a record at `from` or after it that passes the filter.
    pub(crate) fn arrival(
        self: &Arc<Self>,
        queue: QueueId,
        from: u64,
        filter: TagFilter,
    ) -> Result<Arrival, ViewError> {
        let mut arrival = Arrival {
            table: Arc::clone(self),
            queue,
            waiter: None,
        };
        let mut guard = self.shard(queue).write();
        let shard = &mut *guard;
        if shard.retired.contains_key(&queue) || has_arrived(shard, queue, from, &filter) {
            return Ok(arrival);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiters_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(ViewError::WaitersFull);
        }
        let id = self.next_waiter.fetch_add(1, Ordering::Relaxed);
        let (wake, woken) = oneshot::channel();
        let waiter = Waiter {
            id,
            from,
            filter,
            wake,
        };
        shard.waiters.entry(queue).or_default().push(waiter);
        if let Some(hot) = shard.hot.get_mut(&queue) {
            hot.waited = true;
        }
        drop(guard);
        arrival.waiter = Some((id, woken));
        Ok(arrival)
    }
}

/// True if something at `from` or after it passes, or may pass but is not in memory.
fn has_arrived(shard: &super::Shard, queue: QueueId, from: u64, filter: &TagFilter) -> bool {
    let Some(hot) = shard.hot.get(&queue) else {
        return shard.idle.get(&queue).is_some_and(|i| i.next > from);
    };
    if hot.next <= from {
        return false;
    }
    if *filter == TagFilter::All || hot.memory_first() > from {
        return true;
    }
    hot.runs().any(|run| {
        let from = run.at_offset(from);
        let entries = run.entries.get(from..).unwrap_or_default();
        entries.iter().any(|e| filter.may_want(e.tag_hash))
    })
}
