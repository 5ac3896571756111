//! Who may do what, and what is refused before any handler runs.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use common::{Client, Door, code, message, resource};
use crossdock_hub::{Action, Decision, Pattern, Rule, UserSeed};
use crossdock_proto_grpc::v2;
use crossdock_proto_grpc::v2::telemetry_command::Command;
use crossdock_proto_grpc::v2::{ClientType, Code, Settings, TelemetryCommand};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const DATE: &str = "20260930T120000Z";

fn user(name: &str, secret: &str, is_admin: bool) -> UserSeed {
    UserSeed {
        name: name.into(),
        password: None,
        access_key: Some(format!("{name}-key")),
        secret: Some(secret.into()),
        is_admin,
    }
}

async fn start() -> Door {
    let mut hub = common::hub_config();
    hub.users = vec![user("root", "s1", true), user("app", "s2", false)];
    let door = Door::with(common::config(), hub).await;
    door.topic("T", "").await;
    door.topic("U", "").await;
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

fn signature(secret: &str, date: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(date.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs as official clients do, each in its own form.
fn signed(client: &Client, credential: &str, signature: &str) -> Client {
    let text = format!(
        "MQv2-HMAC-SHA1 Credential={credential}, SignedHeaders=x-mq-date-time, Signature={signature}"
    );
    client
        .header("authorization", &text)
        .header("x-mq-date-time", DATE)
}

#[tokio::test]
async fn every_clients_form_of_a_right_signature_is_accepted() {
    let door = start().await;
    let client = door.client().await;
    let right = signature("s2", DATE);
    for credential in [
        "app-key",
        "app-key//Rocketmq",
        "app-key/cn-hangzhou/RocketMQ",
    ] {
        for form in [right.clone(), right.to_uppercase()] {
            let app = signed(&client, credential, &form);
            assert_eq!(app.send_code(message("T", "1", "x")).await, Code::Ok);
        }
    }
}

#[tokio::test]
async fn anything_else_is_unauthorized() {
    let door = start().await;
    let client = door.client().await;
    let right = signature("s2", DATE);
    for wrong in [
        client.clone(),
        signed(&client, "app-key", &signature("s1", DATE)),
        signed(&client, "app-key", &signature("s2", "20260930T120001Z")),
        signed(&client, "nobody", &right),
        signed(&client, "", &right),
        signed(&client, "app-key", "zz"),
        signed(&client, "app-key", &right).header("x-mq-date-time", ""),
        client.header("authorization", "Basic abc"),
    ] {
        let refused = wrong.send_code(message("T", "1", "x")).await;
        assert_eq!(refused, Code::Unauthorized, "{:?}", wrong.headers);
    }
    assert_eq!(door.stored("T").iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn rules_are_asked_for_every_method() {
    let door = start().await;
    let app = signed(&door.client().await, "app-key", &signature("s2", DATE));
    assert_eq!(
        app.send_code(message("U", "1", "x")).await,
        Code::Unauthorized
    );
    assert_eq!(
        app.send_code(message("new", "1", "x")).await,
        Code::Unauthorized
    );
    assert_eq!(code(app.route("T").await.status), Code::Ok);
    assert_eq!(code(app.route("U").await.status), Code::Unauthorized);
    assert_eq!(app.pull("T", 0).await.0, Code::MessageNotFound);
    assert_eq!(app.pull("U", 0).await.0, Code::Unauthorized);
    let beat = |group: &str| v2::HeartbeatRequest {
        group: Some(resource(group)),
        client_type: ClientType::PushConsumer.into(),
    };
    let mut raw = app.raw.clone();
    let answer = raw.heartbeat(app.request(beat("g"))).await.unwrap();
    assert_eq!(code(answer.into_inner().status), Code::Ok);
    let answer = raw.heartbeat(app.request(beat("h"))).await.unwrap();
    assert_eq!(code(answer.into_inner().status), Code::Unauthorized);
    assert!(door.hub.topic("new").is_none() && door.hub.group("h").is_none());
    let root = signed(&app, "root-key", &signature("s1", DATE));
    assert_eq!(root.send_code(message("U", "1", "x")).await, Code::Ok);
}

#[tokio::test]
async fn settings_need_every_right_they_name() {
    let door = start().await;
    let app = signed(&door.client().await, "app-key", &signature("s2", DATE));
    let settings = Settings {
        client_type: Some(ClientType::Producer.into()),
        pub_sub: Some(v2::settings::PubSub::Publishing(v2::Publishing {
            topics: vec![resource("T"), resource("U")],
            ..v2::Publishing::default()
        })),
        ..Settings::default()
    };
    let frame = TelemetryCommand {
        status: None,
        command: Some(Command::Settings(settings)),
    };
    let mut raw = app.raw.clone();
    let request = app.request(tokio_stream::once(frame));
    let mut answers = raw.telemetry(request).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(
        (code(answer.status), answer.command),
        (Code::Unauthorized, None)
    );
    assert!(answers.message().await.unwrap().is_none());
    assert!(door.hub.producers("T").is_empty());
}

#[tokio::test]
async fn without_users_the_header_is_not_even_read() {
    let door = Door::start().await;
    let client = signed(&door.client().await, "", "nonsense");
    assert_eq!(client.send_code(message("T", "1", "x")).await, Code::Ok);
}

#[tokio::test]
async fn a_call_without_a_client_id_is_told_so_and_the_connection_lives() {
    let door = Door::start().await;
    let client = door.client().await;
    for blank in [
        client.header("x-mq-client-id", ""),
        client.header("x-mq-client-id", "  "),
    ] {
        let refused = blank.send_code(message("T", "1", "x")).await;
        assert_eq!(refused, Code::ClientIdRequired);
    }
    // One official client sends a heartbeat without any header after a failure.
    let bare = Client {
        headers: Vec::new(),
        ..client.clone()
    };
    let beat = v2::HeartbeatRequest {
        group: None,
        client_type: ClientType::Producer.into(),
    };
    let answer = bare
        .raw
        .clone()
        .heartbeat(bare.request(beat))
        .await
        .unwrap();
    assert_eq!(code(answer.into_inner().status), Code::ClientIdRequired);
    assert_eq!(client.send_code(message("T", "1", "x")).await, Code::Ok);
}
