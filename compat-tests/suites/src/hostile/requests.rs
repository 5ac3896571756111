//! Well-formed frames with requests that make no sense: each is answered with an error under its own opaque, and the
//! connection goes on.

use anyhow::{Result, bail};
use crossdock_harness::remoting::Answer;

use super::CaseBody;
use super::peer::{
    HEARTBEAT, PULL, PUT_TOPIC, Peer, SEND, SEND_BATCH, pull_fields, replace, send_fields,
};
use crate::hub::Hub;

const NOT_SUPPORTED: i64 = 3;
const LOCK_BATCH: i32 = 41;

pub(super) const CASES: [(&str, CaseBody); 5] = [
    ("unknown_request_code", unknown_code),
    ("request_without_its_fields", missing_fields),
    ("field_values_out_of_range", bad_values),
    ("bodies_that_are_not_what_the_code_says", bad_bodies),
    ("frames_in_pieces_and_in_bundles", pieces),
];

/// The request must fail, and the connection must still answer something else afterwards.
fn refused(peer: &mut Peer, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    let answer = peer.connection.call(code, fields, body)?;
    if answer.code == 0 {
        bail!("request {code} with {fields:?} was answered success");
    }
    let next = peer.connection.call(29_999, &[], &[])?;
    if next.code != NOT_SUPPORTED {
        bail!(
            "after request {code} the next one was answered {}",
            next.code
        );
    }
    Ok(answer)
}

fn unknown_code(hub: &Hub) -> Result<()> {
    for address in [hub.broker(), hub.nameserver()] {
        let mut peer = Peer::connect(address)?;
        for code in [0, -7, 9_999, 32_767] {
            let answer = refused(&mut peer, code, &[("topic", "t")], b"body")?;
            if answer.code != NOT_SUPPORTED {
                bail!("code {code} was answered {} {}", answer.code, answer.remark);
            }
        }
    }
    Ok(())
}

fn missing_fields(hub: &Hub) -> Result<()> {
    let mut peer = Peer::connect(hub.broker())?;
    for code in [
        SEND, SEND_BATCH, PULL, PUT_TOPIC, 12, 14, 29, 30, 31, 33, 36, 38,
    ] {
        refused(&mut peer, code, &[], &[])?;
    }
    let mut nameserver = Peer::connect(hub.nameserver())?;
    for code in [100, 101, 105] {
        refused(&mut nameserver, code, &[], &[])?;
    }
    Ok(())
}

fn bad_values(hub: &Hub) -> Result<()> {
    let topic = "hostile_values";
    let mut peer = Peer::connect(hub.broker())?;
    peer.create_topic(topic)?;
    peer.join(topic, topic)?;
    for (name, value) in [
        ("e", "99"),
        ("e", "x"),
        ("e", "99999999999999999999"),
        ("f", ""),
        ("g", "soon"),
    ] {
        let mut fields = send_fields(topic);
        replace(&mut fields, name, value);
        refused(&mut peer, SEND, &fields, b"body")?;
    }
    for bad in ["a b", "a/b", "ä", "", &"x".repeat(300)] {
        refused(&mut peer, SEND, &send_fields(bad), b"body")?;
    }
    for (name, value) in [
        ("queueId", "-1"),
        ("queueId", "7"),
        ("queueOffset", "x"),
        ("topic", "hostile_nowhere"),
    ] {
        let mut fields = pull_fields(topic, topic, "0");
        replace(&mut fields, name, value);
        refused(&mut peer, PULL, &fields, &[])?;
    }
    Ok(())
}

fn bad_bodies(hub: &Hub) -> Result<()> {
    let topic = "hostile_bodies";
    let mut peer = Peer::connect(hub.broker())?;
    peer.create_topic(topic)?;
    for body in [&b"not json"[..], b"{\"clientID\":", b"[]", b"\xff\xff\xff"] {
        refused(&mut peer, HEARTBEAT, &[], body)?;
        refused(&mut peer, LOCK_BATCH, &[], body)?;
    }
    let mut fields = send_fields(topic);
    replace(&mut fields, "m", "true");
    // Batch elements begin with their size.
    for size in [0x7fff_ffff_u32, 0xffff_ffff, 0, 5, 4_000] {
        let mut body = size.to_be_bytes().to_vec();
        body.resize(64, 0);
        refused(&mut peer, SEND_BATCH, &fields, &body)?;
    }
    let stored = peer.send(topic, b"good")?;
    if stored != 0 {
        bail!("a broken batch was stored: the next message has offset {stored}");
    }
    Ok(())
}

/// TCP may cut anywhere; that is not hostile at all, but parsers that forget it look the same from outside.
fn pieces(hub: &Hub) -> Result<()> {
    let request = crossdock_harness::remoting::request(29_999, 77, &[], b"0123456789")?;
    let mut peer = Peer::connect(hub.broker())?;
    for byte in &request {
        peer.connection.send_raw(std::slice::from_ref(byte))?;
    }
    expect_opaque(&mut peer, 77)?;
    let mut bundle = Vec::new();
    for opaque in 100..200 {
        bundle.extend(crossdock_harness::remoting::request(
            29_999,
            opaque,
            &[],
            b"x",
        )?);
    }
    peer.connection.send_raw(&bundle)?;
    let mut missing: std::collections::BTreeSet<i64> = (100..200).collect();
    while !missing.is_empty() {
        let answer = peer.connection.receive()?;
        if answer.code != NOT_SUPPORTED || !missing.remove(&answer.opaque) {
            bail!("unexpected answer {answer:?}");
        }
    }
    Ok(())
}

fn expect_opaque(peer: &mut Peer, opaque: i64) -> Result<()> {
    let answer = peer.connection.receive()?;
    if answer.code != NOT_SUPPORTED || answer.opaque != opaque {
        bail!("answered {answer:?}");
    }
    Ok(())
}
