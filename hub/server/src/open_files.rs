//! The limit on open files: each connection is one, and the customary soft limit of 1024 is far
//! below what the hub accepts. The soft limit is raised as far as the hard one allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files the process needs beside its connections: segments, index, sockets.
const RESERVE: u64 = 1024;

/// Raises the limit for `connections` and returns a note when that many do not fit.
#[must_use]
pub fn raise_for(connections: u32) -> Option<String> {
    let wanted = u64::from(connections) + RESERVE;
    let limit = getrlimit(Resource::Nofile);
    let before = limit.current.unwrap_or(u64::MAX);
    if before >= wanted {
        return None;
    }
    let target = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    let raised = Rlimit {
        current: Some(target),
        maximum: limit.maximum,
    };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() {
        target
    } else {
        before
    };
    (now < wanted).then(|| {
        format!(
            "the limit of {now} open files leaves room for about {} connections of \
             listen.max_connections = {connections}",
            now.saturating_sub(RESERVE)
        )
    })
}
