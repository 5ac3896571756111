//! `cargo xtask`: the chores that plain cargo does not do. Each subcommand is a module with its `Arguments` and a
//! `run` that answers whether all is well; to add one, name the module, the variant and the arm below.

#![forbid(unsafe_code)]

mod compat;
mod crash;
mod peers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Chores of the Crossdock workspace",
    disable_version_flag = true
)]
struct Line {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Runs the suites of official clients against the server
    Compat(compat::Arguments),
    /// Kills the server, fills its disk and simulates worse, and checks what was promised
    Crash(crash::Arguments),
    /// Runs a benchmark beside a real peer
    #[command(subcommand)]
    Peers(peers::Arguments),
}

/// Whether a chore found what it hoped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

fn main() -> ExitCode {
    let verdict = match Line::parse().chore {
        Chore::Compat(arguments) => compat::run(&arguments),
        Chore::Crash(arguments) => crash::run(&arguments),
        Chore::Peers(arguments) => peers::run(&arguments),
    };
    match verdict {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
