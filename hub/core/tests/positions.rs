//! Positions of groups over a real store.

mod common;

use common::{Node, group};
use crossdock_hub::{Committed, ErrorKind, HubError, OnDelete};

#[tokio::test]
async fn a_commit_is_seen_at_once_and_survives_a_restart() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 2).await, node.group("g").await);
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), None);
    for offset in 1..=100 {
        assert_eq!(
            node.hub.commit(&g, &t, 0, offset).unwrap(),
            Committed::Taken
        );
        assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(offset));
    }
    node.hub.commit(&g, &t, 1, 7).unwrap();
    let node = node.restart().await;
    let (t, g) = (node.hub.topic("T").unwrap(), node.hub.group("g").unwrap());
    assert_eq!(node.hub.positions(&g, &t), [(0, 100), (1, 7)]);
    node.stop().await;
}

#[tokio::test]
async fn a_position_never_steps_back_while_it_is_written() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    for offset in 1..=50 {
        node.hub.commit(&g, &t, 0, offset * 2 - 1).unwrap();
        node.hub
            .commit_durable(&g, &t, 0, offset * 2)
            .await
            .unwrap();
        // What is pending was handed over to the log; there must be no gap between the two.
        assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(offset * 2));
    }
    node.stop().await;
}

#[tokio::test]
async fn many_commits_become_few_records() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 8).await, node.group("g").await);
    let before = node.hub.log_bounds().1;
    for offset in 0..10_000 {
        node.hub.commit(&g, &t, offset as u32 % 8, offset).unwrap();
    }
    node.hub.commit_durable(&g, &t, 0, 10_000).await.unwrap();
    let written = node.hub.log_bounds().1.0 - before.0;
    assert!(written < 256 * 1024, "{written} bytes");
    node.stop().await;
}

#[tokio::test]
async fn a_position_may_move_back() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.hub.commit_durable(&g, &t, 0, 9).await.unwrap();
    node.hub.commit_durable(&g, &t, 0, 3).await.unwrap();
    let node = node.restart().await;
    let (t, g) = (node.hub.topic("T").unwrap(), node.hub.group("g").unwrap());
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(3));
    node.stop().await;
}

#[tokio::test]
async fn groups_do_not_see_each_others_positions() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    let (a, b) = (node.group("a").await, node.group("b").await);
    node.hub.commit_durable(&a, &t, 0, 5).await.unwrap();
    assert_eq!(node.hub.position(&b, &t, 0).unwrap(), None);
    let refused = node.hub.commit(&a, &t, 1, 5).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    node.stop().await;
}

#[tokio::test]
async fn after_a_reset_stale_commits_are_not_taken_until_the_member_was_told() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.hub.commit(&g, &t, 0, 50).unwrap();
    node.hub.reset_position(&g, &t, 0, 10).await.unwrap();
    assert_eq!(
        node.hub.commit(&g, &t, 0, 51).unwrap(),
        Committed::ResetPending
    );
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(10));
    assert_eq!(node.hub.take_reset(&g, &t, 0), Some(10));
    assert_eq!(node.hub.take_reset(&g, &t, 0), None);
    assert_eq!(node.hub.commit(&g, &t, 0, 11).unwrap(), Committed::Taken);
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(11));
    node.stop().await;
}

#[tokio::test]
async fn a_reset_by_time_moves_every_queue() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 2).await, node.group("g").await);
    node.send(&t, "a").await;
    node.send(&t, "b").await;
    let future = node.hub.now_ms() + 1_000_000;
    let moved = node.hub.reset_by_time(&g, &t, future).await.unwrap();
    assert_eq!(moved, [(0, 2), (1, 0)]);
    let moved = node.hub.reset_by_time(&g, &t, 0).await.unwrap();
    assert_eq!(moved, [(0, 0), (1, 0)]);
    assert_eq!(node.hub.positions(&g, &t), moved);
    node.stop().await;
}

#[tokio::test]
async fn a_deleted_groups_positions_are_kept_or_forgotten_as_asked() {
    let node = Node::start().await;
    let t = node.topic("T", 1).await;
    for (positions, expected) in [
        (OnDelete::KeepPositions, Some(5)),
        (OnDelete::ForgetPositions, None),
    ] {
        let g = node.group("g").await;
        node.hub.commit(&g, &t, 0, 5).unwrap();
        assert!(node.hub.delete_group(&group("g"), positions).await.unwrap());
        assert!(!node.hub.delete_group(&group("g"), positions).await.unwrap());
        let refused = node.hub.commit(&g, &t, 0, 6).unwrap_err();
        assert_eq!(refused, HubError::NoGroup("g".into()));
        let again = node.group("g").await;
        assert_eq!(node.hub.position(&again, &t, 0).unwrap(), expected);
    }
    node.stop().await;
}

#[tokio::test]
async fn kept_positions_survive_a_restart_in_between() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.hub.commit(&g, &t, 0, 5).unwrap();
    node.hub
        .delete_group(&g.name, OnDelete::KeepPositions)
        .await
        .unwrap();
    let node = node.restart().await;
    assert!(node.hub.group("g").is_none());
    let (t, g) = (node.hub.topic("T").unwrap(), node.group("g").await);
    assert_eq!(node.hub.position(&g, &t, 0).unwrap(), Some(5));
    node.stop().await;
}

#[tokio::test]
async fn a_closed_hub_takes_no_commits_and_closes_twice() {
    let node = Node::start().await;
    let (t, g) = (node.topic("T", 1).await, node.group("g").await);
    node.hub.commit(&g, &t, 0, 5).unwrap();
    node.hub.close().await.unwrap();
    assert_eq!(node.hub.commit(&g, &t, 0, 6).unwrap_err(), HubError::Closed);
    let refused = node.hub.commit_durable(&g, &t, 0, 6).await;
    assert_eq!(refused.unwrap_err(), HubError::Closed);
    let refused = node.hub.ensure_group(&group("late")).await;
    assert_eq!(refused.unwrap_err(), HubError::Closed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_commits_at_once_is_what_lasts() {
    const QUEUES: u32 = 16;
    let node = Node::start().await;
    let (t, g) = (node.topic("T", QUEUES).await, node.group("g").await);
    let tasks: Vec<_> = (0..QUEUES)
        .map(|queue| {
            let (hub, t, g) = (node.hub.clone(), t.clone(), g.clone());
            tokio::spawn(async move {
                // Up and down, so that an order that was lost cannot hide.
                for step in 1..=200u64 {
                    let offset = step * 7919 % 1000;
                    if step % 10 == u64::from(queue) % 10 {
                        hub.commit_durable(&g, &t, queue, offset).await.unwrap();
                    } else {
                        hub.commit(&g, &t, queue, offset).unwrap();
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(hub.position(&g, &t, queue).unwrap(), Some(offset));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let node = node.restart().await;
    let (t, g) = (node.hub.topic("T").unwrap(), node.hub.group("g").unwrap());
    let last = 200 * 7919 % 1000;
    let expected: Vec<(u32, u64)> = (0..QUEUES).map(|queue| (queue, last)).collect();
    assert_eq!(node.hub.positions(&g, &t), expected);
    node.stop().await;
}
