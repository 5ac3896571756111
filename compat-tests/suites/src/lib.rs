//! The compatibility suites: real clients of each protocol against the real server. A suite starts what it needs, runs
//! its cases and answers a [`Report`]; it owns nothing beyond that call.
//!
//! Every suite that is about a protocol can also be run against the real Apache RocketMQ, which is how the suites
//! themselves are checked: a case that fails there tests something that no client can rely on.

#![forbid(unsafe_code)]

mod driver;
mod grpc;
mod grpc_go;
mod grpc_java;
mod grpc_node;
mod grpc_python;
mod grpc_rust;
mod hostile;
mod hub;
mod java_driver;
mod mqadmin;
mod options;
mod report;
mod rocketmq_go;
mod rocketmq_java;
mod rocketmq_mixed;
mod rocketmq_rust;

pub use options::{RunOptions, Target};
pub use report::{Case, Outcome, Report};

use anyhow::{Result, bail};
use crossdock_harness::{cache, toolchain, workspace};

/// One suite of cases.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    pub name: &'static str,
    pub about: &'static str,
    /// Programs without which it cannot run.
    pub needs: &'static [&'static str],
    run: fn(&RunOptions) -> Result<Report>,
}

const SUITES: [Suite; 11] = [
    Suite {
        name: "rocketmq-java",
        about: "official Java clients 4.9 and 5.3: every daily operation, restarts, signing, TLS",
        needs: &crossdock_harness::java::PROGRAMS,
        run: rocketmq_java::run,
    },
    Suite {
        name: "rocketmq-mixed",
        about: "one cluster of our server and a real Apache broker, and a real Apache name server",
        needs: &crossdock_harness::java::PROGRAMS,
        run: rocketmq_mixed::run,
    },
    Suite {
        name: "mqadmin",
        about: "the unmodified command line tool of 5.3: every subcommand that one broker can answer",
        needs: &crossdock_harness::java::PROGRAMS,
        run: mqadmin::run,
    },
    Suite {
        name: "rocketmq-go",
        about: "official Go client v2: produce, push-consume, filter, order, retry",
        needs: &["go"],
        run: rocketmq_go::run,
    },
    Suite {
        name: "rocketmq-rust",
        about: "third-party Rust client: produce, push-consume, filter, order",
        needs: &["cargo"],
        run: rocketmq_rust::run,
    },
    Suite {
        name: "grpc-python",
        about: "official Python client of the gRPC protocol: produce, order, delay, signing, the wire contract",
        needs: &["python3"],
        run: grpc_python::run,
    },
    Suite {
        name: "grpc-java",
        about: "official gRPC client for Java: every client kind, signing, TLS, messages from and to remoting clients",
        needs: &crossdock_harness::java::PROGRAMS,
        run: grpc_java::run,
    },
    Suite {
        name: "grpc-go",
        about: "official gRPC client for Go: every client kind, signing, TLS",
        needs: &["go"],
        run: grpc_go::run,
    },
    Suite {
        name: "grpc-node",
        about: "official gRPC client for Node.js: every client kind, signing, TLS",
        needs: &["node", "npm"],
        run: grpc_node::run,
    },
    Suite {
        name: "grpc-rust",
        about: "official gRPC client for Rust: producers, simple consumer, signing",
        needs: &["cargo"],
        run: grpc_rust::run,
    },
    Suite {
        name: "hostile",
        about: "broken frames, senseless requests, half-open crowds and clients that never read",
        needs: &[],
        run: hostile::run,
    },
];

/// All suites, in the order in which they should be run.
pub fn list() -> &'static [Suite] {
    &SUITES
}

/// Runs the suite of that name. A missing toolchain is a skipped suite on a developer's machine and a failed one in
/// CI; a suite that could not even start is a failed case, so that the summary always counts it.
pub fn run(name: &str, options: &RunOptions) -> Result<Report> {
    let Some(suite) = SUITES.iter().find(|suite| suite.name == name) else {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("no suite {name}; there are {}", names.join(", "));
    };
    let available = toolchain::require(suite.needs);
    if let Some(reason) = available.reason() {
        let mut report = Report::new(options);
        let outcome = if available.may_skip() {
            Outcome::Skipped(reason)
        } else {
            Outcome::Failed(reason)
        };
        report.add(name, outcome);
        return Ok(report);
    }
    // One run of a suite at a time in this checkout: they share the folder of their logs.
    let _held = cache::hold(&workspace::compat(name).join("run"))?;
    Ok((suite.run)(options).unwrap_or_else(|error| {
        let mut report = Report::new(options);
        report.add(name, Outcome::Failed(format!("{error:#}")));
        report
    }))
}

/// What the integration tests do with a suite: run it as the environment says and panic with its report on a failure.
#[expect(clippy::panic, reason = "only called by tests")]
pub fn assert_passes(name: &str) {
    let report = match RunOptions::from_env().and_then(|options| run(name, &options)) {
        Ok(report) => report,
        Err(error) => panic!("{error:#}"),
    };
    assert!(report.has_passed(), "{report}");
}
