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

const APACHE: &[Entry] = &[
    Entry {
        suite: Some("grpc-java"),
        case: "senseless_filter_is_refused",
        reason: "the Proxy answers 50001 (INTERNAL_SERVER_ERROR), not 40010 (ILLEGAL_FILTER_EXPRESSION)",
    },
    Entry {
        suite: Some("grpc-java"),
        case: "namespaces_are_separate",
        reason: "the Proxy of 5.3 ignores the namespace of a topic",
    },
    Entry {
        suite: Some("grpc-java"),
        case: "restart_keeps_handles_and_clients_working",
        reason: "after a start the Proxy answers 50001 to a client that has not yet sent its settings again",
    },
    Entry {
        suite: Some("grpc-node"),
        case: "push_fifo_failure_blocks_its_group",
        reason: "the Proxy sends every client a list of delays, which this one does not read: it gives a message up \
                 after one failure",
    },
    Entry {
        suite: Some("grpc-node"),
        case: "forged_handle_is_refused",
        reason: "the Proxy answers 50001 (INTERNAL_SERVER_ERROR), not 40013 (INVALID_RECEIPT_HANDLE)",
    },
    Entry {
        suite: Some("grpc-node"),
        case: "producer_of_many_topics_starts",
        reason: "this client hangs when the settings come before the routes, and the Proxy sends them once",
    },
    Entry {
        suite: Some("grpc-rust"),
        case: "batch_send",
        reason: "the Proxy answers a batch with one entry that holds all message ids",
    },
];

/// The cases of a suite whose failure says nothing about the driver, with the reasons.
pub(super) fn excuses(
    target: Target,
    suite: &str,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let entries = match target {
        Target::Crossdock => &[],
        Target::Apache => APACHE,
    };
    entries
        .iter()
        .filter(move |entry| entry.suite.is_none_or(|name| name == suite))
        .map(|entry| (entry.case, entry.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_server_is_never_excused() {
        assert_eq!(excuses(Target::Crossdock, "grpc-java").count(), 0);
        for entry in APACHE {
            assert!(!entry.reason.is_empty(), "{entry:?}");
        }
    }
}
