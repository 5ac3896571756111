//! GET_BROKER_RUNTIME_INFO: what is really known of the running broker. Keys without a value of
//! ours are left out; tools show nothing for them.

use crossdock_hub::Action;
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::table::KvTable;

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::Call;
use crate::rates::Rated;
use crate::reply::{Answer, Reply};

pub(crate) fn info(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let now = door.hub.now_ms();
    let (begin, end) = door.hub.log_bounds();
    let snapshot = door.stats.snapshot();
    let rates = &door.rates;
    let mornings = rates.mornings(now);
    let ([put_today, get_today], [put_yesterday, get_yesterday]) =
        (mornings.today, mornings.yesterday);
    let entries: [(&str, String); 21] = [
        ("bootTimestamp", door.started_ms.to_string()),
        ("runtime", runtime(now.saturating_sub(door.started_ms))),
        (
            "brokerVersionDesc",
            format!("Crossdock {}", env!("CARGO_PKG_VERSION")),
        ),
        ("brokerActive", (!door.scope.is_draining()).to_string()),
        ("putMessageTimesTotal", snapshot.messages_in.to_string()),
        ("msgPutTotalTodayNow", snapshot.messages_in.to_string()),
        ("msgGetTotalTodayNow", snapshot.messages_out.to_string()),
        ("msgPutTotalTodayMorning", put_today.to_string()),
        ("msgGetTotalTodayMorning", get_today.to_string()),
        ("msgPutTotalYesterdayMorning", put_yesterday.to_string()),
        ("msgGetTotalYesterdayMorning", get_yesterday.to_string()),
        ("putTps", rates.text(Rated::In)),
        ("getTransferredTps", rates.text(Rated::Out)),
        ("getFoundTps", rates.text(Rated::PullsFound)),
        ("getTotalTps", rates.text(Rated::Pulls)),
        ("commitLogMinOffset", begin.0.to_string()),
        ("commitLogMaxOffset", end.0.to_string()),
        ("heldPulls", snapshot.held_pulls.to_string()),
        ("connections", door.config.connections.open().to_string()),
        ("topics", door.hub.topic_count().to_string()),
        ("groups", door.hub.group_count().to_string()),
    ];
    let body = KvTable {
        table: entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}

/// A running time in the words tools print.
fn runtime(ms: i64) -> String {
    let seconds = ms / 1000;
    format!(
        "[ {} days, {} hours, {} minutes, {} seconds ]",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}
