//! The connection: TLS and plain on one port, limits, other services, and peers that misbehave.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Client, Door, SOON, code, message, queue_of, resource, until};
use crossdock_kit::{Mode, Tls};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::{Code, ReceiveMessageRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn channel_over<F, Fut, S>(connect: F) -> tonic::transport::Channel
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = std::io::Result<S>> + Send + 'static,
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let connector = tower::service_fn(move |_: http::Uri| {
        let connect = connect.clone();
        async move { connect().await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}

#[tokio::test]
async fn plain_and_tls_clients_share_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("tls");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let tls = Tls::self_signed(Mode::Permissive, &keys, &names).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let door = Door::open(&data, common::config(), common::hub_config(), tls).await;
    let plain = door.client().await;
    assert_eq!(plain.send_code(message("T", "1", "plain")).await, Code::Ok);

    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(keys.join("cert.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let address = door.address();
    for alpn in [&[&b"h2"[..]][..], &[]] {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let client = Client::over(channel_over(move || {
            let connector = connector.clone();
            async move {
                let socket = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                connector.connect(name, socket).await
            }
        }));
        assert_eq!(
            client.send_code(message("T", "2", "secret")).await,
            Code::Ok
        );
    }
    assert_eq!(door.stored("T").iter().sum::<u64>(), 3);
}

#[tokio::test]
async fn a_body_of_the_largest_size_fits_and_a_larger_one_has_its_code() {
    let door = Door::start().await;
    let client = door.client().await;
    let max = 4 * 1024 * 1024;
    let largest = message("T", "1", &"x".repeat(max));
    assert_eq!(client.send_code(largest).await, Code::Ok);
    let larger = message("T", "2", &"x".repeat(max + 1));
    assert_eq!(client.send_code(larger).await, Code::MessageBodyTooLarge);
    assert_eq!(door.stored("T").iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn requests_beyond_their_methods_limit_end_their_call_only() {
    let door = Door::start().await;
    let client = door.client().await;
    let huge = "x".repeat(17 * 1024 * 1024);
    let request = client.request(v2::SendMessageRequest {
        messages: vec![message("T", "1", &huge)],
    });
    let refused = client.raw.clone().send_message(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    let request = client.request(v2::HeartbeatRequest {
        group: Some(resource(&huge[..1024 * 1024])),
        client_type: 1,
    });
    let refused = client.raw.clone().heartbeat(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    assert_eq!(client.send_code(message("T", "1", "x")).await, Code::Ok);
}

#[tokio::test]
async fn health_and_reflection_are_served_and_nothing_else() {
    let door = Door::start().await;
    let uri = format!("http://{}", door.address());
    let channel = Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", crossdock_proto_grpc::SERVICE] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1);
    }
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let answers = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&crossdock_proto_grpc::SERVICE), "{names:?}");

    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v2::Status, v2::Status>::default();
    let path = http::uri::PathAndQuery::from_static("/apache.rocketmq.v2.Admin/ChangeLogLevel");
    let request = tonic::Request::new(v2::Status::default());
    let refused = grpc.unary(request, path, codec).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn methods_that_wait_for_leases_say_so_in_their_own_form() {
    let door = Door::start().await;
    let client = door.client().await;
    let mut raw = client.raw.clone();
    let request = ReceiveMessageRequest {
        group: Some(resource("g")),
        message_queue: Some(queue_of("T", -1)),
        ..ReceiveMessageRequest::default()
    };
    let answer = raw.receive_message(client.request(request)).await.unwrap();
    let mut frames = answer.into_inner();
    let frame = frames.message().await.unwrap().unwrap();
    let Some(v2::receive_message_response::Content::Status(status)) = frame.content else {
        panic!("no status");
    };
    assert_eq!(code(Some(status)), Code::NotImplemented);
    assert!(frames.message().await.unwrap().is_none());
    let ack = v2::AckMessageRequest {
        group: Some(resource("g")),
        topic: Some(resource("T")),
        entries: vec![v2::AckMessageEntry {
            message_id: "1".to_owned(),
            receipt_handle: "h".to_owned(),
            lite_topic: None,
        }],
    };
    let answer = raw
        .ack_message(client.request(ack))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(answer.status), Code::NotImplemented);
    assert_eq!(code(answer.entries[0].status.clone()), Code::NotImplemented);
    let change = v2::ChangeInvisibleDurationRequest {
        group: Some(resource("g")),
        topic: Some(resource("T")),
        receipt_handle: "h".to_owned(),
        ..v2::ChangeInvisibleDurationRequest::default()
    };
    let answer = raw.change_invisible_duration(client.request(change)).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(code(answer.status), Code::NotImplemented);
    assert_eq!(answer.receipt_handle, "h");
    let end = |transaction_id: &str| v2::EndTransactionRequest {
        topic: Some(resource("T")),
        transaction_id: transaction_id.to_owned(),
        ..v2::EndTransactionRequest::default()
    };
    let answer = raw.end_transaction(client.request(end("t"))).await.unwrap();
    assert_eq!(code(answer.into_inner().status), Code::NotImplemented);
    let answer = raw.end_transaction(client.request(end(" "))).await.unwrap();
    assert_eq!(code(answer.into_inner().status), Code::InvalidTransactionId);
}

#[tokio::test]
async fn bytes_that_are_not_http2_and_silence_end_the_connection() {
    let config = crossdock_grpc::GrpcConfig {
        handshake_timeout: Duration::from_millis(200),
        ..common::config()
    };
    let door = Door::with(config, common::hub_config()).await;
    let client = door.client().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], b"PRI"] {
        let mut socket = TcpStream::connect(door.address()).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = timeout(SOON, socket.read_to_end(&mut answer))
            .await
            .unwrap();
    }
    let stats = &door.running.stats;
    until("the silent one was closed", || {
        stats.snapshot().silent_closed >= 1
    })
    .await;
    // The client connected before the silent one: its own time is up, too, and it spoke.
    assert_eq!(client.send_code(message("T", "1", "x")).await, Code::Ok);
}
