//! What a handler answers: a response without its correlation. Encoding it for one request gives
//! the frame that goes out.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use crossdock_kit::Frame;
use crossdock_proto_remoting::code::response;
use crossdock_proto_remoting::header::WriteHeader;
use crossdock_proto_remoting::{Command, Encoding, ExtBuilder, ExtFields};

use crate::error::Refusal;

/// A handler's outcome.
pub(crate) type Answer = Result<Reply, Refusal>;

/// What of a request is needed to answer it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) code: i32,
    pub(crate) opaque: i32,
    pub(crate) encoding: Encoding,
    pub(crate) is_oneway: bool,
    pub(crate) version: i32,
}

impl Meta {
    pub(crate) fn of(command: &Command) -> Self {
        Self {
            code: command.code,
            opaque: command.opaque,
            encoding: command.encoding,
            is_oneway: command.is_oneway(),
            version: command.version,
        }
    }

    /// An empty response to the request.
    pub(crate) fn response(&self, code: i32) -> Command {
        let mut response = Command::request(code)
            .with_opaque(self.opaque)
            .with_encoding(self.encoding);
        response.flag = Command::RESPONSE_FLAG;
        response
    }
}

/// A response without its correlation.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: i32,
    remark: Option<Cow<'static, str>>,
    ext: ExtFields,
    body: Vec<Bytes>,
}

impl Reply {
    pub(crate) fn new(code: i32) -> Self {
        Self {
            code,
            remark: None,
            ext: ExtFields::new(),
            body: Vec::new(),
        }
    }

    /// Success without a body.
    pub(crate) fn ok() -> Self {
        Self::new(response::SUCCESS)
    }

    pub(crate) fn with_remark(mut self, remark: impl Into<Cow<'static, str>>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    pub(crate) fn with_header(mut self, header: &impl WriteHeader) -> Self {
        let mut builder = ExtBuilder::new();
        header.write(&mut builder);
        self.ext = builder.build();
        self
    }

    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = vec![body.into()];
        self
    }

    /// A body in slices, sent as they are.
    pub(crate) fn with_slices(mut self, slices: Vec<Bytes>) -> Self {
        self.body = slices;
        self
    }

    /// Appends everything in front of the body to `out` and hands the body out. A response that
    /// does not fit the format becomes one that says so.
    pub(crate) fn encode(self, meta: &Meta, out: &mut BytesMut) -> Vec<Bytes> {
        let mut command = meta.response(self.code).with_ext(self.ext);
        command.remark = self.remark;
        let body_len = self.body.iter().map(Bytes::len).sum();
        if command.encode_head(body_len, out).is_ok() {
            return self.body;
        }
        let substitute = meta
            .response(response::SYSTEM_ERROR)
            .with_remark("the response does not fit a frame");
        // Two short fields always fit.
        let _ = substitute.encode_head(0, out);
        Vec::new()
    }

    /// The response as one frame.
    pub(crate) fn into_frame(self, meta: &Meta) -> Frame {
        let mut head = BytesMut::with_capacity(256);
        let body = self.encode(meta, &mut head);
        let mut frame = Frame::from(head);
        frame.extend(body);
        frame
    }
}

impl From<Command> for Reply {
    /// Another peer's response, passed on.
    fn from(command: Command) -> Self {
        Self {
            code: command.code,
            remark: command.remark,
            ext: command.ext,
            body: vec![command.body],
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code).with_remark(refusal.remark)
    }
}
