//! Ten thousand connections that send three bytes of a frame and nothing more.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::CaseBody;
use super::peer::Peer;
use crate::hub::Hub;

const CONNECTIONS: usize = 10_000;
/// Descriptors that this process and, by inheritance, the server need.
const FILES: u64 = 12_000;
/// The documented idle limit of a server connection is 120 s.
const HANG_UP_LIMIT: Duration = Duration::from_secs(150);
const ACCEPT_LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: [(&str, CaseBody); 1] = [("ten_thousand_half_open_connections", half_open)];

/// Raises the limit of open files for this process and its children, as far as it may.
pub(super) fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= FILES) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(FILES));
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .with_context(|| format!("this suite needs {FILES} open files, see ulimit -Hn"))
}

fn half_open(hub: &Hub) -> Result<()> {
    let mut crowd = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(hub.broker())
            .with_context(|| format!("connection {number} of {CONNECTIONS}"))?;
        // The server may hang up before the bytes are out.
        if stream.write_all(&[0, 0, 0]).is_ok() {
            stream.set_nonblocking(true)?;
            crowd.push(stream);
        }
    }
    let opened = Instant::now();
    // The server has taken all that it has not closed again, and serves others.
    let deadline = opened + ACCEPT_LIMIT;
    loop {
        let open = still_open(&mut crowd);
        if hub.open_files()? >= open {
            break;
        }
        if Instant::now() > deadline {
            bail!(
                "only {} descriptors for {open} connections",
                hub.open_files()?
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
    let mut peer = Peer::connect(hub.broker())?;
    let answer = peer.connection.call(29_999, &[], &[])?;
    if answer.code != 3 {
        bail!("beside the crowd a request was answered {}", answer.code);
    }
    // In the end the server hangs up on every one of them.
    while still_open(&mut crowd) > 0 {
        if opened.elapsed() > HANG_UP_LIMIT {
            bail!(
                "{} connections are still open after {HANG_UP_LIMIT:?}",
                crowd.len()
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Forgets the connections that the server has closed; answers how many are left.
fn still_open(crowd: &mut Vec<TcpStream>) -> usize {
    crowd.retain_mut(|stream| {
        let mut byte = [0];
        matches!(stream.read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
    });
    crowd.len()
}
