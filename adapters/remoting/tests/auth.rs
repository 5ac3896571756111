//! Signed requests and rules over raw sockets.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Client, Door, heartbeat, props, pull_header, send_v2};
use crossdock_hub::{Action, Decision, Pattern, Rule, UserSeed};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::namesrv::GetRoute;
use crossdock_proto_remoting::header::pull::{PullMessage, pull_flag};
use crossdock_proto_remoting::{Command, Encoding, sign};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

fn user(name: &str, secret: &str, is_admin: bool) -> UserSeed {
    UserSeed {
        name: name.into(),
        password: Some(format!("{name}-password")),
        access_key: Some(format!("{name}-key")),
        secret: Some(secret.into()),
        is_admin,
    }
}

async fn start() -> Door {
    let mut hub = common::hub_config();
    hub.users = vec![user("root", "s1", true), user("app", "s2", false)];
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 1).await;
    door.create_topic("U", 1).await;
    let rule = |pattern: &str, actions| Rule {
        pattern: Pattern::parse(pattern).unwrap(),
        actions,
        decision: Decision::Allow,
    };
    let rules = vec![
        rule("Topic:T", Action::Pub | Action::Sub),
        rule("Group:g", Action::Sub.into()),
    ];
    door.hub.set_rules("app", rules).await.unwrap();
    door
}

/// Signs as official clients do: credentials become fields, values are ordered by name.
fn signed(command: Command, key: &str, secret: &str) -> Command {
    let mut builder = command.ext.to_builder();
    builder.put(sign::ACCESS_KEY, key);
    let mut command = command.with_ext(builder.build());
    command.version = 479;
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&sign::content(&command));
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut builder = command.ext.to_builder();
    builder.put(sign::SIGNATURE, &signature);
    command.with_ext(builder.build())
}

async fn code(client: &mut Client, command: Command, key: &str, secret: &str) -> i32 {
    client.ask(signed(command, key, secret)).await.code
}

#[tokio::test]
async fn with_users_only_right_signatures_are_let_in() {
    let door = start().await;
    for encoding in [Encoding::Json, Encoding::Binary] {
        let mut client = door.broker().await;
        client.encoding = encoding;
        let send = || send_v2("T", 0, "body", &props(&[("KEYS", "ü")]));
        assert_eq!(client.ask(send()).await.code, 16);
        assert_eq!(code(&mut client, send(), "root-key", "s1").await, 0);
        assert_eq!(code(&mut client, send(), "root-key", "wrong").await, 16);
        assert_eq!(code(&mut client, send(), "nobody", "s1").await, 16);
        // The signature covers the body.
        let mut tampered = signed(send(), "root-key", "s1");
        tampered.body = bytes::Bytes::from_static(b"bodY");
        assert_eq!(client.ask(tampered).await.code, 16);
    }
    let mut client = door.name_server().await;
    let route = Command::request(request::GET_ROUTEINFO_BY_TOPIC).with_header(&GetRoute {
        topic: "T",
        accept_standard_json_only: None,
    });
    assert_eq!(client.ask(route.clone()).await.code, 16);
    assert_eq!(code(&mut client, route, "app-key", "s2").await, 0);
}

#[tokio::test]
async fn rules_decide_what_a_user_may_do() {
    let door = start().await;
    let mut client = door.broker().await;
    let pull = |group, topic| {
        let header = PullMessage {
            subscription: Some("*"),
            ..pull_header(group, topic, 0, 0, pull_flag::SUBSCRIPTION)
        };
        Command::request(request::PULL_MESSAGE).with_header(&header)
    };
    let cases = [
        (send_v2("T", 0, "x", ""), 0),
        (send_v2("U", 0, "x", ""), 16),
        (send_v2("%RETRY%other", 0, "x", ""), 16),
        (pull("g", "T"), 0),
        (pull("g", "U"), 16),
        (pull("other", "T"), 16),
        (heartbeat("c", "g", "T", "*", 1), 0),
        (heartbeat("c", "g", "U", "*", 1), 16),
        (heartbeat("c", "other", "T", "*", 1), 16),
        (Command::request(request::GET_BROKER_CONFIG), 16),
        (Command::request(request::GET_ALL_TOPIC_CONFIG), 16),
    ];
    for (command, expected) in cases {
        let shown = format!("{command:?}");
        assert_eq!(
            code(&mut client, command, "app-key", "s2").await,
            expected,
            "{shown}"
        );
    }
    // What was refused left nothing behind.
    assert!(door.hub.group("other").is_none());
    let topic = door.hub.topic("U").unwrap();
    assert_eq!(door.hub.bounds(&topic, 0).unwrap().max, 0);
}

#[tokio::test]
async fn without_users_an_access_key_is_still_checked() {
    let door = Door::start().await;
    let mut client = door.broker().await;
    let command = send_v2("T", 0, "x", "");
    assert_eq!(code(&mut client, command, "nobody", "s").await, 16);
}
