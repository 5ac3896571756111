//! What the tests of the views share: a log in memory, and a model of what the views have to answer.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod fixture;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use crossdock_store::change::{self, Change, Changes};
use crossdock_store::record::{Draft, Record, Stamp};
use crossdock_store::types::{Flavour, GroupId, Position, QueueId, TableId};
use crossdock_store::view::Views;
use smallvec::smallvec;

/// Bytes between two records now and then, as block headers leave them.
const GAP: u64 = 64;

/// A record of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) position: Position,
    pub(crate) bytes: Vec<u8>,
}

impl Logged {
    pub(crate) fn view(&self) -> Record<&[u8]> {
        Record::view(&self.bytes, self.position, true).expect("a record made by the test")
    }

    pub(crate) fn end(&self) -> Position {
        self.position.plus(self.bytes.len() as u64)
    }
}

/// A log that keeps everything in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) records: Vec<Logged>,
    pub(crate) start: Position,
}

impl Log {
    pub(crate) fn end(&self) -> Position {
        self.records.last().map_or(Position::ZERO, Logged::end)
    }

    /// Appends a record with offsets handed out by `assign`.
    pub(crate) fn append(
        &mut self,
        draft: Draft,
        stored_ms: i64,
        assign: impl Fn(QueueId, u32) -> u64,
    ) -> &Logged {
        let prepared = draft.prepare().expect("a draft within its limits");
        let gap = if self.records.len().is_multiple_of(7) {
            GAP
        } else {
            0
        };
        let position = self.end().plus(gap);
        let offset = if prepared.queue.is_none() {
            0
        } else {
            assign(prepared.queue, prepared.count)
        };
        let offsets: Vec<_> = prepared
            .dispatch
            .iter()
            .map(|q| assign(*q, prepared.count))
            .collect();
        let mut bytes = Vec::new();
        let stamp = Stamp {
            position,
            offset,
            dispatch_offsets: &offsets,
            stored_ms,
        };
        prepared.encode(&stamp, &mut bytes);
        self.records.push(Logged { position, bytes });
        self.records.last().expect("just pushed")
    }

    /// Applies everything from `from` on, beginning some records too early.
    pub(crate) fn replay(&self, views: &Views, from: Position, early: usize) {
        let first = self
            .records
            .partition_point(|r| r.position < from)
            .saturating_sub(early);
        for record in &self.records[first..] {
            if record.position >= self.start {
                views.apply(&record.view(), &mut |_, _, _, _| {});
            }
        }
    }
}

pub(crate) fn message(queue: QueueId, tag_hash: i64, keys: &[u64]) -> Draft {
    let tail = smallvec![Bytes::from_static(b"body")];
    let mut draft = Draft::new(queue, Flavour::Neutral, tail);
    draft.tag_hash = tag_hash;
    draft.keys = keys.into();
    draft
}

pub(crate) fn system(changes: &[Change]) -> Draft {
    change::draft(changes)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    pub(crate) offset: u64,
    pub(crate) count: u32,
    pub(crate) position: u64,
    pub(crate) bytes: u32,
    pub(crate) tag: u32,
    pub(crate) ms: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ModelQueue {
    pub(crate) entries: Vec<ModelEntry>,
    pub(crate) next: u64,
    pub(crate) floor: u64,
}

/// What the views should say, kept in the most obvious way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) queues: BTreeMap<QueueId, ModelQueue>,
    pub(crate) dropped: BTreeSet<QueueId>,
    pub(crate) rows: BTreeMap<(TableId, Bytes), Bytes>,
    pub(crate) positions: BTreeMap<(GroupId, QueueId), u64>,
    pub(crate) timers: BTreeMap<(i64, u64), (u32, QueueId)>,
    pub(crate) keys: Vec<(u64, u64, i64)>,
}

impl Model {
    pub(crate) fn of(log: &Log) -> Self {
        let mut model = Self::default();
        for record in &log.records {
            model.apply(&record.view());
        }
        model
    }

    fn index(&mut self, record: &Record<&[u8]>, queue: QueueId, offset: u64) {
        if self.dropped.contains(&queue) {
            return;
        }
        let q = self.queues.entry(queue).or_default();
        assert_eq!(q.next, offset, "offsets of {queue:?} are dense");
        q.next = offset + u64::from(record.count);
        q.entries.push(ModelEntry {
            offset,
            count: record.count,
            position: record.position.0,
            bytes: record.bytes,
            tag: record.tag_hash as u32,
            ms: record.stored_ms,
        });
    }

    fn remove_timer(&mut self, position: Position) {
        self.timers.retain(|(_, at), _| *at != position.0);
    }

    pub(crate) fn apply(&mut self, record: &Record<&[u8]>) {
        if record.is_scheduled() {
            let due = record.due_ms().expect("due time");
            let target = record.target().expect("target");
            self.timers
                .insert((due, record.position.0), (record.bytes, target));
        } else if !record.queue.is_none() {
            self.index(record, record.queue, record.offset);
        }
        for (queue, offset) in record.dispatch() {
            self.index(record, queue, offset);
        }
        if let Some(timer) = record.fires() {
            self.remove_timer(timer);
        }
        for key in record.keys() {
            self.keys.push((key, record.position.0, record.stored_ms));
        }
        if record.flavour != Flavour::System {
            return;
        }
        for change in Changes::of(Bytes::copy_from_slice(record.tail)) {
            match change.expect("changes made by the test") {
                Change::Put { table, key, value } => {
                    self.rows.insert((table, key), value);
                }
                Change::Delete { table, key } => {
                    self.rows.remove(&(table, key));
                }
                Change::Commit {
                    group,
                    queue,
                    offset,
                } => {
                    self.positions.insert((group, queue), offset);
                }
                Change::Forget { group, queue } => {
                    self.positions.remove(&(group, queue));
                }
                Change::Cancel { timer } => self.remove_timer(timer),
                Change::Trim { queue, before } => {
                    if let Some(q) = self.queues.get_mut(&queue) {
                        q.floor = q.floor.max(before.min(q.next));
                    }
                }
                Change::Drop { queue } => {
                    self.queues.remove(&queue);
                    self.dropped.insert(queue);
                }
            }
        }
    }

    /// Compares every answer of the views with the model, for a log that begins at `start`.
    pub(crate) fn check(&self, views: &Views, start: Position) {
        for (id, queue) in &self.queues {
            check_queue(views, *id, queue, start.0);
        }
        for id in &self.dropped {
            assert_eq!(views.bounds(*id).expect("bounds").max, 0);
            assert_eq!(views.entries(*id, 0, 10, &mut Vec::new()), Ok(0));
        }
        let tables: BTreeSet<_> = self.rows.keys().map(|(table, _)| *table).collect();
        for table in tables.into_iter().chain([TableId(99)]) {
            let rows: Vec<_> = self
                .rows
                .iter()
                .filter(|((t, _), _)| *t == table)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(views.scan(table, b"", usize::MAX), rows);
            assert_eq!(views.len(table), rows.len());
            for (key, value) in &rows {
                assert_eq!(views.get(table, key).as_ref(), Some(value));
                let prefix = &key[..key.len().min(1)];
                let expected: Vec<_> = rows
                    .iter()
                    .filter(|(k, _)| k.starts_with(prefix) && k > key)
                    .cloned()
                    .collect();
                assert_eq!(views.scan_after(table, prefix, key, usize::MAX), expected);
            }
        }
        let groups: BTreeSet<_> = self.positions.keys().map(|(group, _)| *group).collect();
        for group in groups.into_iter().chain([GroupId(99)]) {
            let expected: Vec<_> = self
                .positions
                .iter()
                .filter(|((g, _), _)| *g == group)
                .map(|((_, queue), offset)| (*queue, *offset))
                .collect();
            assert_eq!(views.positions_of(group), expected);
        }
        self.check_timers(views);
        self.check_keys(views, start.0);
    }

    fn check_timers(&self, views: &Views) {
        let expected: Vec<_> = self
            .timers
            .iter()
            .map(|((due, at), _)| (*due, *at))
            .collect();
        let due = views.due(i64::MAX - 1, usize::MAX).expect("due");
        let found: Vec<_> = due.iter().map(|t| (t.due_ms, t.position.0)).collect();
        assert_eq!(found, expected);
        for timer in &due {
            let (bytes, target) = self.timers[&(timer.due_ms, timer.position.0)];
            assert_eq!((timer.bytes, timer.target), (bytes, target));
            assert_eq!(views.is_pending(timer.position), Ok(true));
        }
        if let Some(middle) = due.get(due.len() / 2) {
            let after: Vec<_> = due
                .iter()
                .filter(|t| *t > middle)
                .take(3)
                .copied()
                .collect();
            assert_eq!(views.due_after(i64::MAX - 1, middle, 3), Ok(after));
            let until: Vec<_> = due
                .iter()
                .filter(|t| t.due_ms <= middle.due_ms)
                .copied()
                .collect();
            assert_eq!(views.due(middle.due_ms, usize::MAX), Ok(until));
        }
        assert_eq!(views.next_due(), Ok(expected.first().map(|(due, _)| *due)));
        let pin = expected.iter().map(|(_, at)| Position(*at)).min();
        assert_eq!(views.oldest_pin(), Ok(pin));
    }

    fn check_keys(&self, views: &Views, start: u64) {
        let hashes: BTreeSet<_> = self.keys.iter().map(|(hash, _, _)| *hash).collect();
        for hash in hashes.into_iter().chain([u64::MAX]) {
            let mut expected: Vec<_> = self
                .keys
                .iter()
                .filter(|(h, at, _)| *h == hash && *at >= start)
                .map(|(_, at, ms)| (Position(*at), *ms))
                .collect();
            expected.reverse();
            expected.dedup();
            let all: Vec<_> = expected.iter().map(|(at, _)| *at).collect();
            assert_eq!(
                views.find(hash, i64::MIN, i64::MAX, usize::MAX),
                Ok(all.clone())
            );
            assert_eq!(
                views.find(hash, i64::MIN, i64::MAX, 2),
                Ok(all[..all.len().min(2)].to_vec())
            );
            if let Some((_, ms)) = expected.get(expected.len() / 2) {
                let until: Vec<_> = expected
                    .iter()
                    .filter(|(_, m)| m <= ms)
                    .map(|(at, _)| *at)
                    .collect();
                assert_eq!(views.find(hash, i64::MIN, *ms, usize::MAX), Ok(until));
            }
        }
    }
}

fn check_queue(views: &Views, id: QueueId, queue: &ModelQueue, start: u64) {
    let live: Vec<_> = queue
        .entries
        .iter()
        .filter(|e| e.position >= start && e.offset + u64::from(e.count) > queue.floor)
        .cloned()
        .collect();
    let min = live
        .first()
        .map_or(queue.next, |e| e.offset.max(queue.floor));
    let bounds = views.bounds(id).expect("bounds");
    assert_eq!(
        (bounds.min, bounds.max),
        (min, queue.next),
        "bounds of {id:?}"
    );
    assert_eq!(views.next_offset(id), queue.next);
    if let Some(last) = queue.entries.last() {
        assert_eq!(views.last_stored_ms(id), Some(last.ms));
    }
    let step = (queue.next / 13).max(1);
    let probes = (0..=queue.next + 1)
        .step_by(step as usize)
        .chain([min, queue.next]);
    for from in probes {
        for max in [1, 70, usize::MAX] {
            let expected: Vec<_> = live
                .iter()
                .filter(|e| e.offset + u64::from(e.count) > from)
                .take(max)
                .cloned()
                .collect();
            let mut out = Vec::new();
            views.entries(id, from, max, &mut out).expect("entries");
            let found: Vec<_> = out
                .iter()
                .map(|e| ModelEntry {
                    offset: e.offset,
                    count: e.count,
                    position: e.position.0,
                    bytes: e.bytes,
                    tag: e.tag_hash,
                    ms: e.stored_ms,
                })
                .collect();
            assert_eq!(
                found, expected,
                "entries of {id:?} from {from}, at most {max}"
            );
        }
    }
    let (Some(first), Some(last)) = (live.first(), live.last()) else {
        return;
    };
    let times: BTreeSet<_> = live
        .iter()
        .step_by(5)
        .flat_map(|e| [e.ms - 1, e.ms, e.ms + 1])
        .collect();
    for ms in times
        .into_iter()
        .chain([i64::MIN, i64::MAX, first.ms - 9, last.ms + 9])
    {
        use crossdock_store::view::Boundary;
        let at_or_after = live
            .iter()
            .find(|e| e.ms >= ms)
            .map_or(queue.next, |e| e.offset);
        let lower = views.offset_by_time(id, ms, Boundary::Lower);
        assert_eq!(lower, Ok(at_or_after.max(min)), "lower bound at {ms}");
        let at_or_before = live.iter().rev().find(|e| e.ms <= ms);
        let at_or_before = at_or_before.map_or(0, |e| e.offset + u64::from(e.count) - 1);
        let upper = views.offset_by_time(id, ms, Boundary::Upper);
        assert_eq!(upper, Ok(at_or_before.max(min)), "upper bound at {ms}");
    }
}
