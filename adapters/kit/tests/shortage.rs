//! A listener out of file descriptors. Alone in this file, because the limit is the process's.

use std::fs::File;
use std::time::Duration;

use crossdock_kit::{Connection, Listener, ListenerConfig, Scope};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn accepting_goes_on_after_a_shortage_of_file_descriptors() {
    let listener =
        Listener::bind(ListenerConfig::new("test", "127.0.0.1:0".parse().unwrap())).unwrap();
    let stats = listener.stats();
    // Waits in the backlog: its connection needs a descriptor of ours only when accepted.
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    let limit = Rlimit {
        current: Some(128),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    let scope = Scope::root("test");
    listener.spawn(&scope, |mut connection: Connection| async move {
        let byte = connection.stream.read_u8().await.unwrap();
        connection.stream.write_u8(byte).await.unwrap();
    });
    let served = async {
        while stats.snapshot().accept_errors < 2 {
            tokio::task::yield_now().await;
        }
        drop(hoard);
        client.write_u8(7).await.unwrap();
        client.read_u8().await.unwrap()
    };
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(20), served)
            .await
            .unwrap(),
        7
    );
}
