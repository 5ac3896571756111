//! Suite `grpc-java`: the official gRPC client for Java, beside the remoting client of the 5.3 line.

use anyhow::Result;
use crossdock_harness::{java, workspace};

use crate::grpc;
use crate::options::RunOptions;
use crate::report::Report;

const SUITE: &str = "grpc-java";
const HEAP_MIB: u32 = 512;

pub(crate) fn run(options: &RunOptions) -> Result<Report> {
    let folder = workspace::suites().join("java");
    let jars = java::class_path(&folder.join("client-grpc-5.2"))?;
    let sources = ["common", "grpc"].map(|name| folder.join(name));
    let classes = java::compile("driver-grpc", &sources, &jars)?;
    let class_path = java::join(&[&java::logging(), &classes.display().to_string(), &jars]);
    let home = workspace::compat(SUITE).join("run").join("driver");
    let mut command = java::java(&class_path, &home, HEAP_MIB);
    command
        .arg(java::QUICK_START)
        .arg("crossdock.compat.grpc.Driver");
    grpc::run(SUITE, command, options)
}
