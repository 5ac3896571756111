//! The JSON dialect of the reference implementation: integer keys without quotes and whole
//! objects as keys. It is rewritten to standard JSON, where an object key becomes a string
//! holding that object's JSON text.

use crate::error::BodyError;

/// Deepest nesting accepted.
const MAX_DEPTH: usize = 64;

/// Rewrites a document to standard JSON; members that are `null` are dropped, which readers take
/// for the default. The output is at most a small multiple of the input, since object keys do
/// not nest.
pub fn to_standard(input: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut rewriter = Rewriter { input, at: 0 };
    let mut out = Vec::with_capacity(input.len() + input.len() / 8);
    rewriter.space();
    rewriter.value(0, false, &mut out)?;
    rewriter.space();
    if rewriter.at != input.len() {
        return Err(rewriter.error("text after the document"));
    }
    Ok(out)
}

struct Rewriter<'a> {
    input: &'a [u8],
    at: usize,
}

impl Rewriter<'_> {
    fn error(&self, reason: &'static str) -> BodyError {
        BodyError::Dialect {
            reason,
            at: self.at,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
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

    fn value(&mut self, depth: usize, in_key: bool, out: &mut Vec<u8>) -> Result<(), BodyError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth, in_key, out),
            Some(b'[') => self.array(depth, in_key, out),
            Some(b'"') => self.string(out),
            _ => self.bare(out),
        }
    }

    fn object(&mut self, depth: usize, in_key: bool, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.at += 1;
        out.push(b'{');
        self.space();
        if self.eat(b'}') {
            out.push(b'}');
            return Ok(());
        }
        let mut first = true;
        loop {
            let before = out.len();
            if !first {
                out.push(b',');
            }
            self.space();
            self.key(depth, in_key, out)?;
            self.space();
            if !self.eat(b':') {
                return Err(self.error("expected a colon"));
            }
            out.push(b':');
            self.space();
            let value = out.len();
            self.value(depth + 1, in_key, out)?;
            if out.get(value..) == Some(b"null") {
                out.truncate(before);
            } else {
                first = false;
            }
            self.space();
            if self.eat(b'}') {
                out.push(b'}');
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.error("expected a comma or the end of the object"));
            }
        }
    }

    fn key(&mut self, depth: usize, in_key: bool, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self.peek() {
            Some(b'"') => self.string(out),
            Some(b'{') if in_key => Err(self.error("object key within an object key")),
            Some(b'{') => {
                let mut text = Vec::new();
                self.object(depth + 1, true, &mut text)?;
                out.push(b'"');
                for byte in text {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(byte);
                }
                out.push(b'"');
                Ok(())
            }
            _ => {
                out.push(b'"');
                self.bare(out)?;
                out.push(b'"');
                Ok(())
            }
        }
    }

    fn array(&mut self, depth: usize, in_key: bool, out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.at += 1;
        out.push(b'[');
        self.space();
        if self.eat(b']') {
            out.push(b']');
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth + 1, in_key, out)?;
            self.space();
            if self.eat(b']') {
                out.push(b']');
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.error("expected a comma or the end of the array"));
            }
            out.push(b',');
        }
    }

    /// Copies a string as it stands; the JSON reader behind us judges its content.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.error("string is not closed or holds a control character")),
            }
        }
        self.at += 1;
        out.extend_from_slice(self.input.get(start..self.at).unwrap_or_default());
        Ok(())
    }

    /// Copies a number, a literal or an unquoted key.
    fn bare(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let start = self.at;
        let part =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'_' | b'$');
        while self.peek().is_some_and(part) {
            self.at += 1;
        }
        if start == self.at {
            return Err(self.error("expected a value"));
        }
        out.extend_from_slice(self.input.get(start..self.at).unwrap_or_default());
        Ok(())
    }
}
