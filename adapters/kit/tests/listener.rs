//! Listeners over real sockets on loopback: limits, timeouts, panics, TLS, PROXY headers, drain.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossdock_kit::proxy_protocol::Policy;
use crossdock_kit::{
    BindError, Budget, Connection, Drained, Listener, ListenerConfig, ListenerStats, Mode, Scope,
    Tls, TlsError,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(20);

fn config() -> ListenerConfig {
    ListenerConfig::new("test", "127.0.0.1:0".parse().unwrap())
}

/// Answers each byte with itself, `!` with a panic, and a drain with `bye`.
async fn echo(mut connection: Connection) {
    let token = connection.draining.clone();
    loop {
        let byte = tokio::select! {
            () = token.cancelled() => {
                let _ = connection.stream.write_all(b"bye").await;
                let _ = connection.stream.shutdown().await;
                return;
            }
            byte = connection.stream.read_u8() => byte,
        };
        match byte {
            Ok(b'!') => panic!("asked to"),
            Ok(b'?') => {
                let line = format!("{} {}\n", connection.peer, connection.local);
                connection.stream.write_all(line.as_bytes()).await.unwrap();
            }
            Ok(byte) => connection.stream.write_u8(byte).await.unwrap(),
            Err(_) => return,
        }
        let _ = connection.stream.flush().await;
    }
}

fn start(config: ListenerConfig, scope: &Scope) -> (SocketAddr, Arc<ListenerStats>) {
    let listener = Listener::bind(config).unwrap();
    let (address, stats) = (listener.local_addr(), listener.stats());
    listener.spawn(scope, echo);
    (address, stats)
}

async fn echoes<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(b"x").await?;
    stream.flush().await?;
    assert_eq!(stream.read_u8().await?, b'x');
    Ok(())
}

/// Waits for the end of a connection, whichever way it is told.
async fn is_closed(stream: &mut TcpStream) {
    let read = tokio::time::timeout(LONG, stream.read(&mut [0; 16]))
        .await
        .unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

#[tokio::test]
async fn a_held_port_is_reported_by_number() {
    let first = Listener::bind(config()).unwrap();
    let address = first.local_addr();
    let error = Listener::bind(ListenerConfig {
        address,
        ..config()
    })
    .unwrap_err();
    assert!(error.is_held());
    let text = error.to_string();
    assert_eq!(
        text,
        format!(
            "test: port {} is already in use on 127.0.0.1",
            address.port()
        )
    );
    let foreign = "192.0.2.77:0".parse().unwrap();
    let error = Listener::bind(ListenerConfig {
        address: foreign,
        ..config()
    })
    .unwrap_err();
    assert!(matches!(error, BindError::NotLocal { .. }));
}

#[tokio::test]
async fn a_port_can_be_bound_again_right_after_a_drain() {
    let scope = Scope::root("test");
    let (address, _) = start(config(), &scope);
    let mut client = TcpStream::connect(address).await.unwrap();
    echoes(&mut client).await.unwrap();
    assert_eq!(
        scope.finish(LONG, &CancellationToken::new()).await,
        Drained::Clean
    );
    let again = ListenerConfig {
        address,
        ..config()
    };
    Listener::bind(again).unwrap();
}

#[tokio::test]
async fn ipv6_loopback_is_served() {
    let scope = Scope::root("test");
    let address = "[::1]:0".parse().unwrap();
    let (address, _) = match Listener::bind(ListenerConfig {
        address,
        ..config()
    }) {
        Ok(listener) => {
            let bound = (listener.local_addr(), listener.stats());
            listener.spawn(&scope, echo);
            bound
        }
        // A machine without IPv6 cannot show this.
        Err(BindError::NotLocal { .. } | BindError::Other { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    echoes(&mut TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_budget_refuses_newcomers_and_serves_again_when_a_place_is_free() {
    let scope = Scope::root("test");
    let budget = Budget::new(2);
    let limited = ListenerConfig {
        budget: Arc::clone(&budget),
        ..config()
    };
    let (address, stats) = start(limited, &scope);
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    echoes(&mut first).await.unwrap();
    echoes(&mut second).await.unwrap();
    is_closed(&mut TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(stats.snapshot().rejected_budget, 1);
    echoes(&mut first).await.unwrap();
    drop(second);
    until(|| budget.open() == 1).await;
    echoes(&mut TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let scope = Scope::root("test");
    let (address, stats) = start(
        ListenerConfig {
            per_ip_max: Some(1),
            ..config()
        },
        &scope,
    );
    let mut first = TcpStream::connect(address).await.unwrap();
    echoes(&mut first).await.unwrap();
    is_closed(&mut TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(
        (stats.snapshot().rejected_per_ip, stats.snapshot().open),
        (1, 1)
    );
}

#[tokio::test]
async fn silent_clients_are_closed_and_do_not_hurt_others() {
    let scope = Scope::root("test");
    let hasty = ListenerConfig {
        handshake_timeout: Duration::from_millis(50),
        ..config()
    };
    let (address, stats) = start(hasty, &scope);
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut talking = TcpStream::connect(address).await.unwrap();
    echoes(&mut talking).await.unwrap();
    for client in &mut silent {
        is_closed(client).await;
    }
    assert_eq!(stats.snapshot().handshake_timeouts, 200);
    echoes(&mut talking).await.unwrap();
    until(|| stats.snapshot().open == 1).await;
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let scope = Scope::root("test");
    let (address, stats) = start(config(), &scope);
    let mut other = TcpStream::connect(address).await.unwrap();
    echoes(&mut other).await.unwrap();
    let mut broken = TcpStream::connect(address).await.unwrap();
    broken.write_all(b"!").await.unwrap();
    is_closed(&mut broken).await;
    echoes(&mut other).await.unwrap();
    until(|| stats.snapshot().open == 1).await;
    assert_eq!((stats.snapshot().panics, scope.panics()), (1, 1));
}

#[tokio::test]
async fn stop_refuses_new_clients_and_drain_says_goodbye_to_old_ones() {
    let process = Scope::root("process");
    let adapter = process.child("adapter");
    let (address, stats) = start(config(), &adapter);
    let mut client = TcpStream::connect(address).await.unwrap();
    echoes(&mut client).await.unwrap();
    process.stop();
    until(|| adapter.active() == 1).await;
    assert!(TcpStream::connect(address).await.is_err());
    echoes(&mut client).await.unwrap();
    assert_eq!(
        process.finish(LONG, &CancellationToken::new()).await,
        Drained::Clean
    );
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!((rest.as_str(), stats.snapshot().open), ("bye", 0));
}

async fn connect_tls(
    address: SocketAddr,
    folder: &Path,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client))
        .connect(name, tcp)
        .await
        .unwrap()
}

fn self_signed(mode: Mode, folder: &Path) -> Tls {
    Tls::self_signed(
        mode,
        folder,
        &["localhost".to_owned(), "127.0.0.1".to_owned()],
    )
    .unwrap()
}

#[tokio::test]
async fn plain_and_tls_clients_share_a_permissive_port() {
    let folder = tempfile::tempdir().unwrap();
    let scope = Scope::root("test");
    let tls = self_signed(Mode::Permissive, folder.path());
    let (address, stats) = start(ListenerConfig { tls, ..config() }, &scope);
    echoes(&mut connect_tls(address, folder.path()).await)
        .await
        .unwrap();
    echoes(&mut TcpStream::connect(address).await.unwrap())
        .await
        .unwrap();
    assert_eq!((stats.snapshot().tls, stats.snapshot().accepted), (1, 2));
}

#[tokio::test]
async fn each_mode_refuses_the_other_kind_of_client() {
    let folder = tempfile::tempdir().unwrap();
    let scope = Scope::root("test");
    let tls = self_signed(Mode::Require, folder.path());
    let (address, strict) = start(ListenerConfig { tls, ..config() }, &scope);
    echoes(&mut connect_tls(address, folder.path()).await)
        .await
        .unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"x").await.unwrap();
    is_closed(&mut plain).await;
    let (address, off) = start(config(), &scope);
    let mut hello = TcpStream::connect(address).await.unwrap();
    hello.write_all(&[0x16, 3, 1]).await.unwrap();
    is_closed(&mut hello).await;
    assert_eq!(strict.snapshot().handshake_failures, 1);
    assert_eq!(off.snapshot().handshake_failures, 1);
}

#[tokio::test]
async fn a_self_signed_pair_is_kept_private_and_reused_until_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("tls");
    self_signed(Mode::Permissive, &folder);
    let key = folder.join("key.pem");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read(&key).unwrap();
    self_signed(Mode::Permissive, &folder);
    assert_eq!(std::fs::read(&key).unwrap(), first);
    // As after a crash between the two files: a key that does not belong to the certificate.
    let other = tempfile::tempdir().unwrap();
    self_signed(Mode::Permissive, other.path());
    std::fs::copy(other.path().join("key.pem"), &key).unwrap();
    assert!(matches!(
        Tls::from_pem(Mode::Require, &folder.join("cert.pem"), &key),
        Err(TlsError::Unusable { .. })
    ));
    self_signed(Mode::Permissive, &folder);
    Tls::from_pem(Mode::Require, &folder.join("cert.pem"), &key).unwrap();
}

fn behind_proxy() -> ListenerConfig {
    let proxy = Policy {
        trusted: vec!["127.0.0.0/8".parse().unwrap()],
    };
    ListenerConfig { proxy, ..config() }
}

async fn ask(address: SocketAddr, pieces: &[&[u8]]) -> io::Result<String> {
    let mut client = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    for piece in pieces {
        client.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        answer.push(client.read_u8().await?);
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_client_address_in_either_version() {
    let scope = Scope::root("test");
    let (address, stats) = start(behind_proxy(), &scope);
    let told = "192.0.2.1:4711 192.0.2.2:9876\n";
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 9876\r\n?";
    assert_eq!(ask(address, &[line]).await.unwrap(), told);
    let pieces: Vec<&[u8]> = line.chunks(5).collect();
    assert_eq!(ask(address, &pieces).await.unwrap(), told);
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f".to_vec();
    v2.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0x26, 0x94, 4, 0, 0]);
    v2.push(b'?');
    assert_eq!(ask(address, &[&v2]).await.unwrap(), told);
    assert_eq!(stats.snapshot().handshake_failures, 0);
}

#[tokio::test]
async fn missing_and_oversized_proxy_headers_close_the_connection() {
    let scope = Scope::root("test");
    let (address, stats) = start(behind_proxy(), &scope);
    let mut endless = b"PROXY TCP4 ".to_vec();
    endless.resize(200, b'1');
    let oversized = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    for bad in [b"????????????????".to_vec(), endless, oversized] {
        assert!(ask(address, &[&bad]).await.is_err());
    }
    assert_eq!(stats.snapshot().handshake_failures, 3);
}

#[tokio::test]
async fn an_untrusted_source_cannot_forge_its_address() {
    let scope = Scope::root("test");
    let proxy = Policy {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let (address, _) = start(ListenerConfig { proxy, ..config() }, &scope);
    let answer = ask(address, &[b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 9876\r\n?"])
        .await
        .unwrap();
    assert!(
        answer.starts_with("PROXY TCP4"),
        "the header is protocol bytes here: {answer}"
    );
}

#[tokio::test]
async fn tls_behind_a_proxy_header_works() {
    let folder = tempfile::tempdir().unwrap();
    let scope = Scope::root("test");
    let tls = self_signed(Mode::Require, folder.path());
    let (address, stats) = start(
        ListenerConfig {
            tls,
            ..behind_proxy()
        },
        &scope,
    );
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    echoes(&mut connector.connect(name, tcp).await.unwrap())
        .await
        .unwrap();
    assert_eq!(stats.snapshot().tls, 1);
}
