//! Writing records: everything in front of the body is generated from a [`RecordHead`], so that a
//! body, a topic and a property text can be served from where they lie.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, BytesMut};

pub(super) use crossdock_proto_rmq4::tail::limit;
pub use crossdock_proto_rmq4::tail::{
    MAX_PROPERTIES, MAX_TOPIC, MAX_V1_TOPIC, Sizes, tail_len, write_tail,
};
use crossdock_proto_rmq4::tail::{is_v2, room};

use super::{MAGIC_V1, MAGIC_V2, body_crc, sys_flag};
use crate::error::RecordError;

/// The fixed fields of a record up to its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    pub queue_id: i32,
    pub flag: i32,
    pub queue_offset: i64,
    pub physical_offset: i64,
    /// The bits that tell the address families are derived from the hosts when written.
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_timestamp: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
}

impl RecordHead {
    /// Most bytes [`write_head`](Self::write_head) writes: both hosts IPv6.
    pub const MAX_LEN: usize = 112;

    /// Bytes in front of the body, its length word included.
    pub fn head_len(&self) -> usize {
        72 + host_len(self.born_host) + host_len(self.store_host)
    }

    /// Length of the whole record.
    pub fn record_len(&self, sizes: Sizes) -> Result<usize, RecordError> {
        limit("topic", sizes.topic, MAX_TOPIC)?;
        limit("properties", sizes.properties, MAX_PROPERTIES)?;
        let rest = self.head_len() + tail_len(sizes);
        limit("body", sizes.body, i32::MAX as usize - rest)?;
        Ok(rest + sizes.body)
    }

    /// Writes everything in front of the body and returns the length of the whole record.
    /// `body_crc` is [`body_crc`](fn@super::body_crc) of the body.
    pub fn write_head(
        &self,
        sizes: Sizes,
        body_crc: i32,
        out: &mut impl BufMut,
    ) -> Result<usize, RecordError> {
        let len = self.record_len(sizes)?;
        room(self.head_len(), "head buffer", out)?;
        let v6 = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        let mut flags = self.sys_flag & !v6;
        if self.born_host.is_ipv6() {
            flags |= sys_flag::BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            flags |= sys_flag::STORE_HOST_V6;
        }
        out.put_i32(len as i32);
        out.put_u32(if is_v2(sizes.topic) {
            MAGIC_V2
        } else {
            MAGIC_V1
        });
        out.put_i32(body_crc);
        out.put_i32(self.queue_id);
        out.put_i32(self.flag);
        out.put_i64(self.queue_offset);
        out.put_i64(self.physical_offset);
        out.put_i32(flags);
        out.put_i64(self.born_timestamp);
        put_host(self.born_host, out);
        out.put_i64(self.store_timestamp);
        put_host(self.store_host, out);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset);
        out.put_i32(sizes.body as i32);
        Ok(len)
    }

    /// Appends a whole record and returns its length. On an error `out` is as it was.
    pub fn write_record(
        &self,
        topic: &str,
        body: &[u8],
        properties: &str,
        out: &mut BytesMut,
    ) -> Result<usize, RecordError> {
        let sizes = Sizes {
            body: body.len(),
            topic: topic.len(),
            properties: properties.len(),
        };
        out.reserve(self.record_len(sizes)?);
        let len = self.write_head(sizes, body_crc(body), out)?;
        out.put_slice(body);
        write_tail(topic, properties, out)?;
        Ok(len)
    }
}

fn host_len(host: SocketAddr) -> usize {
    if host.is_ipv6() { 20 } else { 8 }
}

pub(super) fn put_host(host: SocketAddr, out: &mut impl BufMut) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_i32(i32::from(host.port()));
}
