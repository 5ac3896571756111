//! The RocketMQ remoting door and its name server: listeners, connections, handlers and the
//! translation between this protocol and the hub. It owns sessions and the routes of foreign
//! brokers, nothing durable, and knows no other adapter.
#![forbid(unsafe_code)]

mod adapter;
mod advertise;
mod auth;
mod broker;
mod config;
mod connection;
mod dispatch;
mod error;
mod handler;
mod listener;
mod namesrv;
mod properties;
mod rates;
mod register;
mod reply;
mod sending;
mod stats;
mod trace;
mod translate;

pub use adapter::{RemotingAdapter, Running};
pub use config::RemotingConfig;
pub use error::StartError;
pub use register::Credential;
pub use stats::{Stats, StatsSnapshot};
