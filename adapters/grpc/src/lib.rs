//! The RocketMQ 5 gRPC door: one port for plain and TLS clients, the methods of `apache.rocketmq.v2`, the telemetry streams
//! of its clients, and the translation between this protocol and the hub. It owns sessions, nothing durable, and knows no
//! other adapter.
#![forbid(unsafe_code)]

mod adapter;
mod auth;
mod call;
mod config;
mod connection;
mod error;
mod handler;
mod intake;
mod listener;
mod names;
mod service;
mod session;
mod stats;
mod translate;

pub use adapter::{GrpcAdapter, Running};
pub use config::GrpcConfig;
pub use error::StartError;
pub use stats::{Stats, StatsSnapshot};
