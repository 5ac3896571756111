//! Tables: small keyed state, all of it in memory.
//!
//! The applier is the only writer. Whoever keeps something derived from a table watches its version.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::queue::Map;
use crate::types::TableId;

#[derive(Debug)]
struct Table {
    rows: RwLock<BTreeMap<Bytes, Bytes>>,
    version: watch::Sender<u64>,
}

/// All tables.
#[derive(Debug, Default)]
pub(crate) struct Tables(RwLock<Map<TableId, Arc<Table>>>);

impl Tables {
    fn find(&self, id: TableId) -> Option<Arc<Table>> {
        self.0.read().get(&id).cloned()
    }

    fn table(&self, id: TableId) -> Arc<Table> {
        if let Some(table) = self.find(id) {
            return table;
        }
        let mut tables = self.0.write();
        let table = tables.entry(id).or_insert_with(|| {
            Arc::new(Table {
                rows: RwLock::default(),
                version: watch::Sender::new(0),
            })
        });
        Arc::clone(table)
    }

    /// Sets a row, or removes it.
    pub(crate) fn set(&self, id: TableId, key: &Bytes, value: Option<Bytes>) {
        let table = self.table(id);
        match value {
            Some(value) => table.rows.write().insert(key.clone(), value),
            None => table.rows.write().remove(key),
        };
    }

    /// Tells those who watch a table that it changed.
    pub(crate) fn changed(&self, id: TableId) {
        self.table(id).version.send_modify(|v| *v += 1);
    }

    pub(crate) fn get(&self, id: TableId, key: &[u8]) -> Option<Bytes> {
        self.find(id)?.rows.read().get(key).cloned()
    }

    pub(crate) fn len(&self, id: TableId) -> usize {
        self.find(id).map_or(0, |t| t.rows.read().len())
    }

    /// Up to `limit` rows whose keys begin with `prefix` and come after `after`, in order of their keys.
    pub(crate) fn scan(
        &self,
        id: TableId,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Bytes, Bytes)> {
        let Some(table) = self.find(id) else {
            return Vec::new();
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let rows = table.rows.read();
        rows.range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    pub(crate) fn watch(&self, id: TableId) -> watch::Receiver<u64> {
        self.table(id).version.subscribe()
    }

    /// Visits every row, in no order of tables.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(TableId, &[u8], &[u8])) {
        let tables: Vec<_> = self
            .0
            .read()
            .iter()
            .map(|(id, t)| (*id, Arc::clone(t)))
            .collect();
        for (id, table) in tables {
            for (key, value) in table.rows.read().iter() {
                visit(id, key, value);
            }
        }
    }
}
