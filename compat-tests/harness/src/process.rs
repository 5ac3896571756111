//! One child process that is ours: its output goes to files and, line by line, to whoever waits for it; it ends when
//! the value is dropped, and a watchdog ends it when the test process dies without dropping anything.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{command, procfs};

/// Lines kept for a reader that is slower than the process; older ones are only in the file.
const LINES_MAX: usize = 4_096;

/// What came next on the standard output of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// The process closed its output.
    End,
    /// Nothing came within the time given.
    Late,
}

#[derive(Debug)]
pub struct Managed {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    watchdog: Option<Child>,
    output: Arc<Output>,
    stdout: PathBuf,
    stderr: PathBuf,
    exit: Option<ExitStatus>,
}

impl Managed {
    /// Starts `command` with its output in `<logs>/<name>.out` and `<logs>/<name>.err`; both are appended to, so a
    /// restarted server keeps the story of its former life.
    pub fn spawn(command: &mut Command, name: &str, logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs)?;
        let stdout = logs.join(format!("{name}.out"));
        let stderr = logs.join(format!("{name}.err"));
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(open(&stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let watchdog = match watchdog(child.id()) {
            Ok(watchdog) => watchdog,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let output = Arc::new(Output::default());
        if let Some(pipe) = child.stdout.take() {
            let (output, file) = (Arc::clone(&output), open(&stdout)?);
            thread::spawn(move || output.pump(pipe, file));
        }
        let stdin = child.stdin.take();
        Ok(Self {
            name: name.to_owned(),
            child,
            stdin,
            watchdog: Some(watchdog),
            output,
            stdout,
            stderr,
            exit: None,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output.
    pub fn next_line(&self, limit: Duration) -> Line {
        self.output.next(Instant::now() + limit)
    }

    /// Waits for a line that begins with `prefix`; an error shows what the process printed instead.
    pub fn wait_for(&mut self, prefix: &str, limit: Duration) -> Result<String> {
        self.wait_for_line(prefix, limit, |line| line.starts_with(prefix))
    }

    /// Waits for a line that ends with `suffix`, for programs that print the time first.
    pub fn wait_for_end(&mut self, suffix: &str, limit: Duration) -> Result<String> {
        self.wait_for_line(suffix, limit, |line| line.ends_with(suffix))
    }

    fn wait_for_line(
        &mut self,
        text: &str,
        limit: Duration,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            match self.output.next(deadline) {
                Line::Text(line) if is_wanted(&line) => return Ok(line),
                Line::Text(_) => {}
                Line::End => {
                    let status = self.wait(Duration::from_secs(5))?;
                    bail!(
                        "{} ended with {status} before `{text}`\n{}",
                        self.name,
                        self.log()
                    );
                }
                Line::Late => {
                    bail!(
                        "{} did not print `{text}` in {limit:?}\n{}",
                        self.name,
                        self.log()
                    )
                }
            }
        }
    }

    /// Writes one line to the standard input.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .with_context(|| format!("{} has no input", self.name))?;
        writeln!(stdin, "{line}")?;
        Ok(stdin.flush()?)
    }

    /// Closes the standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// True until the process has ended.
    pub fn is_running(&mut self) -> bool {
        self.exit.is_none() && {
            self.exit = self.child.try_wait().unwrap_or_default();
            self.exit.is_none()
        }
    }

    /// Waits for the end of the process; kills it and fails when the time is over.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > deadline {
                self.kill();
                bail!("{} did not end within {limit:?}\n{}", self.name, self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.dismiss_watchdog();
        self.exit
            .with_context(|| format!("{} has no exit status", self.name))
    }

    /// Asks for a clean end (SIGTERM) and waits for it.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        if self.is_running() {
            kill_process(Pid::from_child(&self.child), Signal::TERM)
                .with_context(|| format!("cannot signal {}", self.name))?;
        }
        self.wait(limit)
    }

    /// Ends the process at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        if self.is_running() {
            // Fails only when the process has ended in between.
            let _ = self.child.kill();
            self.exit = self.child.wait().ok();
        }
        self.dismiss_watchdog();
    }

    pub fn resident_bytes(&self) -> Result<u64> {
        procfs::resident_bytes(self.pid())
    }

    pub fn peak_resident_bytes(&self) -> Result<u64> {
        procfs::peak_resident_bytes(self.pid())
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        procfs::cpu_seconds(self.pid())
    }

    /// The end of both output files.
    pub fn log(&self) -> String {
        let mut text = String::new();
        for (stream, path) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let content = fs::read(path).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            text += &format!(
                "--- {} {stream}\n{}\n",
                self.name,
                command::tail(&content).trim_end()
            );
        }
        text
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A shell that waits for its input to close, which happens when this process is gone however it went, and then kills
/// `pid`. It is dismissed before the process is reaped in every other case, so it never meets a reused pid.
fn watchdog(pid: u32) -> Result<Child> {
    Command::new("/bin/sh")
        .args([
            "-c",
            "read -r _; kill -KILL \"$1\" 2>/dev/null",
            "watchdog",
            &pid.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the watchdog shell")
}

/// Lines between the pump thread and the reader. One lock, held for a push or a pop.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    lines: VecDeque<String>,
    ended: bool,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pump(&self, pipe: ChildStdout, mut file: File) {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            // A full disk must not stop the process from being heard.
            let _ = file.write_all(&line);
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let mut pending = self.lock();
            if pending.lines.len() == LINES_MAX {
                pending.lines.pop_front();
            }
            pending.lines.push_back(text);
            self.changed.notify_all();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn next(&self, deadline: Instant) -> Line {
        let mut pending = self.lock();
        loop {
            if let Some(line) = pending.lines.pop_front() {
                return Line::Text(line);
            }
            if pending.ended {
                return Line::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Line::Late;
            }
            let waited = self.changed.wait_timeout(pending, left);
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str, logs: &Path) -> Managed {
        Managed::spawn(Command::new("sh").args(["-c", script]), "shell", logs).unwrap()
    }

    #[test]
    fn lines_are_awaited_and_an_early_end_shows_the_output() {
        let logs = tempfile::tempdir().unwrap();
        let mut talker = shell("echo starting; echo ready now; exec sleep 60", logs.path());
        assert_eq!(talker.wait_for("ready", LIMIT).unwrap(), "ready now");
        assert!(
            talker
                .wait_for_end("never", Duration::from_millis(20))
                .is_err()
        );
        assert_eq!(talker.next_line(Duration::from_millis(20)), Line::Late);

        let mut quitter = shell("echo broken >&2; exit 4", logs.path());
        let text = quitter.wait_for("ready", LIMIT).unwrap_err().to_string();
        assert!(text.contains("broken") && text.contains('4'), "{text}");
    }

    #[test]
    fn input_reaches_the_process() {
        let logs = tempfile::tempdir().unwrap();
        let mut echo = shell("read -r line; echo got $line", logs.path());
        echo.write_line("word").unwrap();
        assert_eq!(echo.wait_for("got", LIMIT).unwrap(), "got word");
        assert!(echo.wait(LIMIT).unwrap().success());
    }

    #[test]
    fn terminate_is_clean_and_kill_is_not() {
        let logs = tempfile::tempdir().unwrap();
        let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done";
        let mut clean = shell(script, logs.path());
        clean.wait_for("ready", LIMIT).unwrap();
        assert_eq!(clean.terminate(LIMIT).unwrap().code(), Some(0));

        let mut killed = shell(script, logs.path());
        killed.wait_for("ready", LIMIT).unwrap();
        killed.kill();
        assert!(!killed.is_running());
        assert_eq!(killed.exit.unwrap().code(), None);
    }

    #[test]
    fn watchdog_ends_the_process_when_its_input_closes() {
        let logs = tempfile::tempdir().unwrap();
        let mut sleeper = shell("echo ready; exec sleep 60", logs.path());
        sleeper.wait_for("ready", LIMIT).unwrap();
        // What the kernel does to the pipe when the test process dies.
        drop(sleeper.watchdog.as_mut().unwrap().stdin.take());
        assert_eq!(sleeper.wait(LIMIT).unwrap().code(), None);
    }
}
