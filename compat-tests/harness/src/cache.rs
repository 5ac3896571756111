//! Things fetched or compiled once and kept below `target/compat/`. A lock file serialises parallel tests; a key made
//! of everything that goes into the result decides whether it can be used again.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What a cached result was made of.
#[derive(Debug, Default)]
pub struct Key(DefaultHasher);

impl Key {
    pub fn text(mut self, text: &str) -> Self {
        text.hash(&mut self.0);
        self
    }

    /// Adds names and contents of all files below `path`, in a fixed order.
    pub fn files(mut self, path: &Path) -> Result<Self> {
        for file in files_below(path)? {
            file.strip_prefix(path).unwrap_or(&file).hash(&mut self.0);
            fs::read(&file)
                .with_context(|| format!("cannot read {}", file.display()))?
                .hash(&mut self.0);
        }
        Ok(self)
    }

    fn finish(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// All files below `path` (or `path` itself), sorted.
pub fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Holds `folder` for this process until the file is dropped; another process waits.
pub fn hold(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join(".lock"))?;
    lock.lock()
        .with_context(|| format!("cannot lock {}", folder.display()))?;
    Ok(lock)
}

/// Runs `build` in `folder` unless the folder already holds the result for `key`. Only one process builds at a time;
/// a failed build leaves no key behind.
pub fn build(folder: &Path, key: &Key, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join(".lock"))?;
    lock.lock()
        .with_context(|| format!("cannot lock {}", folder.display()))?;
    let stamp = folder.join(".key");
    let wanted = key.finish();
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    match fs::remove_file(&stamp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    build(folder)?;
    fs::write(&stamp, wanted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn builds_once_per_key_and_again_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Cell::new(0);
        let count = |key: &str, outcome: Result<()>| {
            build(folder.path(), &Key::default().text(key), |_| {
                runs.set(runs.get() + 1);
                outcome
            })
        };
        count("a", Ok(())).unwrap();
        count("a", Ok(())).unwrap();
        assert_eq!(runs.get(), 1);
        count("b", Err(anyhow::anyhow!("no"))).unwrap_err();
        count("b", Ok(())).unwrap();
        count("b", Ok(())).unwrap();
        assert_eq!(runs.get(), 3);
    }

    #[test]
    fn a_changed_file_changes_the_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/a"), "one").unwrap();
        let first = Key::default().files(folder.path()).unwrap().finish();
        assert_eq!(first, Key::default().files(folder.path()).unwrap().finish());
        fs::write(folder.path().join("sub/a"), "two").unwrap();
        assert_ne!(first, Key::default().files(folder.path()).unwrap().finish());
    }
}
