//! Transactions: END_TRANSACTION, the producer's decision, and CHECK_TRANSACTION_STATE, the question.
//! The half message is an ordinary send that carries its producer group.

use std::sync::Arc;

use crossdock_hub::{Action, Position, Resolution, Resource, Undecided};
use crossdock_proto_remoting::Command;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::transaction::{
    CheckTransactionState, EndTransaction, verdict,
};
use crossdock_proto_remoting::record::{MessageId, Properties, sys_flag};

use crate::auth;
use crate::broker::Broker;
use crate::connection::Peer;
use crate::dispatch::{Boxed, Call};
use crate::error::Refusal;
use crate::reply::{Answer, Reply};
use crate::translate::outgoing::{Records, texts};
use crate::translate::scan::Scan;

pub(crate) fn end(door: Arc<Broker>, call: Call) -> Boxed<Answer> {
    Box::pin(async move { end_transaction(&door, &call).await })
}

/// END_TRANSACTION. A producer that does not know yet says so; it is asked again later.
async fn end_transaction(door: &Broker, call: &Call) -> Answer {
    let header = EndTransaction::parse(&call.command.ext)?;
    let position = u64::try_from(header.commit_log_offset)
        .map(Position)
        .map_err(|_| Refusal::invalid("commitLogOffset cannot be negative"))?;
    let undecided = door.hub.undecided_at(position).await?;
    let topic = Resource::topic(undecided.topic.name.as_str());
    auth::may(&door.hub, call, Action::Pub, topic)?;
    let resolution = match header.commit_or_rollback {
        verdict::COMMIT => Resolution::Commit {
            sys_flags: undecided.message.record.sys_flags | sys_flag::TRANSACTION_COMMIT as u32,
        },
        verdict::ROLLBACK => Resolution::Rollback,
        verdict::UNKNOWN => return Ok(Reply::ok()),
        other => {
            let remark = format!("commitOrRollback cannot be {other}");
            return Err(Refusal::invalid(remark));
        }
    };
    door.hub
        .decide(position, header.producer_group, resolution)
        .await?;
    Ok(Reply::ok())
}

/// The question about a half message; `None` if it cannot be put into this protocol's words.
pub(crate) fn question(peer: &Peer, undecided: &Undecided, broker: &str) -> Option<Command> {
    let message = &undecided.message;
    let mut records = Records::new(peer.advertised, 1);
    records.add(message, undecided.queue);
    let texts = texts(message)?;
    let uniq_key = Scan::of(Properties::new(&texts.properties)).uniq_key;
    let position = i64::try_from(message.record.position.0).ok()?;
    let id = MessageId {
        host: peer.advertised,
        offset: position,
    }
    .to_string();
    let header = CheckTransactionState {
        topic: Some(undecided.topic.name.as_str()),
        tran_state_table_offset: 0,
        commit_log_offset: position,
        msg_id: uniq_key,
        transaction_id: uniq_key,
        offset_msg_id: Some(&id),
        broker_name: Some(broker),
    };
    let command = Command::request(request::CHECK_TRANSACTION_STATE);
    let body = records.slices.concat();
    Some(command.with_header(&header).with_body(body))
}
