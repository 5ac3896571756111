//! RocketMQ's own benchmark programs: their class path, and their report lines.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{Managed, java, workspace};

const HEAP_MIB: u32 = 1024;

/// Starts a class of the benchmark package that reports every second.
pub(super) fn start(class: &str, args: &[String], logs: &Path) -> Result<Managed> {
    let project = workspace::root().join("compat-tests/bench/java/example-5.3");
    let jars = java::class_path(&project)?;
    let class_path = java::join(&[&java::logging(), &jars]);
    let mut command = java::java(&class_path, logs, HEAP_MIB);
    command
        .arg(format!("org.apache.rocketmq.example.benchmark.{class}"))
        .args(args)
        .args(["-ri", "1000"]);
    Managed::spawn(&mut command, &format!("benchmark-{class}"), logs)
}

/// A report line of the benchmark Producer. It covers about ten seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SendReport {
    pub(super) throughput: f64,
    pub(super) mean: Duration,
    /// Since the start of the program.
    pub(super) max: Duration,
    pub(super) failed: u64,
}

impl SendReport {
    pub(super) fn parse(line: &str) -> Result<Self> {
        Ok(Self {
            throughput: number(line, "Send TPS")?,
            mean: millis(number(line, "Average RT(ms)")?),
            max: millis(number(line, "Max RT(ms)")?),
            failed: (number(line, "Send Failed")? + number(line, "Response Failed")?) as u64,
        })
    }
}

/// Consumed messages per second, of a report line of the benchmark Consumer.
pub(super) fn consume_throughput(line: &str) -> Result<f64> {
    number(line, "Consume TPS")
}

fn millis(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1e3).unwrap_or_default()
}

/// The number after `name: `; fields are separated by bars.
fn number(line: &str, name: &str) -> Result<f64> {
    line.split('|')
        .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("no {name} in `{line}`"))?
        .trim()
        .replace(',', ".")
        .parse()
        .with_context(|| format!("{name} in `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_lines_of_both_programs_are_read() {
        let line = "Current Time: 2025-03-01 10:00:00,123 | Send TPS: 35432 | Max RT(ms): 250 | \
                    Average RT(ms):   1.805 | Send Failed: 1 | Response Failed: 2";
        let report = SendReport::parse(line).unwrap();
        assert!((report.throughput - 35_432.0).abs() < 1e-9);
        assert_eq!(report.mean, Duration::from_micros(1_805));
        assert_eq!(report.max, Duration::from_millis(250));
        assert_eq!(report.failed, 3);
        let line = "Current Time: x | Consume TPS: 1200 | AVG(B2C) RT(ms):   1.0 | Consume Fail: 0";
        assert!((consume_throughput(line).unwrap() - 1_200.0).abs() < 1e-9);
        assert!(SendReport::parse("topic: t, threadCount: 1").is_err());
    }
}
