//! One remoting command: a request or a response, independent of how its header is encoded.

use std::borrow::Cow;

use bytes::Bytes;

use crate::ext::{ExtBuilder, ExtFields};
use crate::header::WriteHeader;

/// The protocol version we announce: the current release of the reference broker. Clients gate
/// features such as SQL subscriptions on it.
pub const PROTOCOL_VERSION: i32 = 479;

/// How the header of a command is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    #[default]
    Json,
    /// The compact layout that the protocol itself calls `ROCKETMQ`.
    Binary,
}

/// The language a peer says it is written in; unknown numbers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Language(pub u8);

impl Language {
    pub const JAVA: Self = Self(0);
    pub const CPP: Self = Self(1);
    pub const OTHER: Self = Self(7);
    pub const GO: Self = Self(9);
    pub const RUST: Self = Self(12);

    const NAMES: [&'static str; 14] = [
        "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO",
        "PHP", "OMS", "RUST", "NODE_JS",
    ];

    /// The protocol's name of the language; `OTHER` for numbers it does not define.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .get(usize::from(self.0))
            .copied()
            .unwrap_or("OTHER")
    }

    /// The language of that name; `OTHER` for names the protocol does not define.
    pub fn from_name(name: &str) -> Self {
        match Self::NAMES.iter().position(|n| *n == name) {
            Some(n) => Self(n as u8),
            None => Self::OTHER,
        }
    }
}

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Request code, or response code when [`is_response`](Self::is_response).
    pub code: i32,
    pub language: Language,
    pub version: i32,
    /// Correlates a response with its request, per direction of a connection.
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<Cow<'static, str>>,
    pub ext: ExtFields,
    pub body: Bytes,
    pub encoding: Encoding,
}

impl Command {
    pub const RESPONSE_FLAG: i32 = 1;
    pub const ONEWAY_FLAG: i32 = 2;

    /// An empty request with opaque 0 and the JSON encoding.
    pub fn request(code: i32) -> Self {
        Self {
            code,
            // C++ peers know a closed list of names; JAVA is in all of them.
            language: Language::JAVA,
            version: PROTOCOL_VERSION,
            opaque: 0,
            flag: 0,
            remark: None,
            ext: ExtFields::new(),
            body: Bytes::new(),
            encoding: Encoding::Json,
        }
    }

    /// An empty response to this request, in the request's encoding.
    pub fn response(&self, code: i32) -> Self {
        Self {
            opaque: self.opaque,
            flag: Self::RESPONSE_FLAG,
            encoding: self.encoding,
            ..Self::request(code)
        }
    }

    pub fn is_response(&self) -> bool {
        self.flag & Self::RESPONSE_FLAG != 0
    }

    /// A request that must not be answered, not even with an error.
    pub fn is_oneway(&self) -> bool {
        self.flag & Self::ONEWAY_FLAG != 0
    }

    pub fn oneway(mut self) -> Self {
        self.flag |= Self::ONEWAY_FLAG;
        self
    }

    pub fn with_opaque(mut self, opaque: i32) -> Self {
        self.opaque = opaque;
        self
    }

    pub fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    pub fn with_remark(mut self, remark: impl Into<Cow<'static, str>>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces the extension fields by those of `header`.
    pub fn with_header(mut self, header: &impl WriteHeader) -> Self {
        let mut builder = ExtBuilder::new();
        header.write(&mut builder);
        self.ext = builder.build();
        self
    }

    pub fn with_ext(mut self, ext: ExtFields) -> Self {
        self.ext = ext;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_copies_opaque_and_encoding_and_only_bit_zero() {
        let request = Command::request(11)
            .oneway()
            .with_opaque(9)
            .with_encoding(Encoding::Binary);
        assert!(request.is_oneway() && !request.is_response());
        let response = request.response(21);
        assert_eq!((response.code, response.opaque, response.flag), (21, 9, 1));
        assert_eq!(
            (response.encoding, response.version),
            (Encoding::Binary, 479)
        );
        assert_eq!(response.language, Language::JAVA);
    }

    #[test]
    fn languages_map_both_ways() {
        assert_eq!(Language::from_name("GO"), Language(9));
        assert_eq!(Language::from_name("KLINGON"), Language::OTHER);
        assert_eq!(Language(13).name(), "NODE_JS");
        assert_eq!(Language(200).name(), "OTHER");
    }
}
