//! The property text of a message: `name 0x01 value 0x02 …`. Texts are read in place and edited
//! by copying what an edit does not touch, so unknown properties survive byte for byte.

use std::borrow::Cow;

use bytes::BytesMut;
use smallvec::SmallVec;

use crate::error::RecordError;
use crate::tail::MAX_PROPERTIES;

pub use crate::name;

const NAME_END: char = '\u{1}';
const VALUE_END: char = '\u{2}';

/// A property text. Of properties with one name the last counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    text: &'a str,
}

impl<'a> Properties<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// All well-formed properties in order; fragments without a name or a value are passed over,
    /// as official clients do.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&'a str, &'a str)> + use<'a> {
        self.text.split(VALUE_END).filter_map(split)
    }

    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .rev()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// An edit that starts from this text.
    pub fn edit<'e>(&self) -> PropertyEdit<'e>
    where
        'a: 'e,
    {
        PropertyEdit {
            text: self.text,
            changes: SmallVec::new(),
        }
    }
}

fn split(fragment: &str) -> Option<(&str, &str)> {
    let (name, value) = fragment.split_once(NAME_END)?;
    (!name.is_empty() && !value.is_empty()).then_some((name, value))
}

/// Appends one property. An empty value cannot be expressed and is left out.
pub fn put(out: &mut BytesMut, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\x01");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\x02");
}

/// Changes to a property text, applied together in one copy.
#[derive(Debug, Clone, Default)]
pub struct PropertyEdit<'a> {
    text: &'a str,
    changes: SmallVec<[Change<'a>; 8]>,
}

/// A name and its new value; `None` removes.
type Change<'a> = (Cow<'a, str>, Option<Cow<'a, str>>);

impl<'a> PropertyEdit<'a> {
    /// An edit that starts from nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a property, replacing every earlier value. An empty value removes it, since the text
    /// cannot express it.
    pub fn set(
        &mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) -> &mut Self {
        let value = value.into();
        self.change(name.into(), (!value.is_empty()).then_some(value));
        self
    }

    pub fn remove(&mut self, name: impl Into<Cow<'a, str>>) -> &mut Self {
        self.change(name.into(), None);
        self
    }

    /// The value `name` will have.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.changes.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value.as_deref(),
            None => Properties::new(self.text).get(name),
        }
    }

    fn change(&mut self, name: Cow<'a, str>, value: Option<Cow<'a, str>>) {
        match self.changes.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => self.changes.push((name, value)),
        }
    }

    /// Length of the text to be written, which must pass the limit and hold no separators.
    fn check(&self) -> Result<usize, RecordError> {
        let mut len = 0;
        for fragment in self.kept() {
            len += fragment.len() + 1;
        }
        for (name, value) in &self.changes {
            let value = value.as_deref().unwrap_or_default();
            let stray = |text: &str| text.contains([NAME_END, VALUE_END]);
            if name.is_empty() || stray(name) || stray(value) {
                return Err(RecordError::BadProperty(name.clone().into_owned()));
            }
            if !value.is_empty() {
                len += name.len() + value.len() + 2;
            }
        }
        if len > MAX_PROPERTIES {
            return Err(RecordError::TooLong {
                what: "properties",
                len,
                max: MAX_PROPERTIES,
            });
        }
        Ok(len)
    }

    /// Fragments of the old text that no change touches.
    fn kept(&self) -> impl Iterator<Item = &'a str> {
        self.text.split(VALUE_END).filter(|fragment| {
            let name = fragment.split_once(NAME_END).map(|(name, _)| name);
            !fragment.is_empty() && !self.changes.iter().any(|(n, _)| Some(n.as_ref()) == name)
        })
    }

    fn emit(&self, mut put: impl FnMut(&str)) {
        for fragment in self.kept() {
            put(fragment);
            put("\u{2}");
        }
        for (name, value) in &self.changes {
            if let Some(value) = value {
                put(name);
                put("\u{1}");
                put(value);
                put("\u{2}");
            }
        }
    }

    /// Appends the edited text and returns its length. On an error `out` is as it was.
    pub fn write(&self, out: &mut BytesMut) -> Result<usize, RecordError> {
        let len = self.check()?;
        out.reserve(len);
        self.emit(|part| out.extend_from_slice(part.as_bytes()));
        Ok(len)
    }

    pub fn to_text(&self) -> Result<String, RecordError> {
        let mut text = String::with_capacity(self.check()?);
        self.emit(|part| text.push_str(part));
        Ok(text)
    }
}
