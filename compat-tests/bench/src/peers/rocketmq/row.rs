//! The rows of the table and their names.

use std::str::FromStr;

use anyhow::Result;

use super::native::Programs;
use super::server::Server;
use super::{Measure, Pace, consume_row, produce_row};

/// When a send is answered, by the words of both servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// `ASYNC_FLUSH` and `written`: survives the end of the process.
    Written,
    /// `SYNC_FLUSH` and `durable`: survives the end of power.
    Durable,
}

impl Durability {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Written => "async",
            Self::Durable => "sync",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Produce,
    Consume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// RocketMQ's own benchmark programs.
    Java,
    /// `crossdock-load`.
    Native,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) direction: Direction,
    pub(super) body_len: usize,
    /// Sending threads or requests in flight; consuming threads.
    pub(super) threads: u32,
    pub(super) durability: Durability,
    pub(super) client: Client,
}

const BODIES: [usize; 2] = [128, 1024];
const THREADS: [u32; 3] = [1, 16, 64];
const CONSUMING_THREADS: u32 = 20;

impl Row {
    pub(super) fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for body_len in BODIES {
            for client in [Client::Java, Client::Native] {
                for durability in [Durability::Written, Durability::Durable] {
                    rows.extend(THREADS.map(|threads| Self {
                        direction: Direction::Produce,
                        body_len,
                        threads,
                        durability,
                        client,
                    }));
                }
                // How the log is flushed makes no difference to its readers.
                rows.push(Self {
                    direction: Direction::Consume,
                    body_len,
                    threads: CONSUMING_THREADS,
                    durability: Durability::Written,
                    client,
                });
            }
        }
        rows
    }

    pub(super) fn name(&self) -> String {
        let direction = match self.direction {
            Direction::Produce => "produce",
            Direction::Consume => "consume",
        };
        let client = match self.client {
            Client::Java => "java",
            Client::Native => "native",
        };
        format!(
            "{direction}/{}/{}/{}/{client}",
            self.body_len,
            self.threads,
            self.durability.name()
        )
    }

    /// A topic of its own, which both servers get.
    pub(super) fn topic(&self) -> String {
        self.name().replace('/', "_")
    }

    /// Rows of the quick run.
    pub(super) fn is_quick(&self) -> bool {
        match self.direction {
            Direction::Consume => self.client == Client::Native && self.body_len == 1024,
            Direction::Produce => match self.client {
                Client::Native => self.threads != 16,
                Client::Java => self.threads == 64 && self.body_len == 1024,
            },
        }
    }

    pub(super) fn run(
        &self,
        server: &mut Server,
        pace: Pace,
        programs: &Programs,
    ) -> Result<Measure> {
        match self.direction {
            Direction::Produce => produce_row::run(self, server, pace, programs),
            Direction::Consume => consume_row::run(self, server, pace, programs),
        }
    }
}

/// Names rows; each part is a word or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    parts: Vec<String>,
}

impl Selector {
    pub(super) fn selects(&self, name: &str) -> bool {
        let parts: Vec<&str> = name.split('/').collect();
        parts.len() == self.parts.len()
            && parts
                .iter()
                .zip(&self.parts)
                .all(|(part, wanted)| wanted == "*" || wanted == part)
    }
}

impl FromStr for Selector {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            parts: text.split('/').map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_24_producing_rows_with_names_of_their_own() {
        let names: BTreeSet<String> = Row::all().iter().map(Row::name).collect();
        assert_eq!(names.len(), 24 + 4);
        assert!(names.contains("produce/1024/64/sync/java"));
        assert!(names.contains("consume/128/20/async/native"));
    }

    #[test]
    fn a_star_selects_any_part_and_only_one() {
        let selector: Selector = "produce/*/64/async/native".parse().unwrap();
        let rows = Row::all();
        let selected: Vec<String> = rows
            .iter()
            .map(Row::name)
            .filter(|name| selector.selects(name))
            .collect();
        assert_eq!(
            selected,
            [
                "produce/128/64/async/native",
                "produce/1024/64/async/native"
            ]
        );
        let short: Selector = "produce/*".parse().unwrap();
        assert!(!short.selects("produce/1/1/async/java"));
    }
}
