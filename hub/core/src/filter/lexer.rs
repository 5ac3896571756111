//! Text to tokens, one at a time, borrowed from the text. Keywords are recognised in any case; a name is any other word.

use super::FilterError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
    /// Digits, without the `L` that may have followed them.
    Integer(&'t str),
    Float(&'t str),
    /// What stands between the quotes, quotes inside still doubled.
    Text(&'t str),
    Name(&'t str),
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Comma,
    Open,
    Close,
    End,
}

const KEYWORDS: [(&str, Token<'static>); 12] = [
    ("NOT", Token::Not),
    ("AND", Token::And),
    ("OR", Token::Or),
    ("BETWEEN", Token::Between),
    ("IN", Token::In),
    ("TRUE", Token::True),
    ("FALSE", Token::False),
    ("NULL", Token::Null),
    ("IS", Token::Is),
    ("CONTAINS", Token::Contains),
    ("STARTSWITH", Token::StartsWith),
    ("ENDSWITH", Token::EndsWith),
];

#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'t>, usize), FilterError> {
        self.skip_blanks()?;
        let at = self.at;
        let rest = self.rest();
        let (token, len) = match rest.as_bytes() {
            [] => (Token::End, 0),
            [b'<', b'>', ..] => (Token::NotEqual, 2),
            [b'<', b'=', ..] => (Token::LessOrEqual, 2),
            [b'>', b'=', ..] => (Token::GreaterOrEqual, 2),
            [b'<', ..] => (Token::Less, 1),
            [b'>', ..] => (Token::Greater, 1),
            [b'=', ..] => (Token::Equal, 1),
            [b'+', ..] => (Token::Plus, 1),
            [b'-', ..] => (Token::Minus, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            [b'\'', ..] => text(rest).ok_or_else(|| self.unreadable("a closing quote"))?,
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => number(rest),
            [first, ..] if is_word(*first) => word(rest),
            _ => return Err(self.unreadable("a name, a literal or an operator")),
        };
        self.at += len;
        Ok((token, at))
    }

    /// True if the text at `at` opens a comment of a line. Without the end of that line it is two signs to the grammar.
    pub(super) fn is_line_comment(&self, at: usize) -> bool {
        self.text
            .get(at..)
            .is_some_and(|rest| rest.starts_with("--"))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) -> Result<(), FilterError> {
        loop {
            let rest = self.rest();
            let blanks = rest
                .bytes()
                .take_while(|b| b" \t\n\r\x0c".contains(b))
                .count();
            let comment = if rest.starts_with("--") {
                rest.find(['\n', '\r']).map_or(0, |end| end + 1)
            } else if rest.starts_with("/*") {
                let inside = rest.get(2..).unwrap_or_default();
                let end = inside.find("*/");
                end.ok_or_else(|| self.unreadable("the end of the comment"))? + 4
            } else {
                0
            };
            if blanks + comment == 0 {
                return Ok(());
            }
            self.at += blanks.max(comment);
        }
    }

    fn unreadable(&self, expected: &'static str) -> FilterError {
        FilterError::Unexpected {
            at: self.at,
            found: excerpt(self.rest()),
            expected,
        }
    }
}

/// The beginning of a text, for an error.
pub(super) fn excerpt(text: &str) -> String {
    if text.is_empty() {
        return "the end".into();
    }
    let mut found: String = text.chars().take(16).collect();
    if found.len() < text.len() {
        found.push('…');
    }
    format!("\"{found}\"")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$'
}

fn count(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| wanted(*byte)).count()
}

fn word(rest: &str) -> (Token<'_>, usize) {
    let len = count(rest, |byte| is_word(byte) || byte.is_ascii_digit());
    let word = rest.get(..len).unwrap_or_default();
    let keyword = KEYWORDS
        .iter()
        .find(|(keyword, _)| keyword.eq_ignore_ascii_case(word));
    (keyword.map_or(Token::Name(word), |(_, token)| *token), len)
}

/// A text in quotes, in which two quotes stand for one.
fn text(rest: &str) -> Option<(Token<'_>, usize)> {
    let mut end = 1;
    loop {
        end += rest.get(end..)?.find('\'')?;
        if rest.as_bytes().get(end + 1) != Some(&b'\'') {
            return Some((Token::Text(rest.get(1..end)?), end + 1));
        }
        end += 2;
    }
}

/// A number: the longest that fits. A whole number does not begin with 0, unless it is 0.
fn number(rest: &str) -> (Token<'_>, usize) {
    let digits = |from: usize| count(rest.get(from..).unwrap_or_default(), |b| b.is_ascii_digit());
    let exponent = |from: usize| match rest.as_bytes().get(from..) {
        Some([b'e' | b'E', b'+' | b'-', b'0'..=b'9', ..]) => 2 + digits(from + 2),
        Some([b'e' | b'E', b'0'..=b'9', ..]) => 1 + digits(from + 1),
        _ => 0,
    };
    let whole = digits(0);
    let mut len = whole;
    if rest.as_bytes().get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    len += exponent(len);
    if len > whole {
        return (Token::Float(rest.get(..len).unwrap_or_default()), len);
    }
    if rest.starts_with('0') {
        return (Token::Integer("0"), 1);
    }
    let suffix = matches!(rest.as_bytes().get(whole), Some(b'l' | b'L'));
    let digits = rest.get(..whole).unwrap_or_default();
    (Token::Integer(digits), whole + usize::from(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next().unwrap().0 {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn keywords_have_any_case_and_names_keep_theirs() {
        use Token::{Name, Not, Null, StartsWith};
        assert_eq!(
            tokens("nOt NULL startsWith Nullable $a_1 _ now"),
            [
                Not,
                Null,
                StartsWith,
                Name("Nullable"),
                Name("$a_1"),
                Name("_"),
                Name("now")
            ]
        );
    }

    #[test]
    fn numbers_take_the_longest_form() {
        use Token::{Float, Integer, Minus, Name};
        assert_eq!(
            tokens("0 12 12L 5. .5 5.5e-3 5E10 00.5 5e"),
            [
                Integer("0"),
                Integer("12"),
                Integer("12"),
                Float("5."),
                Float(".5"),
                Float("5.5e-3"),
                Float("5E10"),
                Float("00.5"),
                Integer("5"),
                Name("e"),
            ]
        );
        assert_eq!(tokens("007"), [Integer("0"), Integer("0"), Integer("7")]);
        assert_eq!(tokens("-7"), [Minus, Integer("7")]);
    }

    #[test]
    fn quotes_are_doubled_inside_texts() {
        use Token::Text;
        assert_eq!(
            tokens("'' 'a''b' '''' 'é\n'"),
            [Text(""), Text("a''b"), Text("''"), Text("é\n")]
        );
        for open in ["'", "'a", "'a''"] {
            assert!(Lexer::new(open).next().is_err(), "{open}");
        }
    }

    #[test]
    fn comments_end_with_their_line_or_their_mark() {
        use Token::{Minus, Name};
        assert_eq!(
            tokens("a -- b\n/* c ** / */ d/**/e"),
            [Name("a"), Name("d"), Name("e")]
        );
        // Without the end of a line it is no comment.
        assert_eq!(tokens("a --b"), [Name("a"), Minus, Minus, Name("b")]);
        assert!(Lexer::new("/* a").next().is_err());
    }

    #[test]
    fn strange_characters_are_named_with_their_place() {
        for text in ["!", ".", "/", "é", "\"", "%", ";", "\u{a0}"] {
            let error = Lexer::new(text).next().unwrap_err();
            assert!(
                matches!(error, FilterError::Unexpected { at: 0, .. }),
                "{text}"
            );
        }
    }
}
