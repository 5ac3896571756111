//! The service as the generated code calls it: counts a call, tells who calls, runs the handler and puts its refusal where
//! this protocol wants it: into the answer. One line for each method; what is listed here is what the door can do.

use std::sync::Arc;

use crossdock_kit::panics;
use crossdock_proto_grpc::v2::messaging_service_server::MessagingService;
use crossdock_proto_grpc::v2::receive_message_response::Content;
use crossdock_proto_grpc::v2::{
    AckMessageRequest, AckMessageResponse, ChangeInvisibleDurationRequest,
    ChangeInvisibleDurationResponse, Code, EndTransactionRequest, EndTransactionResponse,
    ForwardMessageToDeadLetterQueueRequest, ForwardMessageToDeadLetterQueueResponse,
    GetOffsetRequest, GetOffsetResponse, HeartbeatRequest, HeartbeatResponse,
    NotifyClientTerminationRequest, NotifyClientTerminationResponse, PullMessageRequest,
    QueryAssignmentRequest, QueryAssignmentResponse, QueryOffsetRequest, QueryOffsetResponse,
    QueryRouteRequest, QueryRouteResponse, RecallMessageRequest, RecallMessageResponse,
    ReceiveMessageRequest, ReceiveMessageResponse, SendMessageRequest, SendMessageResponse, Status,
    SyncLiteSubscriptionRequest, SyncLiteSubscriptionResponse, TelemetryCommand,
    UpdateOffsetRequest, UpdateOffsetResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Streaming};

use crate::adapter::Door;
use crate::call::Call;
use crate::error::Refusal;
use crate::handler::{lease, offset, presence, pull, route, send, transaction};
use crate::session;
use crate::stats::Stats;

/// The door as a service; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Arc<Door>);

/// An answer that can say that it is none.
trait Refused {
    fn refused(status: Status) -> Self;
}

macro_rules! refused {
    ($($answer:ident,)*) => {
        $(impl Refused for $answer {
            fn refused(status: Status) -> Self {
                #[allow(clippy::needless_update, reason = "some answers are a status only")]
                Self { status: Some(status), ..Self::default() }
            }
        })*
    };
}

refused! {
    AckMessageResponse,
    ChangeInvisibleDurationResponse,
    EndTransactionResponse,
    ForwardMessageToDeadLetterQueueResponse,
    GetOffsetResponse,
    HeartbeatResponse,
    NotifyClientTerminationResponse,
    QueryAssignmentResponse,
    QueryOffsetResponse,
    QueryRouteResponse,
    RecallMessageResponse,
    SendMessageResponse,
    SyncLiteSubscriptionResponse,
    UpdateOffsetResponse,
}

type Answer<T> = Result<Response<T>, tonic::Status>;

impl Service {
    async fn call<T>(&self, request: Request<T>) -> Result<(Call, T), Refusal> {
        Stats::count(&self.0.stats.calls);
        let call = Call::open(&self.0, &request).await?;
        Ok((call, request.into_inner()))
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        Stats::count(&self.0.stats.refused);
        tracing::trace!(code = refusal.code.as_str_name(), text = %refusal.text, "refused");
        refusal.into()
    }
}

/// A panic of one request is this request's failure.
fn panicked(panicked: &panics::Panicked) -> Refusal {
    tracing::error!(panic = panicked.0, "a request handler panicked");
    Refusal::new(Code::InternalServerError, "the request failed")
}

macro_rules! unary {
    ($self:ident, $request:ident, $handler:path) => {{
        let outcome = match $self.call($request).await {
            Ok((call, request)) => panics::contain($handler(&$self.0, &call, request))
                .await
                .unwrap_or_else(|panic| Err(panicked(&panic))),
            Err(refusal) => Err(refusal),
        };
        Ok(Response::new(outcome.unwrap_or_else(|refusal| {
            Refused::refused($self.refuse(refusal))
        })))
    }};
}

#[tonic::async_trait]
impl MessagingService for Service {
    type TelemetryStream = ReceiverStream<Result<TelemetryCommand, tonic::Status>>;
    type ReceiveMessageStream = ReceiverStream<Result<ReceiveMessageResponse, tonic::Status>>;
    type PullMessageStream = pull::Frames;

    async fn query_route(&self, request: Request<QueryRouteRequest>) -> Answer<QueryRouteResponse> {
        unary!(self, request, route::query_route)
    }

    async fn query_assignment(
        &self,
        request: Request<QueryAssignmentRequest>,
    ) -> Answer<QueryAssignmentResponse> {
        unary!(self, request, route::query_assignment)
    }

    async fn telemetry(
        &self,
        request: Request<Streaming<TelemetryCommand>>,
    ) -> Answer<Self::TelemetryStream> {
        let opened = match self.call(request).await {
            Ok((call, incoming)) => session::open(&self.0, call, incoming),
            Err(refusal) => Err(refusal),
        };
        let stream = opened.unwrap_or_else(|refusal| {
            one(TelemetryCommand {
                status: Some(self.refuse(refusal)),
                command: None,
            })
        });
        Ok(Response::new(stream))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Answer<HeartbeatResponse> {
        unary!(self, request, presence::heartbeat)
    }

    async fn notify_client_termination(
        &self,
        request: Request<NotifyClientTerminationRequest>,
    ) -> Answer<NotifyClientTerminationResponse> {
        unary!(self, request, presence::terminate)
    }

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Answer<SendMessageResponse> {
        unary!(self, request, send::send)
    }

    async fn end_transaction(
        &self,
        request: Request<EndTransactionRequest>,
    ) -> Answer<EndTransactionResponse> {
        unary!(self, request, transaction::end)
    }

    async fn recall_message(
        &self,
        request: Request<RecallMessageRequest>,
    ) -> Answer<RecallMessageResponse> {
        unary!(self, request, transaction::recall)
    }

    async fn receive_message(
        &self,
        request: Request<ReceiveMessageRequest>,
    ) -> Answer<Self::ReceiveMessageStream> {
        let outcome = match self.call(request).await {
            Ok((call, request)) => lease::receive(&self.0, &call, request).await,
            Err(refusal) => Err(refusal),
        };
        let status = match outcome {
            Ok(nothing) => match nothing {},
            Err(refusal) => self.refuse(refusal),
        };
        Ok(Response::new(one(ReceiveMessageResponse {
            content: Some(Content::Status(status)),
        })))
    }

    async fn ack_message(&self, request: Request<AckMessageRequest>) -> Answer<AckMessageResponse> {
        unary!(self, request, lease::ack)
    }

    async fn change_invisible_duration(
        &self,
        request: Request<ChangeInvisibleDurationRequest>,
    ) -> Answer<ChangeInvisibleDurationResponse> {
        unary!(self, request, lease::change_invisible)
    }

    async fn forward_message_to_dead_letter_queue(
        &self,
        request: Request<ForwardMessageToDeadLetterQueueRequest>,
    ) -> Answer<ForwardMessageToDeadLetterQueueResponse> {
        unary!(self, request, lease::forward_to_dead_letters)
    }

    async fn sync_lite_subscription(
        &self,
        request: Request<SyncLiteSubscriptionRequest>,
    ) -> Answer<SyncLiteSubscriptionResponse> {
        unary!(self, request, lease::sync_lite_subscription)
    }

    async fn pull_message(
        &self,
        request: Request<PullMessageRequest>,
    ) -> Answer<Self::PullMessageStream> {
        let frames = match self.call(request).await {
            Ok((call, request)) => pull::pull(&self.0, call, request),
            Err(refusal) => {
                Stats::count(&self.0.stats.refused);
                of(pull::refused(refusal))
            }
        };
        Ok(Response::new(frames))
    }

    async fn get_offset(&self, request: Request<GetOffsetRequest>) -> Answer<GetOffsetResponse> {
        unary!(self, request, offset::get)
    }

    async fn update_offset(
        &self,
        request: Request<UpdateOffsetRequest>,
    ) -> Answer<UpdateOffsetResponse> {
        unary!(self, request, offset::update)
    }

    async fn query_offset(
        &self,
        request: Request<QueryOffsetRequest>,
    ) -> Answer<QueryOffsetResponse> {
        unary!(self, request, offset::query)
    }
}

/// A stream of one frame.
fn one<T>(frame: T) -> ReceiverStream<Result<T, tonic::Status>> {
    of(Ok(frame))
}

fn of<T>(frame: Result<T, tonic::Status>) -> ReceiverStream<Result<T, tonic::Status>> {
    let (sender, receiver) = mpsc::channel(1);
    // There is room, and the receiver is here.
    let _ = sender.try_send(frame);
    ReceiverStream::new(receiver)
}
