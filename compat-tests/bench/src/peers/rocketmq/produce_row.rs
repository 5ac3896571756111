//! A producing row: a topic of eight queues, filled by one of the two clients.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossdock_harness::{Line, Managed};

use super::java::{self, SendReport};
use super::native::{Programs, follow};
use super::row::{Client, Row};
use super::server::Server;
use super::{Measure, Pace};
use crate::admin::Admin;

pub(super) const QUEUES: u32 = 8;
/// The Java program reports once it has run for ten seconds, and takes a while to start.
const REPORT_LIMIT: Duration = Duration::from_secs(90);
/// Ten snapshots, one a second, are between two reports that share none.
const REPORT_SPAN: Duration = Duration::from_secs(10);

pub(super) fn run(
    row: &Row,
    server: &mut Server,
    pace: Pace,
    programs: &Programs,
) -> Result<Measure> {
    let topic = row.topic();
    let mut admin = Admin::connect(server.broker())?;
    admin.create_topic(&topic, QUEUES)?;
    match row.client {
        Client::Native => native(row, &topic, server, pace, programs),
        Client::Java => java(row, &topic, server, pace, programs, &mut admin),
    }
}

fn native(
    row: &Row,
    topic: &str,
    server: &Server,
    pace: Pace,
    programs: &Programs,
) -> Result<Measure> {
    let load = programs.load(&[
        "produce".into(),
        format!("--broker={}", server.broker()).into(),
        format!("--topic={topic}").into(),
        format!("--queues={QUEUES}").into(),
        "--keep-topic".into(),
        format!("--body={}", row.body_len).into(),
        format!("--in-flight={}", row.threads).into(),
        format!("--warm-up-seconds={}", pace.warm_up.as_secs_f64()).into(),
        format!("--seconds={}", pace.measure.as_secs_f64()).into(),
    ])?;
    let look = || {
        Ok((
            server.cpu_seconds()?,
            server.resident()?,
            server.anonymous()?,
        ))
    };
    let (outcome, first, last) = follow(load, pace.warm_up + pace.measure, look)?;
    if outcome.unanswered {
        bail!("{}: some requests were never answered", row.name());
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
    row: &Row,
    topic: &str,
    server: &Server,
    pace: Pace,
    programs: &Programs,
    admin: &mut Admin,
) -> Result<Measure> {
    let args = [
        format!("-n{}", server.nameserver()),
        format!("-t{topic}"),
        format!("-w{}", row.threads),
        format!("-s{}", row.body_len),
    ];
    let mut program = java::start("Producer", &args, programs.logs())?;
    // The first report tells that the program has run for ten seconds: its warm-up.
    program.wait_for("Current Time", REPORT_LIMIT)?;
    let first = (server.cpu_seconds()?, admin.written(topic, QUEUES)?);
    let cpu = crossdock_harness::procfs::cpu_seconds(program.pid())?;
    let report = last_report(&mut program, pace.measure.max(REPORT_SPAN))?;
    let last = (server.cpu_seconds()?, admin.written(topic, QUEUES)?);
    let client_cpu = crossdock_harness::procfs::cpu_seconds(program.pid())? - cpu;
    let (resident, anonymous) = (server.resident()?, server.anonymous()?);
    program.kill();
    let messages = last.1 - first.1;
    Ok(Measure {
        throughput: Some(report.throughput),
        mean: Some(report.mean),
        max: Some(report.max),
        cpu: per_million(last.0 - first.0, messages),
        resident: Some(resident),
        anonymous: Some(anonymous),
        client_cpu: per_million(client_cpu, messages),
        errors: report.failed,
        ..Measure::default()
    })
}

/// The last report within `time`.
fn last_report(program: &mut Managed, time: Duration) -> Result<SendReport> {
    let end = Instant::now() + time;
    let mut report = None;
    loop {
        match program.next_line(end.saturating_duration_since(Instant::now())) {
            Line::Text(line) if line.starts_with("Current Time") => {
                report = Some(SendReport::parse(&line)?);
            }
            Line::Text(_) => {}
            Line::End => bail!("the benchmark program ended\n{}", program.log()),
            Line::Late => break,
        }
    }
    match report {
        Some(report) => Ok(report),
        None => bail!("the benchmark program reported nothing\n{}", program.log()),
    }
}

/// CPU-seconds per million messages, which are also microseconds per message.
pub(super) fn per_million(seconds: f64, messages: u64) -> Option<f64> {
    (messages > 0).then(|| seconds * 1e6 / messages as f64)
}
