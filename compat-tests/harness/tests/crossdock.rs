//! The real server in the harness: found, started, crashed, restarted and ended.

use std::time::Duration;

use crossdock_harness::remoting::{self, Remoting};
use crossdock_harness::{Crossdock, Options};

const REQUEST_CODE_NOT_SUPPORTED: i64 = 3;

#[test]
fn the_binary_serves_name_server_and_broker_over_a_crash_and_a_clean_restart() {
    let mut server = Crossdock::start(Options::default()).unwrap();
    for _ in 0..2 {
        remoting::await_route(
            server.nameserver(),
            "TBW102",
            server.remoting(),
            Duration::from_secs(20),
        )
        .unwrap();
        for address in [server.nameserver(), server.remoting(), server.fast()] {
            let mut client = Remoting::connect(address, Duration::from_secs(20)).unwrap();
            assert_eq!(
                client.call(29_999, &[], &[]).unwrap().code,
                REQUEST_CODE_NOT_SUPPORTED
            );
        }
        server.kill9();
        server.restart().unwrap();
    }
    server.restart().unwrap();
    server.terminate().unwrap();
}
