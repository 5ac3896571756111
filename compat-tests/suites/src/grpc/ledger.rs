//! Cases that the real Apache RocketMQ with its own Proxy fails, and why: the proof that the drivers are right is what
//! remains. Our own server has no entry here.

use crate::options::Target;

/// A case of one suite, or of all.
#[derive(Debug)]
struct Entry {
    suite: Option<&'static str>,
    case: &'static str,
    reason: &'static str,
}

const APACHE: &[Entry] = &[];

/// Why a failure of this case says nothing about the driver.
pub(super) fn excuse(target: Target, suite: &str, case: &str) -> Option<&'static str> {
    if target != Target::Apache {
        return None;
    }
    let matches =
        |entry: &&Entry| entry.case == case && entry.suite.is_none_or(|name| name == suite);
    APACHE.iter().find(matches).map(|entry| entry.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_server_is_never_excused() {
        for entry in APACHE {
            let suite = entry.suite.unwrap_or("grpc-java");
            assert!(excuse(Target::Apache, suite, entry.case).is_some());
            assert_eq!(excuse(Target::Crossdock, suite, entry.case), None);
        }
        assert_eq!(excuse(Target::Apache, "grpc-java", "no_such_case"), None);
    }
}
