//! The launcher of our server, on shell scripts that behave like one well or badly.

#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crossdock_harness::{Crossdock, Options};
use tempfile::TempDir;

/// Called as `serve --data D --port-offset N …`; counts its lives in the data folder.
const WELL_BEHAVED: &str = r#"#!/bin/sh
mkdir -p "$3" && echo life >> "$3/lives" && echo "$@" > "$3/arguments"
[ "$6" = --config ] && cp "$7" "$3/config"
trap 'exit 0' TERM
echo "warming up"
echo "ready name server 127.0.0.1"
while :; do sleep 0.01; done
"#;

fn script(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("crossdock");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn options(binary: PathBuf) -> Options {
    Options {
        binary: Some(binary),
        ..Options::default()
    }
}

fn lives(server: &Crossdock) -> usize {
    fs::read_to_string(server.data().join("lives"))
        .unwrap()
        .lines()
        .count()
}

#[test]
fn a_server_is_started_restarted_and_ended_on_the_same_data_and_ports() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(script(&folder, WELL_BEHAVED));
    options.config = Some("[store]\n".to_owned());
    options.args = vec!["--flag".into()];
    let mut server = Crossdock::start(options).unwrap();
    let (offset, first) = (server.offset(), server.pid());
    assert_eq!(server.nameserver().port(), 9876 + offset);
    assert_eq!(server.remoting().port(), 10911 + offset);
    assert_eq!(server.fast().port(), 10909 + offset);
    assert_eq!(
        fs::read_to_string(server.data().join("config")).unwrap(),
        "[store]\n"
    );
    assert!(
        fs::read_to_string(server.data().join("arguments"))
            .unwrap()
            .trim()
            .ends_with("--flag")
    );
    assert!(server.resident_bytes().unwrap() > 0);

    server.kill9();
    assert!(!server.is_running());
    server.restart().unwrap();
    server.restart().unwrap();
    assert_eq!((server.offset(), lives(&server)), (offset, 3));
    assert_ne!(server.pid(), first);
    server.terminate().unwrap();
    assert!(!server.is_running());
    let data = server.data().to_path_buf();
    drop(server);
    assert!(!data.exists());
}

#[test]
fn dropping_ends_the_process_and_spares_a_data_folder_of_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(script(&folder, WELL_BEHAVED));
    options.data = Some(folder.path().join("data"));
    let server = Crossdock::start(options).unwrap();
    let process = PathBuf::from(format!("/proc/{}", server.pid()));
    assert!(process.exists());
    drop(server);
    assert!(!process.exists());
    assert!(folder.path().join("data/lives").exists());
}

#[test]
fn an_end_that_is_not_clean_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let script = script(
        &folder,
        &WELL_BEHAVED.replace("exit 0", "echo lost it >&2; exit 7"),
    );
    let mut server = Crossdock::start(options(script)).unwrap();
    let text = server.terminate().unwrap_err().to_string();
    assert!(text.contains('7') && text.contains("lost it"), "{text}");
}

#[test]
fn a_failed_start_shows_what_the_server_said_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "#!/bin/sh\necho life >> \"$(dirname \"$0\")/lives\"\necho unknown key >&2\nexit 2\n";
    let error = Crossdock::start(options(script(&folder, text)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown key"), "{error}");
    assert_eq!(lines(&folder.path().join("lives")), 1);
}

#[test]
fn a_held_port_is_answered_with_another_offset() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = r#"
if [ ! -e "$(dirname "$0")/refused" ]; then
  echo "$5" > "$(dirname "$0")/refused"
  echo "error: port $((10911 + $5)) is held by another process" >&2; exit 1
fi
"#;
    let text = WELL_BEHAVED.replacen('\n', refusal, 1);
    let server = Crossdock::start(options(script(&folder, &text))).unwrap();
    let refused = fs::read_to_string(folder.path().join("refused")).unwrap();
    assert_ne!(refused.trim(), server.offset().to_string());
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}
