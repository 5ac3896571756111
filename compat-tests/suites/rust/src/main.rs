//! Runs the compatibility cases with the third-party crate `rocketmq-client-rust`. Standard output carries only the
//! conversation with the harness: CASES names, then PASS or FAIL for each, and DONE.

mod cases;
mod scope;

use std::sync::Arc;
use std::time::Duration;

use rocketmq_client_rust::{ClientRuntime, ClientRuntimeConfig};
use rocketmq_observability::TelemetryRuntimeGuard;
use rocketmq_runtime::RuntimeOwner;

use crate::scope::{Outcome, Scope, Settings};

/// Longest time one case may take; what hangs is a failure with a name.
const CASE_LIMIT: Duration = Duration::from_secs(60);

fn main() -> Outcome {
    let settings = Arc::new(Settings::from_arguments());
    let owner = RuntimeOwner::new()?;
    let telemetry = TelemetryRuntimeGuard::noop();
    let runtime = ClientRuntime::try_new(
        owner.root_context().component("compat"),
        ClientRuntimeConfig::default(),
        telemetry.handle(),
    )?;
    owner.block_on(run(settings, runtime));
    // The client's threads must not hold up the harness.
    std::process::exit(0);
}

async fn run(settings: Arc<Settings>, runtime: Arc<ClientRuntime>) {
    let chosen: Vec<cases::Case> = cases::all()
        .into_iter()
        .filter(|case| settings.selects(case.name))
        .collect();
    let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
    println!("CASES {}", names.join(" "));
    for case in chosen {
        let scope = Scope::new(Arc::clone(&settings), Arc::clone(&runtime), case.name);
        let task = tokio::spawn((case.body)(scope));
        let line = match tokio::time::timeout(CASE_LIMIT, task).await {
            Ok(Ok(Ok(()))) => format!("PASS {}", case.name),
            Ok(Ok(Err(error))) => format!("FAIL {}: {error}", case.name),
            Ok(Err(panic)) => format!("FAIL {}: {panic}", case.name),
            Err(_) => format!("FAIL {}: took longer than {CASE_LIMIT:?}", case.name),
        };
        println!("{}", line.replace('\n', " "));
    }
    println!("DONE");
}
