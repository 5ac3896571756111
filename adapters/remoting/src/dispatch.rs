//! Registered handlers by request code. What is registered here is what the door can do; there is
//! no other list.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crossdock_hub::Identity;
use crossdock_proto_remoting::Command;
use hashbrown::HashMap;

use crate::connection::{Door, Peer, Session};
use crate::error::Refusal;
use crate::reply::{Answer, Meta};

/// A boxed future that may move between threads.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One request with what is known about who asks.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: Command,
    pub(crate) peer: Arc<Peer>,
    pub(crate) identity: Identity,
}

impl Call {
    pub(crate) fn meta(&self) -> Meta {
        Meta::of(&self.command)
    }
}

/// What a flow handler did with its request.
pub(crate) enum Flow<D: Door> {
    /// Answered, or will be.
    Done,
    /// Nothing yet: wait for this, then go on with that. An error of the wait is the answer.
    Wait(Boxed<Result<(), Refusal>>, Next<D>),
    /// To be finished by a task of its own.
    Task(Boxed<Answer>),
}

/// What a flow handler does after a wait.
pub(crate) type Next<D> = Box<dyn FnOnce(&mut Session<D>) -> Flow<D> + Send>;

/// How a request is handled.
pub(crate) enum Handler<D: Door> {
    /// Answered from memory, on the connection's own task.
    Now(fn(&D, &Call) -> Answer),
    /// Answered by a task of its own, in any order.
    Task(fn(Arc<D>, Call) -> Boxed<Answer>),
    /// Pipelined: takes its place on the connection's own task and is answered later.
    Flow(fn(&mut Session<D>, Call) -> Flow<D>),
}

impl<D: Door> Clone for Handler<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Door> Copy for Handler<D> {}

/// The handlers of one door.
pub(crate) struct Dispatcher<D: Door> {
    handlers: HashMap<i32, Handler<D>>,
}

impl<D: Door> fmt::Debug for Dispatcher<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

impl<D: Door> Dispatcher<D> {
    pub(crate) fn new() -> Self {
        Self {
            handlers: HashMap::new(),
        }
    }

    pub(crate) fn on(&mut self, code: i32, handler: Handler<D>) -> &mut Self {
        let earlier = self.handlers.insert(code, handler);
        debug_assert!(earlier.is_none(), "two handlers for request {code}");
        self
    }

    pub(crate) fn now(&mut self, code: i32, handler: fn(&D, &Call) -> Answer) -> &mut Self {
        self.on(code, Handler::Now(handler))
    }

    pub(crate) fn task(&mut self, code: i32, run: fn(Arc<D>, Call) -> Boxed<Answer>) -> &mut Self {
        self.on(code, Handler::Task(run))
    }

    pub(crate) fn find(&self, code: i32) -> Option<Handler<D>> {
        self.handlers.get(&code).copied()
    }

    /// The request codes that are handled.
    pub(crate) fn codes(&self) -> impl Iterator<Item = i32> + '_ {
        self.handlers.keys().copied()
    }
}
