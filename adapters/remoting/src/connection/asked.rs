//! What a client was asked over its connection and has not answered yet. Bounded; an entry leaves
//! with its response or with whoever waits for it.

use std::collections::HashMap;

use crossdock_proto_remoting::Command;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Most requests of ours that one client has not answered.
const ASKED_MAX: usize = 64;

/// Why a client that was asked did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It has been asked too much already.
    Busy,
    /// Its connection is over.
    Gone,
    /// It took too long.
    TimedOut,
    /// The request does not fit the protocol.
    Unspeakable,
}

/// The table, by the number of the request.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<i32, oneshot::Sender<Command>>>);

/// A place in the table.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    table: &'a Asked,
    number: i32,
    response: Option<oneshot::Receiver<Command>>,
}

impl Asked {
    /// Takes a place for the response to the request of this number.
    pub(super) fn enter(&self, number: i32) -> Result<Waiting<'_>, Silence> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.0.lock();
        // Numbers come round again; one that is still waited for is left alone.
        if table.len() >= ASKED_MAX || table.contains_key(&number) {
            return Err(Silence::Busy);
        }
        table.insert(number, sender);
        Ok(Waiting {
            table: self,
            number,
            response: Some(receiver),
        })
    }

    /// Hands a response to whoever waits for it; `false` if nobody does.
    pub(super) fn answer(&self, response: Command) -> bool {
        let sender = self.0.lock().remove(&response.opaque);
        sender.is_some_and(|sender| sender.send(response).is_ok())
    }
}

impl Waiting<'_> {
    pub(super) async fn response(mut self) -> Result<Command, Silence> {
        match self.response.take() {
            Some(response) => response.await.map_err(|_| Silence::Gone),
            None => Err(Silence::Gone),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.table.0.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(number: i32) -> Command {
        Command::request(0).with_opaque(number)
    }

    #[tokio::test]
    async fn a_response_goes_to_the_one_who_asked_and_only_once() {
        let asked = Asked::default();
        let (first, second) = (asked.enter(1).unwrap(), asked.enter(2).unwrap());
        assert!(asked.answer(response(2)));
        assert!(!asked.answer(response(2)));
        assert_eq!(second.response().await.map(|r| r.opaque), Ok(2));
        drop(first);
        assert!(!asked.answer(response(1)));
        assert!(asked.0.lock().is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_those_who_give_up_make_room() {
        let asked = Asked::default();
        let mut all: Vec<_> = (0..ASKED_MAX as i32)
            .map(|number| asked.enter(number).unwrap())
            .collect();
        assert_eq!(asked.enter(-1).err(), Some(Silence::Busy));
        all.pop();
        assert!(asked.enter(-1).is_ok());
        assert_eq!(asked.enter(0).err(), Some(Silence::Busy));
    }
}
