//! Identities that are never given out twice. Owns one range of numbers per kind; a range is reserved in the store before
//! its first number is used, so that neither crash nor deletion brings a number back. What a range has left at the end of
//! the process is lost.

use bytes::Bytes;
use crossdock_store::change::Change;
use crossdock_store::store::Store;
use crossdock_store::types::Durability;
use tokio::sync::Mutex;

use crate::error::HubError;
use crate::table::COUNTERS;

/// Numbers reserved at a time.
const RANGE: u32 = 1024;

#[derive(Debug)]
pub(crate) struct Ids {
    kind: &'static str,
    range: Mutex<Range>,
}

#[derive(Debug)]
struct Range {
    next: u32,
    end: u32,
}

impl Ids {
    pub(crate) fn load(store: &Store, kind: &'static str) -> Result<Self, HubError> {
        let reserved = match store.row(COUNTERS, kind.as_bytes()) {
            None => 1,
            Some(row) => <[u8; 4]>::try_from(row.as_ref())
                .map(u32::from_le_bytes)
                .map_err(|_| HubError::Corrupt("counter"))?,
        };
        Ok(Self {
            kind,
            range: Mutex::new(Range {
                next: reserved,
                end: reserved,
            }),
        })
    }

    /// The next number; durable before it is returned.
    pub(crate) async fn next(&self, store: &Store) -> Result<u32, HubError> {
        let mut range = self.range.lock().await;
        if range.next == range.end {
            let end = range.end.checked_add(RANGE).ok_or(HubError::Limit {
                what: self.kind,
                limit: u32::MAX as usize,
            })?;
            let reserve = Change::Put {
                table: COUNTERS,
                key: Bytes::from_static(self.kind.as_bytes()),
                value: Bytes::copy_from_slice(&end.to_le_bytes()),
            };
            store.change(&[reserve], Durability::Durable).await?;
            range.end = end;
        }
        let number = range.next;
        range.next += 1;
        Ok(number)
    }
}
