//! The JSON header encoding. Decoding scans the header once and undoes escapes in place, which
//! never lengthens a text, so field values stay slices of the read buffer.

use bytes::{BufMut, BytesMut};

use super::RawHeader;
use crate::command::{Command, Language};
use crate::error::FrameError;
use crate::ext::{Decimal, ExtBuilder, Field, FieldList, MAX_EXT_FIELDS, Span};

/// Deepest nesting inside a member that we only skip.
const MAX_DEPTH: usize = 32;

pub(super) fn decode(header: &mut [u8]) -> Result<RawHeader, FrameError> {
    // One check up front; the scanner then only ever cuts at ASCII characters.
    std::str::from_utf8(header).map_err(|_| FrameError::Utf8)?;
    let mut scanner = Scanner { buf: header, at: 0 };
    let mut raw = RawHeader {
        code: 0,
        language: Language::OTHER,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        fields: FieldList::new(),
    };
    scanner.object(|scanner, name| {
        match name.of(scanner.buf) {
            b"code" => raw.code = scanner.int()?,
            b"version" => raw.version = scanner.int()?,
            b"opaque" => raw.opaque = scanner.int()?,
            b"flag" => raw.flag = scanner.int()?,
            b"language" => raw.language = scanner.language()?,
            b"remark" => raw.remark = scanner.text()?,
            b"extFields" => {
                raw.fields.clear();
                if scanner.peek() == Some(b'n') {
                    scanner.literal("null")?;
                } else {
                    scanner.object(|scanner, name| {
                        if raw.fields.len() == MAX_EXT_FIELDS {
                            return Err(FrameError::TooManyFields(MAX_EXT_FIELDS));
                        }
                        if let Some(value) = scanner.text()? {
                            raw.fields.push(Field { name, value });
                        }
                        Ok(())
                    })?;
                }
            }
            _ => scanner.skip(0)?,
        }
        Ok(())
    })?;
    scanner.space();
    if scanner.at != scanner.buf.len() {
        return Err(scanner.error("text after the object"));
    }
    Ok(raw)
}

struct Scanner<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl Scanner<'_> {
    fn error(&self, reason: &'static str) -> FrameError {
        FrameError::Json {
            reason,
            at: self.at,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.buf.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), FrameError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.error(reason))
        }
    }

    /// Scans an object; `member` gets each name and must consume the value that follows.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Span) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        self.space();
        self.expect(b'{', "expected an object")?;
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.expect(b':', "expected a colon")?;
            self.space();
            member(self, name)?;
            self.space();
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the end of the object")?;
        }
    }

    /// A scalar as text: strings unescaped, numbers and booleans as written, `null` as absent.
    /// Objects and arrays, which no client sends here, are kept as their JSON text.
    fn text(&mut self) -> Result<Option<Span>, FrameError> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'n') => self.literal("null").map(|()| None),
            _ => {
                let start = self.at;
                self.skip(0)?;
                Ok(Some(Span::new(start, self.at)))
            }
        }
    }

    fn int(&mut self) -> Result<i32, FrameError> {
        let error = self.error("expected an integer");
        match self.text()? {
            None => Ok(0),
            Some(span) => span.text(self.buf).parse().map_err(|_| error),
        }
    }

    fn language(&mut self) -> Result<Language, FrameError> {
        let quoted = self.peek() == Some(b'"');
        let Some(span) = self.text()? else {
            return Ok(Language::OTHER);
        };
        let text = span.text(self.buf);
        if quoted {
            return Ok(Language::from_name(text));
        }
        Ok(text.parse().map_or(Language::OTHER, Language))
    }

    fn literal(&mut self, word: &'static str) -> Result<(), FrameError> {
        if self
            .buf
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error("expected a value"))
        }
    }

    fn skip(&mut self, depth: usize) -> Result<(), FrameError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'{') => {
                self.at += 1;
                self.space();
                if self.eat(b'}') {
                    return Ok(());
                }
                loop {
                    self.space();
                    self.skip_string()?;
                    self.space();
                    self.expect(b':', "expected a colon")?;
                    self.space();
                    self.skip(depth + 1)?;
                    self.space();
                    if self.eat(b'}') {
                        return Ok(());
                    }
                    self.expect(b',', "expected a comma or the end of the object")?;
                }
            }
            Some(b'[') => {
                self.at += 1;
                self.space();
                if self.eat(b']') {
                    return Ok(());
                }
                loop {
                    self.space();
                    self.skip(depth + 1)?;
                    self.space();
                    if self.eat(b']') {
                        return Ok(());
                    }
                    self.expect(b',', "expected a comma or the end of the array")?;
                }
            }
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> Result<(), FrameError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.error("expected a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<(), FrameError> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// Passes a string without changing it.
    fn skip_string(&mut self) -> Result<(), FrameError> {
        self.expect(b'"', "expected a string")?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(b) if b >= 0x20 => self.at += 1,
                _ => return Err(self.error("string is not closed or holds a control character")),
            }
        }
    }

    /// Reads a string, moving its text together where escapes shrink.
    fn string(&mut self) -> Result<Span, FrameError> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let rest = self.buf.get(start..).unwrap_or_default();
        let plain = rest
            .iter()
            .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
        self.at += plain.unwrap_or(rest.len());
        let mut end = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Span::new(start, end));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    let mut utf8 = [0u8; 4];
                    for b in c.encode_utf8(&mut utf8).bytes() {
                        self.put(&mut end, b);
                    }
                }
                Some(b) if b >= 0x20 => {
                    self.at += 1;
                    self.put(&mut end, b);
                }
                _ => return Err(self.error("string is not closed or holds a control character")),
            }
        }
    }

    fn put(&mut self, end: &mut usize, byte: u8) {
        if let Some(slot) = self.buf.get_mut(*end) {
            *slot = byte;
            *end += 1;
        }
    }

    /// Decodes the escape whose backslash was just passed. Lone surrogates, which Java strings
    /// can hold and UTF-8 cannot, become the replacement character.
    fn escape(&mut self) -> Result<char, FrameError> {
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex4()?;
                if (0xd800..0xdc00).contains(&unit) {
                    let back = self.at;
                    if self.eat(b'\\') && self.eat(b'u') {
                        let low = self.hex4()?;
                        if (0xdc00..0xe000).contains(&low) {
                            let c = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                            return Ok(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER));
                        }
                    }
                    self.at = back;
                }
                char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => {
                self.at -= 1;
                return Err(self.error("unknown escape"));
            }
        })
    }

    fn hex4(&mut self) -> Result<u32, FrameError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.error("expected a hex digit"))?;
            self.at += 1;
        }
        Ok(unit)
    }
}

pub(super) fn encode(command: &Command, extra: Option<&ExtBuilder>, out: &mut BytesMut) {
    put_int(out, "{\"code\":", command.code);
    out.put_slice(b",\"language\":\"");
    out.put_slice(command.language.name().as_bytes());
    put_int(out, "\",\"version\":", command.version);
    put_int(out, ",\"opaque\":", command.opaque);
    put_int(out, ",\"flag\":", command.flag);
    // Says what the frame says already, yet Java writes it always and Rust clients insist on it.
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\"");
    if let Some(remark) = &command.remark {
        out.put_slice(b",\"remark\":");
        put_string(out, remark);
    }
    let mut separator: &[u8] = b",\"extFields\":{";
    let mut any = false;
    for (name, value) in command.all_fields(extra) {
        out.put_slice(separator);
        put_string(out, name);
        out.put_u8(b':');
        put_string(out, value);
        separator = b",";
        any = true;
    }
    out.put_slice(if any { b"}}" } else { b"}" });
}

fn put_int(out: &mut BytesMut, lead: &str, n: i32) {
    out.put_slice(lead.as_bytes());
    out.put_slice(Decimal::new(i64::from(n)).as_str().as_bytes());
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(n) = rest
        .iter()
        .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f))
    {
        let (plain, tail) = rest.split_at(n);
        out.put_slice(plain);
        let Some((&special, tail)) = tail.split_first() else {
            break;
        };
        match special {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.put_slice(b"\\u00");
                out.put_u8(HEX[usize::from(control >> 4)]);
                out.put_u8(HEX[usize::from(control & 15)]);
            }
        }
        rest = tail;
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}
