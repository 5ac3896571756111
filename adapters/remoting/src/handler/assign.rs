//! Consumption by the broker's choice: QUERY_ASSIGNMENT tells a client its queues and how it gets their messages;
//! SET_MESSAGE_REQUEST_MODE chooses that for a group and a topic, GET_ALL_MESSAGE_REQUEST_MODE shows what was chosen. The
//! choices are settings of the hub.

use std::sync::Arc;

use crossdock_hub::{Action, Group, RETRY_PREFIX, Resource, Topic, average_share};
use crossdock_proto_remoting::body;
use crossdock_proto_remoting::body::MessageQueue;
use crossdock_proto_remoting::body::heartbeat::MessageModel;
use crossdock_proto_remoting::body::pop::{
    Assignment, Assignments, MessageRequestMode, MessageRequestModes, QueryAssignment,
    SetMessageRequestMode,
};
use serde::{Deserialize, Serialize};

use crate::auth;
use crate::broker::Broker;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};

/// Where the choices are kept; keys are topic and group, which never hold this sign.
const NAMESPACE: &str = "remoting.request-mode";
const SEPARATOR: char = '@';
/// Queue that stands for every queue of the broker.
const ANY_QUEUE: i32 = -1;

/// A choice as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mode {
    mode: MessageRequestMode,
    share: i32,
}

impl Mode {
    const PULL: Self = Self {
        mode: MessageRequestMode::Pull,
        share: -1,
    };

    fn of(door: &Broker, topic: &str, group: &str) -> Self {
        let stored = door.hub.setting(NAMESPACE, &key(topic, group));
        let read = stored.and_then(|text| serde_json::from_str(&text).ok());
        read.unwrap_or(Self::PULL)
    }
}

fn key(topic: &str, group: &str) -> String {
    format!("{topic}{SEPARATOR}{group}")
}

/// SET_MESSAGE_REQUEST_MODE.
pub(crate) fn set_mode(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let wanted: SetMessageRequestMode = body::parse(&call.command.body)?;
        let (topic, group) = (wanted.topic.as_str(), wanted.consumer_group.as_str());
        auth::may(&door.hub, &call, Action::Update, Resource::group(group))?;
        if topic.starts_with(RETRY_PREFIX) {
            return Err(Refusal::denied("retry topic is not allowed to set mode"));
        }
        if door.hub.topic(topic).is_none() {
            return Err(Refusal::no_topic(topic));
        }
        if door.hub.group(group).is_none() {
            return Err(Refusal::no_group(group));
        }
        let mode = Mode {
            mode: wanted.mode,
            share: wanted.pop_share_queue_num,
        };
        let text = serde_json::to_string(&mode).map_err(|e| Refusal::system(e.to_string()))?;
        door.hub
            .put_setting(NAMESPACE, &key(topic, group), &text)
            .await?;
        Ok(Reply::ok())
    })
}

/// GET_ALL_MESSAGE_REQUEST_MODE.
pub(crate) fn all_modes(door: &Broker, call: &Call) -> Answer {
    auth::may_cluster(&door.hub, call, Action::Get)?;
    let mut all = MessageRequestModes::default();
    for (key, text) in door.hub.settings(NAMESPACE) {
        let Some((topic, group)) = key.split_once(SEPARATOR) else {
            continue;
        };
        let Ok(mode) = serde_json::from_str::<Mode>(&text) else {
            continue;
        };
        let shown = SetMessageRequestMode {
            topic: topic.to_owned(),
            consumer_group: group.to_owned(),
            mode: mode.mode,
            pop_share_queue_num: mode.share,
        };
        let groups = &mut all.message_request_mode_map;
        let of_topic = groups.entry(topic.to_owned()).or_default();
        of_topic.insert(group.to_owned(), shown);
    }
    Ok(Reply::ok().with_body(body::write(&all)?))
}

/// QUERY_ASSIGNMENT.
pub(crate) fn query(door: &Broker, call: &Call) -> Answer {
    let asked: QueryAssignment = body::parse(&call.command.body)?;
    auth::may_pull(&door.hub, call, &asked.topic, &asked.consumer_group)?;
    let assigned = assigned(door, call, &asked);
    let list = assigned.map(|(mode, queues)| {
        let one = |queue_id| Assignment {
            message_queue: MessageQueue {
                broker_name: door.name().to_owned(),
                queue_id,
                topic: asked.topic.clone(),
            },
            mode,
            attachments: Default::default(),
        };
        queues.into_iter().map(one).collect()
    });
    let body = Assignments {
        message_queue_assignments: list,
    };
    Ok(Reply::ok().with_body(body::write(&body)?))
}

/// The queues of the client; none if nothing can be said and it keeps what it has.
fn assigned(
    door: &Broker,
    call: &Call,
    asked: &QueryAssignment,
) -> Option<(MessageRequestMode, Vec<i32>)> {
    let topic = door.hub.topic(&asked.topic)?;
    if asked.message_model == Some(MessageModel::Broadcasting) {
        let all = (0..topic.read_queues).map(|queue| queue as i32);
        return Some((MessageRequestMode::Pull, all.collect()));
    }
    let group = door.hub.group(&asked.consumer_group)?;
    let clients = door.hub.group_clients(&group);
    let place = clients
        .iter()
        .position(|client| **client == *asked.client_id)?;
    let strategy = Strategy::of(asked.strategy_name.as_deref())?;
    let mode = Mode::of(door, &asked.topic, &asked.consumer_group);
    let is_retry = asked.topic == format!("{RETRY_PREFIX}{}", group.name);
    let leases = if is_retry {
        leases_everything(door, &group)
    } else {
        mode.mode == MessageRequestMode::Pop
    };
    let client = Some(asked.client_id.as_str());
    door.hub
        .mark_leasing(&group, call.peer.id, client, &topic, leases);
    if is_retry && leases {
        // What was sent back comes with the topics it was sent back from.
        return Some((MessageRequestMode::Pull, Vec::new()));
    }
    if !leases {
        let queues = strategy.share(&topic, clients.len(), place);
        return Some((MessageRequestMode::Pull, queues));
    }
    let queues = leased(&topic, mode.share, strategy, clients.len(), place);
    Some((MessageRequestMode::Pop, queues))
}

/// True if every topic the group subscribes to is leased to it.
fn leases_everything(door: &Broker, group: &Group) -> bool {
    let Some(view) = door.hub.group_view(group) else {
        return false;
    };
    let topics = view.subscriptions.iter().map(|sub| sub.topic.as_str());
    let mut topics = topics
        .filter(|topic| !topic.starts_with(RETRY_PREFIX))
        .peekable();
    let pops =
        |topic: &str| Mode::of(door, topic, group.name.as_str()).mode == MessageRequestMode::Pop;
    topics.peek().is_some() && topics.all(pops)
}

/// The queues of a client that leases: its own share and that of as many others, or all in one.
fn leased(
    topic: &Topic,
    others: i32,
    strategy: Strategy,
    clients: usize,
    place: usize,
) -> Vec<i32> {
    let others = usize::try_from(others).unwrap_or(0);
    if others == 0 || others >= clients.saturating_sub(1) {
        return vec![ANY_QUEUE];
    }
    if topic.read_queues as usize <= clients {
        let queue = place.checked_rem(topic.read_queues as usize);
        return queue.map(|queue| queue as i32).into_iter().collect();
    }
    let places = (place..=place + others).map(|at| at % clients);
    let mut queues: Vec<i32> = places
        .flat_map(|place| strategy.share(topic, clients, place))
        .collect();
    queues.sort_unstable();
    queues.dedup();
    queues
}

/// How queues are shared among clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    /// In contiguous ranges.
    Average,
    /// One by one in turn.
    Circle,
}

impl Strategy {
    fn of(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or("AVG") {
            "AVG" => Some(Self::Average),
            "AVG_BY_CIRCLE" => Some(Self::Circle),
            _ => None,
        }
    }

    fn share(self, topic: &Topic, clients: usize, place: usize) -> Vec<i32> {
        let queues = topic.read_queues;
        match self {
            Self::Average => average_share(queues, clients, place)
                .map(|queue| queue as i32)
                .collect(),
            Self::Circle => (0..queues)
                .skip(place)
                .step_by(clients.max(1))
                .map(|queue| queue as i32)
                .collect(),
        }
    }
}
