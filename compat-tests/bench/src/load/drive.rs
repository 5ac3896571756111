//! The loop of one load thread: waits for any of its connections, lets each session answer what
//! arrived, and writes the answers of a batch at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

use super::clock::{Clock, thread_cpu};
use super::connection::Connection;
use super::outcome::Stats;
use super::{Observer, Window};

/// How long answers to the last requests are awaited.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait, so that phases change on time when nothing arrives.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What all sessions of a thread share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) clock: Clock,
    pub(super) stats: Stats,
    /// No new requests; only outstanding answers are taken.
    pub(super) stopping: bool,
}

/// One connection's conversation.
pub(super) trait Session {
    /// Puts the first requests into `output`.
    fn begin(&mut self, output: &mut Vec<u8>, context: &mut Context);

    /// Takes one frame and puts what follows from it into `output`.
    fn frame(&mut self, frame: &[u8], output: &mut Vec<u8>, context: &mut Context) -> Result<()>;

    /// True when this session needs no more answers.
    fn is_done(&self, context: &Context) -> bool;
}

/// Runs until the window is over and all answers are in, or until every session is done.
pub(super) fn drive<S: Session>(
    links: &mut [(Connection, S)],
    window: Window,
    start: Instant,
    observer: &dyn Observer,
) -> Result<Stats> {
    let poller = Poller::new(links)?;
    let mut context = Context {
        clock: Clock::new(start),
        stats: Stats::default(),
        stopping: false,
    };
    let measure_from = nanos(window.warm_up);
    let measure_to = measure_from.saturating_add(nanos(window.measure));
    let mut cpu = None;
    if measure_from == 0 {
        observer.measuring();
        context.stats.start(0);
        cpu = Some(thread_cpu());
    }
    for (index, (connection, session)) in links.iter_mut().enumerate() {
        session.begin(&mut connection.output, &mut context);
        poller.flush(index, connection)?;
    }
    let mut ready = Vec::with_capacity(links.len());
    let mut deadline = u64::MAX;
    loop {
        poller.wait(&mut ready)?;
        context.clock.tick();
        for event in &ready {
            let index = usize::try_from(event.data.u64())?;
            let (connection, session) = links.get_mut(index).context("unknown connection")?;
            serve(connection, session, &mut context)?;
            poller.flush(index, connection)?;
        }
        let now = context.clock.now();
        if cpu.is_none() && now >= measure_from {
            observer.measuring();
            context.stats.start(now);
            cpu = Some(thread_cpu());
        }
        let done = links.iter().all(|(_, session)| session.is_done(&context));
        if !context.stopping && (now >= measure_to || done) {
            context.stopping = true;
            context
                .stats
                .stop(now, thread_cpu() - cpu.unwrap_or_default());
            observer.measured();
            deadline = now.saturating_add(nanos(DRAIN_LIMIT));
        }
        if context.stopping {
            let done = links.iter().all(|(_, session)| session.is_done(&context));
            if done || now > deadline {
                context.stats.unanswered = !done;
                return Ok(context.stats);
            }
        }
    }
}

fn serve<S: Session>(
    connection: &mut Connection,
    session: &mut S,
    context: &mut Context,
) -> Result<()> {
    loop {
        let more = connection.fill()?;
        while let Some(range) = connection.next_frame()? {
            let (input, output) = connection.buffers();
            session.frame(input.get(range).unwrap_or_default(), output, context)?;
        }
        if !more {
            return Ok(());
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One epoll instance. Interest in writing is there only while something could not be written.
struct Poller {
    epoll: std::os::fd::OwnedFd,
}

impl Poller {
    fn new<S>(links: &[(Connection, S)]) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, (connection, _)) in links.iter().enumerate() {
            epoll::add(&epoll, connection, data(index), EventFlags::IN)?;
        }
        Ok(Self { epoll })
    }

    fn wait(&self, ready: &mut Vec<Event>) -> Result<()> {
        ready.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(ready),
            Some(&WAIT),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for the connections"),
        }
    }

    fn flush(&self, index: usize, connection: &mut Connection) -> Result<()> {
        let was_blocked = connection.is_blocked;
        connection.is_blocked = !connection.flush()?;
        if connection.is_blocked != was_blocked {
            let flags = if connection.is_blocked {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            epoll::modify(&self.epoll, &*connection, data(index), flags)?;
        }
        Ok(())
    }
}

fn data(index: usize) -> EventData {
    EventData::new_u64(index as u64)
}
