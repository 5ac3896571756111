//! The pull family: reading by offset, waiting, and positions of groups.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Client, Door, code, message, queue_of, resource, until, with};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::{Code, FilterExpression, FilterType, PullMessageRequest};

fn pull(topic: &str, queue: i32, offset: i64, wait: Duration) -> PullMessageRequest {
    PullMessageRequest {
        group: Some(resource("g")),
        message_queue: Some(queue_of(topic, queue)),
        offset,
        batch_size: 32,
        filter_expression: None,
        long_polling_timeout: Some(prost_types::Duration {
            seconds: wait.as_secs() as i64,
            nanos: wait.subsec_nanos() as i32,
        }),
    }
}

fn filter(kind: FilterType, text: &str) -> Option<FilterExpression> {
    Some(FilterExpression {
        r#type: kind.into(),
        expression: text.to_owned(),
    })
}

/// A topic of one queue.
async fn one_queue(door: &Door) {
    let spec = crossdock_hub::TopicSpec::new("T".parse().unwrap(), 1);
    door.hub.put_topic(spec).await.unwrap();
}

async fn send(client: &Client, tags: &[&str]) {
    for (number, tag) in tags.iter().enumerate() {
        let message = with(message("T", &format!("ID-{number}"), tag), |system| {
            system.tag = Some((*tag).to_owned());
        });
        assert_eq!(client.send_code(message).await, Code::Ok);
    }
}

#[tokio::test]
async fn a_pull_reads_on_from_its_offset() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    send(&client, &["a", "b", "c"]).await;
    let none = Duration::ZERO;
    let (code, messages, next) = client.pull_with(pull("T", 0, 1, none)).await;
    assert_eq!((code, next), (Code::Ok, Some(3)));
    assert_eq!(
        messages.iter().map(|m| &m.body[..]).collect::<Vec<_>>(),
        [b"b", b"c"]
    );
    let mut few = pull("T", 0, 0, none);
    few.batch_size = 2;
    let (_, messages, next) = client.pull_with(few).await;
    assert_eq!((messages.len(), next), (2, Some(2)));
    let (code, messages, next) = client.pull_with(pull("T", 0, 3, none)).await;
    assert_eq!(
        (code, messages.len(), next),
        (Code::MessageNotFound, 0, Some(3))
    );
}

#[tokio::test]
async fn a_pull_at_the_end_waits_for_the_next_message() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    let waiting = client.clone();
    let pulled = tokio::spawn(async move {
        let wait = Duration::from_secs(8);
        waiting.pull_with(pull("T", 0, 0, wait)).await
    });
    let stats = &door.running.stats;
    until("the pull waits", || stats.snapshot().held_polls == 1).await;
    send(&client, &["a"]).await;
    let (code, messages, next) = pulled.await.unwrap();
    assert_eq!((code, messages.len(), next), (Code::Ok, 1, Some(1)));
    assert_eq!(stats.snapshot().held_polls, 0);
}

#[tokio::test]
async fn a_pull_answers_before_the_client_gives_up() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await.header("grpc-timeout", "1S");
    let begun = Instant::now();
    let wait = Duration::from_secs(40);
    let (code, _, _) = client.pull_with(pull("T", 0, 0, wait)).await;
    assert_eq!(code, Code::MessageNotFound);
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_millis(400) && waited < Duration::from_secs(1),
        "{waited:?}"
    );
}

#[tokio::test]
async fn cancelled_pulls_leave_nothing_behind() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    let stats = &door.running.stats;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let request = client.request(pull("T", 0, 0, Duration::from_secs(15)));
        streams.push(client.raw.clone().pull_message(request).await.unwrap());
    }
    until("all wait", || stats.snapshot().held_polls == 20).await;
    drop(streams);
    until("none waits", || stats.snapshot().held_polls == 0).await;
    send(&client, &["a"]).await;
}

#[tokio::test]
async fn too_many_waiting_pulls_are_refused() {
    let config = crossdock_grpc::GrpcConfig {
        held_polls_max: 1,
        ..common::config()
    };
    let door = Door::with(config, common::hub_config()).await;
    one_queue(&door).await;
    let client = door.client().await;
    let wait = Duration::from_secs(15);
    let request = client.request(pull("T", 0, 0, wait));
    let _held = client.raw.clone().pull_message(request).await.unwrap();
    until("one waits", || {
        door.running.stats.snapshot().held_polls == 1
    })
    .await;
    let (code, _, _) = client.pull_with(pull("T", 0, 0, wait)).await;
    assert_eq!(code, Code::TooManyRequests);
}

#[tokio::test]
async fn a_client_that_says_goodbye_gets_its_waiting_pull_answered() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    let beat = v2::HeartbeatRequest {
        group: Some(resource("g")),
        client_type: v2::ClientType::PullConsumer.into(),
    };
    client
        .raw
        .clone()
        .heartbeat(client.request(beat))
        .await
        .unwrap();
    let waiting = client.clone();
    let pulled = tokio::spawn(async move {
        waiting
            .pull_with(pull("T", 0, 0, Duration::from_secs(15)))
            .await
    });
    until("it waits", || door.running.stats.snapshot().held_polls == 1).await;
    let goodbye = client.request(v2::NotifyClientTerminationRequest::default());
    client
        .raw
        .clone()
        .notify_client_termination(goodbye)
        .await
        .unwrap();
    assert_eq!(pulled.await.unwrap().0, Code::MessageNotFound);
}

#[tokio::test]
async fn tags_select_also_where_their_hashes_collide() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    // "Aa" and "BB" have the same hash.
    send(&client, &["Aa", "BB", "c"]).await;
    let mut wanted = pull("T", 0, 0, Duration::ZERO);
    wanted.filter_expression = filter(FilterType::Tag, "BB || c");
    let (code, messages, next) = client.pull_with(wanted).await;
    assert_eq!((code, next), (Code::Ok, Some(3)));
    assert_eq!(messages.len(), 2);
    let mut nothing = pull("T", 0, 0, Duration::ZERO);
    nothing.filter_expression = filter(FilterType::Tag, "d");
    let (code, _, next) = client.pull_with(nothing).await;
    assert_eq!((code, next), (Code::MessageNotFound, Some(3)));
}

#[tokio::test]
async fn pulls_that_make_no_sense_have_their_codes() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    let none = Duration::ZERO;
    let ask = async |request| client.pull_with(request).await.0;
    assert_eq!(ask(pull("T", 0, -1, none)).await, Code::IllegalOffset);
    assert_eq!(ask(pull("T", 0, 9, none)).await, Code::IllegalOffset);
    assert_eq!(ask(pull("T", 1, 0, none)).await, Code::BadRequest);
    assert_eq!(ask(pull("T", -1, 0, none)).await, Code::BadRequest);
    assert_eq!(ask(pull("nowhere", 0, 0, none)).await, Code::TopicNotFound);
    let mut request = pull("T", 0, 0, none);
    request.group = None;
    assert_eq!(ask(request).await, Code::IllegalConsumerGroup);
    let mut request = pull("T", 0, 0, none);
    request.filter_expression = filter(FilterType::Tag, "||");
    assert_eq!(ask(request).await, Code::IllegalFilterExpression);
    let mut request = pull("T", 0, 0, none);
    request.filter_expression = filter(FilterType::Sql, "a > 1");
    assert_eq!(ask(request).await, Code::NotImplemented);
    let mut request = pull("T", 0, 0, none);
    request.message_queue = None;
    assert_eq!(ask(request).await, Code::IllegalTopic);
}

#[tokio::test]
async fn positions_are_kept_and_queues_are_measured() {
    let door = Door::start().await;
    one_queue(&door).await;
    let client = door.client().await;
    send(&client, &["a", "b", "c"]).await;
    let mut raw = client.raw.clone();
    let get = v2::GetOffsetRequest {
        group: Some(resource("g")),
        message_queue: Some(queue_of("T", 0)),
    };
    let answer = raw
        .get_offset(client.request(get.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(answer.status), Code::ConsumerGroupNotFound);
    let update = |offset| v2::UpdateOffsetRequest {
        group: Some(resource("g")),
        message_queue: Some(queue_of("T", 0)),
        offset,
    };
    let answer = raw
        .update_offset(client.request(update(-1)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(answer.status), Code::IllegalOffset);
    let answer = raw
        .update_offset(client.request(update(2)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(answer.status), Code::Ok);
    let answer = raw
        .get_offset(client.request(get))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((code(answer.status), answer.offset), (Code::Ok, 2));
    let other = v2::GetOffsetRequest {
        group: Some(resource("g")),
        message_queue: Some(queue_of("T", 0)),
    };
    door.hub
        .put_group(&"h".parse().unwrap(), Default::default())
        .await
        .unwrap();
    let other = v2::GetOffsetRequest {
        group: Some(resource("h")),
        ..other
    };
    let answer = raw
        .get_offset(client.request(other))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(code(answer.status), Code::OffsetNotFound);
    for (policy, seconds, expected) in [
        (0, None, Some(0)),
        (1, None, Some(3)),
        (2, Some(0), Some(0)),
        (2, Some(9_999_999_999), Some(3)),
        (2, None, None),
        (7, None, None),
    ] {
        let query = v2::QueryOffsetRequest {
            message_queue: Some(queue_of("T", 0)),
            query_offset_policy: policy,
            timestamp: seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
        };
        let answer = raw
            .query_offset(client.request(query))
            .await
            .unwrap()
            .into_inner();
        match expected {
            Some(offset) => assert_eq!((code(answer.status), answer.offset), (Code::Ok, offset)),
            None => assert_eq!(code(answer.status), Code::BadRequest),
        }
    }
}
