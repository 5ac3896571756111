//! The producing loop against a server that answers at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use crossdock_bench::load::{Observer, Produce, Rule, Sink, Target, Unobserved, Window};
use crossdock_proto_remoting::Encoding;

const COUNTED: Window = Window {
    warm_up: Duration::ZERO,
    measure: Duration::from_secs(60),
};

fn plan(rule: Arc<Rule>) -> Result<Produce> {
    Ok(Produce {
        target: Target {
            broker: Sink::start(rule)?.address(),
            topic: "topic".to_owned(),
            queues: 3,
        },
        body_len: 128,
        encoding: Encoding::Binary,
        connections: 3,
        in_flight: 10,
        threads: 2,
        window: COUNTED,
        messages: Some(1_000),
    })
}

#[test]
fn exactly_the_wanted_number_is_sent_over_all_slots() {
    let sent = plan(Arc::new(|_| 0))
        .unwrap()
        .run(Arc::new(Unobserved))
        .unwrap();
    assert_eq!(sent.outcome.messages, 1_000);
    assert_eq!(sent.outcome.bytes, 128_000);
    assert_eq!(
        (sent.outcome.error_count(), sent.outcome.unanswered),
        (0, false)
    );
    assert_eq!(sent.slots.len(), 10);
    assert_eq!(sent.slots.iter().map(|slot| slot.sent).sum::<u64>(), 1_000);
    assert!(sent.slots.iter().all(|slot| slot.doubtful.is_empty()));
}

#[test]
fn refusals_are_counted_by_code_and_remembered_as_doubtful() {
    let plan = plan(Arc::new(|n| if n % 10 == 0 { 14 } else { 0 })).unwrap();
    let sent = plan.run(Arc::new(Unobserved)).unwrap();
    let refused = sent.outcome.error_count();
    assert_eq!(sent.outcome.errors, BTreeMap::from([(14, refused)]));
    assert!((100..=103).contains(&refused), "{refused}");
    assert_eq!(sent.outcome.messages, 1_000 - refused);
    let doubtful: usize = sent.slots.iter().map(|slot| slot.doubtful.len()).sum();
    assert_eq!(doubtful as u64, refused);
}

#[test]
fn a_window_is_announced_and_measured() {
    #[derive(Default)]
    struct Moments(AtomicU32);
    impl Observer for Moments {
        fn measuring(&self) {
            assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0);
        }
        fn measured(&self) {
            assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 1);
        }
    }
    let mut plan = plan(Arc::new(|_| 0)).unwrap();
    plan.messages = None;
    plan.window = Window {
        warm_up: Duration::from_millis(100),
        measure: Duration::from_millis(300),
    };
    let moments = Arc::new(Moments::default());
    let sent = plan.run(Arc::clone(&moments) as Arc<dyn Observer>).unwrap();
    assert_eq!(moments.0.load(Ordering::SeqCst), 2);
    let elapsed = sent.outcome.elapsed.as_secs_f64();
    assert!(elapsed >= 0.29, "{elapsed}");
    assert!(sent.outcome.messages > 0);
    let all: u64 = sent.slots.iter().map(|slot| slot.sent).sum();
    assert!(
        all > sent.outcome.messages,
        "warm-up is sent but not counted"
    );
    let latency = sent.outcome.latency;
    assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
}
