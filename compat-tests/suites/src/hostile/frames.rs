//! Frames that cannot be what they say.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use crossdock_harness::remoting;

use super::CaseBody;
use super::peer::{Peer, await_close, fate};
use crate::hub::Hub;

pub(super) const CASES: [(&str, CaseBody); 9] = [
    ("frame_of_two_gib", two_gib),
    ("frame_of_negative_length", negative_length),
    ("frame_too_short_for_its_header", too_short),
    ("header_beyond_the_frame", header_beyond),
    ("header_of_unknown_type", unknown_type),
    ("header_that_is_not_json", not_json),
    ("header_of_nested_json", nested),
    ("binary_header_beyond_its_end", binary_beyond),
    ("other_protocols", other_protocols),
];

/// Sends the bytes to both ports; each must close the connection or answer with an error.
fn refused_by_both(hub: &Hub, bytes: &[u8]) -> Result<()> {
    for address in [hub.broker(), hub.nameserver()] {
        let mut peer = Peer::connect(address)?;
        send(&mut peer, bytes)?;
        fate(&mut peer).with_context(|| format!("port {}", address.port()))?;
    }
    Ok(())
}

/// A server that closes early may refuse the rest of what is sent; its close is judged afterwards.
fn send(peer: &mut Peer, bytes: &[u8]) -> Result<()> {
    let stream = peer.connection.stream();
    match stream.write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(error.into()),
        _ => Ok(()),
    }
}

fn closed_by_both(hub: &Hub, bytes: &[u8]) -> Result<()> {
    for address in [hub.broker(), hub.nameserver()] {
        closed(address, bytes).with_context(|| format!("port {}", address.port()))?;
    }
    Ok(())
}

fn closed(address: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut peer = Peer::connect(address)?;
    send(&mut peer, bytes)?;
    await_close(&mut peer)
}

fn two_gib(hub: &Hub) -> Result<()> {
    let mut bytes = 0x7fff_ffff_u32.to_be_bytes().to_vec();
    bytes.extend_from_slice(&100_u32.to_be_bytes());
    bytes.resize(64 * 1024, b'{');
    closed_by_both(hub, &bytes)?;
    // Also before more than the beginning has come.
    bytes.truncate(16);
    closed_by_both(hub, &bytes)
}

fn negative_length(hub: &Hub) -> Result<()> {
    for length in [0x8000_0000_u32, 0xffff_ffff] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        closed_by_both(hub, &bytes)?;
    }
    Ok(())
}

fn too_short(hub: &Hub) -> Result<()> {
    for length in [0_u32, 1, 3] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        closed_by_both(hub, &bytes)?;
    }
    Ok(())
}

fn header_beyond(hub: &Hub) -> Result<()> {
    for header_len in [101_u32, 0x00ff_ffff] {
        let mut bytes = 104_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(&header_len.to_be_bytes());
        bytes.resize(8 + 100, b' ');
        closed_by_both(hub, &bytes)?;
    }
    Ok(())
}

fn unknown_type(hub: &Hub) -> Result<()> {
    let mut bytes = remoting::frame(br#"{"code":105,"opaque":1,"flag":0}"#, &[])?;
    if let Some(kind) = bytes.get_mut(4) {
        *kind = 9;
    }
    refused_by_both(hub, &bytes)
}

fn not_json(hub: &Hub) -> Result<()> {
    for header in [
        "this is not JSON at all",
        "{\"code\":105,\"opaque\":",
        "[1,2,3,4,5,6]",
        "\u{0}\u{1}\u{2} and more",
    ] {
        refused_by_both(hub, &remoting::frame(header.as_bytes(), &[])?)
            .with_context(|| format!("header {header:?}"))?;
    }
    // Not even text.
    refused_by_both(
        hub,
        &remoting::frame(&[0xff, 0xfe, 0x80, 0x00, 0xc3, 0x28, 0xa0, 0xa1], &[])?,
    )
}

/// A parser that recurses would run out of stack.
fn nested(hub: &Hub) -> Result<()> {
    let depth = 200_000;
    let header = format!(
        "{{\"code\":105,\"opaque\":1,\"flag\":0,\"extFields\":{{\"topic\":{}{}}}}}",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    refused_by_both(hub, &remoting::frame(header.as_bytes(), &[])?)
}

/// Lengths inside a binary header that point past it.
fn binary_beyond(hub: &Hub) -> Result<()> {
    // Code 105, language, version, opaque, flag, then the length of the remark.
    let fixed = |remark: u32| {
        let mut header = vec![0, 105, 0, 1, 223, 0, 0, 0, 7, 0, 0, 0, 0];
        header.extend_from_slice(&remark.to_be_bytes());
        header
    };
    let mut fields_beyond = fixed(0);
    fields_beyond.extend_from_slice(&5_000_u32.to_be_bytes());
    let mut value_beyond = fixed(0);
    value_beyond.extend_from_slice(&12_u32.to_be_bytes());
    value_beyond.extend_from_slice(&[
        0, 1, b'k', 0x7f, 0xff, 0xff, 0xff, b'v', b'v', b'v', b'v', b'v',
    ]);
    let mut negative_value = fixed(0);
    negative_value.extend_from_slice(&8_u32.to_be_bytes());
    negative_value.extend_from_slice(&[0, 1, b'k', 0xff, 0xff, 0xff, 0xff, b'v']);
    for header in [
        fixed(0x7fff_ffff),
        fixed(0xffff_ffff),
        fields_beyond,
        value_beyond,
        negative_value,
    ] {
        let mut bytes = remoting::frame(&header, &[])?;
        if let Some(kind) = bytes.get_mut(4) {
            *kind = 1;
        }
        refused_by_both(hub, &bytes).with_context(|| format!("header {header:?}"))?;
    }
    Ok(())
}

fn other_protocols(hub: &Hub) -> Result<()> {
    // The first bytes of a web browser, a TLS client gone wrong, and an AMQP client that does not wait.
    closed_by_both(hub, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut handshake = vec![0x16, 0x03, 0x01, 0x00, 0x20];
    handshake.resize(5 + 0x20, 0xff);
    closed_by_both(hub, &handshake)?;
    closed_by_both(hub, b"AMQP\x00\x00\x09\x01AMQP\x00\x00\x09\x01")
}
