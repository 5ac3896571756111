//! What came out of a suite.

use std::fmt;

use crate::options::RunOptions;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    pub outcome: Outcome,
}

#[derive(Debug, Default)]
pub struct Report {
    pub cases: Vec<Case>,
    show_progress: bool,
    /// Cases whose failure is not ours, and why.
    excuses: Vec<(&'static str, &'static str)>,
}

impl Report {
    pub fn new(options: &RunOptions) -> Self {
        Self {
            cases: Vec::new(),
            show_progress: options.show_progress,
            excuses: Vec::new(),
        }
    }

    /// From now on these cases are skipped when they fail.
    pub(crate) fn excuse(&mut self, cases: impl IntoIterator<Item = (&'static str, &'static str)>) {
        self.excuses.extend(cases);
    }

    pub fn add(&mut self, name: &str, mut outcome: Outcome) {
        let excuse = self.excuses.iter().find(|(case, _)| *case == name);
        if let (Outcome::Failed(reason), Some((_, excuse))) = (&outcome, excuse) {
            outcome = Outcome::Skipped(format!("{excuse} ({reason})"));
        }
        let case = Case {
            name: name.to_owned(),
            outcome,
        };
        if self.show_progress {
            println!("{case}");
        }
        self.cases.push(case);
    }

    pub fn merge(&mut self, other: Self) {
        self.cases.extend(other.cases);
    }

    pub fn has_passed(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    /// `N passed, N failed, N skipped`.
    pub fn summary(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.count(|outcome| *outcome == Outcome::Passed),
            self.count(|outcome| matches!(outcome, Outcome::Failed(_))),
            self.count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.cases
            .iter()
            .filter(|case| wanted(&case.outcome))
            .count()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "PASS {}", self.name),
            Outcome::Failed(reason) => write!(f, "FAIL {}: {reason}", self.name),
            Outcome::Skipped(reason) => write!(f, "SKIP {}: {reason}", self.name),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            writeln!(f, "{case}")?;
        }
        write!(f, "{}", self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_one_failure_fails_all() {
        let mut report = Report::new(&RunOptions::default());
        report.add("a", Outcome::Passed);
        report.add("b", Outcome::Skipped("why".into()));
        assert!(report.has_passed());
        report.add("c", Outcome::Failed("because".into()));
        assert!(!report.has_passed());
        assert_eq!(
            report.to_string(),
            "PASS a\nSKIP b: why\nFAIL c: because\n1 passed, 1 failed, 1 skipped"
        );
    }

    #[test]
    fn an_excused_case_may_fail_and_is_seen_to_pass() {
        let mut report = Report::new(&RunOptions::default());
        report.excuse([("a", "not ours"), ("b", "not ours")]);
        report.add("a", Outcome::Failed("why".into()));
        report.add("b", Outcome::Passed);
        report.add("c", Outcome::Failed("why".into()));
        assert_eq!(
            report.to_string(),
            "SKIP a: not ours (why)\nPASS b\nFAIL c: why\n1 passed, 1 failed, 1 skipped"
        );
    }
}
