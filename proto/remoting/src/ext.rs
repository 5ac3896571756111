//! Extension fields: the name/value texts of a command header. A decoded set is one shared
//! buffer plus a short inline list of ranges, so reading a request allocates nothing per field.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

/// Most fields one header may carry; the richest official header has under thirty.
pub const MAX_EXT_FIELDS: usize = 1024;

/// Largest header the 24-bit length of a frame can announce.
pub(crate) const MAX_HEADER: usize = 0x00ff_ffff;

/// Fields kept without a heap list. A signed send with every optional field has about twenty.
const INLINE_FIELDS: usize = 24;

/// A half-open byte range of the header buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Positions come from a buffer no longer than [`MAX_HEADER`], so they fit.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    pub(crate) fn text(self, buf: &[u8]) -> &str {
        std::str::from_utf8(self.of(buf)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

pub(crate) type FieldList = SmallVec<[Field; INLINE_FIELDS]>;

/// The extension fields of one command, in wire order. Of fields with one name the last counts.
#[derive(Clone, Default)]
pub struct ExtFields {
    buf: Bytes,
    fields: FieldList,
    oversized: bool,
}

impl ExtFields {
    pub fn new() -> Self {
        Self::default()
    }

    /// `buf` must be UTF-8 within every span of `fields`.
    pub(crate) fn from_parts(buf: Bytes, fields: FieldList) -> Self {
        Self {
            buf,
            fields,
            oversized: false,
        }
    }

    /// Number of fields as received, repeated names included.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|f| f.value.text(&self.buf))
    }

    /// The value of `name` as a slice that keeps the header buffer alive.
    pub fn get_bytes(&self, name: &str) -> Option<Bytes> {
        self.find(name)
            .map(|f| self.buf.slice_ref(f.value.of(&self.buf)))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All fields in wire order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + ExactSizeIterator {
        self.fields
            .iter()
            .map(|f| (f.name.text(&self.buf), f.value.text(&self.buf)))
    }

    /// All fields in wire order as bytes, for scanners that do not need text.
    pub(crate) fn iter_bytes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|f| (f.name.of(&self.buf), f.value.of(&self.buf)))
    }

    /// A builder that starts with these fields.
    pub fn to_builder(&self) -> ExtBuilder {
        let mut builder = ExtBuilder::new();
        for (name, value) in self.iter() {
            builder.put(name, value);
        }
        builder
    }

    pub(crate) fn oversized(&self) -> bool {
        self.oversized
    }

    fn find(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .rev()
            .find(|f| f.name.of(&self.buf) == name.as_bytes())
    }
}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ExtFields {}

impl<'a> FromIterator<(&'a str, &'a str)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(fields: I) -> Self {
        let mut builder = ExtBuilder::new();
        for (name, value) in fields {
            builder.put(name, value);
        }
        builder.build()
    }
}

/// Outgoing extension fields. All texts go to one buffer; keep a builder per connection and
/// [`clear`](Self::clear) it to answer without allocating.
#[derive(Clone, Default)]
pub struct ExtBuilder {
    buf: Vec<u8>,
    fields: FieldList,
    oversized: bool,
}

impl ExtBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn clear(&mut self) {
        self.buf.clear();
        self.fields.clear();
        self.oversized = false;
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn put(&mut self, name: &str, value: &str) -> &mut Self {
        if self.buf.len() + name.len() + value.len() > MAX_HEADER {
            // Encoding will refuse the command; nothing beyond the limit is kept until then.
            self.oversized = true;
            return self;
        }
        let start = self.buf.len();
        self.buf.extend_from_slice(name.as_bytes());
        let middle = self.buf.len();
        self.buf.extend_from_slice(value.as_bytes());
        let end = self.buf.len();
        self.fields.push(Field {
            name: Span::new(start, middle),
            value: Span::new(middle, end),
        });
        self
    }

    pub fn put_i32(&mut self, name: &str, value: i32) -> &mut Self {
        self.put_i64(name, i64::from(value))
    }

    pub fn put_i64(&mut self, name: &str, value: i64) -> &mut Self {
        self.put(name, Decimal::new(value).as_str())
    }

    pub fn put_bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.put(name, if value { "true" } else { "false" })
    }

    /// All fields in the order they were put.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|f| (f.name.text(&self.buf), f.value.text(&self.buf)))
    }

    pub fn build(self) -> ExtFields {
        ExtFields {
            buf: Bytes::from(self.buf),
            fields: self.fields,
            oversized: self.oversized,
        }
    }

    pub(crate) fn oversized(&self) -> bool {
        self.oversized
    }
}

impl fmt::Debug for ExtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Decimal text of an integer on the stack.
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn new(value: i64) -> Self {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        let mut rest = value.unsigned_abs();
        for (i, slot) in digits.iter_mut().enumerate().rev() {
            *slot = b'0' + (rest % 10) as u8;
            start = i;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 && start > 0 {
            // An i64 has at most nineteen digits, so the sign always finds room.
            start -= 1;
            if let Some(slot) = digits.get_mut(start) {
                *slot = b'-';
            }
        }
        Self { digits, start }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.digits.get(self.start..).unwrap_or_default()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_covers_the_extremes() {
        for n in [
            0,
            1,
            -1,
            9,
            10,
            -10,
            i64::from(i32::MIN),
            i64::MAX,
            i64::MIN,
        ] {
            assert_eq!(Decimal::new(n).as_str(), n.to_string());
        }
    }

    #[test]
    fn last_of_repeated_names_wins_and_order_is_kept() {
        let ext: ExtFields = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        assert_eq!(ext.get("a"), Some("3"));
        assert_eq!(ext.get("c"), None);
        assert_eq!(ext.iter().map(|(_, v)| v).collect::<String>(), "123");
        assert_eq!(ext.get_bytes("b").as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn more_fields_than_inline_room_spill() {
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let ext: ExtFields = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
        assert_eq!(ext.len(), 100);
        assert_eq!(ext.get("99"), Some("99"));
    }
}
