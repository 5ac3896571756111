//! The launcher of the real Apache servers, on real servers.

use std::net::TcpStream;
use std::time::Duration;

use crossdock_harness::remoting::{self, Remoting};
use crossdock_harness::{Broker, BrokerOptions, NameServer, java, toolchain};

#[test]
fn broker_registers_and_starts_again_after_a_crash_and_ends_cleanly() {
    let java = toolchain::require(&java::PROGRAMS);
    if java.may_skip() {
        eprintln!("skipped: {}", java.reason().unwrap_or_default());
        return;
    }
    assert_eq!(java.reason(), None);
    let nameserver = NameServer::start().unwrap();
    let mut broker = Broker::start(BrokerOptions::new("peer", nameserver.address())).unwrap();
    assert!(broker.resident_bytes().unwrap() > 10_000_000);
    assert!(broker.cpu_seconds().unwrap() > 0.0);
    TcpStream::connect(broker.fast()).unwrap();

    let mut client = Remoting::connect(broker.address(), Duration::from_secs(20)).unwrap();
    let unknown = client.call(29_999, &[], &[]).unwrap();
    assert_eq!(unknown.code, 3, "{}", unknown.remark);

    broker.kill9();
    broker.restart().unwrap();
    assert!(
        remoting::route(nameserver.address(), "peer")
            .unwrap()
            .is_some()
    );
    broker.terminate().unwrap();
}
