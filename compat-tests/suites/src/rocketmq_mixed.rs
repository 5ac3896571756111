//! Suite `rocketmq-mixed`: a real Apache broker in our name server, and our server in a real Apache name server.

use std::time::Duration;

use anyhow::{Context, Result};
use crossdock_harness::{Broker, BrokerOptions, NameServer, remoting};

use crate::hub::{Hub, HubOptions};
use crate::java_driver::{JavaDriver, Line, Part};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};

/// Cases of the Java suite that are repeated through a foreign name server.
const THROUGH_FOREIGN: &str = "send_sync,send_to_auto_created,push_concurrent,retry_then,rebalance_on_join,\
                               admin_cluster,admin_topic,orderly_keeps,view_by_offset_id";

const REGISTER_LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let mut report = Report::new(options);
    let driver = JavaDriver::prepare(Line::V5_3)?;
    if let Err(error) = apache_broker_joins(&driver, options, &mut report) {
        report.add("joined/servers", Outcome::Failed(format!("{error:#}")));
    }
    if let Err(error) = hub_registers(&driver, options, &mut report) {
        report.add("registered/servers", Outcome::Failed(format!("{error:#}")));
    }
    Ok(report)
}

fn apache_broker_joins(
    driver: &JavaDriver,
    options: &RunOptions,
    report: &mut Report,
) -> Result<()> {
    let hub = Hub::start(options.target, &HubOptions::default())?;
    let mut other = Broker::start(BrokerOptions::new("other", hub.nameserver()).patient())?;
    let part = Part {
        suite: "rocketmq-mixed",
        cases: "mixed",
        prefix: "joined/",
        nameserver: hub.nameserver(),
        broker: hub.broker(),
        settings: vec![("other", other.address().to_string())],
        only: "",
    };
    driver.run(&part, options, report, |word| match word {
        "kill-other" => {
            other.kill9();
            Ok(())
        }
        "start-other" => other.restart(),
        unknown => anyhow::bail!("unknown control word {unknown}"),
    })?;
    if !report.has_passed() {
        eprintln!("{}{}", hub.log(), other.log());
    }
    Ok(())
}

fn hub_registers(driver: &JavaDriver, options: &RunOptions, report: &mut Report) -> Result<()> {
    let foreign = NameServer::start()?;
    let hub = Hub::start(
        options.target,
        &HubOptions {
            register: Some(foreign.address()),
            ..HubOptions::default()
        },
    )?;
    remoting::await_route(foreign.address(), "TBW102", hub.broker(), REGISTER_LIMIT)
        .with_context(|| hub.log())?;
    let part = Part {
        suite: "rocketmq-mixed",
        cases: "java",
        prefix: "registered/",
        nameserver: foreign.address(),
        broker: hub.broker(),
        settings: Vec::new(),
        only: THROUGH_FOREIGN,
    };
    driver.run(&part, options, report, |word| {
        anyhow::bail!("no {word} here")
    })?;
    if !report.has_passed() {
        eprintln!("{}{}", foreign.log(), hub.log());
    }
    Ok(())
}
