//! The binary as a user meets it: banner, exit codes, signals, configuration commands.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn crossdock(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    crossdock(folder).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const FREE_PORTS: [&str; 8] = [
    "--set",
    "listen.nameserver.port=0",
    "--set",
    "listen.remoting.port=0",
    "--set",
    "listen.remoting.fast_port=0",
    "--set",
    "listen.grpc.port=0",
];

/// A server that has said it is ready, and what it said before. Killed when dropped.
struct Server {
    child: Child,
    banner: String,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let child = crossdock(folder)
            .arg("serve")
            .args(FREE_PORTS)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            banner: String::new(),
        };
        let lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            server.banner.push_str(&line);
            server.banner.push('\n');
            if line.starts_with("ready") {
                return server;
            }
        }
        let mut errors = String::new();
        server
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        panic!("the server ended early: {}{errors}", server.banner);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_needs_no_configuration_and_ends_cleanly_on_either_signal() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path(), &[]);
        assert!(server.banner.contains("durable"), "{}", server.banner);
        assert!(server.banner.contains("nameserver"), "{}", server.banner);
        assert!(folder.path().join("data/tls/key.pem").exists());
        server.signal(signal);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn listeners_can_be_switched_off_and_the_durability_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--no-nameserver",
        "--durability",
        "written",
        "--data",
        "elsewhere",
    ];
    let server = Server::start(folder.path(), &flags);
    assert!(!server.banner.contains("nameserver"), "{}", server.banner);
    assert!(server.banner.contains("written"), "{}", server.banner);
    assert!(folder.path().join("elsewhere/lock").exists());
}

#[test]
fn a_locked_data_folder_is_75() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Server::start(folder.path(), &[]);
    let second = run(folder.path(), &[&["serve"], &FREE_PORTS[..]].concat());
    assert_eq!(second.status.code(), Some(75), "{}", stderr(&second));
    assert!(stderr(&second).contains("in use by another process"));
}

#[test]
fn a_held_port_is_69_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let set = format!("listen.nameserver.port={port}");
    let output = run(folder.path(), &["serve", "--no-remoting", "--set", &set]);
    assert_eq!(output.status.code(), Some(69));
    let errors = stderr(&output);
    assert!(
        errors.contains(&format!("port {port} is already in use")),
        "{errors}"
    );
    assert!(errors.contains("--port-offset"), "{errors}");
}

#[test]
fn a_wrong_configuration_is_78_with_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("crossdock.toml"),
        "[stroe]\n[node]\nnmae = 1\n",
    )
    .unwrap();
    for arguments in [
        &["serve"][..],
        &["config", "check"],
        &["config", "check", "crossdock.toml"],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(78));
        let errors = stderr(&output);
        assert!(
            errors.contains("crossdock.toml:1:2") && errors.contains("`store`"),
            "{errors}"
        );
        assert!(
            errors.contains("crossdock.toml:3:1") && errors.contains("`name`"),
            "{errors}"
        );
    }
    assert_eq!(
        run(folder.path(), &["serve", "--no-such-flag"])
            .status
            .code(),
        Some(64)
    );
    assert_eq!(
        run(folder.path(), &["config", "check", "missing.toml"])
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn config_commands_print_what_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let default = run(folder.path(), &["config", "default"]);
    std::fs::write(folder.path().join("crossdock.toml"), &default.stdout).unwrap();
    let check = run(folder.path(), &["config", "check"]);
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
    let show = run(
        folder.path(),
        &["config", "show", "--origin", "--set", "node.name=n7"],
    );
    let shown = stdout(&show);
    let line = shown
        .lines()
        .find(|line| line.starts_with("name = \"n7\""))
        .unwrap();
    assert!(line.ends_with("# flag --set"), "{line}");
}

#[test]
fn version_is_told_in_two_forms() {
    let folder = tempfile::tempdir().unwrap();
    let text = stdout(&run(folder.path(), &["version"]));
    assert_eq!(text, format!("crossdock {}\n", env!("CARGO_PKG_VERSION")));
    let json = stdout(&run(folder.path(), &["version", "--json"]));
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
}
