//! How to run a suite.

use anyhow::{Result, bail};

/// Which server the clients talk to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Target {
    #[default]
    Crossdock,
    /// A real Apache RocketMQ name server and broker: checks the suite itself.
    Apache,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crossdock => "crossdock",
            Self::Apache => "apache",
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    pub target: Target,
    /// Runs only cases whose name contains one of these words; all when empty.
    pub only: Vec<String>,
    /// Prints each case when it ends.
    pub show_progress: bool,
}

impl RunOptions {
    /// `CROSSDOCK_COMPAT_TARGET` is `crossdock` or `apache`; `CROSSDOCK_COMPAT_ONLY` is a comma-separated list.
    pub fn from_env() -> Result<Self> {
        let target = match std::env::var("CROSSDOCK_COMPAT_TARGET").as_deref() {
            Err(_) | Ok("" | "crossdock") => Target::Crossdock,
            Ok("apache") => Target::Apache,
            Ok(other) => bail!("CROSSDOCK_COMPAT_TARGET is {other}, not crossdock or apache"),
        };
        let only = std::env::var("CROSSDOCK_COMPAT_ONLY").unwrap_or_default();
        Ok(Self {
            target,
            only: words(&only),
            show_progress: true,
        })
    }

    pub(crate) fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

/// Splits a comma-separated list.
pub(crate) fn words(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
