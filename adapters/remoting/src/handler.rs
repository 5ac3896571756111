//! Handlers of the broker, one file per request family. Each parses, authorizes, makes one or two
//! hub calls and answers.

mod admin_group;
mod admin_topic;
mod assign;
mod broker_stats;
mod config;
mod connections;
mod consume_queue;
mod expression;
mod heartbeat;
mod housekeeping;
mod lock;
mod membership;
mod offset;
mod pop;
mod progress;
mod pull;
mod query;
mod recall;
mod relay;
mod reset;
mod rules;
mod runtime;
mod send;
mod send_back;
mod send_batch;
mod send_reply;
mod topic_stats;
pub(crate) mod transaction;
mod users;

use crossdock_proto_remoting::code::request;

use crate::broker::Broker;
use crate::dispatch::{Dispatcher, Handler};

pub(crate) use admin_topic::{config_of, data_version, table_of};

/// Everything the broker does.
pub(crate) fn dispatcher() -> Dispatcher<Broker> {
    let mut on = Dispatcher::new();
    on.on(request::SEND_MESSAGE, Handler::Flow(send::single))
        .on(request::SEND_MESSAGE_V2, Handler::Flow(send::single))
        .on(
            request::SEND_BATCH_MESSAGE,
            Handler::Flow(send_batch::batch),
        )
        .task(request::SEND_REPLY_MESSAGE, send_reply::send_reply)
        .task(request::SEND_REPLY_MESSAGE_V2, send_reply::send_reply)
        .task(request::RECALL_MESSAGE, recall::recall)
        .task(request::CONSUMER_SEND_MSG_BACK, send_back::send_back)
        .on(request::PULL_MESSAGE, Handler::Flow(pull::pull))
        .on(request::LITE_PULL_MESSAGE, Handler::Flow(pull::pull));
    on.on(request::POP_MESSAGE, Handler::Flow(pop::pop))
        .now(request::ACK_MESSAGE, pop::ack::ack)
        .now(request::BATCH_ACK_MESSAGE, pop::ack::batch_ack)
        .now(
            request::CHANGE_MESSAGE_INVISIBLETIME,
            pop::ack::change_invisible,
        )
        .on(
            request::NOTIFICATION,
            Handler::Flow(pop::notice::notification),
        )
        .now(request::POLLING_INFO, pop::notice::polling_info)
        .task(request::PEEK_MESSAGE, pop::peek::peek)
        .now(request::QUERY_ASSIGNMENT, assign::query)
        .task(request::SET_MESSAGE_REQUEST_MODE, assign::set_mode)
        .now(request::GET_ALL_MESSAGE_REQUEST_MODE, assign::all_modes);
    on.on(request::QUERY_CONSUMER_OFFSET, Handler::Flow(offset::query))
        .on(
            request::UPDATE_CONSUMER_OFFSET,
            Handler::Flow(offset::update),
        )
        .now(request::SEARCH_OFFSET_BY_TIMESTAMP, offset::by_time)
        .now(request::GET_MAX_OFFSET, offset::max)
        .now(request::GET_MIN_OFFSET, offset::min)
        .now(request::GET_EARLIEST_MSG_STORETIME, offset::earliest);
    on.task(request::END_TRANSACTION, transaction::end);
    on.task(request::HEART_BEAT, heartbeat::heartbeat)
        .now(request::UNREGISTER_CLIENT, membership::unregister)
        .now(request::GET_CONSUMER_LIST_BY_GROUP, membership::list)
        .now(request::CHECK_CLIENT_CONFIG, membership::check_config)
        .now(request::LOCK_BATCH_MQ, lock::lock)
        .now(request::UNLOCK_BATCH_MQ, lock::unlock);
    on.task(request::VIEW_MESSAGE_BY_ID, query::view)
        .task(request::QUERY_MESSAGE, query::by_key);
    on.task(request::UPDATE_AND_CREATE_TOPIC, admin_topic::put)
        .task(request::UPDATE_AND_CREATE_TOPIC_LIST, admin_topic::put_list)
        .task(request::DELETE_TOPIC_IN_BROKER, admin_topic::delete)
        .now(request::GET_TOPIC_CONFIG, admin_topic::get)
        .now(request::GET_ALL_TOPIC_CONFIG, admin_topic::get_all)
        .now(
            request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER,
            admin_topic::system,
        );
    on.task(
        request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        admin_group::put,
    )
    .task(
        request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
        admin_group::put_list,
    )
    .task(request::DELETE_SUBSCRIPTIONGROUP, admin_group::delete)
    .now(request::GET_SUBSCRIPTIONGROUP_CONFIG, admin_group::get)
    .now(
        request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
        admin_group::get_all,
    );
    on.task(request::UPDATE_BROKER_CONFIG, config::update)
        .now(request::GET_BROKER_CONFIG, config::get)
        .now(request::GET_BROKER_RUNTIME_INFO, runtime::info);
    on.now(request::GET_TOPIC_STATS_INFO, topic_stats::stats)
        .task(
            request::QUERY_TOPIC_CONSUME_BY_WHO,
            topic_stats::consumed_by,
        )
        .now(
            request::GET_CONSUMER_CONNECTION_LIST,
            connections::consumers,
        )
        .now(
            request::GET_PRODUCER_CONNECTION_LIST,
            connections::producers,
        )
        .task(request::GET_CONSUME_STATS, progress::stats)
        .task(request::QUERY_TOPICS_BY_CONSUMER, progress::topics_of)
        .now(
            request::QUERY_SUBSCRIPTION_BY_CONSUMER,
            connections::subscription,
        )
        .now(request::GET_ALL_PRODUCER_INFO, connections::all_producers)
        .task(request::QUERY_CONSUME_TIME_SPAN, progress::time_spans)
        .now(request::VIEW_BROKER_STATS_DATA, broker_stats::view)
        .task(request::GET_BROKER_CONSUME_STATS, broker_stats::consume)
        .task(request::QUERY_CONSUME_QUEUE, consume_queue::query);
    on.task(request::INVOKE_BROKER_TO_RESET_OFFSET, reset::reset)
        .task(request::CLONE_GROUP_OFFSET, reset::clone);
    on.task(request::GET_CONSUMER_RUNNING_INFO, relay::running_info)
        .task(request::CONSUME_MESSAGE_DIRECTLY, relay::consume_directly)
        .task(request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, relay::status);
    on.now(
        request::CLEAN_EXPIRED_CONSUMEQUEUE,
        housekeeping::nothing_left,
    )
    .now(request::CLEAN_UNUSED_TOPIC, housekeeping::nothing_left)
    .now(
        request::DELETE_EXPIRED_COMMITLOG,
        housekeeping::delete_expired,
    )
    .now(request::GET_BROKER_HA_STATUS, housekeeping::ha_status);
    on.task(request::AUTH_CREATE_USER, users::create)
        .task(request::AUTH_UPDATE_USER, users::update)
        .task(request::AUTH_DELETE_USER, users::delete)
        .now(request::AUTH_GET_USER, users::get)
        .now(request::AUTH_LIST_USER, users::list);
    on.task(request::AUTH_CREATE_ACL, rules::put)
        .task(request::AUTH_UPDATE_ACL, rules::put)
        .task(request::AUTH_DELETE_ACL, rules::delete)
        .now(request::AUTH_GET_ACL, rules::get)
        .now(request::AUTH_LIST_ACL, rules::list);
    on
}
