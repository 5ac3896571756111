//! Many topics with one queue each, one message in each: what they cost in time, memory and files,
//! and that all of it is there after a restart.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossdock_harness::remoting::Remoting;
use crossdock_harness::{Crossdock, Options};
use crossdock_proto_remoting::code::request::{
    GET_MAX_OFFSET, SEND_MESSAGE_V2, UPDATE_AND_CREATE_TOPIC,
};

use super::native::Programs;

/// Requests in flight.
const DEPTH: usize = 64;
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Every so many topics one is looked at after the restart.
const SAMPLE: usize = 97;

type Fields = Vec<(&'static str, String)>;

pub(super) fn run(programs: &Programs, count: u32) -> Result<()> {
    let mut server = Crossdock::start(Options {
        binary: programs.crossdock.clone(),
        ..Options::default()
    })?;
    let names: Vec<String> = (0..count)
        .map(|number| format!("many_{number:06}"))
        .collect();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("{count} topics with one queue each on crossdock");
    let idle = server.resident_bytes()?;

    let start = Instant::now();
    pipeline(server.remoting(), UPDATE_AND_CREATE_TOPIC, &names, create)?;
    println!(
        "  created in {:.1} s, {} files, {:.0} MiB resident ({:.0} at the start)",
        start.elapsed().as_secs_f64(),
        files(server.data())?,
        mib(server.resident_bytes()?),
        mib(idle),
    );

    let start = Instant::now();
    pipeline(server.remoting(), SEND_MESSAGE_V2, &names, send)?;
    println!(
        "  written in {:.1} s, {} files, {:.0} MiB resident",
        start.elapsed().as_secs_f64(),
        files(server.data())?,
        mib(server.resident_bytes()?),
    );

    server.restart()?;
    let sample: Vec<String> = names.into_iter().step_by(SAMPLE).collect();
    let answers = pipeline(server.remoting(), GET_MAX_OFFSET, &sample, max_offset)?;
    let missing = answers.iter().filter(|fields| {
        let offset = fields.get("offset").map(String::as_str);
        offset != Some("1")
    });
    let missing = missing.count();
    println!(
        "  restarted in {:.0} ms, {:.0} MiB resident, {missing} of {} messages looked for are missing",
        server.start_time().as_secs_f64() * 1e3,
        mib(server.resident_bytes()?),
        sample.len(),
    );
    if missing > 0 {
        bail!("messages are missing after a restart");
    }
    server.terminate()
}

fn create(topic: &str) -> (Fields, &'static [u8]) {
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    (owned(&fields), b"")
}

fn send(topic: &str) -> (Fields, &'static [u8]) {
    let fields = [
        ("a", "many_producer"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "1"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", ""),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ];
    (owned(&fields), b"one message")
}

fn max_offset(topic: &str) -> (Fields, &'static [u8]) {
    (owned(&[("topic", topic), ("queueId", "0")]), b"")
}

fn owned(fields: &[(&'static str, &str)]) -> Fields {
    fields
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// Makes one request per topic, [`DEPTH`] at a time; all must succeed.
fn pipeline(
    broker: SocketAddr,
    code: i32,
    topics: &[String],
    request: fn(&str) -> (Fields, &'static [u8]),
) -> Result<Vec<BTreeMap<String, String>>> {
    let mut connection = Remoting::connect(broker, ANSWER_LIMIT)?;
    let mut answers = Vec::with_capacity(topics.len());
    let mut outstanding = 0;
    let mut rest = topics.iter();
    loop {
        while outstanding < DEPTH
            && let Some(topic) = rest.next()
        {
            let (fields, body) = request(topic);
            let fields: Vec<(&str, &str)> = fields
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            connection.send(code, &fields, body)?;
            outstanding += 1;
        }
        if outstanding == 0 {
            return Ok(answers);
        }
        let answer = connection.receive()?;
        if answer.flag & 1 == 0 {
            continue;
        }
        outstanding -= 1;
        if answer.code != 0 {
            bail!(
                "request {code} failed: code {} {}",
                answer.code,
                answer.remark
            );
        }
        answers.push(answer.fields);
    }
}

fn files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}
