//! One non-blocking connection with its buffers. It cuts frames out of what it reads and keeps
//! what it could not write yet.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const READ_BUFFER: usize = 256 * 1024;
/// Largest frame taken; pull answers of real servers stay far below.
const FRAME_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// The unread part of `input`.
    start: usize,
    end: usize,
    /// Frames to be written; the part up to `written` already is.
    pub(super) output: Vec<u8>,
    written: usize,
    /// Part of the output waits for room in the socket.
    pub(super) is_blocked: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            input: vec![0; READ_BUFFER],
            start: 0,
            end: 0,
            output: Vec::new(),
            written: 0,
            is_blocked: false,
        })
    }

    /// Reads once. True when the buffer was filled, so that there may be more.
    pub(super) fn fill(&mut self) -> Result<bool> {
        self.make_room()?;
        let room = self.input.get_mut(self.end..).unwrap_or_default();
        let len = room.len();
        match self.stream.read(room) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => {
                self.end += count;
                Ok(count == len)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("cannot read from the server"),
        }
    }

    /// The range in the input buffer of the next complete frame, which is taken.
    pub(super) fn next_frame(&mut self) -> Result<Option<std::ops::Range<usize>>> {
        let Some(len) = self.pending_len()? else {
            return Ok(None);
        };
        if self.end - self.start < len {
            return Ok(None);
        }
        let frame = self.start..self.start + len;
        self.start += len;
        Ok(Some(frame))
    }

    /// Input and output side by side, so that a frame can be read while its answer is written.
    pub(super) fn buffers(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.input, &mut self.output)
    }

    /// Writes what can be written; true when all of it could.
    pub(super) fn flush(&mut self) -> Result<bool> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => bail!("the server takes no more"),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("cannot write to the server"),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(true)
    }

    /// Length of the frame at the front of the input, once its length word is there.
    fn pending_len(&self) -> Result<Option<usize>> {
        let Some(word) = self.input[self.start..self.end].first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*word) as usize + 4;
        if !(8..=FRAME_MAX).contains(&len) {
            bail!("the server announced a frame of {len} bytes");
        }
        Ok(Some(len))
    }

    /// Moves the unread rest to the front and grows the buffer when a frame does not fit.
    fn make_room(&mut self) -> Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let wanted = self.pending_len()?.unwrap_or(READ_BUFFER);
        if self.start > 0
            && (self.start + wanted > self.input.len() || self.end == self.input.len())
        {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if wanted > self.input.len() {
            self.input.resize(wanted, 0);
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::open(listener.local_addr().unwrap()).unwrap();
        (connection, listener.accept().unwrap().0)
    }

    fn frames(connection: &mut Connection, count: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while found.len() < count {
            connection.fill().unwrap();
            while let Some(range) = connection.next_frame().unwrap() {
                found.push(connection.buffers().0[range].to_vec());
            }
        }
        found
    }

    #[test]
    fn frames_are_cut_however_they_arrive_and_larger_than_the_buffer() {
        let (mut connection, mut server) = pair();
        let small = [0, 0, 0, 5, 1, 2, 3, 4, 5];
        let len = READ_BUFFER as u32 * 2;
        let mut large = len.to_be_bytes().to_vec();
        large.resize(len as usize + 4, 7);
        let sent = [&small[..], &large, &small].concat();
        let writer = std::thread::spawn(move || {
            for part in sent.chunks(100_003) {
                server.write_all(part).unwrap();
            }
            server
        });
        let found = frames(&mut connection, 3);
        assert_eq!(found[0], small);
        assert_eq!(found[1].len(), large.len());
        assert_eq!(found[2], small);
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_hostile_length_and_a_closed_peer_are_errors() {
        let (mut connection, mut server) = pair();
        server.write_all(&[0x7f, 0xff, 0xff, 0xff]).unwrap();
        drop(server);
        let error = loop {
            if let Err(error) = connection.fill().and_then(|_| connection.next_frame()) {
                break error.to_string();
            }
        };
        assert!(error.contains("announced"), "{error}");

        let (mut connection, server) = pair();
        drop(server);
        let error = loop {
            if let Err(error) = connection.fill() {
                break error.to_string();
            }
        };
        assert!(error.contains("closed"), "{error}");
    }
}
