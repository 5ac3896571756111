//! `cargo xtask compat`: lists the suites, or runs one and ends with the line `N passed, N failed, N skipped`.

use anyhow::Result;
use clap::{Args, ValueEnum};
use crossdock_suites::{RunOptions, Target, list, run as run_suite};

use crate::Verdict;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A suite's name, or `list`
    suite: String,
    /// Only cases whose name contains one of these words
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The server to test: ours, or the real Apache RocketMQ to check the suite itself
    #[arg(long, value_enum, default_value_t = Server::Crossdock)]
    target: Server,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Server {
    Crossdock,
    Apache,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    if arguments.suite == "list" {
        for suite in list() {
            println!("{:<16} {}", suite.name, suite.about);
        }
        return Ok(Verdict::Good);
    }
    let options = RunOptions {
        target: match arguments.target {
            Server::Crossdock => Target::Crossdock,
            Server::Apache => Target::Apache,
        },
        only: arguments.only.clone(),
        show_progress: true,
    };
    let report = run_suite(&arguments.suite, &options)?;
    println!("{}", report.summary());
    Ok(if report.has_passed() {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}
