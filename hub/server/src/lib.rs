//! The `crossdock` command: configuration, command line, and the composition root that builds a
//! node from its parts. The binary is a thin shell around this library.

pub mod config;
