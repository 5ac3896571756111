use super::super::client::Found;
use super::super::producer::{Ack, Attempt};
use super::*;

const RETENTION: Duration = Duration::from_secs(60);

struct Case {
    oracle: Oracle,
    producers: Vec<Producer>,
    consumer: Consumer,
    report: Report,
}

impl Case {
    /// One queue; the first messages of producer 0 were acknowledged at the offsets of their numbers.
    fn new(acknowledged: u32) -> Self {
        let queue = Queue {
            topic: "t".to_owned(),
            number: 0,
        };
        let mut producer = Producer::new(0);
        for sequence in 0..acknowledged {
            producer.attempts.push(attempt(1));
            producer.acks.push(Ack {
                id: id(sequence),
                queue: 0,
                offset: i64::from(sequence),
                sent_at: SystemTime::now(),
            });
        }
        let mut case = Self {
            oracle: Oracle::new(vec![queue], Some(RETENTION)),
            producers: vec![producer],
            consumer: Consumer::new(1),
            report: Report::default(),
        };
        case.learn();
        case
    }

    /// One message, sent and acknowledged at offset 0 longer ago than messages are kept.
    fn with_an_old_message() -> Self {
        let mut case = Self::new(0);
        case.producers[0].attempts.push(attempt(1));
        case.producers[0].acks.push(Ack {
            id: id(0),
            queue: 0,
            offset: 0,
            sent_at: SystemTime::now() - RETENTION * 2,
        });
        case.learn();
        case
    }

    fn learn(&mut self) {
        let Self {
            oracle,
            producers,
            consumer,
            report,
        } = self;
        oracle.learn(producers, consumer, report);
    }

    /// Judges a queue that holds these messages from `min` on.
    fn judge(&mut self, min: i64, ids: &[Option<Id>]) -> Vec<String> {
        let messages: Vec<Found> = (min..)
            .zip(ids)
            .map(|(offset, id)| Found { offset, id: *id })
            .collect();
        let contents = Contents {
            min,
            max: min + ids.len() as i64,
            messages,
            faults: Vec::new(),
        };
        let before = self.report.violations.texts().len();
        self.oracle
            .judge(0, &contents, &self.producers, &mut self.report);
        self.report.violations.texts()[before..].to_vec()
    }
}

fn id(sequence: u32) -> Id {
    Id {
        producer: 0,
        sequence,
    }
}

fn attempt(count: u32) -> Attempt {
    Attempt {
        queue: 0,
        count,
        at: SystemTime::now(),
    }
}

fn expect_one(violations: &[String], part: &str) {
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains(part), "{violations:?}");
}

#[test]
fn all_that_was_acknowledged_and_what_may_be_there_is_clean() {
    let mut case = Case::new(3);
    // Sent twice, never answered: twice, once or not at all are fine.
    case.producers[0].attempts.push(attempt(2));
    let all = [Some(id(0)), Some(id(1)), Some(id(2))];
    assert_eq!(case.judge(0, &all), [""; 0]);
    let more = [&all[..], &[Some(id(3)), Some(id(3))]].concat();
    assert_eq!(case.judge(0, &more), [""; 0]);
    assert_eq!(case.report.stored_again, 1);
}

#[test]
fn an_acknowledged_message_that_is_missing_is_reported_once() {
    let mut case = Case::new(3);
    expect_one(
        &case.judge(0, &[Some(id(0)), Some(id(1))]),
        "1 messages known, 1 of them acknowledged, up to 2 are gone and are lost",
    );
    assert_eq!(case.judge(0, &[Some(id(0)), Some(id(1))]), [""; 0]);
}

#[test]
fn a_message_that_was_delivered_must_stay_even_without_an_acknowledgement() {
    let mut case = Case::new(1);
    case.producers[0].attempts.push(attempt(1));
    case.consumer.delivered[0].messages.push(Found {
        offset: 1,
        id: Some(id(1)),
    });
    case.learn();
    expect_one(
        &case.judge(0, &[Some(id(0))]),
        "1 messages known, 0 of them acknowledged, up to 1 are gone and are lost",
    );
}

#[test]
fn strangers_damage_and_swapped_messages_are_reported() {
    let mut case = Case::new(2);
    case.producers[0].attempts.push(attempt(0));
    let found = case.judge(0, &[Some(id(0)), None, Some(id(2)), Some(id(9))]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains("damaged"), "{found:?}");
    assert!(found[1].contains("0.2 was never sent here"), "{found:?}");
    assert!(found[2].contains("0.9 was never sent here"), "{found:?}");
    assert!(
        found[3].contains("1 messages known, 1 of them acknowledged, up to 1 are gone"),
        "{found:?}"
    );

    let mut case = Case::new(2);
    let found = case.judge(0, &[Some(id(1)), Some(id(0))]);
    assert!(
        found
            .iter()
            .any(|text| text.contains("0.0 comes after 0.1")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|text| text.contains("0.1 is where 0.0 was")),
        "{found:?}"
    );
}

#[test]
fn more_copies_than_attempts_are_reported() {
    let mut case = Case::new(1);
    expect_one(
        &case.judge(0, &[Some(id(0)), Some(id(0))]),
        "0.0 is there 2 times, sent 1 times",
    );
}

#[test]
fn retention_may_remove_old_messages_only() {
    let mut case = Case::new(2);
    expect_one(
        &case.judge(1, &[Some(id(1))]),
        "up to 0 are gone before their time",
    );
    let mut case = Case::with_an_old_message();
    assert_eq!(case.judge(1, &[]), [""; 0]);
    assert_eq!(case.report.expired, 1);
}

#[test]
fn a_smallest_offset_behind_retention_is_told_from_a_loss() {
    let mut case = Case::with_an_old_message();
    let contents = Contents {
        min: 0,
        max: 1,
        ..Contents::default()
    };
    case.oracle
        .judge(0, &contents, &case.producers, &mut case.report);
    expect_one(
        case.report.violations.texts(),
        "gone although the smallest offset is said to be 0",
    );
}

#[test]
fn a_position_is_the_acknowledged_one_or_the_one_under_way() {
    let mut case = Case::new(0);
    let position = Position {
        acked: Some(5),
        doubtful: Some(9),
    };
    for (found, violations) in [(Some(5), 0), (Some(9), 0), (Some(4), 1), (None, 1)] {
        let before = case.report.violations.count();
        let now = case
            .oracle
            .judge_position(0, position, found, &mut case.report);
        assert_eq!(case.report.violations.count() - before, violations);
        assert_eq!(now.acked, found);
    }
    let never = Position::default();
    case.oracle.judge_position(0, never, None, &mut case.report);
    assert_eq!(case.report.violations.count(), 2);
}

#[test]
fn more_than_one_step_delivered_again_is_reported() {
    let mut case = Case::new(40);
    for (round, violations) in [(40, 0), (32, 0), (33, 1)] {
        case.consumer.delivered[0].messages = (40 - round..40)
            .map(|offset| Found {
                offset,
                id: Some(id(offset as u32)),
            })
            .collect();
        let before = case.report.violations.count();
        case.learn();
        assert_eq!(
            case.report.violations.count() - before,
            violations,
            "{round}"
        );
    }
    assert_eq!(case.report.delivered_again, 65);
}
