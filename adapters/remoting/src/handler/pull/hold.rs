//! Pulls that wait for messages. Each is a task that ends with exactly one answer: messages, or
//! nothing when its time is up, an error when the door drains; or with none, when the client is
//! gone. How many may wait is bounded per connection and in total.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossdock_hub::{ReadStatus, TagFilter};
use crossdock_kit::panics;
use crossdock_proto_remoting::code::response;
use tokio::time::Instant;

use super::check::Pull;
use crate::broker::Broker;
use crate::connection::{Peer, UNDERSTANDS_GO_AWAY_ABOVE, reply_of};
use crate::dispatch::Call;
use crate::error::Refusal;
use crate::reply::Answer;
use crate::stats::Stats;

/// How often a pull with tags looks for messages that it does not want.
const RECHECK: Duration = Duration::from_secs(5);

/// Counts a held pull, against both bounds, until dropped.
pub(in crate::handler) struct Place {
    door: Arc<Broker>,
    peer: Arc<Peer>,
}

impl Place {
    pub(in crate::handler) fn take(door: &Arc<Broker>, peer: &Arc<Peer>) -> Option<Self> {
        let config = &door.config;
        if !enter(&peer.held_pulls, config.held_pulls_per_connection_max) {
            return None;
        }
        if !enter(&door.held_pulls, config.held_pulls_max) {
            peer.held_pulls.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Stats::count(&door.stats.held_pulls);
        Some(Self {
            door: Arc::clone(door),
            peer: Arc::clone(peer),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.peer.held_pulls.fetch_sub(1, Ordering::AcqRel);
        self.door.held_pulls.fetch_sub(1, Ordering::AcqRel);
        self.door.stats.held_pulls.fetch_sub(1, Ordering::Relaxed);
    }
}

fn enter(count: &AtomicUsize, max: usize) -> bool {
    let more = |held| (held < max).then_some(held + 1);
    count
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more)
        .is_ok()
}

/// Starts the wait.
pub(super) fn hold(door: &Arc<Broker>, call: &Call, mut pull: Pull) -> Result<(), Refusal> {
    let Some(place) = Place::take(door, &call.peer) else {
        Stats::count(&door.stats.held_pulls_refused);
        return Err(Refusal::new(
            response::SYSTEM_BUSY,
            "too many pulls wait for messages",
        ));
    };
    if door.scope.is_draining() {
        return Err(go_away(call.command.version));
    }
    let deadline = Instant::now() + pull.hold.unwrap_or_default();
    let meta = call.meta();
    let task = async move {
        let waited = panics::contain(wait(
            &place.door,
            &place.peer,
            &mut pull,
            deadline,
            meta.version,
        ))
        .await;
        let answer = match waited {
            Ok(None) => return,
            Ok(Some(answer)) => answer,
            Err(_) => {
                Stats::count(&place.door.stats.handler_panics);
                Err(Refusal::system("the pull failed"))
            }
        };
        let peer = Arc::clone(&place.peer);
        drop(place);
        peer.answer(&meta, reply_of(&meta, &peer, answer)).await;
    };
    drop(door.scope.spawn("held pull", task));
    Ok(())
}

/// The answer, or none if the client is gone.
async fn wait(
    door: &Broker,
    peer: &Peer,
    pull: &mut Pull,
    deadline: Instant,
    version: i32,
) -> Option<Answer> {
    loop {
        let from = pull.from();
        let arrivals = pull.arrivals();
        // Asked for before the table of resets is looked at, so that none is missed in between.
        let mut moved = pin!(peer.moved.notified());
        moved.as_mut().enable();
        if let Some(offset) = door.hub.take_reset(&pull.group, &pull.topic, pull.queue) {
            return Some(pull.was_reset(door, offset));
        }
        tokio::select! {
            biased;
            () = moved => continue,
            () = peer.closed.cancelled() => return None,
            () = door.scope.draining().cancelled() => return Some(Err(go_away(version))),
            () = tokio::time::sleep_until(deadline) => return Some(pull.last_look(door).await),
            () = tokio::time::sleep(RECHECK), if *arrivals != TagFilter::All => {
                // What nobody here wants has to be passed over now and then, or the client
                // would come back to it.
                match pull.read(door).await {
                    Ok(outcome) if pull.is_at_end(&outcome) => continue,
                    Ok(outcome) => return Some(pull.answer(door, &outcome)),
                    Err(refusal) => return Some(Err(refusal)),
                }
            }
            arrived = door.hub.arrival(&pull.topic, pull.queue, from, arrivals) => {
                if let Err(error) = arrived {
                    return Some(Err(error.into()));
                }
            }
        }
        let outcome = match pull.read(door).await {
            Ok(outcome) => outcome,
            Err(refusal) => return Some(Err(refusal)),
        };
        if outcome.status == ReadStatus::NoMatch {
            // What arrived is not for this client: it stays, and goes on behind it.
            pull.advance(outcome.next);
        } else if !pull.is_at_end(&outcome) {
            return Some(pull.answer(door, &outcome));
        } else if pull.topic.is_deleted() {
            // A queue that is gone wakes its readers at once, and nothing will ever arrive.
            return Some(Err(Refusal::no_topic(pull.topic.name.as_str())));
        }
        // Woken for nothing: others first, should that happen again and again.
        tokio::task::yield_now().await;
    }
}

/// What a client hears that would wait while the door drains. "Nothing there" would bring it back
/// at once, and a pull that is lost with its connection costs old clients half a minute.
pub(in crate::handler) fn go_away(version: i32) -> Refusal {
    if version > UNDERSTANDS_GO_AWAY_ABOVE {
        Refusal::new(response::GO_AWAY, "please go away")
    } else {
        Refusal::leaving()
    }
}
