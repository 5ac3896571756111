//! Positions moved from outside over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, Pulled, heartbeat, parse_body, pull_header};
use crossdock_proto_remoting::body::stats::ResetOffsets;
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::admin::CloneGroupOffset;
use crossdock_proto_remoting::header::offset::ResetOffset;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};
use crossdock_proto_remoting::{Command, Language};

fn header(timestamp: i64) -> ResetOffset<'static> {
    ResetOffset {
        topic: "T",
        group: "g",
        queue_id: None,
        offset: None,
        timestamp,
        is_force: true,
    }
}

async fn reset(client: &mut Client, header: &ResetOffset<'_>) -> Command {
    let code = request::INVOKE_BROKER_TO_RESET_OFFSET;
    client.ask_with(code, header).await
}

/// Topic `T` with five messages in each of two queues, and group `g` that stands at 3.
async fn prepared() -> (Door, Client) {
    let door = Door::start().await;
    door.create_topic("T", 2).await;
    door.create_group("g").await;
    let mut client = door.broker().await;
    for n in 0..5 {
        client.publish("T", 0, &n.to_string(), "").await;
        client.publish("T", 1, &n.to_string(), "").await;
    }
    let (group, topic) = (door.hub.group("g").unwrap(), door.hub.topic("T").unwrap());
    for queue in 0..2 {
        let hub = &door.hub;
        hub.commit_durable(&group, &topic, queue, 3).await.unwrap();
    }
    (door, client)
}

fn positions(door: &Door, group: &str) -> Vec<(u32, u64)> {
    let group = door.hub.group(group).unwrap();
    door.hub.positions(&group, &door.hub.topic("T").unwrap())
}

#[tokio::test]
async fn positions_of_a_group_without_members_move_to_a_time_and_to_the_end() {
    let (door, mut client) = prepared().await;
    let table: ResetOffsets = parse_body(&reset(&mut client, &header(0)).await);
    let moved: Vec<_> = table
        .offset_table
        .iter()
        .map(|(q, o)| (q.queue_id, *o))
        .collect();
    assert_eq!(moved, [(0, 0), (1, 0)]);
    assert_eq!(table.offset_table[0].0.broker_name, "node-a");
    assert_eq!(positions(&door, "g"), [(0, 0), (1, 0)]);
    assert_eq!(reset(&mut client, &header(-1)).await.code, 0);
    assert_eq!(positions(&door, "g"), [(0, 5), (1, 5)]);
}

#[tokio::test]
async fn one_queue_moves_to_an_offset_within_its_bounds() {
    let (door, mut client) = prepared().await;
    let to = |offset| ResetOffset {
        queue_id: Some(1),
        offset: Some(offset),
        ..header(0)
    };
    assert_eq!(reset(&mut client, &to(2)).await.code, 0);
    assert_eq!(positions(&door, "g"), [(0, 3), (1, 2)]);
    assert_eq!(reset(&mut client, &to(5)).await.code, 0);
    assert_eq!(reset(&mut client, &to(6)).await.code, 1);
    let nowhere = ResetOffset {
        queue_id: Some(2),
        ..header(0)
    };
    assert_eq!(reset(&mut client, &nowhere).await.code, 29);
    assert_eq!(positions(&door, "g"), [(0, 3), (1, 5)]);
}

#[tokio::test]
async fn without_force_a_group_never_skips() {
    let (door, mut client) = prepared().await;
    let gently = |timestamp| ResetOffset {
        is_force: false,
        ..header(timestamp)
    };
    let table: ResetOffsets = parse_body(&reset(&mut client, &gently(-1)).await);
    assert!(table.offset_table.iter().all(|(_, offset)| *offset == 3));
    assert_eq!(positions(&door, "g"), [(0, 3), (1, 3)]);
    assert_eq!(reset(&mut client, &gently(0)).await.code, 0);
    assert_eq!(positions(&door, "g"), [(0, 0), (1, 0)]);
}

#[tokio::test]
async fn what_does_not_exist_is_not_reset() {
    let (_door, mut client) = prepared().await;
    let topic = ResetOffset {
        topic: "U",
        ..header(0)
    };
    assert_eq!(reset(&mut client, &topic).await.code, 17);
    let group = ResetOffset {
        group: "h",
        ..header(0)
    };
    assert_eq!(reset(&mut client, &group).await.code, 26);
}

#[tokio::test]
async fn some_clients_are_answered_with_a_list() {
    let (_door, mut client) = prepared().await;
    let mut command =
        Command::request(request::INVOKE_BROKER_TO_RESET_OFFSET).with_header(&header(0));
    command.language = Language::CPP;
    let response = client.ask(command).await;
    assert!(response.body.starts_with(b"{\"offsetTable\":[{"));
}

#[tokio::test]
async fn a_member_whose_pull_is_held_hears_of_it_at_once() {
    let (door, mut tool) = prepared().await;
    let mut member = door.broker().await;
    member.ask(heartbeat("c1", "g", "T", "*", 1)).await;
    let pull = PullMessage {
        subscription: Some("*"),
        suspend_timeout_millis: 60_000,
        ..pull_header("g", "T", 0, 5, pull_flag::SUBSCRIPTION | pull_flag::SUSPEND)
    };
    let command = Command::request(request::PULL_MESSAGE).with_header(&pull);
    let opaque = member.send(command).await;
    let held = || door.running.stats.snapshot().held_pulls;
    common::until("the pull is held", || held() == 1).await;
    assert_eq!(reset(&mut tool, &header(0)).await.code, 0);
    // The test's own limit is far below the time the pull would be held.
    let told = Pulled::of(member.answer_to(opaque).await);
    assert_eq!((told.code, told.next()), (21, 0));
    // What the member commits meanwhile is stale, until it pulls where it was told to.
    assert_eq!(member.pull("g", "T", 0, 0).await.bodies().len(), 5);
}

#[tokio::test]
async fn another_group_begins_where_one_stands() {
    let (door, mut client) = prepared().await;
    door.create_group("h").await;
    let code = request::CLONE_GROUP_OFFSET;
    let header = CloneGroupOffset {
        src_group: "g",
        dest_group: "h",
        topic: Some("T"),
        offline: Some(false),
    };
    assert_eq!(client.ask_with(code, &header).await.code, 0);
    assert_eq!(positions(&door, "h"), [(0, 3), (1, 3)]);
    let nobody = CloneGroupOffset {
        dest_group: "i",
        ..header
    };
    assert_eq!(client.ask_with(code, &nobody).await.code, 26);
}
