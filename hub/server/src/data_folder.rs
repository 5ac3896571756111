//! The data folder: created on the first start, readable by its owner only, and held by one
//! process at a time through a lock that the kernel releases whichever way the process ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const MODE: u32 = 0o750;
const LOCK_FILE: &str = "lock";

/// A folder that is ours until dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error("data folder {} is in use by another process", .0.display())]
    Locked(PathBuf),
    #[error("data folder {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl DataFolder {
    /// Creates and locks the folder.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be created or written.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |source| DataFolderError::Io {
            path: path.to_path_buf(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(MODE)
            .create(path)
            .map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataFolderError::Locked(path)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // For people who wonder who holds the folder; nothing reads it.
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataFolder::open(&path).unwrap();
        assert!(matches!(
            DataFolder::open(&path),
            Err(DataFolderError::Locked(_))
        ));
        drop(first);
        DataFolder::open(&path).unwrap();
    }
}
