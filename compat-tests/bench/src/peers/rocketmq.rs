//! Crossdock beside Apache RocketMQ 5.3: name server and broker with a 2 GiB heap and their
//! production settings, asynchronous flush against written, synchronous flush against durable.

mod apache;
mod consume_row;
mod java;
mod native;
mod produce_row;
mod row;
mod server;
mod topics;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::measure::{Measure, Outcomes};
use super::table;
use row::{Durability, Row, Selector};
use server::{Kind, Server};

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Rows to run, by their name with `*` for any part, such as `produce/128/*/async/native`;
    /// several are separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "produce/*/*/*/*,consume/*/*/*/*,topics/*"
    )]
    pub rows: Vec<Selector>,
    /// Seconds measured per row.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Seconds of load before the measurement.
    #[arg(long, default_value_t = 4)]
    pub warm_up: u64,
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// One round of few, short rows: an impression within ten minutes.
    #[arg(long)]
    pub quick: bool,
    /// Which server to run.
    #[arg(long, value_enum, default_value = "both")]
    pub only: Only,
    /// Topics of the many-topics row, which runs on Crossdock alone.
    #[arg(long, default_value_t = 100_000)]
    pub topics: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    Both,
    Peer,
    Crossdock,
}

/// What the rows need to know.
#[derive(Debug, Clone, Copy)]
struct Pace {
    warm_up: Duration,
    measure: Duration,
    /// Messages of a consuming row per KiB or part of it in the body.
    backlog: u64,
}

/// Runs all rounds and prints the table and the last line.
pub fn run(options: &Options) -> Result<()> {
    let mut options = options.clone();
    if options.quick {
        options.rounds = 1;
        options.seconds = options.seconds.min(5);
        options.warm_up = options.warm_up.min(2);
    }
    let rows = options.selected();
    if rows.is_empty() {
        bail!("no row has such a name");
    }
    let pace = Pace {
        warm_up: Duration::from_secs(options.warm_up),
        measure: Duration::from_secs(options.seconds),
        backlog: if options.quick { 500_000 } else { 2_000_000 },
    };
    let programs = native::Programs::build(options.only != Only::Peer)?;
    let mut theirs = Outcomes::default();
    let mut ours = Outcomes::default();
    for round in 1..=options.rounds {
        for durability in [Durability::Written, Durability::Durable] {
            let rows: Vec<&Row> = rows
                .iter()
                .filter(|row| row.durability == durability)
                .collect();
            if rows.is_empty() {
                continue;
            }
            for kind in [Kind::Apache, Kind::Crossdock] {
                if options.excludes(kind) {
                    continue;
                }
                println!("round {round}: {} {}", kind.name(), durability.name());
                let outcomes = match kind {
                    Kind::Apache => &mut theirs,
                    Kind::Crossdock => &mut ours,
                };
                session(kind, durability, &rows, pace, &programs, outcomes)?;
            }
        }
    }
    println!();
    print!(
        "{}",
        table::render(("apache", &theirs), ("crossdock", &ours))
    );
    if options.only != Only::Peer && options.includes_topics() {
        topics::run(&programs, options.topics)?;
    }
    println!("{}", table::worst_rows(&theirs, &ours));
    println!("{}", table::verdict("rocketmq", &theirs, &ours));
    Ok(())
}

impl Options {
    fn selected(&self) -> Vec<Row> {
        let mut rows: BTreeSet<Row> = Row::all().into_iter().collect();
        rows.retain(|row| {
            self.rows
                .iter()
                .any(|selector| selector.selects(&row.name()))
        });
        if self.quick {
            rows.retain(Row::is_quick);
        }
        rows.into_iter().collect()
    }

    fn includes_topics(&self) -> bool {
        let name = format!("topics/{}", self.topics);
        self.rows.iter().any(|selector| selector.selects(&name))
    }

    fn excludes(&self, kind: Kind) -> bool {
        match self.only {
            Only::Both => false,
            Only::Peer => kind == Kind::Crossdock,
            Only::Crossdock => kind == Kind::Apache,
        }
    }
}

/// One life of one server with all its rows.
fn session(
    kind: Kind,
    durability: Durability,
    rows: &[&Row],
    pace: Pace,
    programs: &native::Programs,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let mut server = Server::start(kind, durability, programs)?;
    let start = Measure {
        start: Some(server.start_time()),
        resident: Some(server.idle_resident()?),
        anonymous: Some(server.anonymous()?),
        ..Measure::default()
    };
    let name = format!("start/{}", durability.name());
    println!("  {name}: {start}");
    outcomes.add(&name, start);
    for row in rows {
        let measure = row.run(&mut server, pace, programs)?;
        println!("  {}: {}", row.name(), measure);
        outcomes.add(&row.name(), measure);
    }
    server.stop()
}
