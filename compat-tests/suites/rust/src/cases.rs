//! The cases.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rocketmq_client_rust::SendStatus;

use crate::scope::{Inbox, LIMIT, Outcome, Scope, message, stored, texts};

type Body = fn(Scope) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub struct Case {
    pub name: &'static str,
    pub body: Body,
}

pub fn all() -> Vec<Case> {
    vec![
        Case {
            name: "produce_sync",
            body: |scope| Box::pin(produce_sync(scope)),
        },
        Case {
            name: "produce_async",
            body: |scope| Box::pin(produce_async(scope)),
        },
        Case {
            name: "produce_oneway",
            body: |scope| Box::pin(produce_oneway(scope)),
        },
        Case {
            name: "produce_batch",
            body: |scope| Box::pin(produce_batch(scope)),
        },
        Case {
            name: "produce_compressed",
            body: |scope| Box::pin(produce_compressed(scope)),
        },
        Case {
            name: "produce_delayed",
            body: |scope| Box::pin(produce_delayed(scope)),
        },
        Case {
            name: "produce_to_auto_created_topic",
            body: |scope| Box::pin(auto_created(scope)),
        },
        Case {
            name: "push_tag_filter",
            body: |scope| Box::pin(tag_filter(scope)),
        },
        Case {
            name: "push_orderly",
            body: |scope| Box::pin(orderly(scope)),
        },
        Case {
            name: "push_offsets_resume",
            body: |scope| Box::pin(resume(scope)),
        },
    ]
}

async fn produce_sync(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 4).await?;
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &inbox).await?;
    let bodies = texts("sync-", 50);
    let mut ids = HashMap::new();
    for body in &bodies {
        let result = stored(producer.send(message(&topic, "tag", body)).await?)?;
        // This client shows received messages under their offset id.
        ids.insert(body.clone(), result.offset_msg_id.map(|id| id.to_string()));
    }
    inbox.await_exactly(&bodies).await?;
    for item in inbox.items() {
        if ids.get(&item.body) != Some(&Some(item.id.clone())) || item.tag.as_deref() != Some("tag")
        {
            return Err(format!("{:?} came back as {item:?}", ids.get(&item.body)).into());
        }
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn produce_async(scope: Scope) -> Outcome {
    /// This client refuses sends beyond a small queue of its own.
    const IN_FLIGHT: usize = 16;
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 4).await?;
    let bodies = texts("async-", 100);
    let stored = Arc::new(AtomicUsize::new(0));
    let failures = Arc::new(Mutex::new(Vec::<String>::new()));
    for (number, body) in bodies.iter().enumerate() {
        await_stored(&stored, &failures, (number + 1).saturating_sub(IN_FLIGHT)).await?;
        let (stored, failures) = (Arc::clone(&stored), Arc::clone(&failures));
        producer
            .send_with_callback(message(&topic, "tag", body), move |result, error| {
                if result.is_some_and(|result| result.send_status == SendStatus::SendOk) {
                    stored.fetch_add(1, Ordering::SeqCst);
                } else if let Ok(mut failures) = failures.lock() {
                    failures.push(format!("{result:?} {error:?}"));
                }
            })
            .await?;
    }
    await_stored(&stored, &failures, bodies.len()).await?;
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &inbox).await?;
    inbox.await_exactly(&bodies).await?;
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn await_stored(
    stored: &AtomicUsize,
    failures: &Mutex<Vec<String>>,
    wanted: usize,
) -> Outcome {
    let deadline = Instant::now() + LIMIT;
    while stored.load(Ordering::SeqCst) < wanted {
        let failure = failures
            .lock()
            .ok()
            .and_then(|failures| failures.first().cloned());
        if let Some(failure) = failure {
            return Err(format!("a send failed: {failure}").into());
        }
        if Instant::now() > deadline {
            return Err("callbacks are missing".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn produce_oneway(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 4).await?;
    let bodies = texts("oneway-", 50);
    for body in &bodies {
        producer.send_oneway(message(&topic, "tag", body)).await?;
    }
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &inbox).await?;
    inbox.await_exactly(&bodies).await?;
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn produce_batch(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 4).await?;
    let bodies = texts("batch-", 20);
    let messages = bodies
        .iter()
        .map(|body| message(&topic, "tag", body))
        .collect();
    let result = producer.send_batch(messages).await?;
    if result.send_status != SendStatus::SendOk {
        return Err(format!("send answered {result:?}").into());
    }
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "tag", &inbox).await?;
    inbox.await_exactly(&bodies).await?;
    let items = inbox.items();
    if items.iter().any(|item| item.queue != items[0].queue) {
        return Err("batch was spread over queues".into());
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn produce_compressed(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 1).await?;
    let body = "all work and no play; ".repeat(3_000);
    stored(producer.send(message(&topic, "tag", &body)).await?)?;
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &inbox).await?;
    inbox.await_exactly(&[body]).await?;
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn produce_delayed(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 1).await?;
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &inbox).await?;
    let mut late = message(&topic, "tag", "late");
    late.set_delay_time_level(2);
    let start = Instant::now();
    stored(producer.send(late).await?)?;
    inbox.await_exactly(&["late".to_owned()]).await?;
    let delay = inbox.items()[0].at - start;
    if delay < Duration::from_secs(5) || delay > Duration::from_secs(10) {
        return Err(format!("came after {delay:?}").into());
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn auto_created(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.fresh_topic();
    let bodies = texts("auto-", 10);
    for body in &bodies {
        stored(producer.send(message(&topic, "tag", body)).await?)?;
    }
    let inbox = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &inbox).await?;
    inbox.await_exactly(&bodies).await?;
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn tag_filter(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 2).await?;
    let inbox = Inbox::default();
    // Without blanks: this client hashes them as part of the tag.
    let mut consumer = scope.consumer(&topic, "a||b", &inbox).await?;
    let mut wanted = Vec::new();
    for (number, tag) in ["a", "b", "c", "d"]
        .into_iter()
        .cycle()
        .take(40)
        .enumerate()
    {
        let body = format!("{tag}{number}");
        stored(producer.send(message(&topic, tag, &body)).await?)?;
        if tag < "c" {
            wanted.push(body);
        }
    }
    inbox.await_exactly(&wanted).await?;
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn orderly(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 4).await?;
    let inbox = Inbox::default();
    let mut consumer = scope.orderly(&topic, &inbox).await?;
    let mut bodies = Vec::new();
    for sequence in 0..20 {
        for key in 0..6usize {
            let body = format!("{key}:{sequence}");
            let sent = producer.send_with_selector(
                message(&topic, "tag", &body),
                |queues, _, key: &usize| queues.get(key % queues.len()).cloned(),
                key,
            );
            stored(sent.await?)?;
            bodies.push(body);
        }
    }
    inbox.await_exactly(&bodies).await?;
    let mut next: HashMap<String, usize> = HashMap::new();
    for item in inbox.items() {
        let (key, sequence) = item.body.split_once(':').ok_or("no key")?;
        let expected = next.entry(key.to_owned()).or_default();
        if sequence != expected.to_string() {
            return Err(format!("key {key}: {sequence} came when {expected} was next").into());
        }
        *expected += 1;
    }
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}

async fn resume(scope: Scope) -> Outcome {
    let mut producer = scope.producer().await?;
    let topic = scope.topic(&mut producer, 2).await?;
    let bodies = texts("m-", 40);
    let (first, second) = bodies.split_at(20);
    for body in first {
        stored(producer.send(message(&topic, "tag", body)).await?)?;
    }
    let before = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &before).await?;
    before.await_exactly(first).await?;
    // Its shutdown sends the positions.
    consumer.shutdown().await;
    for body in second {
        stored(producer.send(message(&topic, "tag", body)).await?)?;
    }
    let after = Inbox::default();
    let mut consumer = scope.consumer(&topic, "*", &after).await?;
    after.await_exactly(second).await?;
    consumer.shutdown().await;
    producer.shutdown().await;
    Ok(())
}
