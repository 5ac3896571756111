//! Where things lie: the workspace root and the folders below `target/` in which fetched clients, compiled drivers and
//! logs are kept.

use std::path::{Path, PathBuf};

/// The folder of the workspace manifest.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .unwrap_or(manifest)
        .to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The folder in which one suite keeps what it fetched and built.
pub fn compat(suite: &str) -> PathBuf {
    target().join("compat").join(suite)
}

/// The sources of the client drivers.
pub fn suites() -> PathBuf {
    root().join("compat-tests").join("suites")
}

/// True where a missing toolchain must fail instead of skip.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
