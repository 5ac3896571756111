//! The outbound queue over real sockets: order, batching, bounds, waiting, stalls and closing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossdock_kit::outbound::{self, Frame, Limits, OutboundStats, WriterExit};
use crossdock_kit::{PushError, Stream, TryPushError};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

async fn pair() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, Stream::Plain(server))
}

fn limits(bytes_max: usize, frames_max: usize) -> Limits {
    Limits {
        bytes_max,
        frames_max,
        stall_timeout: Duration::from_secs(20),
    }
}

fn frame(head: &'static str, body: &[&'static str]) -> Frame {
    let mut frame = Frame::new(head);
    frame.extend(
        body.iter()
            .map(|slice| Bytes::from_static(slice.as_bytes())),
    );
    frame
}

#[tokio::test]
async fn frames_arrive_in_order_and_the_stream_ends_after_close() {
    let (mut client, server) = pair().await;
    let (out, writer) = outbound::channel(Limits::default(), Arc::default());
    out.push(frame("a", &["b", "", "c"])).await.unwrap();
    out.push(frame("", &["d"])).await.unwrap();
    out.push(Frame::default()).await.unwrap();
    out.push(frame("e", &[])).await.unwrap();
    assert_eq!((out.queued_bytes(), out.queued_frames()), (5, 3));
    out.close();
    assert_eq!(out.push(frame("x", &[])).await, Err(PushError));
    let (_read, write) = server.split();
    let task = tokio::spawn(writer.run(write));
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "abcde");
    assert!(matches!(task.await.unwrap(), WriterExit::Closed));
    out.ended().await;
    assert_eq!(out.queued_bytes(), 0);
}

#[tokio::test]
async fn a_burst_is_one_gathered_write() {
    let (mut client, server) = pair().await;
    let stats = Arc::<OutboundStats>::default();
    let (out, writer) = outbound::channel(Limits::default(), Arc::clone(&stats));
    for _ in 0..100 {
        out.try_push(frame("head", &["body"])).unwrap();
    }
    drop(out);
    let task = tokio::spawn(writer.run(server.split().1));
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert!(matches!(task.await.unwrap(), WriterExit::Closed));
    assert_eq!(received, b"headbody".repeat(100));
    let seen = stats.snapshot();
    assert_eq!((seen.frames, seen.bytes, seen.writes), (100, 800, 1));
}

#[tokio::test]
async fn a_full_queue_hands_the_frame_back_or_makes_the_producer_wait() {
    let (mut client, server) = pair().await;
    let stats = Arc::<OutboundStats>::default();
    let (out, writer) = outbound::channel(limits(8, 2), Arc::clone(&stats));
    out.try_push(frame("1234", &[])).unwrap();
    // Too many bytes, then too many frames.
    let back = out.try_push(frame("56789", &[]));
    assert!(matches!(back, Err(TryPushError::Full(frame)) if frame.len() == 5));
    out.try_push(frame("56", &[])).unwrap();
    assert!(matches!(
        out.try_push(frame("7", &[])),
        Err(TryPushError::Full(_))
    ));
    let waiting = {
        let out = out.clone();
        tokio::spawn(async move { out.push(frame("78", &[])).await })
    };
    while stats.snapshot().waited == 0 {
        tokio::task::yield_now().await;
    }
    let task = tokio::spawn(writer.run(server.split().1));
    assert_eq!(waiting.await.unwrap(), Ok(()));
    drop(out);
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "12345678");
    assert!(matches!(task.await.unwrap(), WriterExit::Closed));
    assert_eq!(stats.snapshot().overflows, 2);
}

#[tokio::test]
async fn a_frame_above_the_bound_passes_alone() {
    let (mut client, server) = pair().await;
    let (out, writer) = outbound::channel(limits(8, 8), Arc::default());
    let task = tokio::spawn(writer.run(server.split().1));
    let large = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..3 {
        out.push(Frame::new(large.clone())).await.unwrap();
    }
    let reader = tokio::spawn(async move {
        let mut received = Vec::new();
        client
            .read_to_end(&mut received)
            .await
            .map(|_| received.len())
    });
    drop(out);
    assert_eq!(reader.await.unwrap().unwrap(), 3 << 20);
    assert!(matches!(task.await.unwrap(), WriterExit::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_lose_and_tear_nothing_under_pressure() {
    const PRODUCERS: usize = 8;
    const FRAMES: usize = 2_000;
    let (mut client, server) = pair().await;
    let stats = Arc::<OutboundStats>::default();
    let (out, writer) = outbound::channel(limits(600, 16), Arc::clone(&stats));
    let task = tokio::spawn(writer.run(server.split().1));
    for producer in 0..PRODUCERS {
        let out = out.clone();
        tokio::spawn(async move {
            for number in 0..FRAMES {
                let head = Bytes::from(format!("<{producer}:{number}:"));
                let body = Bytes::from(vec![b'x'; number % 50 + 1]);
                out.push(Frame::new(head).with(body).with(">".into()))
                    .await
                    .unwrap();
                assert!(out.queued_bytes() <= 600);
            }
        });
    }
    drop(out);
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert!(matches!(task.await.unwrap(), WriterExit::Closed));
    let mut next = [0; PRODUCERS];
    for text in received.split_terminator('>') {
        let mut parts = text.strip_prefix('<').unwrap().split(':');
        let producer: usize = parts.next().unwrap().parse().unwrap();
        let number: usize = parts.next().unwrap().parse().unwrap();
        assert_eq!(next[producer], number);
        assert_eq!(parts.next().unwrap(), "x".repeat(number % 50 + 1));
        next[producer] += 1;
    }
    assert_eq!(next, [FRAMES; PRODUCERS]);
    assert_eq!(stats.snapshot().frames, (PRODUCERS * FRAMES) as u64);
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_its_producers_are_told() {
    let (client, server) = pair().await;
    let stats = Arc::<OutboundStats>::default();
    let short = Limits {
        stall_timeout: Duration::from_millis(100),
        ..limits(1 << 20, 64)
    };
    let (out, writer) = outbound::channel(short, Arc::clone(&stats));
    let task = tokio::spawn(writer.run(server.split().1));
    let large = Bytes::from(vec![0; 1 << 20]);
    // More than any socket buffer: the pushes end in an error and not in waiting for ever.
    let pushed = async { while out.push(Frame::new(large.clone())).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), pushed)
        .await
        .unwrap();
    assert!(matches!(task.await.unwrap(), WriterExit::Stalled));
    assert_eq!(stats.snapshot().stalled, 1);
    assert_eq!((out.queued_bytes(), out.is_ended()), (0, true));
    drop(client);
}

#[tokio::test]
async fn a_dropped_writer_ends_waiting_producers() {
    let (out, writer) = outbound::channel(limits(4, 4), Arc::default());
    out.try_push(frame("1234", &[])).unwrap();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let out = out.clone();
            tokio::spawn(async move { out.push(frame("5", &[])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(writer);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Err(PushError));
    }
}

#[tokio::test]
async fn a_cancelled_wait_frees_the_way_for_others() {
    let (mut client, server) = pair().await;
    let (out, writer) = outbound::channel(limits(4, 4), Arc::default());
    out.try_push(frame("1234", &[])).unwrap();
    let waiting = {
        let out = out.clone();
        tokio::spawn(async move { out.push(frame("lost", &[])).await })
    };
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let task = tokio::spawn(writer.run(server.split().1));
    out.push(frame("5678", &[])).await.unwrap();
    drop(out);
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "12345678");
    task.await.unwrap();
}
