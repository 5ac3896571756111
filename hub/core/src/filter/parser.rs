//! Tokens to a program, by recursive descent with one token of foresight. Parentheses, signs and negations deepen the
//! recursion and are counted; chains of `AND`, `OR` and comparisons are loops.
//!
//! RocketMQ's own parser stops at the first token that cannot go on and ignores what follows; here that is an error,
//! except for a comment that the end of the text cuts short.

use super::builder::{Builder, too_deep};
use super::lexer::{Lexer, Token, excerpt};
use super::program::{Node, NodeId, Order, Part, Program};
use super::value::double;
use super::{FILTER_DEPTH_MAX, FILTER_LIST_MAX, FilterError};

pub(super) fn parse(text: &str) -> Result<Program, FilterError> {
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next()?;
    let mut parser = Parser {
        text,
        lexer,
        token,
        at,
        depth: 0,
        built: Builder::default(),
    };
    let root = parser.any()?;
    let is_comment = parser.token == Token::Minus && parser.lexer.is_line_comment(parser.at);
    if parser.token != Token::End && !is_comment {
        return Err(parser.unexpected("an operator or the end"));
    }
    parser.built.finish(root, at)
}

struct Parser<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    /// The token that comes next, and where it begins.
    token: Token<'t>,
    at: usize,
    /// Recursions under way.
    depth: usize,
    built: Builder,
}

impl<'t> Parser<'t> {
    fn advance(&mut self) -> Result<(), FilterError> {
        (self.token, self.at) = self.lexer.next()?;
        Ok(())
    }

    /// Goes past the token if it is this one.
    fn takes(&mut self, token: Token<'_>) -> Result<bool, FilterError> {
        let is_it = self.token == token;
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    fn wants(&mut self, token: Token<'_>, name: &'static str) -> Result<(), FilterError> {
        if self.takes(token)? {
            Ok(())
        } else {
            Err(self.unexpected(name))
        }
    }

    fn unexpected(&self, expected: &'static str) -> FilterError {
        FilterError::Unexpected {
            at: self.at,
            found: excerpt(self.text.get(self.at..).unwrap_or_default()),
            expected,
        }
    }

    fn any(&mut self) -> Result<NodeId, FilterError> {
        let at = self.at;
        let first = self.all()?;
        if self.token != Token::Or {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.takes(Token::Or)? {
            operands.push(self.all()?);
        }
        self.built.any(&operands, at)
    }

    fn all(&mut self) -> Result<NodeId, FilterError> {
        let at = self.at;
        let first = self.equality()?;
        if self.token != Token::And {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.takes(Token::And)? {
            operands.push(self.equality()?);
        }
        self.built.all(&operands, at)
    }

    fn equality(&mut self) -> Result<NodeId, FilterError> {
        let mut left = self.comparison()?;
        loop {
            let at = self.at;
            left = if self.takes(Token::Equal)? {
                let right = self.comparison()?;
                self.built.equal(left, right, at)?
            } else if self.takes(Token::NotEqual)? {
                let right = self.comparison()?;
                let equal = self.built.equal(left, right, at)?;
                self.built.opposite(equal)?
            } else if self.takes(Token::Is)? {
                let negated = self.takes(Token::Not)?;
                self.wants(Token::Null, "NULL")?;
                let is_null = self.built.is_null(left)?;
                if negated {
                    self.built.opposite(is_null)?
                } else {
                    is_null
                }
            } else {
                return Ok(left);
            };
        }
    }

    fn comparison(&mut self) -> Result<NodeId, FilterError> {
        let mut left = self.unary()?;
        loop {
            let at = self.at;
            let order = match self.token {
                Token::Less => Some(Order::Less),
                Token::LessOrEqual => Some(Order::LessOrEqual),
                Token::Greater => Some(Order::Greater),
                Token::GreaterOrEqual => Some(Order::GreaterOrEqual),
                _ => None,
            };
            if let Some(order) = order {
                self.advance()?;
                let right = self.unary()?;
                left = self.built.order(order, left, right, at)?;
                continue;
            }
            let negated = self.takes(Token::Not)?;
            left = match self.token {
                Token::Contains => self.has(left, Part::Anywhere, negated)?,
                Token::StartsWith => self.has(left, Part::Start, negated)?,
                Token::EndsWith => self.has(left, Part::End, negated)?,
                Token::Between => {
                    self.advance()?;
                    let low = self.unary()?;
                    self.wants(Token::And, "AND")?;
                    let high = self.unary()?;
                    self.built.between(left, (low, high), negated, at)?
                }
                Token::In => {
                    self.advance()?;
                    let texts = self.list()?;
                    self.built.is_in(left, texts, negated, at)?
                }
                _ if negated => {
                    let wanted = "CONTAINS, STARTSWITH, ENDSWITH, BETWEEN or IN";
                    return Err(self.unexpected(wanted));
                }
                _ => return Ok(left),
            };
        }
    }

    fn has(&mut self, operand: NodeId, part: Part, negated: bool) -> Result<NodeId, FilterError> {
        self.advance()?;
        let needle = self.text()?;
        self.built.has(operand, part, needle, negated)
    }

    fn list(&mut self) -> Result<Vec<Box<str>>, FilterError> {
        self.wants(Token::Open, "\"(\"")?;
        let mut texts = vec![self.text()?.into()];
        while self.takes(Token::Comma)? {
            if texts.len() == FILTER_LIST_MAX {
                return Err(FilterError::TooMany {
                    what: "texts in a list",
                    limit: FILTER_LIST_MAX,
                });
            }
            texts.push(self.text()?.into());
        }
        self.wants(Token::Close, "\")\"")?;
        Ok(texts)
    }

    fn text(&mut self) -> Result<String, FilterError> {
        let Token::Text(quoted) = self.token else {
            return Err(self.unexpected("a text in quotes"));
        };
        self.advance()?;
        Ok(quoted.replace("''", "'"))
    }

    fn unary(&mut self) -> Result<NodeId, FilterError> {
        if self.depth == FILTER_DEPTH_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        let at = self.at;
        let node = if self.takes(Token::Plus)? {
            self.unary()
        } else if self.takes(Token::Minus)? {
            let operand = self.unary()?;
            self.built.negate(operand)
        } else if self.takes(Token::Not)? {
            let operand = self.unary()?;
            self.built.not(operand, at)
        } else {
            self.primary()
        };
        self.depth -= 1;
        node
    }

    fn primary(&mut self) -> Result<NodeId, FilterError> {
        let at = self.at;
        let node = match self.token {
            Token::Open => {
                self.advance()?;
                let inner = self.any()?;
                self.wants(Token::Close, "\")\"")?;
                return Ok(inner);
            }
            Token::Name(name) => {
                self.advance()?;
                return self.built.property(name);
            }
            Token::Text(_) => {
                let text = self.text()?.into();
                return self.built.leaf(Node::Text(text));
            }
            Token::Integer(digits) => integer(digits, at)?,
            Token::Float(text) => float(text, at)?,
            Token::True => Node::Bool(true),
            Token::False => Node::Bool(false),
            Token::Null => Node::Null,
            _ => return Err(self.unexpected("a name, a literal or \"(\"")),
        };
        self.advance()?;
        self.built.leaf(node)
    }
}

/// A whole number takes 32 bits if it can, because that decides which texts it compares with.
fn integer(digits: &str, at: usize) -> Result<Node, FilterError> {
    let why = "the whole number does not fit 64 bits";
    let number: i64 = digits.parse().map_err(|_| FilterError::Types { at, why })?;
    Ok(i32::try_from(number).map_or(Node::Long(number), Node::Int))
}

fn float(text: &str, at: usize) -> Result<Node, FilterError> {
    match double(text) {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(Node::Double(number)),
        _ => Err(FilterError::Types {
            at,
            why: "the floating number is zero or out of range",
        }),
    }
}
