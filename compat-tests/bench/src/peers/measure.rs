//! What is measured per row and round, and the medians and ratios made of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// One measurement of one server. A value is absent where the client does not report it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measure {
    /// Messages per second.
    pub throughput: Option<f64>,
    pub mean: Option<Duration>,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub max: Option<Duration>,
    /// CPU-seconds of the server per million messages.
    pub cpu: Option<f64>,
    /// Resident bytes of the server under load, mapped files included.
    pub resident: Option<u64>,
    /// The part of it that is not backed by files.
    pub anonymous: Option<u64>,
    /// CPU time of the client per message, in microseconds.
    pub client_cpu: Option<f64>,
    /// From the start of the first process to the first route.
    pub start: Option<Duration>,
    pub errors: u64,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        for (name, value, digits) in [
            ("msg/s", self.throughput, 0),
            ("mean ms", millis(self.mean), 3),
            ("p50 ms", millis(self.p50), 3),
            ("p99 ms", millis(self.p99), 3),
            ("cpu s/M", self.cpu, 2),
            ("client µs", self.client_cpu, 2),
            ("started in ms", millis(self.start), 0),
            ("MiB resident", self.resident.map(mib), 1),
        ] {
            if let Some(value) = value {
                write!(f, "{name} {value:.digits$}  ")?;
            }
        }
        write!(f, "errors {}", self.errors)
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// All rounds of one server, by row.
#[derive(Debug, Default)]
pub struct Outcomes {
    rows: BTreeMap<String, Vec<Measure>>,
}

impl Outcomes {
    pub fn add(&mut self, row: &str, measure: Measure) {
        self.rows.entry(row.to_owned()).or_default().push(measure);
    }

    pub fn rows(&self) -> impl Iterator<Item = (&str, &[Measure])> {
        self.rows.iter().map(|(row, all)| (row.as_str(), &all[..]))
    }

    /// The median over the rounds of a row.
    pub fn median(&self, row: &str, value: impl Fn(&Measure) -> Option<f64>) -> Option<f64> {
        median(self.rows.get(row)?.iter().filter_map(value).collect())
    }
}

/// The ratio of `ours` to `theirs` of the row that is worst for us, with its name.
pub(super) fn worst<'a>(
    ours: &'a Outcomes,
    theirs: &Outcomes,
    value: impl Fn(&Measure) -> Option<f64>,
    more_is_better: bool,
) -> Option<(&'a str, f64)> {
    let ratios = ours.rows().filter_map(|(row, _)| {
        let ratio = ours.median(row, &value)? / theirs.median(row, &value)?;
        ratio.is_finite().then_some((row, ratio))
    });
    if more_is_better {
        ratios.min_by(|a, b| a.1.total_cmp(&b.1))
    } else {
        ratios.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (
        values.get(values.len().checked_sub(1)? / 2)?,
        values.get(values.len() / 2)?,
    );
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(rows: &[(&str, f64)]) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for (row, throughput) in rows {
            let measure = Measure {
                throughput: Some(*throughput),
                ..Measure::default()
            };
            outcomes.add(row, measure);
        }
        outcomes
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn the_worst_row_depends_on_what_is_better() {
        let ours = outcomes(&[
            ("a", 10.0),
            ("a", 30.0),
            ("a", 11.0),
            ("b", 40.0),
            ("c", 1.0),
        ]);
        let theirs = outcomes(&[("a", 10.0), ("b", 10.0)]);
        let value = |measure: &Measure| measure.throughput;
        assert_eq!(worst(&ours, &theirs, value, true), Some(("a", 1.1)));
        assert_eq!(worst(&ours, &theirs, value, false), Some(("b", 4.0)));
        assert_eq!(worst(&ours, &theirs, |m| m.cpu, false), None);
    }
}
