//! The generator against a real Apache broker: what it sends is what it gets back.

use std::sync::Arc;
use std::time::Duration;

use crossdock_bench::admin::Admin;
use crossdock_bench::load::{Consume, Produce, Target, Unobserved, Window};
use crossdock_harness::{Broker, BrokerOptions, NameServer, java, toolchain};
use crossdock_proto_remoting::Encoding;

const QUEUES: u32 = 4;
const MESSAGES: u64 = 20_000;

#[test]
fn everything_sent_is_consumed_once_and_in_order_with_both_encodings() {
    let java = toolchain::require(&java::PROGRAMS);
    if java.may_skip() {
        eprintln!("skipped: {}", java.reason().unwrap_or_default());
        return;
    }
    let nameserver = NameServer::start().unwrap();
    let broker = Broker::start(BrokerOptions::new("peer", nameserver.address()).patient()).unwrap();
    for (topic, encoding) in [("json", Encoding::Json), ("binary", Encoding::Binary)] {
        let mut admin = Admin::connect(broker.address()).unwrap();
        admin.create_topic(topic, QUEUES).unwrap();
        let target = Target {
            broker: broker.address(),
            topic: topic.to_owned(),
            queues: QUEUES,
        };
        let window = Window {
            warm_up: Duration::ZERO,
            measure: Duration::from_secs(120),
        };
        let produce = Produce {
            target: target.clone(),
            body_len: 200,
            encoding,
            connections: 2,
            in_flight: 32,
            threads: 2,
            window,
            messages: Some(MESSAGES),
        };
        let sent = produce.run(Arc::new(Unobserved)).unwrap();
        assert_eq!(sent.outcome.errors.len(), 0, "{}", sent.outcome);
        assert_eq!(admin.written(topic, QUEUES).unwrap(), MESSAGES);
        let consume = Consume {
            target,
            group: format!("group_{topic}"),
            encoding,
            connections: 2,
            threads: 2,
            window,
            messages: Some(MESSAGES),
            check: true,
        };
        let received = consume.run(Arc::new(Unobserved)).unwrap();
        assert_eq!(received.total, MESSAGES);
        let verdict = received.seen.judge(&sent.slots);
        assert!(verdict.is_clean(), "{verdict:?}");
    }
}
