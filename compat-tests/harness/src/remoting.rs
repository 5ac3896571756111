//! A deliberately small, independent client of the remoting protocol (JSON headers, blocking): enough to ask a server
//! something and to send it things no real client would. It shares no code with the server's codec.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Largest answer read; real servers stay far below.
const ANSWER_MAX: u32 = 16 * 1024 * 1024;
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// The version real clients of the 5.3 line report.
const VERSION: i32 = 479;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: i64,
    pub opaque: i64,
    pub flag: i64,
    pub remark: String,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
pub struct Remoting {
    stream: TcpStream,
    opaque: i32,
}

impl Remoting {
    /// Connects; `limit` also bounds each read and write.
    pub fn connect(address: SocketAddr, limit: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, opaque: 0 })
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request and reads the answer that belongs to it; other frames are passed over.
    pub fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let opaque = self.send(code, fields, body)?;
        loop {
            let answer = self.receive()?;
            if answer.opaque == i64::from(opaque) && answer.flag & 1 == 1 {
                return Ok(answer);
            }
        }
    }

    /// Sends a request without waiting; answers its opaque.
    pub fn send(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<i32> {
        self.opaque += 1;
        self.stream
            .write_all(&request(code, self.opaque, fields, body)?)?;
        Ok(self.opaque)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads the next frame.
    pub fn receive(&mut self) -> Result<Answer> {
        let total = self.word()?;
        if !(4..=ANSWER_MAX).contains(&total) {
            bail!("answer of {total} bytes announced");
        }
        let header_word = self.word()?;
        let (kind, header_len) = (header_word >> 24, header_word & 0x00ff_ffff);
        if kind != 0 {
            bail!("answer with header type {kind} to a JSON request");
        }
        let Some(body_len) = (total - 4).checked_sub(header_len) else {
            bail!("answer with a header of {header_len} bytes in a frame of {total}");
        };
        let header: Value = serde_json::from_slice(&self.bytes(header_len)?)?;
        let body = self.bytes(body_len)?;
        let number = |key: &str| header.get(key).and_then(Value::as_i64).unwrap_or_default();
        let fields = header
            .get("extFields")
            .and_then(Value::as_object)
            .map(|map| {
                map.iter()
                    .map(|(key, value)| {
                        (
                            key.clone(),
                            value
                                .as_str()
                                .map_or_else(|| value.to_string(), str::to_owned),
                        )
                    })
                    .collect()
            })
            .unwrap_or_default();
        Ok(Answer {
            code: number("code"),
            opaque: number("opaque"),
            flag: number("flag"),
            remark: header
                .get("remark")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            fields,
            body,
        })
    }

    fn word(&mut self) -> Result<u32> {
        let mut word = [0; 4];
        self.stream.read_exact(&mut word)?;
        Ok(u32::from_be_bytes(word))
    }

    fn bytes(&mut self, count: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(count)?];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The bytes of a request with a JSON header.
pub fn request(code: i32, opaque: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>> {
    let fields: BTreeMap<&str, &str> = fields.iter().copied().collect();
    let header = serde_json::to_vec(&json!({
        "code": code, "language": "JAVA", "version": VERSION, "opaque": opaque, "flag": 0, "extFields": fields,
    }))?;
    frame(&header, body)
}

/// The bytes of a frame with any header text.
pub fn frame(header: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    let header_len = u32::try_from(header.len())?;
    let total = 4 + header_len + u32::try_from(body.len())?;
    let mut bytes = Vec::with_capacity(header.len() + body.len() + 8);
    bytes.extend_from_slice(&total.to_be_bytes());
    bytes.extend_from_slice(&header_len.to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// The route document of a topic, or nothing while the name server does not know the topic.
pub fn route(nameserver: SocketAddr, topic: &str) -> Result<Option<Value>> {
    const GET_ROUTE: i32 = 105;
    const TOPIC_NOT_EXIST: i64 = 17;
    let mut connection = Remoting::connect(nameserver, Duration::from_secs(5))?;
    let fields = [("topic", topic), ("acceptStandardJsonOnly", "true")];
    let answer = connection.call(GET_ROUTE, &fields, &[])?;
    match answer.code {
        0 => Ok(Some(serde_json::from_slice(&answer.body)?)),
        TOPIC_NOT_EXIST => Ok(None),
        code => bail!("route of {topic}: code {code} {}", answer.remark),
    }
}

/// Waits until the name server routes `topic` to the broker whose master is at `address`.
pub fn await_route(
    nameserver: SocketAddr,
    topic: &str,
    address: SocketAddr,
    limit: Duration,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    let wanted = address.to_string();
    loop {
        let found = route(nameserver, topic);
        if matches!(&found, Ok(Some(route)) if has_master(route, &wanted)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("no route for {topic} to {wanted} within {limit:?}: {found:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// True when the route document lists a broker with `address` as its master.
fn has_master(route: &Value, address: &str) -> bool {
    let brokers = route.get("brokerDatas").and_then(Value::as_array);
    brokers.is_some_and(|brokers| {
        brokers
            .iter()
            .any(|entry| entry.pointer("/brokerAddrs/0").and_then(Value::as_str) == Some(address))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_call_finds_its_answer_among_other_frames() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = vec![0; request(105, 1, &[("topic", "t")], b"xy").unwrap().len()];
            stream.read_exact(&mut seen).unwrap();
            for (opaque, flag) in [(1, 0), (7, 1), (1, 1)] {
                let header = format!(
                    r#"{{"code":17,"flag":{flag},"opaque":{opaque},"remark":"none","extFields":{{"a":1}}}}"#
                );
                stream
                    .write_all(&frame(header.as_bytes(), b"body").unwrap())
                    .unwrap();
            }
            seen
        });
        let mut client = Remoting::connect(address, Duration::from_secs(20)).unwrap();
        let answer = client.call(105, &[("topic", "t")], b"xy").unwrap();
        assert_eq!((answer.code, answer.remark.as_str()), (17, "none"));
        assert_eq!(answer.fields["a"], "1");
        assert_eq!(answer.body, b"body");
        assert_eq!(
            server.join().unwrap(),
            request(105, 1, &[("topic", "t")], b"xy").unwrap()
        );
    }

    #[test]
    fn only_a_master_at_the_address_counts() {
        let route = json!({"brokerDatas": [
            {"brokerName": "a", "brokerAddrs": {"0": "127.0.0.1:1"}},
            {"brokerName": "b", "brokerAddrs": {"1": "127.0.0.1:2"}},
        ]});
        assert!(has_master(&route, "127.0.0.1:1"));
        assert!(!has_master(&route, "127.0.0.1:2"));
        assert!(!has_master(&json!({}), "127.0.0.1:1"));
    }
}
