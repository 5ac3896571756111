//! The hub: what every protocol adapter calls, and the only thing it calls. One cheap handle, [`Hub`], over the store:
//! topics, groups, publishing, reading, positions, membership, queue locks, retry, settings and the guard.
//! No wire word of any protocol appears here. This file declares the modules and re-exports the public surface.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cancel;
mod changelog;
mod config;
mod delay;
mod error;
mod filter;
mod group;
mod guard;
mod hub;
mod ids;
mod lease;
mod lock;
mod member;
mod name;
mod position;
mod producer;
mod publish;
mod read;
mod registry;
mod reset;
mod retry;
mod settings;
mod single_flight;
mod subscription;
mod switch;
mod table;
mod tasks;
mod topic;
mod trace;
mod transaction;

pub use crossdock_proto_rmq4 as rmq4;
pub use crossdock_store::api::{
    AppendError, Boundary, Bounds, Completion, Done, Message, Placed, ReadError, ReadLimits,
    ReadOutcome, ReadStatus, Receipt, TagFilter,
};
pub use crossdock_store::record::{Record, TailSource};
pub use crossdock_store::types::{Durability, Flavour, GroupId, Position, QueueId};

pub use changelog::{Edit, Edits, Version};
pub use config::{HubConfig, UserSeed};
pub use delay::{DelayError, DelayLevels};
pub use error::{ErrorKind, HubError, Outcome, Retry};
pub use filter::{
    FILTER_DEPTH_MAX, FILTER_LIST_MAX, FILTER_NAMES_MAX, FILTER_TEXT_MAX, FilterError, SqlFilter,
};
pub use group::{
    DeclaredSubscription, DeliveredCounts, Group, GroupConfig, GroupHints, OnDelete, RetryPolicy,
};
pub use guard::{
    Action, Actions, Credentials, Decision, Identity, Pattern, Resource, ResourceKind, Rule, User,
    UserChange, sign,
};
pub use hub::Hub;
pub use lease::{Acquire, Delivered, LeaseError, LeaseTerm, OwnerId, Part, StartAt, average_share};
pub use member::{
    ConnectionId, ConsumeFrom, ConsumeKind, ConsumeModel, GroupView, Heartbeat, Member,
    MemberChannel, SubscriptionLookup,
};
pub use name::{
    BENCHMARK_TOPIC, DEAD_PREFIX, GroupName, MOVED_TOPIC, RETRY_PREFIX, SELF_TEST_TOPIC,
    TEMPLATE_TOPIC, TRACE_TOPIC, TopicName,
};
pub use position::Committed;
pub use publish::{Publish, QueueChoice, Ready, Unsent, key_hash};
pub use retry::RetryPlan;
pub use subscription::{Expression, Subscription, tag_hash};
pub use switch::Switch;
pub use topic::{AttributeEdit, FilterKind, MessageType, Perm, Topic, TopicSpec};
pub use trace::{TraceEvent, TraceStep, Tracer};
pub use transaction::{Decider, Resolution, Undecided};
