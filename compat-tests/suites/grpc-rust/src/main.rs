//! Runs the compatibility cases with the official gRPC client for Rust, which has producers and a simple consumer that
//! cannot change a lease, and no TLS. Standard output carries only the conversation with the harness: CASES names, then
//! PASS or FAIL for each, CONTROL words when the harness shall do something to the server and answer ok, and DONE.

mod cases;
mod scope;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::scope::{Scope, Settings};

/// Longest time one case may take; what hangs is a failure with a name.
const CASE_LIMIT: Duration = Duration::from_secs(150);
/// Most cases only wait.
const PARALLEL: usize = 8;

#[tokio::main]
async fn main() {
    let settings = Arc::new(Settings::from_arguments());
    let chosen: Vec<cases::Case> = cases::all()
        .into_iter()
        .filter(|case| settings.selects(case.name))
        .collect();
    let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
    println!("CASES {}", names.join(" "));
    let slots = Arc::new(Semaphore::new(PARALLEL));
    let mut running = Vec::new();
    for case in chosen {
        let scope = Scope::new(Arc::clone(&settings), case.name);
        let slots = Arc::clone(&slots);
        running.push(tokio::spawn(async move {
            let _slot = slots.acquire_owned().await;
            let task = tokio::spawn((case.body)(scope));
            let line = match tokio::time::timeout(CASE_LIMIT, task).await {
                Ok(Ok(Ok(()))) => format!("PASS {}", case.name),
                Ok(Ok(Err(error))) => format!("FAIL {}: {error}", case.name),
                Ok(Err(panic)) => format!("FAIL {}: {panic}", case.name),
                Err(_) => format!("FAIL {}: took longer than {CASE_LIMIT:?}", case.name),
            };
            println!("{}", line.replace('\n', " "));
        }));
    }
    for task in running {
        if let Err(error) = task.await {
            eprintln!("{error}");
        }
    }
    println!("DONE");
    // The client's threads must not hold up the harness.
    std::process::exit(0);
}
