//! The hub's tables in the store: their numbers and how rows are written. Rows are JSON, so that a field can be added
//! without a migration; keys are names.

use bytes::Bytes;
use crossdock_store::change::Change;
use crossdock_store::types::TableId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::HubError;

/// Topic definitions by name.
pub(crate) const TOPICS: TableId = TableId(1);
/// Group definitions by name.
pub(crate) const GROUPS: TableId = TableId(2);
/// Highest reserved number of each kind of identity.
pub(crate) const COUNTERS: TableId = TableId(3);
/// Settings by namespace, a zero byte and key.
pub(crate) const SETTINGS: TableId = TableId(4);
/// Users by name.
pub(crate) const USERS: TableId = TableId(5);
/// Rules of a user by the user's name.
pub(crate) const RULES: TableId = TableId(6);

/// Leases by group, queue and offset, as the store's ledgers have them.
pub(crate) const LEASES: TableId = TableId(7);

/// Longest row the hub writes; the store would take longer ones.
pub(crate) const ROW_MAX: usize = 1024 * 1024;

pub(crate) fn put<T: Serialize + ?Sized>(
    table: TableId,
    key: &str,
    row: &T,
    what: &'static str,
) -> Result<Change, HubError> {
    let value = serde_json::to_vec(row).map_err(|_| HubError::Internal("a row is not JSON"))?;
    if value.len() > ROW_MAX {
        return Err(HubError::TooLarge {
            what,
            size: value.len(),
            limit: ROW_MAX,
        });
    }
    Ok(Change::Put {
        table,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.into(),
    })
}

pub(crate) fn delete(table: TableId, key: &str) -> Change {
    Change::Delete {
        table,
        key: Bytes::copy_from_slice(key.as_bytes()),
    }
}

pub(crate) fn read<T: DeserializeOwned>(value: &[u8], what: &'static str) -> Result<T, HubError> {
    serde_json::from_slice(value).map_err(|error| {
        tracing::error!(row = what, %error, "a stored definition cannot be read");
        HubError::Corrupt(what)
    })
}

pub(crate) fn name<'a>(key: &'a [u8], what: &'static str) -> Result<&'a str, HubError> {
    std::str::from_utf8(key).map_err(|_| HubError::Corrupt(what))
}
