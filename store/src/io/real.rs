//! Files of the operating system: positional reads and writes, `fdatasync`, reserved space, one lock per folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::{Errno, ReadWriteFlags};

use super::map::FileMap;
use super::{Disk, Entry, File, IoError, Mapping, Space, split, within};

const LOCK: &str = "lock";
/// Distance between the bytes asked about by [`File::is_resident`]; read-ahead brings at least this much at once.
const RESIDENT_STEP: usize = 64 * 1024;

fn failed(operation: &'static str, name: &str, error: &io::Error) -> IoError {
    match error.kind() {
        ErrorKind::NotFound => IoError::NotFound(name.to_owned()),
        ErrorKind::AlreadyExists => IoError::Exists(name.to_owned()),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => IoError::Full,
        _ => IoError::Io {
            operation,
            cause: error.to_string(),
        },
    }
}

/// A folder of the file system, locked for this process.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Held for its lock.
    _lock: fs::File,
}

impl RealDisk {
    /// Opens a folder, made if it is missing (with access for its user only), and locks it.
    ///
    /// # Errors
    /// [`IoError::Locked`] if another process, or another handle of this one, has the folder open.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, IoError> {
        let root = root.into();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(|e| failed("create folder", "", &e))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(root.join(LOCK))
            .map_err(|e| failed("open lock", LOCK, &e))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(IoError::Locked),
            Err(e) => Err(failed("lock", LOCK, &e.into())),
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf, IoError> {
        let (folder, file) = split(name)?;
        Ok(if folder.is_empty() {
            self.root.join(file)
        } else {
            self.root.join(folder).join(file)
        })
    }

    fn folder(&self, folder: &str) -> Result<PathBuf, IoError> {
        if folder.is_empty() {
            return Ok(self.root.clone());
        }
        match split(folder)? {
            ("", name) => Ok(self.root.join(name)),
            _ => Err(IoError::Name(folder.to_owned())),
        }
    }

    fn make_folder(&self, name: &str) -> Result<(), IoError> {
        let (folder, _) = split(name)?;
        if folder.is_empty() {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(self.root.join(folder)) {
            Ok(()) => sync_folder(&self.root),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(failed("create folder", folder, &e)),
        }
    }
}

fn sync_folder(path: &Path) -> Result<(), IoError> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| failed("sync folder", "", &e))
}

impl Disk for RealDisk {
    fn create(&self, name: &str, len: u64) -> Result<Arc<dyn File>, IoError> {
        let path = self.path(name)?;
        self.make_folder(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed("create", name, &e))?;
        let reserved = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len.max(1)) {
            // Not every file system can reserve space. There a full disk shows as a failing write, which fences.
            Err(Errno::OPNOTSUPP) => Ok(()),
            other => other.map_err(io::Error::from),
        };
        // One byte is reserved for an empty file because zero bytes cannot be; the length is then set exactly.
        if let Err(e) = reserved.and_then(|()| file.set_len(len)) {
            let error = failed("reserve", name, &e);
            fs::remove_file(&path).map_err(|e| failed("remove", name, &e))?;
            return Err(error);
        }
        Ok(Arc::new(RealFile { file, len }))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, IoError> {
        let path = self.path(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| failed("open", name, &e))?;
        let len = file
            .metadata()
            .map_err(|e| failed("stat", name, &e))?
            .size();
        Ok(Arc::new(RealFile { file, len }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        fs::rename(self.path(from)?, self.path(to)?).map_err(|e| failed("rename", from, &e))
    }

    fn remove(&self, name: &str) -> Result<(), IoError> {
        fs::remove_file(self.path(name)?).map_err(|e| failed("remove", name, &e))
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, IoError> {
        let entries = match fs::read_dir(self.folder(folder)?) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed("list", folder, &e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed("list", folder, &e))?;
            let metadata = entry.metadata().map_err(|e| failed("stat", folder, &e))?;
            let Ok(file) = entry.file_name().into_string() else {
                continue;
            };
            if !metadata.is_file() || (folder.is_empty() && file == LOCK) {
                continue;
            }
            let name = if folder.is_empty() {
                file
            } else {
                format!("{folder}/{file}")
            };
            found.push(Entry {
                name,
                len: metadata.size(),
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn sync_dir(&self, folder: &str) -> Result<(), IoError> {
        let path = self.folder(folder)?;
        match sync_folder(&path) {
            // A folder that was never made has nothing to make durable.
            Err(IoError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    fn space(&self) -> Result<Space, IoError> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|e| failed("stat", "", &e.into()))?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// Fixed at creation.
    len: u64,
}

impl File for RealFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), IoError> {
        within(at, bytes.len(), self.len)?;
        self.file
            .write_all_at(bytes, at)
            .map_err(|e| failed("write", "", &e))
    }

    fn sync_data(&self) -> Result<(), IoError> {
        self.file.sync_data().map_err(|e| failed("sync", "", &e))
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), IoError> {
        within(at, out.len(), self.len)?;
        self.file
            .read_exact_at(out, at)
            .map_err(|e| failed("read", "", &e))
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn map(&self) -> Result<Arc<dyn Mapping>, IoError> {
        let map = FileMap::of(&self.file, self.len)?;
        Ok(map)
    }

    fn is_resident(&self, at: u64, len: usize) -> bool {
        if len == 0 || within(at, len, self.len).is_err() {
            return len == 0;
        }
        let last = at + len as u64 - 1;
        let mut probe = [0u8; 1];
        (at..last).step_by(RESIDENT_STEP).chain([last]).all(|byte| {
            let mut out = [IoSliceMut::new(&mut probe)];
            let flags = ReadWriteFlags::NOWAIT;
            match rustix::io::preadv2(&self.file, &mut out, byte, flags) {
                Ok(read) => read == 1,
                // A file system that cannot tell is taken for hot: a wrong hint costs time, nothing else.
                Err(e) => e == Errno::OPNOTSUPP || e == Errno::NOSYS,
            }
        })
    }
}
