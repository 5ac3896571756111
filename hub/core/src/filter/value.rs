//! Values of an evaluation and how they compare. Properties are text; a text takes the type of what it is compared with,
//! by the reading rules of RocketMQ's own brokers: whole numbers without blanks and within the constant's width, floating
//! numbers with blanks around them and an optional type letter, `true` in any case.

use std::cmp::Ordering;

/// What an operand came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A constant that fits 32 bits; texts compared with it must, too.
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

/// The evaluation cannot go on; the filter does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

impl Value<'_> {
    /// The value with its sign turned; of anything but a number, nothing.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Int(n) => Self::Int(n.wrapping_neg()),
            Self::Long(n) => Self::Long(n.wrapping_neg()),
            Self::Double(n) => Self::Double(-n),
            Self::Null | Self::Bool(_) | Self::Text(_) => Self::Null,
        }
    }

    /// `=`: unknown if only the left side is missing, true if both are.
    pub(super) fn equals(self, other: Self) -> Result<Option<bool>, Fault> {
        match (self, other) {
            (Self::Null, Self::Null) => Ok(Some(true)),
            (Self::Null, _) => Ok(None),
            (_, Self::Null) => Ok(Some(false)),
            (Self::Text(left), Self::Text(right)) => Ok(Some(left == right)),
            (left, right) => Ok(Some(left.compare(right)? == Ordering::Equal)),
        }
    }

    /// `<` and its kin, of two values that are there. Two texts are compared as floating numbers.
    pub(super) fn order(self, other: Self) -> Result<Ordering, Fault> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => {
                Ok(compare_doubles(double(left)?, double(right)?))
            }
            (left, right) => left.compare(right),
        }
    }

    /// Compares values after giving both the same type. What has no common type counts as less.
    fn compare(self, other: Self) -> Result<Ordering, Fault> {
        Ok(match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(&right),
            (Self::Text(left), Self::Bool(right)) => truth(left).cmp(&right),
            // The one pair that no broker can convert: a truth on the left, a text on the right.
            (Self::Bool(_), Self::Text(_)) => return Err(Fault),
            (Self::Text(left), Self::Int(right)) => int(left)?.cmp(&right),
            (Self::Int(left), Self::Text(right)) => left.cmp(&int(right)?),
            (Self::Text(left), Self::Long(right)) => long(left)?.cmp(&right),
            (Self::Long(left), Self::Text(right)) => left.cmp(&long(right)?),
            (Self::Text(left), Self::Double(right)) => compare_doubles(double(left)?, right),
            (Self::Double(left), Self::Text(right)) => compare_doubles(left, double(right)?),
            (Self::Double(left), right) => match right.as_double() {
                Some(right) => compare_doubles(left, right),
                None => Ordering::Less,
            },
            (left, Self::Double(right)) => match left.as_double() {
                Some(left) => compare_doubles(left, right),
                None => Ordering::Less,
            },
            (left, right) => match (left.as_long(), right.as_long()) {
                (Some(left), Some(right)) => left.cmp(&right),
                _ => Ordering::Less,
            },
        })
    }

    fn as_long(self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(i64::from(n)),
            Self::Long(n) => Some(n),
            Self::Null | Self::Bool(_) | Self::Double(_) | Self::Text(_) => None,
        }
    }

    fn as_double(self) -> Option<f64> {
        match self {
            Self::Double(n) => Some(n),
            other => other.as_long().map(|n| n as f64),
        }
    }
}

fn truth(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

fn int(text: &str) -> Result<i32, Fault> {
    text.parse().map_err(|_| Fault)
}

fn long(text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| Fault)
}

/// Reads a floating number as the clients' language does, except in hexadecimal.
pub(super) fn double(text: &str) -> Result<f64, Fault> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !digits.bytes().all(is_plain) {
        return Err(Fault);
    }
    digits.parse().map_err(|_| Fault)
}

/// A total order: not-a-number equals itself and is above everything, zero is above negative zero.
fn compare_doubles(left: f64, right: f64) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => left.total_cmp(&right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_numbers_are_read_as_clients_write_them() {
        for (text, number) in [
            ("5", 5.0),
            (" 5.5 ", 5.5),
            ("\t5.\n", 5.0),
            (".5", 0.5),
            ("-.5e1", -5.0),
            ("+1E2", 100.0),
            ("1.5f", 1.5),
            ("1D", 1.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
        ] {
            assert_eq!(double(text), Ok(number), "{text}");
        }
        assert!(double("-NaN").unwrap().is_nan());
        for text in [
            "", " ", ".", "e5", "1e", "inf", "nan", "1_0", "5 5", "0x1p3", "1ff", "\u{a0}1",
        ] {
            assert_eq!(double(text), Err(Fault), "{text:?}");
        }
    }

    #[test]
    fn floating_numbers_have_a_total_order() {
        let ascending = [
            f64::NEG_INFINITY,
            -1.0,
            -0.0,
            0.0,
            1.0,
            f64::INFINITY,
            f64::NAN,
        ];
        for (a, left) in ascending.iter().enumerate() {
            for (b, right) in ascending.iter().enumerate() {
                assert_eq!(compare_doubles(*left, *right), a.cmp(&b), "{left} {right}");
            }
        }
    }

    #[test]
    fn whole_numbers_have_the_width_of_the_constant() {
        let text = Value::Text("2147483648");
        assert_eq!(text.equals(Value::Int(1)), Err(Fault));
        assert_eq!(text.equals(Value::Long(2_147_483_648)), Ok(Some(true)));
        for odd in ["", "+", " 1", "1.0", "1L", "0x1"] {
            assert_eq!(
                Value::Text(odd).equals(Value::Int(1)),
                Err(Fault),
                "{odd:?}"
            );
        }
        assert_eq!(Value::Text("+1").equals(Value::Int(1)), Ok(Some(true)));
        assert_eq!(
            Value::Int(1).order(Value::Text("-2")),
            Ok(Ordering::Greater)
        );
    }

    #[test]
    fn types_without_a_common_one_are_unequal() {
        assert_eq!(Value::Bool(true).equals(Value::Int(1)), Ok(Some(false)));
        assert_eq!(
            Value::Double(1.0).equals(Value::Bool(true)),
            Ok(Some(false))
        );
        assert_eq!(Value::Bool(true).equals(Value::Text("true")), Err(Fault));
        assert_eq!(
            Value::Text("TRUE").equals(Value::Bool(true)),
            Ok(Some(true))
        );
        assert_eq!(
            Value::Text("yes").equals(Value::Bool(false)),
            Ok(Some(true))
        );
    }
}
