//! Runs suite `grpc-python`; see `crossdock_suites::list`.

#[test]
fn suite_passes() {
    crossdock_suites::assert_passes("grpc-python");
}
