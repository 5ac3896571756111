//! Reading with a condition that the index knows nothing of: messages are fetched in steps, looked at, and kept or
//! dropped. What one call looks at is bounded, so that a reader passes over what it does not want in bounded portions.

use crossdock_store::api::{Message, ReadLimits, ReadOutcome, ReadStatus, TagFilter};

use crate::error::HubError;
use crate::hub::Hub;
use crate::topic::Topic;

/// Most messages looked at in one step.
const STEP: usize = 128;
/// Most bytes looked at in one call, in multiples of those that may be returned.
const BYTES_LOOKED_AT: usize = 8;

impl Hub {
    /// One step of [`Hub::read_where`], from memory; `None` if the disk has to be asked.
    pub fn try_read_where(
        &self,
        topic: &Topic,
        queue: u32,
        from: u64,
        limits: ReadLimits,
        wants: impl FnMut(&Message) -> bool,
    ) -> Option<Result<ReadOutcome, HubError>> {
        let mut selection = Selection::new(limits);
        let step = self.try_read(topic, queue, from, selection.step(), &TagFilter::All)?;
        Some(step.map(|mut step| {
            selection.take(&mut step, wants);
            selection.into_outcome(step)
        }))
    }

    /// Reads what `wants` says yes to. When nothing matches, as much was looked at as the limits allow, or all there is;
    /// the outcome says where to go on.
    ///
    /// # Errors
    /// The topic may not be read or has no such readable queue, or the store cannot read.
    pub async fn read_where(
        &self,
        topic: &Topic,
        queue: u32,
        from: u64,
        limits: ReadLimits,
        mut wants: impl FnMut(&Message) -> bool,
    ) -> Result<ReadOutcome, HubError> {
        let mut selection = Selection::new(limits);
        let read = self.read(topic, queue, from, selection.step(), &TagFilter::All);
        let mut last = read.await?;
        while !selection.take(&mut last, &mut wants) {
            // Others first: a step may have looked at all its messages in vain.
            tokio::task::yield_now().await;
            let read = self.read(topic, queue, last.next, selection.step(), &TagFilter::All);
            match read.await {
                Ok(step) if step.status == ReadStatus::Found => last = step,
                // The next call begins here, and meets what stands in the way.
                Ok(_) | Err(_) => break,
            }
        }
        Ok(selection.into_outcome(last))
    }
}

/// What a call has kept so far, and what it cost.
struct Selection {
    limits: ReadLimits,
    messages: Vec<Message>,
    bytes: usize,
    looked_at: usize,
    bytes_looked_at: usize,
}

impl Selection {
    fn new(limits: ReadLimits) -> Self {
        Self {
            limits,
            messages: Vec::new(),
            bytes: 0,
            looked_at: 0,
            bytes_looked_at: 0,
        }
    }

    /// Limits of the next step.
    fn step(&self) -> ReadLimits {
        let left = self.limits.scanned.saturating_sub(self.looked_at);
        let messages = STEP.min(left).max(1);
        ReadLimits {
            records: messages,
            bytes: self.limits.bytes,
            scanned: messages,
        }
    }

    /// Keeps what is wanted of a step and moves its end before what is wanted but has no room. True if this was the
    /// last step.
    fn take(&mut self, step: &mut ReadOutcome, mut wants: impl FnMut(&Message) -> bool) -> bool {
        if step.status != ReadStatus::Found {
            return true;
        }
        for message in std::mem::take(&mut step.messages) {
            let bytes = message.bytes();
            self.looked_at += 1;
            self.bytes_looked_at = self.bytes_looked_at.saturating_add(bytes);
            if !wants(&message) {
                continue;
            }
            let has_room = self.messages.is_empty()
                || (self.messages.len() < self.limits.records
                    && self.bytes + bytes <= self.limits.bytes);
            if !has_room {
                step.next = message.offset;
                return true;
            }
            self.bytes += bytes;
            self.messages.push(message);
        }
        step.next >= step.bounds.max
            || self.looked_at >= self.limits.scanned
            || self.bytes_looked_at >= self.limits.bytes.saturating_mul(BYTES_LOOKED_AT)
            || self.messages.len() >= self.limits.records
    }

    fn into_outcome(self, last: ReadOutcome) -> ReadOutcome {
        let status = match last.status {
            ReadStatus::Found if self.messages.is_empty() => ReadStatus::NoMatch,
            status => status,
        };
        ReadOutcome {
            status,
            messages: self.messages,
            ..last
        }
    }
}
