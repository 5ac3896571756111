//! Which language toolchains this machine has.

use std::path::PathBuf;

use crate::workspace;

/// Whether a suite can run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    Present,
    /// The programs that were not found.
    Missing(Vec<String>),
}

impl Availability {
    /// One line that says what is missing, or nothing when all is there.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Present => None,
            Self::Missing(programs) => Some(format!("not installed: {}", programs.join(", "))),
        }
    }

    /// True when something is missing and this run may pass over it: everywhere but in CI.
    pub fn may_skip(&self) -> bool {
        *self != Self::Present && !workspace::is_ci()
    }
}

/// Looks for each program on the search path.
pub fn require(programs: &[&str]) -> Availability {
    let missing: Vec<String> = programs
        .iter()
        .filter(|program| find(program).is_none())
        .map(|program| (*program).to_owned())
        .collect();
    if missing.is_empty() {
        Availability::Present
    } else {
        Availability::Missing(missing)
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        assert_eq!(require(&["sh"]), Availability::Present);
        let missing = require(&["sh", "no-such-program"]);
        assert_eq!(missing.reason().unwrap(), "not installed: no-such-program");
    }
}
