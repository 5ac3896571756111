//! `cargo xtask peers`: Crossdock beside a real peer, with a table and one last line of ratios.

use anyhow::Result;
use clap::Subcommand;
use crossdock_bench::peers::rocketmq;

use crate::Verdict;

#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Apache RocketMQ 5.3: name server and broker.
    Rocketmq(rocketmq::Options),
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    match arguments {
        Arguments::Rocketmq(options) => rocketmq::run(options)?,
    }
    Ok(Verdict::Good)
}
