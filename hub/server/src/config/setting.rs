//! How a single setting is read and shown. A [`Value`] is parsed from text (environment, flags)
//! or from a TOML value; [`Setting`] is its object-safe face, so that a section can hand out any
//! of its fields by name.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeValue;

/// What is wrong with a value. A list or table reports where inside it the fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Place in the file, when narrower than the whole value.
    pub span: Option<Range<usize>>,
    /// Path below the setting, when narrower than the setting.
    pub below: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            span: None,
            below: String::new(),
            message: message.into(),
            hint: None,
        }
    }
}

/// A setting of one type, replaceable in place.
pub trait Setting {
    /// # Errors
    /// What is wrong; the setting keeps its value.
    fn read(&mut self, value: &DeValue<'_>) -> Result<(), Vec<Problem>>;
    /// # Errors
    /// What is wrong; the setting keeps its value.
    fn read_text(&mut self, text: &str) -> Result<(), Vec<Problem>>;
    /// The value as TOML text, secrets as dots. `None` when it has no one-line form.
    fn show(&self) -> Option<String>;
}

/// A type with a one-line text form.
pub trait Value: Sized {
    /// Completes "expected …".
    const EXPECTED: &'static str;
    /// Secret values are not repeated in messages.
    const SECRET: bool = false;

    fn parse(text: &str) -> Option<Self>;

    /// The native TOML form; a string by default, so that a bare number is never a time or size.
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }

    /// The value as TOML text.
    fn show(&self) -> String;
}

impl<V: Value> Setting for V {
    fn read(&mut self, value: &DeValue<'_>) -> Result<(), Vec<Problem>> {
        match V::from_toml(value) {
            Some(read) => {
                *self = read;
                Ok(())
            }
            None => Err(vec![unexpected::<V>(&got(value))]),
        }
    }

    fn read_text(&mut self, text: &str) -> Result<(), Vec<Problem>> {
        match V::parse(text) {
            Some(read) => {
                *self = read;
                Ok(())
            }
            None => Err(vec![unexpected::<V>(&quote(text))]),
        }
    }

    fn show(&self) -> Option<String> {
        Some(Value::show(self))
    }
}

fn unexpected<V: Value>(got: &str) -> Problem {
    if V::SECRET {
        return Problem::new(format!("expected {}", V::EXPECTED));
    }
    Problem::new(format!("expected {}, got {got}", V::EXPECTED))
}

fn got(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Text as a TOML string.
#[must_use]
pub(super) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! integers {
    ($($type:ty, $expected:literal;)+) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Option<Self> {
                text.replace('_', "").parse().ok()
            }
            fn from_toml(value: &DeValue<'_>) -> Option<Self> {
                let number = value.as_integer()?;
                Self::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

integers! {
    u16, "a number from 0 to 65535";
    u32, "a whole number";
}

impl Value for String {
    const EXPECTED: &'static str = "a text";
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn show(&self) -> String {
        quote(self)
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";
    fn parse(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }
    fn show(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

impl Value for IpAddr {
    const EXPECTED: &'static str = "an IP address such as \"127.0.0.1\", \"0.0.0.0\" or \"::\"";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

impl<V: Value> Value for Vec<V> {
    const EXPECTED: &'static str = "a list";
    fn parse(text: &str) -> Option<Self> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(V::parse)
            .collect()
    }
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value
            .as_array()?
            .iter()
            .map(|item| V::from_toml(item.get_ref()))
            .collect()
    }
    fn show(&self) -> String {
        let items: Vec<_> = self.iter().map(Value::show).collect();
        format!("[{}]", items.join(", "))
    }
}
