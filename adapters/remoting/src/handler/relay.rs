//! Questions to a connected client, asked on behalf of a tool: what a consumer is doing, what it
//! makes of one message, where it stands. The client's answer is passed on.

use std::sync::Arc;
use std::time::Duration;

use crossdock_hub::{Action, Group, HubError, Member, Position, ReadError, Resource};
use crossdock_proto_remoting::body::stats::{ClientOffsets, ConsumerStatus};
use crossdock_proto_remoting::code::{request, response};
use crossdock_proto_remoting::header::group::{
    ConsumeMessageDirectly, GetConsumerRunningInfo, GetConsumerStatus,
};
use crossdock_proto_remoting::record::MessageId;
use crossdock_proto_remoting::{Command, body};
use tokio::time::Instant;

use super::query::place;
use crate::auth;
use crate::broker::Broker;
use crate::connection::{Peer, Silence};
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::outgoing::Records;

/// How long a client may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Most clients that one request asks.
const CLIENTS_MAX: usize = 256;

/// The connection of a member that came by this door.
pub(super) fn peer_of(member: &Member) -> Option<&Peer> {
    member.channel.as_any().downcast_ref::<Peer>()
}

fn offline(group: &str, client: &str) -> Refusal {
    Refusal::system(format!("The Consumer <{group}> <{client}> not online"))
}

async fn ask(member: &Member, group: &Group, command: Command) -> Answer {
    let Some(peer) = peer_of(member) else {
        return Err(Refusal::system(format!(
            "The Consumer <{}> <{}> is connected by a protocol that cannot be asked",
            group.name, member.client
        )));
    };
    match peer.ask(command, LIMIT).await {
        Ok(answer) => Ok(Reply::from(answer)),
        Err(Silence::TimedOut) => Err(Refusal::new(
            response::CONSUME_MSG_TIMEOUT,
            format!(
                "The Consumer <{}> <{}> did not answer in time",
                group.name, member.client
            ),
        )),
        Err(Silence::Gone) => Err(offline(group.name.as_str(), &member.client)),
        Err(Silence::Busy) => Err(Refusal::new(
            response::SYSTEM_BUSY,
            "the client has not answered earlier questions",
        )),
        Err(Silence::Unspeakable) => Err(Refusal::system("the question does not fit a frame")),
    }
}

/// A member of the group by its client id.
fn member(door: &Broker, group: &str, client: &str) -> Result<(Arc<Group>, Member), Refusal> {
    let found = door.hub.group(group).and_then(|group| {
        let view = door.hub.group_view(&group)?;
        let mut members = view.members.into_iter();
        let member = members.find(|member| *member.client == *client)?;
        Some((group, member))
    });
    found.ok_or_else(|| offline(group, client))
}

/// GET_CONSUMER_RUNNING_INFO.
pub(crate) fn running_info(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = GetConsumerRunningInfo::parse(&call.command.ext)?;
        let group = header.consumer_group;
        auth::may(&door.hub, &call, Action::Get, Resource::group(group))?;
        let (group, member) = member(&door, group, header.client_id)?;
        let question = Command::request(request::GET_CONSUMER_RUNNING_INFO).with_header(&header);
        ask(&member, &group, question).await
    })
}

/// CONSUME_MESSAGE_DIRECTLY.
pub(crate) fn consume_directly(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = ConsumeMessageDirectly::parse(&call.command.ext)?;
        let group = header.consumer_group;
        auth::may(&door.hub, &call, Action::Update, Resource::group(group))?;
        let client = header
            .client_id
            .ok_or_else(|| Refusal::invalid("the request names no client"))?;
        let (group, member) = member(&door, group, client)?;
        let id = header
            .msg_id
            .ok_or_else(|| Refusal::invalid("the request names no message"))?;
        let missing = || Refusal::system(format!("can not find message by the id, {id}"));
        let at: MessageId = id.parse().map_err(|_| missing())?;
        let position = u64::try_from(at.offset).map_err(|_| missing())?;
        let message = match door.hub.view(Position(position)).await {
            Ok(message) => message,
            Err(HubError::Read(ReadError::NotFound(_) | ReadError::Expired(_))) => {
                return Err(missing());
            }
            Err(error) => return Err(error.into()),
        };
        let (topic, queue) = place(&door, &message).ok_or_else(missing)?;
        // The member sees the message, so the group must be allowed to.
        let actions = Action::Sub | Action::Get;
        auth::may(&door.hub, &call, actions, auth::behind(topic.name.as_str()))?;
        let mut records = Records::new(
            peer_of(&member).map_or(call.peer.advertised, |peer| peer.advertised),
            1,
        );
        records.add(&message, queue);
        if records.count == 0 {
            return Err(missing());
        }
        let question = ConsumeMessageDirectly {
            broker_name: Some(door.name()),
            topic: header.topic.or(Some(topic.name.as_str())),
            topic_sys_flag: Some(topic.sys_flag as i32),
            group_sys_flag: Some(group.config.sys_flag as i32),
            ..header.clone()
        };
        let question = Command::request(request::CONSUME_MESSAGE_DIRECTLY)
            .with_header(&question)
            .with_body(records.slices.concat());
        ask(&member, &group, question).await
    })
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS: where each member says it stands in the topic.
pub(crate) fn status(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move {
        let header = GetConsumerStatus::parse(&call.command.ext)?;
        let name = header.group;
        let needs = Action::Get.into();
        auth::may_ask_group(&door.hub, &call, name, Some(header.topic), needs)?;
        let view = door
            .hub
            .group(name)
            .and_then(|group| Some((door.hub.group_view(&group)?, group)));
        let Some((view, group)) = view else {
            return Err(Refusal::system(format!(
                "No Any Consumer online in the consumer group: [{name}]"
            )));
        };
        let wanted = header.client_addr.filter(|client| !client.is_empty());
        let members = view
            .members
            .iter()
            .filter(|member| wanted.is_none_or(|wanted| *member.client == *wanted))
            .filter(|member| peer_of(member).is_some());
        let question = Command::request(request::GET_CONSUMER_STATUS_FROM_CLIENT).with_header(
            &GetConsumerStatus {
                client_addr: None,
                ..header.clone()
            },
        );
        let mut status = ConsumerStatus::default();
        // All clients together may take as long as one.
        let end = Instant::now() + LIMIT;
        for member in members.take(CLIENTS_MAX) {
            let answer = match peer_of(member) {
                Some(peer) => {
                    let left = end.saturating_duration_since(Instant::now());
                    peer.ask(question.clone(), left).await
                }
                None => continue,
            };
            // Who does not answer is left out; its offsets are not known.
            if let Ok(answer) = answer
                && answer.code == response::SUCCESS
                && let Ok(offsets) = body::parse::<ClientOffsets>(&answer.body)
            {
                let table = offsets.message_queue_table;
                status
                    .consumer_table
                    .insert(member.client.to_string(), table);
            }
        }
        if status.consumer_table.is_empty() {
            return Err(Refusal::system(format!(
                "no consumer of the group {} answered",
                group.name
            )));
        }
        Ok(Reply::ok().with_body(status.to_json()?))
    })
}
