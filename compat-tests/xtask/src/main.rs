//! `cargo xtask`: the chores that plain cargo does not do. Each subcommand is a module with its `Arguments` and a
//! `run` that answers whether all is well; to add one, name the module, the variant and the arm below.

#![forbid(unsafe_code)]

mod compat;

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
