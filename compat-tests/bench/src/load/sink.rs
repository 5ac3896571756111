//! A server that answers every request with the success of a send and stores nothing. Against it
//! the generator shows its own ceiling, and tests show what it does with what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use crossdock_proto_remoting::header::send::SendResponse;
use crossdock_proto_remoting::{Command, Encoding};

use super::answer::Answer;

const BUFFER: usize = 1 << 20;
const OPAQUE_IN_TEMPLATE: i32 = 1_111_111_111;
/// Where a binary frame has its opaque.
const OPAQUE_AT: usize = 13;

/// Decides the answer code of the n-th request of a connection.
pub type Rule = dyn Fn(u64) -> i32 + Send + Sync;

/// Listens on a free port until the process ends; only binary headers are understood.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
}

impl Sink {
    pub fn start(rule: Arc<Rule>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let rule = Arc::clone(&rule);
                // A generator that is done closes its connections, which is no fault here.
                thread::spawn(move || answer_all(stream, &*rule).unwrap_or_default());
            }
        });
        Ok(Self { address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer_all(mut stream: TcpStream, rule: &Rule) -> Result<()> {
    stream.set_nodelay(true)?;
    let template = template()?;
    let mut input = vec![0; BUFFER];
    let mut output = Vec::new();
    let (mut end, mut requests) = (0, 0);
    loop {
        let count = stream.read(input.get_mut(end..).unwrap_or_default())?;
        if count == 0 {
            return Ok(());
        }
        end += count;
        let mut start = 0;
        while let Some(word) = input[start..end].first_chunk::<4>() {
            let len = u32::from_be_bytes(*word) as usize + 4;
            if len > BUFFER {
                bail!("a frame of {len} bytes");
            }
            let Some(frame) = input[start..end].get(..len) else {
                break;
            };
            let request = Answer::read(frame)?;
            let at = output.len();
            output.extend_from_slice(&template);
            let code = i16::try_from(rule(requests)).context("answer code")?;
            output[at + 8..at + 10].copy_from_slice(&code.to_be_bytes());
            output[at + OPAQUE_AT..at + OPAQUE_AT + 4]
                .copy_from_slice(&request.opaque.to_be_bytes());
            requests += 1;
            start += len;
        }
        input.copy_within(start..end, 0);
        end -= start;
        stream.write_all(&output)?;
        output.clear();
    }
}

fn template() -> Result<Vec<u8>> {
    let header = SendResponse {
        msg_id: "7F00000100002A9F0000000000000000",
        queue_id: 0,
        queue_offset: 0,
        region: Some("DefaultRegion"),
        trace_on: Some(true),
        ..SendResponse::default()
    };
    let mut frame = BytesMut::new();
    Command::request(310)
        .with_opaque(OPAQUE_IN_TEMPLATE)
        .with_encoding(Encoding::Binary)
        .response(0)
        .with_header(&header)
        .encode(&mut frame)?;
    Ok(frame.to_vec())
}
