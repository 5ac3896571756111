//! `crossdock-load`: the native load generator as a command. It prints `measuring` and `measured`
//! when recording begins and ends, so that a parent can look at the server at these moments, then
//! one line of results.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use crossdock_bench::admin::Admin;
use crossdock_bench::load::{Consume, Observer, Outcome, Produce, Sink, Target, Window};
use crossdock_proto_remoting::Encoding;

/// Loads a RocketMQ broker over the remoting protocol.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send messages.
    Produce(ProduceArgs),
    /// Pull messages.
    Consume(ConsumeArgs),
    /// Send a number of messages, consume them all, and report what is missing, twice or out of order.
    Check(ProduceArgs),
    /// Send to a server inside this program that answers at once and stores nothing, to see what the
    /// generator itself can do here.
    Ceiling(ProduceArgs),
}

#[derive(Args, Clone)]
struct Common {
    /// Address of the broker.
    #[arg(long, default_value = "127.0.0.1:10911")]
    broker: SocketAddr,
    #[arg(long, default_value = "crossdock_load")]
    topic: String,
    /// Queues of the topic; the topic is created with so many unless it exists.
    #[arg(long, default_value_t = 8)]
    queues: u32,
    /// Do not create the topic.
    #[arg(long)]
    keep_topic: bool,
    #[arg(long, value_enum, default_value = "binary")]
    headers: Headers,
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Load threads of this program.
    #[arg(long, default_value_t = 1)]
    threads: u32,
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// End after so many messages instead.
    #[arg(long)]
    messages: Option<u64>,
}

#[derive(Args, Clone)]
struct ProduceArgs {
    #[command(flatten)]
    common: Common,
    /// Bytes per body.
    #[arg(long, default_value_t = 128)]
    body: usize,
    /// Requests in flight over all connections.
    #[arg(long, default_value_t = 64)]
    in_flight: u32,
}

#[derive(Args, Clone)]
struct ConsumeArgs {
    #[command(flatten)]
    common: Common,
    #[arg(long, default_value = "benchmark_consumer")]
    group: String,
}

#[derive(ValueEnum, Clone, Copy)]
enum Headers {
    Json,
    Binary,
}

/// Longest run that ends by a number of messages.
const COUNTED_LIMIT: Duration = Duration::from_secs(600);

impl Common {
    fn target(&self) -> Result<Target> {
        if !self.keep_topic {
            Admin::connect(self.broker)?.create_topic(&self.topic, self.queues)?;
        }
        Ok(Target {
            broker: self.broker,
            topic: self.topic.clone(),
            queues: self.queues,
        })
    }

    fn encoding(&self) -> Encoding {
        match self.headers {
            Headers::Json => Encoding::Json,
            Headers::Binary => Encoding::Binary,
        }
    }

    fn window(&self) -> Window {
        match self.messages {
            Some(_) => Window {
                warm_up: Duration::ZERO,
                measure: COUNTED_LIMIT,
            },
            None => Window {
                warm_up: Duration::from_secs_f64(self.warm_up_seconds),
                measure: Duration::from_secs_f64(self.seconds),
            },
        }
    }
}

impl ProduceArgs {
    fn plan(&self) -> Result<Produce> {
        Ok(Produce {
            target: self.common.target()?,
            body_len: self.body,
            encoding: self.common.encoding(),
            connections: self.common.connections,
            in_flight: self.in_flight,
            threads: self.common.threads,
            window: self.common.window(),
            messages: self.common.messages,
        })
    }
}

impl ConsumeArgs {
    fn plan(&self, check: bool) -> Result<Consume> {
        Ok(Consume {
            target: self.common.target()?,
            group: self.group.clone(),
            encoding: self.common.encoding(),
            connections: self.common.connections,
            threads: self.common.threads,
            window: self.common.window(),
            messages: self.common.messages,
            check,
        })
    }
}

/// Prints the moments.
struct Announce;

impl Observer for Announce {
    fn measuring(&self) {
        println!("measuring");
    }

    fn measured(&self) {
        println!("measured");
    }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Produce(args) => report(&args.plan()?.run(Arc::new(Announce))?.outcome),
        Command::Consume(args) => report(&args.plan(false)?.run(Arc::new(Announce))?.outcome),
        Command::Check(args) => check(args),
        Command::Ceiling(mut args) => {
            let sink = Sink::start(Arc::new(|_| 0))?;
            args.common.broker = sink.address();
            args.common.keep_topic = true;
            args.common.headers = Headers::Binary;
            report(&args.plan()?.run(Arc::new(Announce))?.outcome)
        }
    }
}

/// A line for people and one for programs.
fn report(outcome: &Outcome) -> Result<()> {
    println!("{outcome}");
    println!("result {}", serde_json::to_string(outcome)?);
    Ok(())
}

fn check(mut args: ProduceArgs) -> Result<()> {
    args.common.messages.get_or_insert(100_000);
    let sent = args.plan()?.run(Arc::new(Announce))?;
    report(&sent.outcome)?;
    let mut consume = ConsumeArgs {
        common: args.common,
        group: "benchmark_check".to_owned(),
    };
    let common = &mut consume.common;
    common.messages = Some(Admin::connect(common.broker)?.written(&common.topic, common.queues)?);
    let received = consume.plan(true)?.run(Arc::new(Announce))?;
    report(&received.outcome)?;
    let verdict = received.seen.judge(&sent.slots);
    println!("{verdict:?}");
    if !verdict.is_clean() {
        bail!("not all that was sent came back as it should");
    }
    Ok(())
}
