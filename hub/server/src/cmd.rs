//! One file per subcommand, and the way from arguments to them.

mod config;
mod serve;
mod version;

use crate::cli::{Cli, Command, Settings};
use crate::config::{Checked, Faults, Loaded};
use crate::exit::{Exit, Failure};

/// Runs the chosen command.
///
/// # Errors
/// Whatever ends the process with a code other than 0.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(settings) => serve::run(&settings),
        Command::Config(command) => config::run(command),
        Command::Version { json } => version::run(json),
    }
}

fn checked(settings: &Settings) -> Result<Checked, Failure> {
    settings
        .sources(None)
        .load()
        .and_then(Loaded::validate)
        .map_err(invalid)
}

fn invalid(faults: Faults) -> Failure {
    Failure::new(Exit::Config, faults).hint("crossdock config default lists every key")
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Failure,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
