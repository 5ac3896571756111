//! Users and their rules over raw sockets, and that every administration request is guarded.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Client, Door, parse_body};
use crossdock_hub::{Action, Decision, Pattern, Rule, UserSeed};
use crossdock_proto_remoting::body::auth::{AclEntry, AclInfo, AclPolicy, UserInfo};
use crossdock_proto_remoting::code::request;
use crossdock_proto_remoting::header::admin::{
    CloneGroupOffset, GetBrokerConsumeStats, QueryConsumeQueue, QueryConsumeTimeSpan,
    ViewBrokerStats,
};
use crossdock_proto_remoting::header::auth::{
    AclSubject, DeleteAcl, ListAcls, ListUsers, UserName,
};
use crossdock_proto_remoting::header::group::{
    ConsumeMessageDirectly, GetConsumerRunningInfo, GetConsumerStatus,
};
use crossdock_proto_remoting::header::offset::ResetOffset;
use crossdock_proto_remoting::{Command, body, sign};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

fn seed(name: &str, is_admin: bool) -> UserSeed {
    UserSeed {
        name: name.into(),
        password: Some(name.into()),
        access_key: None,
        secret: Some(name.into()),
        is_admin,
    }
}

/// A door with an administrator `root`, and `clerk`, who may administer the cluster without being one; each signs with
/// its name.
async fn start() -> Door {
    let mut hub = common::hub_config();
    hub.users = vec![seed("root", true), seed("clerk", false)];
    let door = Door::with(common::config(), hub).await;
    door.create_topic("T", 1).await;
    door.create_group("g").await;
    let all = Rule {
        pattern: Pattern::parse("Cluster:*").unwrap(),
        actions: Action::Create | Action::Update | Action::Delete | Action::Get | Action::List,
        decision: Decision::Allow,
    };
    door.hub.set_rules("clerk", vec![all]).await.unwrap();
    door
}

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

async fn ask_as(client: &mut Client, who: &str, command: Command) -> Command {
    client.ask(signed(command, who, who)).await
}

fn user(code: i32, name: &str, info: &UserInfo) -> Command {
    let header = UserName {
        username: Some(name),
    };
    let body = body::write(info).unwrap();
    Command::request(code).with_header(&header).with_body(body)
}

fn info(password: Option<&str>, kind: Option<&str>, status: Option<&str>) -> UserInfo {
    UserInfo {
        password: password.map(str::to_owned),
        user_status: status.map(str::to_owned),
        user_type: kind.map(str::to_owned),
        username: None,
    }
}

#[tokio::test]
async fn a_user_is_created_shown_changed_and_deleted() {
    let door = start().await;
    let mut client = door.broker().await;
    let create = user(request::AUTH_CREATE_USER, "u", &info(Some("u"), None, None));
    assert_eq!(ask_as(&mut client, "root", create.clone()).await.code, 0);
    assert_eq!(ask_as(&mut client, "root", create).await.code, 16);
    let get = || user(request::AUTH_GET_USER, "u", &UserInfo::default());
    let shown: UserInfo = parse_body(&ask_as(&mut client, "root", get()).await);
    let mut expected = info(None, Some("Normal"), Some("enable"));
    expected.username = Some("u".into());
    // The password is never shown.
    assert_eq!(shown, expected);
    // It signs with its password from now on, and may nothing.
    assert_eq!(ask_as(&mut client, "u", get()).await.code, 16);
    let change = info(None, Some("Super"), None);
    let change = user(request::AUTH_UPDATE_USER, "u", &change);
    assert_eq!(ask_as(&mut client, "root", change).await.code, 0);
    assert_eq!(ask_as(&mut client, "u", get()).await.code, 0);
    let disable = info(None, None, Some("disable"));
    let disable = user(request::AUTH_UPDATE_USER, "u", &disable);
    assert_eq!(ask_as(&mut client, "root", disable).await.code, 0);
    assert_eq!(ask_as(&mut client, "u", get()).await.code, 16);
    let list =
        |filter| Command::request(request::AUTH_LIST_USER).with_header(&ListUsers { filter });
    let all: Vec<UserInfo> = parse_body(&ask_as(&mut client, "root", list(None)).await);
    assert_eq!(all.len(), 3);
    let some: Vec<UserInfo> = parse_body(&ask_as(&mut client, "root", list(Some("oo"))).await);
    assert_eq!(some[0].username.as_deref(), Some("root"));
    let delete = user(request::AUTH_DELETE_USER, "u", &UserInfo::default());
    assert_eq!(ask_as(&mut client, "root", delete).await.code, 0);
    let gone = ask_as(&mut client, "root", get()).await;
    assert_eq!((gone.code, gone.body.len()), (0, 0));
}

#[tokio::test]
async fn users_that_break_a_rule_are_refused() {
    let door = start().await;
    let mut client = door.broker().await;
    let code = request::AUTH_CREATE_USER;
    for (command, expected) in [
        (user(code, " ", &info(Some("p"), None, None)), 29),
        (user(code, "u", &info(None, None, None)), 16),
        (user(code, "u", &info(Some("p"), Some("King"), None)), 16),
        (
            user(
                request::AUTH_UPDATE_USER,
                "nobody",
                &info(Some("p"), None, None),
            ),
            16,
        ),
        // One administrator has to stay.
        (
            user(request::AUTH_DELETE_USER, "root", &UserInfo::default()),
            16,
        ),
    ] {
        assert_eq!(ask_as(&mut client, "root", command).await.code, expected);
    }
    assert!(door.hub.user("u").is_none() && door.hub.user("root").is_some());
}

#[tokio::test]
async fn only_administrators_make_and_change_administrators() {
    let door = start().await;
    let mut client = door.broker().await;
    let normal = user(request::AUTH_CREATE_USER, "u", &info(Some("p"), None, None));
    assert_eq!(ask_as(&mut client, "clerk", normal).await.code, 0);
    let kind = Some("Super");
    for command in [
        user(request::AUTH_CREATE_USER, "v", &info(Some("p"), kind, None)),
        user(request::AUTH_UPDATE_USER, "clerk", &info(None, kind, None)),
        user(
            request::AUTH_UPDATE_USER,
            "root",
            &info(Some("p"), None, None),
        ),
        user(request::AUTH_DELETE_USER, "root", &UserInfo::default()),
    ] {
        assert_eq!(ask_as(&mut client, "clerk", command).await.code, 1);
    }
    assert!(!door.hub.user("clerk").unwrap().is_admin && door.hub.user("v").is_none());
}

fn entry(resource: &str, actions: &[&str], decision: &str) -> AclEntry {
    AclEntry {
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        decision: decision.into(),
        resource: resource.into(),
        source_ips: Vec::new(),
    }
}

fn acl(code: i32, subject: &str, entries: Vec<AclEntry>) -> Command {
    let info = AclInfo {
        policies: vec![AclPolicy {
            entries,
            policy_type: None,
        }],
        subject: None,
    };
    let body = body::write(&info).unwrap();
    let header = AclSubject { subject };
    Command::request(code).with_header(&header).with_body(body)
}

fn entries(response: &Command) -> Vec<AclEntry> {
    let mut acl: AclInfo = parse_body(response);
    acl.policies.remove(0).entries
}

#[tokio::test]
async fn rules_are_created_replaced_shown_and_deleted() {
    let door = start().await;
    let mut client = door.broker().await;
    let subject = "User:clerk";
    door.hub.set_rules("clerk", Vec::new()).await.unwrap();
    let both = vec![
        entry("Topic:T", &["Pub", "Sub"], "Allow"),
        entry("Group:*", &["All"], "Deny"),
    ];
    let create = acl(request::AUTH_CREATE_ACL, subject, both.clone());
    assert_eq!(ask_as(&mut client, "root", create).await.code, 0);
    let get = || acl(request::AUTH_GET_ACL, subject, Vec::new());
    assert_eq!(entries(&ask_as(&mut client, "root", get()).await), both);
    let send = common::send_v2("T", 0, "x", "");
    assert_eq!(ask_as(&mut client, "clerk", send.clone()).await.code, 0);
    let deny = vec![entry("Topic:T", &["Pub"], "Deny")];
    let update = acl(request::AUTH_UPDATE_ACL, subject, deny.clone());
    assert_eq!(ask_as(&mut client, "root", update).await.code, 0);
    assert_eq!(ask_as(&mut client, "clerk", send).await.code, 16);
    let now = entries(&ask_as(&mut client, "root", get()).await);
    assert_eq!(now, [both[1].clone(), deny[0].clone()]);
    let list = |subject_filter, resource_filter| {
        Command::request(request::AUTH_LIST_ACL).with_header(&ListAcls {
            subject_filter,
            resource_filter,
        })
    };
    let found: Vec<AclInfo> =
        parse_body(&ask_as(&mut client, "root", list(Some("cler"), Some("Topic"))).await);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].policies[0].entries, deny);
    let none: Vec<AclInfo> =
        parse_body(&ask_as(&mut client, "root", list(Some("root"), None)).await);
    assert!(none.is_empty());
    let delete = |resource| {
        Command::request(request::AUTH_DELETE_ACL).with_header(&DeleteAcl {
            subject,
            policy_type: Some("CUSTOM"),
            resource,
        })
    };
    assert_eq!(
        ask_as(&mut client, "root", delete(Some("Topic:T")))
            .await
            .code,
        0
    );
    assert_eq!(
        entries(&ask_as(&mut client, "root", get()).await),
        both[1..]
    );
    assert_eq!(ask_as(&mut client, "root", delete(None)).await.code, 0);
    let empty = ask_as(&mut client, "root", get()).await;
    assert_eq!((empty.code, empty.body.len()), (0, 0));
}

#[tokio::test]
async fn rules_the_hub_does_not_have_are_refused() {
    let door = start().await;
    let mut client = door.broker().await;
    let before = door.hub.rules("clerk").unwrap();
    let mut from = entry("Topic:T", &["Pub"], "Allow");
    from.source_ips = vec!["10.0.0.0/8".into()];
    let good = || entry("Topic:T", &["Pub"], "Allow");
    let cases = [
        ("User:clerk", vec![good(), from]),
        ("User:clerk", vec![entry("Namespace:n", &["Pub"], "Allow")]),
        ("User:clerk", vec![entry("Topic:T", &["Fly"], "Allow")]),
        ("User:clerk", vec![entry("Topic:T", &[], "Allow")]),
        ("User:clerk", vec![entry("Topic:T", &["Pub"], "Maybe")]),
        ("User:clerk", vec![]),
        ("User:nobody", vec![good()]),
        ("clerk", vec![good()]),
    ];
    for (subject, entries) in cases {
        let create = acl(request::AUTH_CREATE_ACL, subject, entries);
        assert_eq!(ask_as(&mut client, "root", create).await.code, 16);
    }
    assert_eq!(door.hub.rules("clerk").unwrap(), before);
}

#[tokio::test]
async fn every_request_needs_a_right_of_its_own() {
    let door = start().await;
    door.hub.set_rules("clerk", Vec::new()).await.unwrap();
    let mut client = door.broker().await;
    let plain = Command::request;
    let none = UserInfo::default();
    let commands = [
        plain(request::UPDATE_BROKER_CONFIG).with_body("autoCreateTopicEnable=false"),
        plain(request::GET_ALL_PRODUCER_INFO),
        plain(request::CLEAN_EXPIRED_CONSUMEQUEUE),
        plain(request::CLEAN_UNUSED_TOPIC),
        plain(request::DELETE_EXPIRED_COMMITLOG),
        plain(request::GET_BROKER_HA_STATUS),
        plain(request::VIEW_BROKER_STATS_DATA).with_header(&ViewBrokerStats {
            stats_name: "TOPIC_PUT_NUMS",
            stats_key: "T",
        }),
        plain(request::GET_BROKER_CONSUME_STATS)
            .with_header(&GetBrokerConsumeStats { is_order: false }),
        plain(request::QUERY_CONSUME_QUEUE).with_header(&QueryConsumeQueue {
            topic: "T",
            ..QueryConsumeQueue::default()
        }),
        plain(request::QUERY_CONSUME_TIME_SPAN).with_header(&QueryConsumeTimeSpan {
            topic: "T",
            group: "g",
        }),
        plain(request::INVOKE_BROKER_TO_RESET_OFFSET).with_header(&ResetOffset {
            topic: "T",
            group: "g",
            ..ResetOffset::default()
        }),
        plain(request::CLONE_GROUP_OFFSET).with_header(&CloneGroupOffset {
            src_group: "g",
            dest_group: "g",
            ..CloneGroupOffset::default()
        }),
        plain(request::GET_CONSUMER_RUNNING_INFO).with_header(&GetConsumerRunningInfo {
            consumer_group: "g",
            client_id: "c",
            jstack_enable: None,
        }),
        plain(request::CONSUME_MESSAGE_DIRECTLY).with_header(&ConsumeMessageDirectly {
            consumer_group: "g",
            ..ConsumeMessageDirectly::default()
        }),
        plain(request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS).with_header(&GetConsumerStatus {
            topic: "T",
            group: "g",
            client_addr: None,
        }),
        user(request::AUTH_CREATE_USER, "x", &none),
        user(request::AUTH_UPDATE_USER, "root", &none),
        user(request::AUTH_DELETE_USER, "root", &none),
        user(request::AUTH_GET_USER, "root", &none),
        plain(request::AUTH_LIST_USER),
        acl(
            request::AUTH_CREATE_ACL,
            "User:clerk",
            vec![entry("*", &["All"], "Allow")],
        ),
        acl(
            request::AUTH_UPDATE_ACL,
            "User:clerk",
            vec![entry("*", &["All"], "Allow")],
        ),
        plain(request::AUTH_DELETE_ACL).with_header(&DeleteAcl {
            subject: "User:clerk",
            policy_type: None,
            resource: None,
        }),
        acl(request::AUTH_GET_ACL, "User:clerk", Vec::new()),
        plain(request::AUTH_LIST_ACL),
    ];
    for command in commands {
        let code = command.code;
        assert_eq!(
            client.ask(command.clone()).await.code,
            16,
            "{code} unsigned"
        );
        let refused = ask_as(&mut client, "clerk", command).await;
        assert_eq!(refused.code, 16, "{code}");
        assert!(refused.remark.unwrap().contains("may not"), "{code}");
    }
    let mut names = door.name_server().await;
    for code in [request::GET_NAMESRV_CONFIG, request::UPDATE_NAMESRV_CONFIG] {
        assert_eq!(names.ask(plain(code)).await.code, 16);
        assert_eq!(ask_as(&mut names, "clerk", plain(code)).await.code, 16);
    }
}
