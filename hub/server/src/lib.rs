//! The `crossdock` command: configuration, command line, and the composition root that builds a
//! node from its parts. The binary is a thin shell around this library.

pub mod banner;
pub mod cli;
pub mod cmd;
pub mod compose;
pub mod config;
pub mod data_folder;
pub mod exit;
pub mod logging;
pub mod open_files;
mod parts;
pub mod signals;
