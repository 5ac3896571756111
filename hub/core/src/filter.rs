//! SQL92 filters over message properties: RocketMQ's language, compiled once into a flat [`SqlFilter`] that is shared and
//! never changes. Evaluation takes the properties as they come, allocates nothing, and is bounded by the text's limits.
//!
//! The grammar, lowest binding first: `OR` · `AND` · `=` `<>` `IS [NOT] NULL` · `<` `<=` `>` `>=` `[NOT] CONTAINS`
//! `[NOT] STARTSWITH` `[NOT] ENDSWITH` `[NOT] BETWEEN` `[NOT] IN` · unary `+` `-` `NOT` · literals, names, parentheses.
//! `NOT` binds tighter than a comparison. Comparisons with a missing property are unknown, and unknown is not a match.

mod builder;
mod cache;
mod lexer;
mod parser;
mod program;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use cache::FilterCache;

use program::Program;

/// Longest filter text, in bytes.
pub const FILTER_TEXT_MAX: usize = 16 * 1024;
/// Deepest nesting of parentheses, signs and operators.
pub const FILTER_DEPTH_MAX: usize = 128;
/// Most different properties one filter may name.
pub const FILTER_NAMES_MAX: usize = 64;
/// Most texts in one `IN` list.
pub const FILTER_LIST_MAX: usize = 1024;

/// Why a text is no filter. Positions count bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The text, the nesting, the names or a list exceed their limit.
    #[error("the filter has too many {what}: the limit is {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// The text does not follow the grammar.
    #[error("expected {expected} at position {at} of the filter, found {found}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What stands there.
        found: String,
        /// What could have stood there.
        expected: &'static str,
    },
    /// The text follows the grammar but its types do not fit.
    #[error("{why}, at position {at} of the filter")]
    Types {
        /// Where.
        at: usize,
        /// What does not fit.
        why: &'static str,
    },
}

/// A compiled filter.
#[derive(Clone, Debug)]
pub struct SqlFilter {
    text: Box<str>,
    program: Program,
}

impl SqlFilter {
    /// Compiles a text.
    ///
    /// # Errors
    /// The text is no filter, or exceeds a limit.
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_TEXT_MAX {
            return Err(FilterError::TooMany {
                what: "bytes",
                limit: FILTER_TEXT_MAX,
            });
        }
        Ok(Self {
            text: text.into(),
            program: parser::parse(text)?,
        })
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if a message with these properties is wanted. Of properties with one name the last counts. A value that
    /// cannot be converted to the type it is compared with makes the whole filter false.
    pub fn matches<'a>(&self, properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
        self.program.is_true(properties)
    }
}

impl PartialEq for SqlFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SqlFilter {}
