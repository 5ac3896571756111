//! Runs suite `mqadmin`; see `crossdock_suites::list`.

#[test]
fn suite_passes() {
    crossdock_suites::assert_passes("mqadmin");
}
