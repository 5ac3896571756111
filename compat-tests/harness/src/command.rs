//! Runs a tool to its end within a time limit, keeping its output for the error message.

use std::fs::File;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Characters of output quoted in an error.
const QUOTED: usize = 4_000;

/// Runs `command`; answers its standard output, or an error that quotes the end of both streams.
pub fn run(command: &mut Command, limit: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let err = folder.path().join("err");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let stdout = String::from_utf8_lossy(&std::fs::read(&out)?).into_owned();
    let stderr = String::from_utf8_lossy(&std::fs::read(&err)?).into_owned();
    match status {
        Some(status) if status.success() => Ok(stdout),
        Some(status) => bail!(
            "{name} ended with {status}\n{}{}",
            tail(&stdout),
            tail(&stderr)
        ),
        None => bail!(
            "{name} took longer than {limit:?}\n{}{}",
            tail(&stdout),
            tail(&stderr)
        ),
    }
}

/// The last part of a text, cut at a character boundary.
pub fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(QUOTED);
    let start = (start..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_status_and_limit_are_reported() {
        let second = Duration::from_secs(20);
        assert_eq!(
            run(Command::new("sh").args(["-c", "echo hello"]), second).unwrap(),
            "hello\n"
        );
        let failed = run(
            Command::new("sh").args(["-c", "echo why >&2; exit 3"]),
            second,
        );
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("why") && text.contains('3'), "{text}");
        let late = run(Command::new("sleep").arg("60"), Duration::from_millis(50));
        assert!(late.unwrap_err().to_string().contains("longer than"));
    }

    #[test]
    fn tail_respects_characters() {
        let text = "é".repeat(QUOTED);
        assert!(tail(&text).chars().all(|c| c == 'é'));
        assert_eq!(tail("short"), "short");
    }
}
