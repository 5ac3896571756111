//! The kill loop against a real Apache broker, which shows that the oracle sees: such a broker
//! keeps its messages and forgets young consumer positions.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use crossdock_crash::processes::subject::Subject;
use crossdock_crash::processes::{Options, Shape, run};
use crossdock_harness::{Broker, BrokerOptions, NameServer, java, toolchain};

struct Apache {
    _nameserver: NameServer,
    broker: Broker,
}

impl Subject for Apache {
    fn broker(&self) -> SocketAddr {
        self.broker.address()
    }

    fn kill(&mut self) {
        self.broker.kill9();
    }

    fn terminate(&mut self) -> Result<()> {
        self.broker.terminate()
    }

    fn restart(&mut self) -> Result<()> {
        self.broker.restart()
    }

    fn interrupt_start(&mut self, _: Duration) -> Result<()> {
        Ok(())
    }

    fn retention(&self) -> Option<Duration> {
        None
    }

    fn log(&self) -> String {
        self.broker.log()
    }
}

#[test]
fn the_oracle_sees_which_positions_a_killed_broker_forgets() {
    let java = toolchain::require(&java::PROGRAMS);
    if java.may_skip() {
        eprintln!("skipped: {}", java.reason().unwrap_or_default());
        return;
    }
    let nameserver = NameServer::start().unwrap();
    let broker = Broker::start(BrokerOptions::new("peer", nameserver.address())).unwrap();
    let mut apache = Apache {
        _nameserver: nameserver,
        broker,
    };
    let options = Options {
        rounds: 3,
        shape: Shape {
            topics: 2,
            queues_per_topic: 2,
            ..Shape::default()
        },
        life_ms: 1_000..2_000,
        ..Options::default()
    };
    let report = run(&mut apache, &options).unwrap();
    println!("{report}");
    assert_eq!(report.rounds, 3, "{report}");
    assert!(report.acknowledged > 100, "{report}");
    assert!(report.compared >= report.acknowledged, "{report}");
    let texts = report.violations.texts();
    assert!(
        texts
            .iter()
            .any(|text| text.contains("the position is None")),
        "{report}"
    );
    for text in texts {
        assert!(
            text.contains("the position is") || text.contains("were repeated"),
            "{report}"
        );
    }
}
