//! The RocketMQ 5 protocol, `apache.rocketmq.v2`: messages, client and server as they are generated from our own `.proto`
//! files, and the descriptors of both for reflection. Bytes in, values out; no sockets, no state.
#![forbid(unsafe_code)]

/// Everything of the package `apache.rocketmq.v2`.
#[expect(
    clippy::large_enum_variant,
    reason = "generated code: frames of streams are values of their own"
)]
pub mod v2 {
    tonic::include_proto!("apache.rocketmq.v2");
}

/// The compiled descriptors of the package and of what it imports, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Full name of the messaging service, as health checks name it.
pub const SERVICE: &str = "apache.rocketmq.v2.MessagingService";
