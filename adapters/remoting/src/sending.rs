//! Answering sends: from the outcome the log reports to the response the producer waits for.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use crossdock_hub::{AppendError, Receipt};
use crossdock_proto_remoting::ExtBuilder;
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::send::SendResponse;
use crossdock_proto_remoting::record::MessageId;
use smallvec::SmallVec;

use crate::config::RemotingConfig;
use crate::error::Refusal;
use crate::reply::{Answer, Meta, Reply};
use crate::stats::Stats;
use crate::trace::SendTrace;

/// What is remembered of a send until the log has decided it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) meta: Meta,
    /// Number of the queue the messages are addressed to.
    pub(crate) queue: u32,
    /// The unique key of the message, as text; empty for batches without one.
    pub(crate) uniq_key: Bytes,
    /// What a timer message can be taken back by.
    pub(crate) recall: Option<Box<str>>,
    /// What is to be recorded of it.
    pub(crate) trace: Option<Box<SendTrace>>,
    /// The broker's address as the producer knows it.
    pub(crate) store_host: SocketAddr,
}

/// Message ids, separated by commas; a single one lies on the stack.
struct Ids(SmallVec<[u8; 64]>);

impl Sent {
    fn ids(&self, receipt: &Receipt) -> Ids {
        let mut ids = SmallVec::new();
        for placed in receipt {
            if !ids.is_empty() {
                ids.push(b',');
            }
            let id = MessageId {
                host: self.store_host,
                offset: i64::try_from(placed.position.0).unwrap_or(i64::MAX),
            };
            ids.extend_from_slice(id.text().as_str().as_bytes());
        }
        Ids(ids)
    }

    fn header<'a>(
        &'a self,
        ids: &'a Ids,
        receipt: &Receipt,
        config: &'a RemotingConfig,
    ) -> SendResponse<'a> {
        let uniq_key = std::str::from_utf8(&self.uniq_key).unwrap_or_default();
        let first = receipt.first().map_or(0, |placed| placed.offset);
        SendResponse {
            msg_id: std::str::from_utf8(&ids.0).unwrap_or_default(),
            queue_id: i32::try_from(self.queue).unwrap_or(i32::MAX),
            queue_offset: i64::try_from(first).unwrap_or(i64::MAX),
            transaction_id: (!uniq_key.is_empty()).then_some(uniq_key),
            batch_uniq_id: None,
            recall_handle: self.recall.as_deref(),
            region: Some(&config.region),
            trace_on: Some(config.trace_on),
        }
    }

    /// The response as a value, for sends that are answered by a task.
    pub(crate) fn reply(&self, receipt: &Receipt, config: &RemotingConfig) -> Answer {
        let ids = self.ids(receipt);
        Ok(Reply::ok().with_header(&self.header(&ids, receipt, config)))
    }
}

/// Appends the response to `out` and returns its code. `ext` is a builder to reuse.
pub(crate) fn answer(
    sent: &Sent,
    outcome: Result<Receipt, AppendError>,
    config: &RemotingConfig,
    stats: &Stats,
    ext: &mut ExtBuilder,
    out: &mut BytesMut,
) -> i32 {
    match outcome {
        Ok(receipt) => {
            Stats::add(&stats.messages_in, receipt.len() as u64);
            ext.clear();
            let ids = sent.ids(&receipt);
            sent.header(&ids, &receipt, config).write(ext);
            let response = sent.meta.response(response::SUCCESS);
            if response.encode_head_with(ext, 0, out).is_ok() {
                return response::SUCCESS;
            }
            // The ids of a batch longer than any header: stored, and not to be sent again.
            let first = receipt.into_iter().take(1).collect();
            let ids = sent.ids(&first);
            ext.clear();
            sent.header(&ids, &first, config).write(ext);
            let _ = response.encode_head_with(ext, 0, out);
            response::SUCCESS
        }
        Err(error) => {
            let reply = Reply::from(Refusal::from(error));
            let code = reply.code;
            reply.encode(&sent.meta, out);
            code
        }
    }
}
