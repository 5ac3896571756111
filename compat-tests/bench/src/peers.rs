//! Comparisons with real peers: both servers run one after the other on this machine, driven by
//! the same clients with the same payload and the same durability, several rounds each. A table
//! shows every row; the last line shows the worst.

mod measure;
pub mod rocketmq;
mod table;

pub use measure::{Measure, Outcomes};
