//! Memory maps behind a safe face. The only file of the workspace that may say `unsafe`.
#![allow(
    unsafe_code,
    reason = "a file map is a slice of memory that the compiler cannot see the rules of"
)]

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};

use super::{IoError, Mapping, within};

/// A shared read-only map of a whole file.
#[derive(Debug)]
pub(super) struct FileMap {
    map: Mmap,
}

impl FileMap {
    pub(super) fn of(file: &fs::File, len: u64) -> Result<Arc<Self>, IoError> {
        let len = usize::try_from(len).map_err(|e| IoError::Io {
            operation: "map",
            cause: e.to_string(),
        })?;
        // SAFETY: a map is sound while nobody changes or truncates the bytes that are looked at. The folder is locked
        // against other processes and private to its user, files of the store have a fixed length and are never
        // truncated, and the contract of `Mapping` says that a sliced range is not written while a slice lives.
        let map = unsafe { MmapOptions::new().len(len).map(file) };
        let map = map.map_err(|e| IoError::Io {
            operation: "map",
            cause: e.to_string(),
        })?;
        Ok(Arc::new(Self { map }))
    }
}

/// The owner inside a [`Bytes`]: keeps the map alive and shows its part of it.
struct Part {
    map: Arc<FileMap>,
    from: usize,
    to: usize,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.map.map[self.from..self.to]
    }
}

impl Mapping for FileMap {
    fn slice(self: Arc<Self>, at: u64, len: usize) -> Result<Bytes, IoError> {
        within(at, len, self.map.len() as u64)?;
        let from = at as usize;
        Ok(Bytes::from_owner(Part {
            map: self,
            from,
            to: from + len,
        }))
    }
}
