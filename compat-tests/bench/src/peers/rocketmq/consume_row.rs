//! A consuming row: a topic of eight queues is filled first, then a new group reads all of it.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossdock_harness::Line;

use super::java;
use super::native::{Programs, follow};
use super::produce_row::{QUEUES, per_million};
use super::row::{Client, Row};
use super::server::Server;
use super::{Measure, Pace};
use crate::admin::Admin;

const FILL_LIMIT: Duration = Duration::from_secs(300);
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
/// Requests in flight while filling: this part is not measured.
const FILL_IN_FLIGHT: u32 = 256;
const GROUP: &str = "benchmark_consumer";

pub(super) fn run(
    row: &Row,
    server: &mut Server,
    pace: Pace,
    programs: &Programs,
) -> Result<Measure> {
    let topic = row.topic();
    let mut admin = Admin::connect(server.broker())?;
    admin.create_topic(&topic, QUEUES)?;
    let messages = pace.backlog / row.body_len.div_ceil(1024) as u64;
    let fill = programs.load(&args(
        "produce",
        server,
        &topic,
        &[
            format!("--messages={messages}"),
            format!("--body={}", row.body_len),
            format!("--in-flight={FILL_IN_FLIGHT}"),
        ],
    ))?;
    follow(fill, FILL_LIMIT, || Ok(()))?;
    let messages = admin.written(&topic, QUEUES)?;
    match row.client {
        Client::Native => native(server, &topic, messages, programs),
        Client::Java => java(server, &topic, messages, programs, &mut admin),
    }
}

fn native(server: &Server, topic: &str, messages: u64, programs: &Programs) -> Result<Measure> {
    let load = programs.load(&args(
        "consume",
        server,
        topic,
        &[
            format!("--messages={messages}"),
            format!("--group={GROUP}_{topic}"),
        ],
    ))?;
    let look = || {
        Ok((
            server.cpu_seconds()?,
            server.resident()?,
            server.anonymous()?,
        ))
    };
    let (outcome, first, last) = follow(load, DRAIN_LIMIT, look)?;
    if outcome.messages < messages {
        bail!(
            "{} of {messages} messages of {topic} came",
            outcome.messages
        );
    }
    Ok(Measure {
        throughput: Some(outcome.throughput()),
        mean: Some(outcome.latency.mean),
        p50: Some(outcome.latency.p50),
        p99: Some(outcome.latency.p99),
        max: Some(outcome.latency.max),
        cpu: per_million(last.0 - first.0, outcome.messages),
        resident: Some(last.1),
        anonymous: Some(last.2),
        client_cpu: Some(outcome.cpu_per_message().as_nanos() as f64 / 1e3),
        errors: outcome.error_count(),
        ..Measure::default()
    })
}

fn java(
    server: &Server,
    topic: &str,
    messages: u64,
    programs: &Programs,
    admin: &mut Admin,
) -> Result<Measure> {
    let group = format!("{GROUP}_{topic}");
    let cpu = server.cpu_seconds()?;
    let args = [
        format!("-n{}", server.nameserver()),
        format!("-t{topic}"),
        format!("-g{group}"),
    ];
    let mut program = java::start("Consumer", &args, programs.logs())?;
    // Its positions reach the server every five seconds, so the end is seen late; the program's
    // own best report is the throughput.
    let deadline = Instant::now() + DRAIN_LIMIT;
    let mut best: Option<f64> = None;
    let (mut resident, mut anonymous) = (0, 0);
    while best.is_none() || admin.consumed(&group, topic, QUEUES)? < messages {
        if Instant::now() > deadline {
            bail!(
                "{topic} was not consumed within {DRAIN_LIMIT:?}\n{}",
                program.log()
            );
        }
        match program.next_line(Duration::from_secs(1)) {
            Line::Text(line) if line.starts_with("Current Time") => {
                let throughput = java::consume_throughput(&line)?;
                best = Some(best.unwrap_or_default().max(throughput));
            }
            Line::Text(_) | Line::Late => {}
            Line::End => bail!("the benchmark program ended\n{}", program.log()),
        }
        resident = server.resident()?.max(resident);
        anonymous = server.anonymous()?.max(anonymous);
    }
    let client_cpu = crossdock_harness::procfs::cpu_seconds(program.pid())?;
    program.kill();
    Ok(Measure {
        throughput: best,
        cpu: per_million(server.cpu_seconds()? - cpu, messages),
        resident: Some(resident),
        anonymous: Some(anonymous),
        client_cpu: per_million(client_cpu, messages),
        ..Measure::default()
    })
}

fn args(command: &str, server: &Server, topic: &str, more: &[String]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![
        command.into(),
        format!("--broker={}", server.broker()).into(),
        format!("--topic={topic}").into(),
        format!("--queues={QUEUES}").into(),
        "--keep-topic".into(),
    ];
    args.extend(more.iter().map(OsString::from));
    args
}
