//! `crossdock version`.

use super::print;
use crate::exit::Failure;

pub(super) fn run(as_json: bool) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if !as_json {
        return print(&format!("crossdock {version}\n"));
    }
    let object = serde_json::json!({
        "name": "crossdock",
        "version": version,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    });
    print(&format!("{object}\n"))
}
