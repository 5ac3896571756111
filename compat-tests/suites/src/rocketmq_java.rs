//! Suite `rocketmq-java`: the official clients of the 4.9 and 5.3 lines, side by side, each with servers of its own.

use std::thread;

use anyhow::{Result, anyhow};

use crate::hub::{Credentials, Hub, HubOptions};
use crate::java_driver::{JavaDriver, Line, Part};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let mut report = Report::new(options);
    // Fetched and compiled one after the other, run at the same time.
    let drivers = [
        JavaDriver::prepare(Line::V4_9)?,
        JavaDriver::prepare(Line::V5_3)?,
    ];
    thread::scope(|scope| {
        let runs = drivers.map(|driver| scope.spawn(move || run_line(&driver, options)));
        for run in runs {
            match run.join() {
                Ok(lines) => report.merge(lines),
                Err(_) => return Err(anyhow!("a run panicked")),
            }
        }
        Ok(())
    })?;
    Ok(report)
}

fn run_line(driver: &JavaDriver, options: &RunOptions) -> Report {
    let mut report = Report::new(options);
    if let Err(error) = try_run_line(driver, options, &mut report) {
        report.add(
            &format!("{}/servers", driver.line().name()),
            Outcome::Failed(format!("{error:#}")),
        );
    }
    report
}

fn try_run_line(driver: &JavaDriver, options: &RunOptions, report: &mut Report) -> Result<()> {
    let credentials = Credentials::for_tests();
    let secured = HubOptions {
        credentials: Some(credentials.clone()),
        ..HubOptions::default()
    };
    let secured = Hub::start(options.target, &secured)?;
    let mut hub = Hub::start(options.target, &HubOptions::default())?;
    let prefix = format!("{}/", driver.line().name());
    let part = Part {
        suite: "rocketmq-java",
        cases: "java",
        prefix: &prefix,
        nameserver: hub.nameserver(),
        broker: hub.broker(),
        settings: vec![
            ("acl.nameserver", secured.nameserver().to_string()),
            ("acl.broker", secured.broker().to_string()),
            ("acl.access", credentials.access_key),
            ("acl.secret", credentials.secret_key),
        ],
        only: "",
    };
    driver.run(&part, options, report, |word| hub.control(word))?;
    if !report.has_passed() {
        eprintln!("{}{}", hub.log(), secured.log());
    }
    Ok(())
}
