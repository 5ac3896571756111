//! A telemetry stream: one reader that owns it, one bounded queue to the client. It is bound to its client by the headers it
//! was opened with, since clients that lost a stream open another and say nothing on it. Streams are never closed for their
//! age or silence: some clients never open another.

use std::sync::Arc;
use std::time::Duration;

use crossdock_proto_grpc::v2::telemetry_command::Command;
use crossdock_proto_grpc::v2::{Settings, TelemetryCommand};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{COMMANDS_MAX, Outbound, Session};
use crate::adapter::Door;
use crate::call::Call;
use crate::error::{Refusal, ok};
use crate::handler::settings;
use crate::stats::{Present, Stats};

/// Clients that can miss the first answer to their settings, while they still fetch routes, say this as their language; they
/// are answered twice.
const ANSWERED_TWICE: &str = "HTTP";
const ANSWERED_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub(crate) type Outgoing = ReceiverStream<Result<TelemetryCommand, tonic::Status>>;

/// Takes a stream. What is answered at once are its headers; clients wait for them.
pub(crate) fn open(
    door: &Arc<Door>,
    call: Call,
    incoming: Streaming<TelemetryCommand>,
) -> Result<Outgoing, Refusal> {
    let session = door.sessions.enter(&door.hub, &call)?;
    let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
    let (number, superseded) = session.open_stream(sender.clone());
    let reader = Reader {
        door: Arc::clone(door),
        call,
        session,
        sender,
        number,
    };
    let task = async move {
        let _open = Present::new(&reader.door.stats, |stats: &Stats| &stats.telemetry_streams);
        tokio::select! {
            biased;
            () = superseded.cancelled() => {}
            () = reader.sender.closed() => {}
            () = reader.door.scope.draining().cancelled() => reader.say_goodbye(),
            () = reader.read(incoming) => {}
        }
        reader.session.close_stream(reader.number);
    };
    drop(door.scope.spawn("telemetry", task));
    Ok(ReceiverStream::new(receiver))
}

struct Reader {
    door: Arc<Door>,
    call: Call,
    session: Arc<Session>,
    sender: Outbound,
    number: u64,
}

impl Reader {
    /// Reads until the client closes its half or breaks the protocol. What was queued for it before is still sent.
    async fn read(&self, mut incoming: Streaming<TelemetryCommand>) {
        loop {
            let command = match incoming.message().await {
                Ok(Some(frame)) => frame.command,
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(client = %self.session.client, %status, "telemetry ended");
                    return;
                }
            };
            self.session.touch();
            let goes_on = match command {
                Some(Command::Settings(settings)) => self.settle(settings).await,
                // Answers to questions nobody waits for, commands only a server sends, or nothing at all.
                Some(
                    Command::ThreadStackTrace(_)
                    | Command::VerifyMessageResult(_)
                    | Command::RecoverOrphanedTransactionCommand(_)
                    | Command::PrintThreadStackTraceCommand(_)
                    | Command::VerifyMessageCommand(_)
                    | Command::ReconnectEndpointsCommand(_)
                    | Command::NotifyUnsubscribeLiteCommand(_),
                )
                | None => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Answers settings; false if the stream has to end.
    async fn settle(&self, settings: Settings) -> bool {
        match settings::settle(&self.door, &self.call, &self.session, settings).await {
            Ok(settings) => {
                let answer = TelemetryCommand {
                    status: Some(ok()),
                    command: Some(Command::Settings(settings)),
                };
                if &*self.call.language == ANSWERED_TWICE {
                    self.answer_again(answer.clone());
                }
                self.sender.send(Ok(answer)).await.is_ok()
            }
            Err(refusal) => {
                tracing::debug!(client = %self.session.client, refusal = %refusal.text, "settings refused");
                Stats::count(&self.door.stats.refused);
                let answer = TelemetryCommand {
                    status: Some(refusal.into()),
                    command: None,
                };
                // The client hears of it only through this frame; if it is gone there is nobody to tell.
                let _ = self.sender.send(Ok(answer)).await;
                false
            }
        }
    }

    fn answer_again(&self, answer: TelemetryCommand) {
        let (door, session) = (Arc::clone(&self.door), Arc::clone(&self.session));
        let again = async move {
            tokio::time::sleep(ANSWERED_AGAIN_AFTER).await;
            session.push(answer, &door.stats);
        };
        drop(self.door.scope.spawn("second answer", again));
    }

    fn say_goodbye(&self) {
        let status = tonic::Status::unavailable("the server is shutting down");
        // A client that left its queue full learns it from the end of the connection.
        let _ = self.sender.try_send(Err(status));
    }
}
