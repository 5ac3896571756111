//! How many filters one core evaluates in a second, over messages with six properties as a door reads them:
//! `cargo bench -p crossdock-hub --bench filter`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints what it measures"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use crossdock_hub::SqlFilter;

/// Messages, so that neither side of a filter is always true.
const MESSAGES: usize = 64;
const TIME: Duration = Duration::from_secs(1);

fn properties(n: usize) -> String {
    let pairs = [
        ("KEYS", format!("order-{n}")),
        ("UNIQ_KEY", format!("7F00000100002A139A5500000000{n:04X}")),
        ("TAGS", "created".to_owned()),
        ("a", (n % 11).to_string()),
        ("region", "eu-central".to_owned()),
        (
            "b",
            if n.is_multiple_of(3) { "x" } else { "other" }.to_owned(),
        ),
    ];
    pairs.iter().fold(String::new(), |text, (name, value)| {
        text + name + "\u{1}" + value + "\u{2}"
    })
}

/// The properties of a text, as the remoting door splits them.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let fragments = text.split('\u{2}');
    fragments.filter_map(|fragment| fragment.split_once('\u{1}'))
}

fn main() {
    let messages: Vec<String> = (0..MESSAGES).map(properties).collect();
    for text in [
        "a > 5 AND b = 'x'",
        "a BETWEEN 2 AND 7",
        "b IN ('x', 'y', 'z') AND a IS NOT NULL",
        "TAGS = 'created' AND (region STARTSWITH 'eu' OR region STARTSWITH 'us') AND NOT (a = 3)",
        "missing > 5 OR a >= 10.0",
    ] {
        let filter = SqlFilter::compile(text).unwrap();
        let matched = messages.iter().filter(|m| filter.matches(pairs(m))).count();
        let mut evaluations = 0u64;
        let started = Instant::now();
        while started.elapsed() < TIME {
            for message in &messages {
                black_box(black_box(&filter).matches(pairs(black_box(message))));
            }
            evaluations += messages.len() as u64;
        }
        let per_second = evaluations as f64 / started.elapsed().as_secs_f64();
        println!(
            "{:6.2} M evaluations/s/core, {matched} of {MESSAGES} match: {text}",
            per_second / 1e6
        );
    }
}
