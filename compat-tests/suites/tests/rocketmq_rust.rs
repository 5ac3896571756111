//! Runs suite `rocketmq-rust`; see `crossdock_suites::list`.

#[test]
fn suite_passes() {
    crossdock_suites::assert_passes("rocketmq-rust");
}
