//! Prints the measurements of two servers side by side.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::{Measure, Outcomes, worst};

/// A column: its title, its value, how it is shown, and whether more is better.
struct Column {
    title: &'static str,
    value: fn(&Measure) -> Option<f64>,
    digits: usize,
    ratio: bool,
}

fn millis(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1e3)
}

fn mib(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))
}

const COLUMNS: [Column; 10] = [
    Column {
        title: "msg/s",
        value: |m| m.throughput,
        digits: 0,
        ratio: true,
    },
    Column {
        title: "mean ms",
        value: |m| millis(m.mean),
        digits: 3,
        ratio: false,
    },
    Column {
        title: "p50 ms",
        value: |m| millis(m.p50),
        digits: 3,
        ratio: false,
    },
    Column {
        title: "p99 ms",
        value: |m| millis(m.p99),
        digits: 3,
        ratio: true,
    },
    Column {
        title: "max ms",
        value: |m| millis(m.max),
        digits: 1,
        ratio: false,
    },
    Column {
        title: "cpu s/M",
        value: |m| m.cpu,
        digits: 2,
        ratio: true,
    },
    Column {
        title: "rss MiB",
        value: |m| mib(m.resident),
        digits: 0,
        ratio: true,
    },
    Column {
        title: "anon MiB",
        value: |m| mib(m.anonymous),
        digits: 0,
        ratio: false,
    },
    Column {
        title: "start ms",
        value: |m| millis(m.start),
        digits: 0,
        ratio: true,
    },
    Column {
        title: "client µs",
        value: |m| m.client_cpu,
        digits: 2,
        ratio: false,
    },
];

const NAME_WIDTH: usize = 32;
const WIDTH: usize = 10;

/// The medians of every row: the peer's line, ours, and the ratios of ours to the peer's.
pub(super) fn render(peer: (&str, &Outcomes), ours: (&str, &Outcomes)) -> String {
    let mut text = format!("{:NAME_WIDTH$} {:10}", "row", "server");
    for column in &COLUMNS {
        let _ = write!(text, "{:>WIDTH$}", column.title);
    }
    text += "    errors\n";
    let mut names: Vec<&str> = peer
        .1
        .rows()
        .chain(ours.1.rows())
        .map(|row| row.0)
        .collect();
    names.sort_by_key(|name| key(name));
    names.dedup();
    for name in names {
        for (server, outcomes) in [peer, ours] {
            let Some((_, all)) = outcomes.rows().find(|row| row.0 == name) else {
                continue;
            };
            let _ = write!(text, "{name:NAME_WIDTH$} {server:10}");
            for column in &COLUMNS {
                text += &cell(outcomes.median(name, column.value), column.digits);
            }
            let errors: u64 = all.iter().map(|measure| measure.errors).sum();
            let _ = writeln!(text, "{errors:>WIDTH$}");
        }
        let ratios: Vec<Option<f64>> = COLUMNS
            .iter()
            .map(|column| {
                let ratio =
                    ours.1.median(name, column.value)? / peer.1.median(name, column.value)?;
                (column.ratio && ratio.is_finite()).then_some(ratio)
            })
            .collect();
        if ratios.iter().any(Option::is_some) {
            let _ = write!(text, "{:NAME_WIDTH$} {:10}", "", "ratio");
            for ratio in ratios {
                text += &cell(ratio, 3);
            }
            text.push('\n');
        }
    }
    text
}

/// Rows in the order of their parts, numbers by value.
fn key(name: &str) -> Vec<(u64, &str)> {
    name.split('/')
        .map(|part| (part.parse().unwrap_or_default(), part))
        .collect()
}

fn cell(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) => format!("{value:>WIDTH$.digits$}"),
        None => format!("{:>WIDTH$}", "-"),
    }
}

/// The last line: the worst row of each kind.
pub(super) fn verdict(peer: &str, theirs: &Outcomes, ours: &Outcomes) -> String {
    let show = |found: Option<(&str, f64)>| match found {
        Some((_, ratio)) => format!("{ratio:.3}"),
        None => "-".to_owned(),
    };
    format!(
        "peers {peer}: throughput={} cpu={} p99={} memory={}",
        show(worst(ours, theirs, |m| m.throughput, true)),
        show(worst(ours, theirs, |m| m.cpu, false)),
        show(worst(ours, theirs, |m| millis(m.p99), false)),
        show(worst(ours, theirs, |m| mib(m.resident), false)),
    )
}

/// Which rows the last line speaks of.
pub(super) fn worst_rows(theirs: &Outcomes, ours: &Outcomes) -> String {
    let show = |found: Option<(&str, f64)>| found.map_or("-", |found| found.0).to_owned();
    format!(
        "worst rows: throughput {}, cpu {}, p99 {}, memory {}",
        show(worst(ours, theirs, |m| m.throughput, true)),
        show(worst(ours, theirs, |m| m.cpu, false)),
        show(worst(ours, theirs, |m| millis(m.p99), false)),
        show(worst(ours, theirs, |m| mib(m.resident), false)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(p99: u64, throughput: f64) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for row in ["produce/1024/1/async/native", "produce/128/1/async/native"] {
            let measure = Measure {
                throughput: Some(throughput),
                p99: Some(Duration::from_millis(p99)),
                cpu: Some(4.0),
                resident: Some(64 << 20),
                ..Measure::default()
            };
            outcomes.add(row, measure);
        }
        outcomes
    }

    #[test]
    fn rows_are_sorted_by_number_and_end_with_ratios() {
        let (theirs, ours) = (outcomes(8, 100.0), outcomes(2, 350.0));
        let text = render(("apache", &theirs), ("crossdock", &ours));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert!(lines[1].starts_with("produce/128/1/async/native"), "{text}");
        assert!(
            lines[3].contains("ratio") && lines[3].contains("3.500"),
            "{text}"
        );
        assert_eq!(
            verdict("rocketmq", &theirs, &ours),
            "peers rocketmq: throughput=3.500 cpu=1.000 p99=0.250 memory=1.000"
        );
    }

    #[test]
    fn nothing_to_compare_is_shown_as_a_dash() {
        let line = verdict("rocketmq", &Outcomes::default(), &outcomes(1, 1.0));
        assert_eq!(line, "peers rocketmq: throughput=- cpu=- p99=- memory=-");
    }
}
