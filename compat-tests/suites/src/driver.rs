//! The conversation with a client driver, a program in the client's language. It prints `CASES` with the names it will
//! run, one `PASS`, `FAIL` or `SKIP` line for each, `CONTROL word` when the server shall be treated somehow, and `DONE`.
//! A case that was announced and not reported has failed, whatever the driver's end looks like.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use crossdock_harness::{Line, Managed, workspace};

use crate::hub::Hub;
use crate::options::RunOptions;
use crate::report::{Outcome, Report};

/// Longest silence of a healthy driver; the slowest case takes less than a minute.
const SILENCE_LIMIT: Duration = Duration::from_secs(180);
const EXIT_LIMIT: Duration = Duration::from_secs(20);

/// Runs a driver to its end and adds its cases, prefixed, to the report.
pub(crate) fn run(
    command: &mut Command,
    name: &str,
    logs: &Path,
    prefix: &str,
    report: &mut Report,
    mut control: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut process = Managed::spawn(command, name, logs)?;
    let mut pending: Vec<String> = Vec::new();
    let mut announced = false;
    let end = loop {
        let line = match process.next_line(SILENCE_LIMIT) {
            Line::Text(line) => line,
            Line::End => break Some("the driver ended early".to_owned()),
            Line::Late => break Some(format!("the driver was silent for {SILENCE_LIMIT:?}")),
        };
        if line == "DONE" {
            break None;
        }
        if let Some(names) = line.strip_prefix("CASES") {
            announced = true;
            pending.extend(names.split_whitespace().map(str::to_owned));
        } else if let Some(word) = line.strip_prefix("CONTROL ") {
            let answer = match control(word) {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("{error:#}").replace('\n', " "),
            };
            process.write_line(&answer)?;
        } else if let Some((case, outcome)) = parse(&line) {
            pending.retain(|waiting| *waiting != case);
            report.add(&format!("{prefix}{case}"), outcome);
        }
    };
    let reason = match end {
        None if announced => match process.wait(EXIT_LIMIT) {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the driver ended with {status}")),
            Err(error) => Some(error.to_string()),
        },
        None => Some("the driver announced no cases".to_owned()),
        Some(reason) => Some(reason),
    };
    for case in &pending {
        let why = reason
            .clone()
            .unwrap_or_else(|| "the driver did not report it".to_owned());
        report.add(&format!("{prefix}{case}"), Outcome::Failed(why));
    }
    if let Some(reason) = reason
        && (pending.is_empty() || !announced)
    {
        report.add(
            &format!("{prefix}driver"),
            Outcome::Failed(format!("{reason}\n{}", process.log())),
        );
    }
    Ok(())
}

/// Runs a driver that is one program and needs only the hub's addresses.
pub(crate) fn run_program(
    suite: &str,
    program: &Path,
    hub: &mut Hub,
    options: &RunOptions,
    report: &mut Report,
) -> Result<()> {
    let home = fresh_folder(&workspace::compat(suite).join("run").join("driver"))?;
    let mut command = Command::new(program);
    command
        .env("HOME", &home)
        .arg(format!("nameserver={}", hub.nameserver()))
        .arg(format!("broker={}", hub.broker()))
        .arg(format!("only={}", options.only.join(",")));
    run(&mut command, "driver", &home, "", report, |word| {
        hub.control(word)
    })?;
    if !report.has_passed() {
        eprintln!(
            "the driver's output is in {}\n{}",
            home.display(),
            hub.log()
        );
    }
    Ok(())
}

/// Empties a folder for a new run.
pub(crate) fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_path_buf())
}

fn parse(line: &str) -> Option<(String, Outcome)> {
    if let Some(name) = line.strip_prefix("PASS ") {
        return Some((name.to_owned(), Outcome::Passed));
    }
    let (failed, rest) = match line.strip_prefix("FAIL ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("SKIP ")?),
    };
    let (name, reason) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
    let reason = reason.to_owned();
    let outcome = if failed {
        Outcome::Failed(reason)
    } else {
        Outcome::Skipped(reason)
    };
    Some((name.to_owned(), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report_of(script: &str) -> (Report, Vec<String>) {
        let logs = std::env::temp_dir().join(format!("driver-test-{}", std::process::id()));
        let mut report = Report::default();
        let mut words = Vec::new();
        run(
            Command::new("sh").args(["-c", script]),
            "driver",
            &logs,
            "x/",
            &mut report,
            |word| {
                words.push(word.to_owned());
                Ok(())
            },
        )
        .unwrap();
        (report, words)
    }

    #[test]
    fn lines_become_cases_and_controls_are_answered() {
        let script = "echo CASES a b c; echo noise; echo PASS a; echo 'FAIL b: it: broke'; \
                      echo CONTROL restart; read -r answer; echo SKIP c: $answer; echo DONE";
        let (report, words) = report_of(script);
        assert_eq!(words, ["restart"]);
        let text = report.to_string();
        assert_eq!(
            text,
            "PASS x/a\nFAIL x/b: it: broke\nSKIP x/c: ok\n1 passed, 1 failed, 1 skipped"
        );
    }

    #[test]
    fn what_was_announced_and_not_reported_has_failed() {
        let (report, _) = report_of("echo CASES a b; echo PASS a");
        assert_eq!(report.cases.len(), 2);
        assert!(
            report
                .to_string()
                .contains("FAIL x/b: the driver ended early")
        );
        let (report, _) = report_of("echo CASES a; echo PASS a; echo DONE; exit 3");
        assert!(!report.has_passed());
        let (report, _) = report_of("exit 0");
        assert!(!report.has_passed());
    }
}
