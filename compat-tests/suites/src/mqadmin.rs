//! Suite `mqadmin`: the unmodified command line tool of the 5.3 line, every subcommand that one broker can answer, with
//! its output checked; and its subcommands for users and rules on a server that demands signed requests.

use anyhow::Result;

use crate::hub::{Credentials, Hub, HubOptions};
use crate::java_driver::{JavaDriver, Line, Part};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let mut report = Report::new(options);
    let driver = JavaDriver::prepare(Line::V5_3)?;
    for (cases, is_signed) in [("mqadmin", false), ("mqadmin-signed", true)] {
        if let Err(error) = run_part(&driver, cases, is_signed, options, &mut report) {
            let name = format!("{cases}/servers");
            report.add(&name, Outcome::Failed(format!("{error:#}")));
        }
    }
    Ok(report)
}

fn run_part(
    driver: &JavaDriver,
    cases: &str,
    is_signed: bool,
    options: &RunOptions,
    report: &mut Report,
) -> Result<()> {
    let credentials = is_signed.then(Credentials::for_tests);
    let hub = Hub::start(
        options.target,
        &HubOptions {
            credentials: credentials.clone(),
            ..HubOptions::default()
        },
    )?;
    let settings = match credentials {
        Some(user) => vec![
            ("acl.access", user.access_key),
            ("acl.secret", user.secret_key),
        ],
        None => Vec::new(),
    };
    let prefix = format!("{cases}/");
    let part = Part {
        suite: "mqadmin",
        cases,
        prefix: &prefix,
        nameserver: hub.nameserver(),
        broker: hub.broker(),
        settings,
        only: "",
    };
    driver.run(&part, options, report, |word| {
        anyhow::bail!("no {word} here")
    })?;
    if !report.has_passed() {
        eprintln!("{}", hub.log());
    }
    Ok(())
}
