//! Requests of this family that may wait. They count as held pulls do, are told to go away when the door drains, and
//! vanish with their connection.

use std::future::Future;
use std::sync::Arc;

use crossdock_kit::panics;
use crossdock_proto_remoting::code::response;

use crate::broker::Broker;
use crate::connection::reply_of;
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::handler::pull::hold::{Place, go_away};
use crate::reply::Answer;
use crate::stats::Stats;

/// Runs `work` beside the connection; its outcome is the answer. Dropped halfway it must leave nothing behind.
pub(super) fn run(
    door: &Arc<Broker>,
    call: &Call,
    work: impl Future<Output = Answer> + Send + 'static,
) -> Result<(), Refusal> {
    let Some(place) = Place::take(door, &call.peer) else {
        Stats::count(&door.stats.held_pulls_refused);
        return Err(Refusal::new(
            response::POLLING_FULL,
            "too many requests wait for messages",
        ));
    };
    let meta = call.meta();
    if door.scope.is_draining() {
        return Err(go_away(meta.version));
    }
    let (door_of_task, peer) = (Arc::clone(door), Arc::clone(&call.peer));
    let task = async move {
        let door = door_of_task;
        let answer = tokio::select! {
            biased;
            () = peer.closed.cancelled() => return,
            done = panics::contain(work) => done.unwrap_or_else(|_| {
                Stats::count(&door.stats.handler_panics);
                Err(Refusal::system("the request failed"))
            }),
            () = door.scope.draining().cancelled() => Err(go_away(meta.version)),
        };
        drop(place);
        peer.answer(&meta, reply_of(&meta, &peer, answer)).await;
    };
    drop(door.scope.spawn("held pop", task));
    Ok(())
}
