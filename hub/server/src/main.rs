//! The `crossdock` binary: parses the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use crossdock_server::cli::Cli;
use crossdock_server::cmd;

/// The allocator: many small buffers, freed on other threads than they were made on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line could not be understood.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_answer = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            return if is_answer {
                ExitCode::SUCCESS
            } else {
                EXIT_USAGE.into()
            };
        }
    };
    match cmd::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.exit.into()
        }
    }
}
