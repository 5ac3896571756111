//! TLS on the same ports as plain connections.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::sync::Arc;

use bytes::BytesMut;
use common::{Door, send_v2};
use crossdock_kit::{Mode, Tls};
use crossdock_proto_remoting::FrameDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

#[tokio::test]
async fn plain_and_tls_clients_share_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("tls");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let tls = Tls::self_signed(Mode::Permissive, &keys, &names).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let door = Door::open(&data, common::config(), common::hub_config(), tls).await;
    let mut plain = door.broker().await;
    plain.publish("T", 0, "plain", "").await;

    let mut roots = RootCertStore::empty();
    let chain = CertificateDer::pem_file_iter(keys.join("cert.pem")).unwrap();
    for certificate in chain {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(door.running.broker.unwrap())
        .await
        .unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, socket).await.unwrap();
    let mut frame = BytesMut::new();
    send_v2("T", 0, "secret", "")
        .with_opaque(5)
        .encode(&mut frame)
        .unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut buffer = BytesMut::new();
    let response = loop {
        if let Some(response) = FrameDecoder::default().decode(&mut buffer).unwrap() {
            break response;
        }
        assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0);
    };
    assert_eq!((response.opaque, response.code), (5, 0));
    assert_eq!(
        plain.pull("g", "T", 0, 0).await.bodies(),
        ["plain", "secret"]
    );
}
