//! What a crash test did and what it found.

use std::collections::BTreeMap;
use std::fmt;

/// Violations kept with their text; all are counted.
const TEXTS_MAX: usize = 100;

/// Faults of the server, found by the oracle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    count: u64,
    texts: Vec<String>,
}

impl Violations {
    pub(super) fn add(&mut self, text: String) {
        self.count += 1;
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(text);
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

/// The account of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was run, with the seed that repeats its choices.
    pub title: String,
    pub rounds: u32,
    /// Starts that were killed before they were done.
    pub interrupted_starts: u32,
    pub sent: u64,
    pub acknowledged: u64,
    /// Refused sends by code.
    pub refused: BTreeMap<i64, u64>,
    /// Messages read and compared after restarts.
    pub compared: u64,
    /// Acknowledged messages that retention removed in due time.
    pub expired: u64,
    /// Messages stored more than once because an answer was lost and the producer sent again.
    pub stored_again: u64,
    pub delivered: u64,
    /// Deliveries repeated because the consumer's position was behind them.
    pub delivered_again: u64,
    /// Longest restart after a kill.
    pub slowest_restart_ms: u64,
    /// Parts that could not be run here, with the reason.
    pub skipped: Vec<String>,
    pub violations: Violations,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.violations.count() == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} rounds, {} starts interrupted, {} sent, {} acknowledged, {} compared, {} expired, \
             {} stored again, {} delivered, {} delivered again, slowest restart {} ms, {} violations",
            self.title,
            self.rounds,
            self.interrupted_starts,
            self.sent,
            self.acknowledged,
            self.compared,
            self.expired,
            self.stored_again,
            self.delivered,
            self.delivered_again,
            self.slowest_restart_ms,
            self.violations.count(),
        )?;
        if !self.refused.is_empty() {
            writeln!(f, "  refused by code: {:?}", self.refused)?;
        }
        for reason in &self.skipped {
            writeln!(f, "  skipped: {reason}")?;
        }
        for text in self.violations.texts() {
            writeln!(f, "  violation: {text}")?;
        }
        Ok(())
    }
}
