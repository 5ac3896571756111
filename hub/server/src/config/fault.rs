//! Where a value came from, and what is wrong with it. All faults are collected and reported
//! together.

use std::fmt;
use std::path::PathBuf;

/// The layer that set a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    #[default]
    Default,
    File(Place),
    Environment(String),
    Flag(String),
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(Place { path, line, column }) => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub origin: Origin,
    /// The key's path, empty when the fault is not about a key.
    pub key: String,
    pub message: String,
    pub hint: Option<String>,
    /// The line of the file and the width to underline.
    pub excerpt: Option<(String, usize)>,
}

impl Fault {
    pub fn new(key: impl Into<String>, origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin,
            key: key.into(),
            message: message.into(),
            hint: None,
            excerpt: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Default => {}
            _ => write!(f, "{}  ", self.origin)?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let (Some((line, width)), Origin::File(place)) = (&self.excerpt, &self.origin) {
            write!(f, "\n    {:>4} | {line}\n", place.line)?;
            let marks = "^".repeat((*width).max(1));
            write!(
                f,
                "         | {:indent$}{marks}",
                "",
                indent = place.column.saturating_sub(1)
            )?;
            if let Some(hint) = &self.hint {
                write!(f, "  {hint}")?;
            }
        } else if let Some(hint) = &self.hint {
            write!(f, "\n    {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let plural = if count == 1 { "problem" } else { "problems" };
        write!(f, "invalid configuration ({count} {plural})")?;
        for (at, fault) in self.0.iter().enumerate() {
            write!(f, "\n {}. {fault}", at + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
