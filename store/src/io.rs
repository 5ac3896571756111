//! The store's only doors to the outside: files, memory maps and clocks, as narrow traits.
//!
//! [`RealDisk`] and [`SystemClock`] are what runs in production; [`sim`] holds a disk and a clock that tests own,
//! with faults, power loss and full disks. Nothing above this module opens a file, maps memory or asks for the time in
//! another way. The one unsafe file of the workspace is `io/map.rs`.

mod clock;
mod map;
mod real;
pub mod sim;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

pub use clock::{Clock, SystemClock};
pub use real::RealDisk;

/// Longest file name, folder included.
pub const NAME_MAX: usize = 128;

/// What a file operation can fail with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// The disk, or the share of it that may be used, is full. Nothing was changed.
    #[error("the disk is full")]
    Full,
    /// The device or the operating system reported a failure; what was being written is in an unknown state.
    #[error("{operation} failed: {cause}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// What the operating system said.
        cause: String,
    },
    /// There is no file of this name.
    #[error("there is no file {0}")]
    NotFound(String),
    /// There already is a file of this name.
    #[error("there already is a file {0}")]
    Exists(String),
    /// The handle belongs to an earlier life of the disk.
    #[error("the handle is stale")]
    Stale,
    /// The range does not lie within the file.
    #[error("{len} bytes at {at} are not within a file of {file_len}")]
    Bounds {
        /// First byte.
        at: u64,
        /// Number of bytes.
        len: u64,
        /// Length of the file.
        file_len: u64,
    },
    /// Another process has the folder open.
    #[error("the folder is in use by another process")]
    Locked,
    /// The name is empty, too long, or more than one folder deep.
    #[error("{0:?} is not a name for a file")]
    Name(String),
}

/// A file as a folder lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name, with its folder.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
}

/// Room on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can still be written.
    pub free: u64,
}

/// A folder of files with names like `superblock` or `log/00000000000000000000`.
pub trait Disk: Send + Sync + Debug {
    /// Makes a file of `len` zero bytes, with its space reserved, and its folder if that is missing.
    ///
    /// # Errors
    /// [`IoError::Full`] if the space cannot be had, [`IoError::Exists`] if the name is taken.
    fn create(&self, name: &str, len: u64) -> Result<Arc<dyn File>, IoError>;
    /// Opens a file.
    ///
    /// # Errors
    /// [`IoError::NotFound`] without a file of that name.
    fn open(&self, name: &str) -> Result<Arc<dyn File>, IoError>;
    /// Renames a file, replacing what had the new name.
    ///
    /// # Errors
    /// [`IoError::NotFound`] without a file of that name.
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError>;
    /// Removes a file. Its bytes stay readable through open handles and mappings.
    ///
    /// # Errors
    /// [`IoError::NotFound`] without a file of that name.
    fn remove(&self, name: &str) -> Result<(), IoError>;
    /// Lists the files of a folder, sorted by name; `""` is the root. An absent folder is empty.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self, folder: &str) -> Result<Vec<Entry>, IoError>;
    /// Makes creations, renames and removals in a folder durable.
    ///
    /// # Errors
    /// The folder cannot be synced; what became durable is unknown.
    fn sync_dir(&self, folder: &str) -> Result<(), IoError>;
    /// Room on the device.
    ///
    /// # Errors
    /// The device cannot be asked.
    fn space(&self) -> Result<Space, IoError>;
}

/// An open file of fixed length. All operations are positional; handles are shared freely.
pub trait File: Send + Sync + Debug {
    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    /// [`IoError::Bounds`] beyond the file's length; otherwise some of the bytes may have been written.
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), IoError>;
    /// Makes all bytes written so far durable.
    ///
    /// # Errors
    /// What became durable is unknown, and a later success does not tell either.
    fn sync_data(&self) -> Result<(), IoError>;
    /// Fills `out` from `at`.
    ///
    /// # Errors
    /// [`IoError::Bounds`] beyond the file's length.
    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), IoError>;
    /// Length in bytes.
    fn len(&self) -> u64;
    /// True for a file without bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Maps the whole file for reading.
    ///
    /// # Errors
    /// The file cannot be mapped.
    fn map(&self) -> Result<Arc<dyn Mapping>, IoError>;
    /// A hint whether a read of this range would be answered from memory.
    fn is_resident(&self, at: u64, len: usize) -> bool;
}

/// A read-only view of a file that outlives its handle and its name.
///
/// The owner of the file promises that a range is not written any more once it has been sliced, for as long as the slice
/// lives. The log keeps that promise by slicing below its written mark only, and by not reusing a file while
/// [`Arc::strong_count`] of its mapping tells of slices.
pub trait Mapping: Send + Sync + Debug {
    /// A slice of the file that keeps the mapping alive, without a copy where the disk can do so.
    ///
    /// # Errors
    /// [`IoError::Bounds`] beyond the file's length.
    fn slice(self: Arc<Self>, at: u64, len: usize) -> Result<Bytes, IoError>;
}

/// Splits a name into its folder and the name inside, refusing what is not a plain name.
fn split(name: &str) -> Result<(&str, &str), IoError> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let plain = |part: &str| {
        !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if name.len() > NAME_MAX
        || file.is_empty()
        || name.starts_with('/')
        || !plain(folder)
        || !plain(file)
    {
        return Err(IoError::Name(name.to_owned()));
    }
    Ok((folder, file))
}

fn within(at: u64, len: usize, file_len: u64) -> Result<(), IoError> {
    match at.checked_add(len as u64) {
        Some(end) if end <= file_len => Ok(()),
        _ => Err(IoError::Bounds {
            at,
            len: len as u64,
            file_len,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_flat_or_one_folder_deep() {
        assert_eq!(split("superblock"), Ok(("", "superblock")));
        assert_eq!(split("log/0001"), Ok(("log", "0001")));
        for bad in [
            "",
            "/x",
            "x/",
            "a/b/c",
            "../x",
            "a/..",
            ".hidden",
            "a b",
            &"x".repeat(200),
        ] {
            assert!(split(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn ranges_do_not_wrap() {
        assert_eq!(within(10, 5, 15), Ok(()));
        assert!(within(11, 5, 15).is_err());
        assert!(within(u64::MAX, 2, 15).is_err());
    }
}
