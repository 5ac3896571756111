//! The cases.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rocketmq::model::common::FilterType;
use rocketmq::model::message::MessageBuilder;
use rocketmq::model::transaction::{Transaction, TransactionResolution};

use crate::scope::{
    Door, LONG, Outcome, SHORT, Scope, between, builder, equal, now_millis, refused, text, texts,
};

type Body = fn(Scope) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub struct Case {
    pub name: &'static str,
    pub body: Body,
}

/// How much later than its lease says a message may come back.
const LATE: Duration = Duration::from_secs(20);
/// The second check of a transaction may come as late as the server's usual interval allows.
const CHECKS: Duration = Duration::from_secs(90);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        vec![$(Case { name: stringify!($name), body: |scope| Box::pin($name(scope)) }),*]
    };
}

/// The longest first, so that they overlap with all others.
pub fn all() -> Vec<Case> {
    cases![
        simple_redelivery_after_invisible_time,
        transaction_check_back_unknown_then_commit,
        transaction_commit,
        transaction_rollback,
        simple_fifo_blocks_until_ack,
        fifo_keeps_order_per_group,
        delay_is_not_early,
        normal_round_trip,
        large_and_binary_bodies,
        batch_send,
        tag_filter,
        sql_filter,
        unknown_topic_is_an_error,
        wrong_message_type_is_refused,
        auth_right,
        auth_wrong,
    ]
}

async fn normal_round_trip(scope: Scope) -> Outcome {
    let topic = scope.topic("NORMAL", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    let mut ids = HashMap::new();
    for number in 0..10 {
        let body = format!("n-{number}");
        let message = builder(&topic, &body)
            .set_tag("tag-é")
            .set_keys(vec![format!("key-{body}"), "second".to_owned()])
            .set_properties(HashMap::from([("colour", "grün")]))
            .build()?;
        ids.insert(body, producer.send(message).await?.message_id().to_owned());
    }
    for message in consumer.take(10).await? {
        let body = text(&message);
        equal(
            ids.remove(&body).as_deref(),
            Some(message.message_id()),
            "message id",
        )?;
        equal(topic.as_str(), message.topic(), "topic")?;
        equal(Some("tag-é"), message.tag(), "tag")?;
        equal(
            vec![format!("key-{body}"), "second".to_owned()],
            message.keys(),
            "keys",
        )?;
        let colour = message.properties().get("colour");
        equal(Some("grün"), colour.map(String::as_str), "property")?;
        equal(1, message.delivery_attempt(), "attempt")?;
    }
    equal(0, ids.len(), "messages that did not come")?;
    consumer.nothing_more("after the acknowledgements").await
}

async fn large_and_binary_bodies(scope: Scope) -> Outcome {
    let topic = scope.topic("NORMAL", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    let mut state = 7_u32;
    // This client refuses to receive more than 4 MiB in all.
    let large: Vec<u8> = (0..3 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    for body in [vec![0], (0..=255).collect(), vec![0; 1 << 20], large] {
        let message = MessageBuilder::builder()
            .set_topic(&topic)
            .set_body(body.clone());
        producer.send(message.build()?).await?;
        let got = consumer.take(1).await?;
        if got[0].body() != body {
            return Err(format!("a body of {} bytes came back as another one", body.len()).into());
        }
    }
    Ok(())
}

async fn batch_send(scope: Scope) -> Outcome {
    let topic = scope.topic("NORMAL", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    let mut messages = Vec::new();
    for number in 0..5 {
        messages.push(builder(&topic, &format!("b-{number}")).build()?);
    }
    let receipts = producer.batch_send(messages).await?;
    equal(5, receipts.len(), "receipts")?;
    let mut wanted: Vec<&str> = receipts
        .iter()
        .map(|receipt| receipt.message_id())
        .collect();
    let got = consumer.take(5).await?;
    let mut got: Vec<&str> = got.iter().map(|message| message.message_id()).collect();
    wanted.sort_unstable();
    got.sort_unstable();
    equal(wanted, got, "message ids")
}

async fn fifo_keeps_order_per_group(scope: Scope) -> Outcome {
    let topic = scope.topic("FIFO", 4).await?;
    let consumer = scope
        .consumer(&scope.group("orderly").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    for sequence in 0..10 {
        for key in 0..4 {
            let message = builder(&topic, &format!("{key}:{sequence}"))
                .set_message_group(format!("group-{key}"));
            producer.send(message.build()?).await?;
        }
    }
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut left = 40;
    while left > 0 {
        for message in consumer.take_some().await? {
            let body = text(&message);
            let (key, sequence) = body.split_once(':').ok_or("no key")?;
            let expected = next.entry(key.to_owned()).or_default();
            equal(
                expected.to_string(),
                sequence,
                &format!("next of group {key}"),
            )?;
            equal(
                Some(format!("group-{key}").as_str()),
                message.message_group(),
                "message group",
            )?;
            *expected += 1;
            left -= 1;
        }
    }
    Ok(())
}

async fn simple_fifo_blocks_until_ack(scope: Scope) -> Outcome {
    let topic = scope.topic("FIFO", 1).await?;
    let consumer = scope
        .consumer(&scope.group("orderly").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    for body in ["first", "second"] {
        producer
            .send(builder(&topic, body).set_message_group("one").build()?)
            .await?;
    }
    let first = consumer.poll(1, LONG).await?;
    equal(vec!["first"], texts(&first), "first batch of one")?;
    consumer
        .nothing_more("while the first is not acknowledged")
        .await?;
    consumer.inner.ack(&first[0]).await?;
    equal(
        vec!["second"],
        texts(&consumer.take(1).await?),
        "after the acknowledgement",
    )
}

async fn simple_redelivery_after_invisible_time(scope: Scope) -> Outcome {
    let topic = scope.topic("NORMAL", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    producer.send(builder(&topic, "again").build()?).await?;
    let first = consumer.receive(1, SHORT).await?;
    let leased = Instant::now();
    equal(1, first[0].delivery_attempt(), "first attempt")?;
    let second = consumer.take(1).await?;
    // The lease began up to a round trip before the answer arrived.
    let (low, high) = (SHORT - Duration::from_secs(1), SHORT + LATE);
    between(low, high, leased.elapsed(), "time to redelivery")?;
    equal(2, second[0].delivery_attempt(), "second attempt")?;
    equal(first[0].message_id(), second[0].message_id(), "message id")?;
    consumer.nothing_more("after the acknowledgement").await
}

async fn delay_is_not_early(scope: Scope) -> Outcome {
    let topic = scope.topic("DELAY", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope.producer(&topic).await?;
    // This client counts in seconds.
    let due = now_millis() / 1_000 + 5;
    producer
        .send(
            builder(&topic, "later")
                .set_delivery_timestamp(due)
                .build()?,
        )
        .await?;
    let got = consumer.take(1).await?;
    let late = now_millis() - due * 1_000;
    equal(vec!["later"], texts(&got), "body")?;
    equal(Some(due), got[0].delivery_timestamp(), "delivery time")?;
    equal(
        true,
        (0..8_000).contains(&late),
        &format!("lateness of {late} ms is fine"),
    )
}

async fn transaction_commit(scope: Scope) -> Outcome {
    let topic = scope.topic("TRANSACTION", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope
        .transactional(&topic, Box::new(|_, _| TransactionResolution::UNKNOWN))
        .await?;
    let message = builder(&topic, "commit").enable_transaction().build()?;
    let transaction = producer.send_transaction_message(message).await?;
    let id = transaction.message_id().to_owned();
    consumer.nothing_more("before the commit").await?;
    transaction.commit().await?;
    let got = consumer.take(1).await?;
    equal(vec!["commit"], texts(&got), "body")?;
    equal(id.as_str(), got[0].message_id(), "message id")
}

async fn transaction_rollback(scope: Scope) -> Outcome {
    let topic = scope.topic("TRANSACTION", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let producer = scope
        .transactional(&topic, Box::new(|_, _| TransactionResolution::UNKNOWN))
        .await?;
    let back = builder(&topic, "rolled back")
        .enable_transaction()
        .build()?;
    producer
        .send_transaction_message(back)
        .await?
        .rollback()
        .await?;
    let forth = builder(&topic, "committed").enable_transaction().build()?;
    producer
        .send_transaction_message(forth)
        .await?
        .commit()
        .await?;
    equal(
        vec!["committed"],
        texts(&consumer.take(1).await?),
        "deliveries",
    )?;
    consumer.nothing_more("after a rollback").await
}

async fn transaction_check_back_unknown_then_commit(scope: Scope) -> Outcome {
    let topic = scope.topic("TRANSACTION", 4).await?;
    let consumer = scope
        .consumer(&scope.group("concurrent").await?, &topic)
        .await?;
    let checks: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&checks);
    let checker = move |_: String, message: rocketmq::model::message::MessageView| {
        let Ok(mut seen) = seen.lock() else {
            return TransactionResolution::UNKNOWN;
        };
        seen.push(format!("{} {}", message.message_id(), text(&message)));
        if seen.len() == 1 {
            TransactionResolution::UNKNOWN
        } else {
            TransactionResolution::COMMIT
        }
    };
    let producer = scope.transactional(&topic, Box::new(checker)).await?;
    let message = builder(&topic, "asked").enable_transaction().build()?;
    let undecided = producer.send_transaction_message(message).await?;
    let expected = format!("{} asked", undecided.message_id());
    let count = || checks.lock().map_or(0, |checks| checks.len());
    let deadline = Instant::now() + CHECKS;
    while count() < 2 {
        if Instant::now() > deadline {
            return Err(format!("{} checks within {CHECKS:?}", count()).into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    equal(vec!["asked"], texts(&consumer.take(1).await?), "deliveries")?;
    let checks = checks.lock().map_err(|_| "a checker panicked")?;
    for check in checks.iter() {
        equal(
            expected.as_str(),
            check.as_str(),
            "the message that was asked about",
        )?;
    }
    Ok(())
}

async fn tag_filter(scope: Scope) -> Outcome {
    filtered(scope, FilterType::Tag, "a||b", |builder, tag| {
        builder.set_tag(tag)
    })
    .await
}

async fn sql_filter(scope: Scope) -> Outcome {
    let filter = "price > 10 AND region IN ('a', 'b')";
    filtered(scope, FilterType::Sql, filter, |builder, region| {
        builder.set_properties(HashMap::from([("price", "11"), ("region", region)]))
    })
    .await
}

/// Sends messages marked a, b, c and A, and checks that only a and b pass the filter.
async fn filtered(
    scope: Scope,
    kind: FilterType,
    filter: &str,
    mark: fn(MessageBuilder, &str) -> MessageBuilder,
) -> Outcome {
    let topic = scope.topic("NORMAL", 4).await?;
    let group = scope.group("concurrent").await?;
    let consumer = scope
        .consumer_at(&scope.open()?, &group, &topic, kind, filter)
        .await?;
    let producer = scope.producer(&topic).await?;
    let mut wanted = Vec::new();
    for key in ["a", "b", "c", "A"] {
        for number in 0..4 {
            let body = format!("{key}{number}");
            producer
                .send(mark(builder(&topic, &body), key).build()?)
                .await?;
            if key == "a" || key == "b" {
                wanted.push(body);
            }
        }
    }
    let mut got = texts(&consumer.take(wanted.len()).await?);
    got.sort();
    equal(wanted, got, "what passed the filter")?;
    consumer.nothing_more("beyond the filter").await
}

async fn unknown_topic_is_an_error(scope: Scope) -> Outcome {
    let topic = scope.fresh_topic();
    refused(
        scope.producer(&topic).await.err().map_or(Ok(()), Err),
        NOT_FOUND,
        "a producer",
    )?;
    let consumer = scope.consumer(&scope.fresh_group(), &topic).await;
    refused(consumer.err().map_or(Ok(()), Err), NOT_FOUND, "a consumer")
}

const NOT_FOUND: &str = "TOPIC_NOT_FOUND";
const WRONG_TYPE: &str = "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE";

async fn wrong_message_type_is_refused(scope: Scope) -> Outcome {
    let topic = scope.topic("NORMAL", 1).await?;
    let producer = scope.producer(&topic).await?;
    // Not checked by this client: the server's own answer.
    let fifo = builder(&topic, "m").set_message_group("g").build()?;
    refused(
        producer.send(fifo).await,
        WRONG_TYPE,
        "a FIFO message to a normal topic",
    )?;
    let delayed = builder(&topic, "m").set_delivery_timestamp(now_millis() / 1_000 + 60);
    refused(
        producer.send(delayed.build()?).await,
        WRONG_TYPE,
        "a delayed message",
    )?;
    producer.send(builder(&topic, "m").build()?).await?;
    Ok(())
}

/// A topic and a group on the server that wants signatures.
async fn secret(scope: &Scope) -> Outcome<(String, String)> {
    let (topic, group) = (scope.fresh_topic(), scope.fresh_group());
    scope
        .control(format!("secured-topic {topic} NORMAL 4"))
        .await?;
    scope
        .control(format!("secured-group {group} concurrent 16"))
        .await?;
    Ok((topic, group))
}

async fn auth_right(scope: Scope) -> Outcome {
    let (topic, group) = secret(&scope).await?;
    let door = scope.secured()?;
    let consumer = scope
        .consumer_at(&door, &group, &topic, FilterType::Tag, "*")
        .await?;
    let producer = scope.producer_at(&door, &topic).await?;
    producer.send(builder(&topic, "signed").build()?).await?;
    equal(vec!["signed"], texts(&consumer.take(1).await?), "body")
}

async fn auth_wrong(scope: Scope) -> Outcome {
    let (topic, group) = secret(&scope).await?;
    let access = scope.access()?;
    let doors: [Door; 3] = [
        scope.secured_as(Some((access, "not-the-secret".to_owned())))?,
        scope.secured_as(Some(("nobody".to_owned(), "secret".to_owned())))?,
        scope.secured_as(None)?,
    ];
    for door in doors {
        let producer = scope.producer_at(&door, &topic).await;
        refused(
            producer.err().map_or(Ok(()), Err),
            "UNAUTHORIZED",
            "a producer",
        )?;
        let consumer = scope
            .consumer_at(&door, &group, &topic, FilterType::Tag, "*")
            .await;
        refused(
            consumer.err().map_or(Ok(()), Err),
            "UNAUTHORIZED",
            "a consumer",
        )?;
    }
    Ok(())
}
