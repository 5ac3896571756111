//! The Java driver: compiled once per client line, run in one Java process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use crossdock_harness::{java, workspace};

use crate::driver;
use crate::options::RunOptions;
use crate::report::{Outcome, Report};

const HEAP_MIB: u32 = 640;

/// A line of the official client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    V4_9,
    V5_3,
}

impl Line {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4_9 => "4.9",
            Self::V5_3 => "5.3",
        }
    }

    fn own_sources(self) -> &'static str {
        match self {
            Self::V4_9 => "version-4",
            Self::V5_3 => "version-5",
        }
    }
}

/// A compiled driver.
#[derive(Debug)]
pub(crate) struct JavaDriver {
    line: Line,
    class_path: String,
}

impl JavaDriver {
    pub(crate) fn prepare(line: Line) -> Result<Self> {
        let folder = workspace::suites().join("java");
        let jars = java::class_path(&folder.join(format!("client-{}", line.name())))?;
        let sources = ["common", "driver", line.own_sources()].map(|name| folder.join(name));
        let classes = java::compile(&format!("driver-{}", line.name()), &sources, &jars)?;
        let class_path = java::join(&[&java::logging(), &classes.display().to_string(), &jars]);
        Ok(Self { line, class_path })
    }

    pub(crate) fn line(&self) -> Line {
        self.line
    }

    /// Runs the cases of one part.
    pub(crate) fn run(
        &self,
        part: &Part<'_>,
        options: &RunOptions,
        report: &mut Report,
        control: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let runs = workspace::compat(part.suite).join("run");
        let home = driver::fresh_folder(&runs.join(part.prefix.trim_end_matches('/')))?;
        let mut command = self.command(part, options, &home);
        let reported_before = report.cases.len();
        driver::run(&mut command, "driver", &home, part.prefix, report, control)?;
        let mut reported = report.cases.iter().skip(reported_before);
        if reported.any(|case| matches!(case.outcome, Outcome::Failed(_))) {
            eprintln!("the driver's output is in {}", home.display());
        }
        Ok(())
    }

    fn command(&self, part: &Part<'_>, options: &RunOptions, home: &Path) -> Command {
        let mut command = java::java(&self.class_path, home, HEAP_MIB);
        // Where tools leave the files they write.
        command.current_dir(home);
        command
            .arg(java::QUICK_START)
            .arg("crossdock.compat.Driver")
            .arg(format!("suite={}", part.cases))
            .arg(format!("target={}", options.target.name()))
            .arg(format!("nameserver={}", part.nameserver))
            .arg(format!("broker={}", part.broker));
        for (key, value) in &part.settings {
            command.arg(format!("{key}={value}"));
        }
        let only = if options.only.is_empty() {
            part.only.to_owned()
        } else {
            options.only.join(",")
        };
        command.arg(format!("only={only}"));
        command
    }
}

/// What one run of the driver is told.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// The suite's name, for its folder.
    pub(crate) suite: &'a str,
    /// Which family of cases: `java` or `mixed`.
    pub(crate) cases: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) nameserver: SocketAddr,
    pub(crate) broker: SocketAddr,
    pub(crate) settings: Vec<(&'a str, String)>,
    /// Words that select cases when the caller selects none.
    pub(crate) only: &'a str,
}
