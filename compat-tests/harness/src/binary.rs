//! Finds the `crossdock` binary under test: the one named by `CROSSDOCK_BIN`, else the newest one that is not older
//! than the sources, else one built now.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::{cache, command, workspace};

/// Folders whose files go into the binary.
const SOURCES: [&str; 5] = ["proto", "store", "hub", "adapters", "Cargo.lock"];
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The path of the binary to test. Built at most once per process.
pub fn crossdock() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = found.as_ref() {
        return Ok(path.clone());
    }
    let path = find()?;
    *found = Some(path.clone());
    Ok(path)
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CROSSDOCK_BIN") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("CROSSDOCK_BIN names {}, which is no file", path.display());
        }
        return Ok(path);
    }
    let release = workspace::target().join("release/crossdock");
    let debug = workspace::target().join("debug/crossdock");
    let sources = newest_source()?;
    if let Some(path) = choose(
        (&release, modified(&release)),
        (&debug, modified(&debug)),
        sources,
    ) {
        return Ok(path);
    }
    build()?;
    if !debug.is_file() {
        bail!("cargo build left no {}", debug.display());
    }
    Ok(debug)
}

/// The newest binary that has seen all sources; the release one on a tie.
fn choose(
    release: (&Path, Option<SystemTime>),
    debug: (&Path, Option<SystemTime>),
    sources: SystemTime,
) -> Option<PathBuf> {
    let mut current: Vec<(SystemTime, &Path)> = [debug, release]
        .into_iter()
        .filter_map(|(path, time)| time.map(|time| (time, path)))
        .filter(|(time, _)| *time >= sources)
        .collect();
    current.sort_by_key(|(time, _)| *time);
    current.last().map(|(_, path)| path.to_path_buf())
}

/// Builds with the features of the whole workspace, so that it shares every dependency with `cargo test --workspace`.
fn build() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command::run(
        Command::new(cargo)
            .args(["build", "--workspace", "--bin", "crossdock"])
            .current_dir(workspace::root()),
        BUILD_LIMIT,
    )
    .context("cannot build the crossdock binary")?;
    Ok(())
}

fn newest_source() -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for source in SOURCES {
        let path = workspace::root().join(source);
        if !path.exists() {
            continue;
        }
        for file in cache::files_below(&path)? {
            newest = newest.max(modified(&file).unwrap_or(newest));
        }
    }
    Ok(newest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_binary_that_is_not_stale_is_chosen() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let (release, debug) = (Path::new("release"), Path::new("debug"));
        let choose = |r, d| {
            choose(
                (release, r),
                (debug, d),
                SystemTime::UNIX_EPOCH + Duration::from_secs(10),
            )
        };
        assert_eq!(choose(at(20), at(15)), Some(release.into()));
        assert_eq!(choose(at(15), at(20)), Some(debug.into()));
        assert_eq!(choose(at(9), at(15)), Some(debug.into()));
        assert_eq!(choose(at(15), None), Some(release.into()));
        assert_eq!(choose(at(9), at(5)), None);
        assert_eq!(choose(None, None), None);
    }
}
