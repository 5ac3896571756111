//! Compiled filters against a naive interpreter of the same tree, over random trees and messages, and the parser against
//! random texts. The interpreter keeps the rules apart from the code it judges: a map of properties, values on the heap,
//! numbers compared as they are written.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it is wrong"
)]

use std::collections::HashMap;
use std::fmt::Write as _;

use crossdock_hub::SqlFilter;
use proptest::prelude::*;

/// A tree as its text says it; every operator stands in parentheses.
#[derive(Clone, Debug)]
enum Tree {
    Null,
    Bool(bool),
    Whole(i64),
    /// Tenths.
    Floating(u32),
    Text(String),
    Property(&'static str),
    Negate(Box<Tree>),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Equal(Box<Tree>, Box<Tree>, bool),
    Order(Box<Tree>, &'static str, Box<Tree>),
    IsNull(Box<Tree>, bool),
    Between(Box<Tree>, Box<Tree>, Box<Tree>, bool),
    In(&'static str, Vec<String>, bool),
    Has(Box<Tree>, &'static str, String, bool),
}
use Tree::*;

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

impl Tree {
    fn text(&self) -> String {
        let join = |trees: &[Tree], word: &str| {
            let each: Vec<_> = trees.iter().map(Tree::text).collect();
            format!("({})", each.join(word))
        };
        match self {
            Null => "NULL".into(),
            Bool(truth) => truth.to_string(),
            Whole(n) => n.to_string(),
            Floating(tenths) => format!("{}.{}", tenths / 10, tenths % 10),
            Text(text) => quoted(text),
            Property(name) => (*name).into(),
            Negate(inner) => format!("- {}", inner.text()),
            Not(inner) => format!("NOT {}", inner.text()),
            And(trees) => join(trees, " AND "),
            Or(trees) => join(trees, " oR "),
            Equal(l, r, negated) => {
                let sign = if *negated { "<>" } else { "=" };
                format!("({} {sign} {})", l.text(), r.text())
            }
            Order(l, sign, r) => format!("({}{sign}{})", l.text(), r.text()),
            IsNull(inner, negated) => format!("({} IS {}NULL)", inner.text(), not(*negated)),
            Between(x, low, high, negated) => {
                let (x, low, high) = (x.text(), low.text(), high.text());
                format!("({x} {}BETWEEN {low} AND {high})", not(*negated))
            }
            In(name, texts, negated) => {
                let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                format!("({name} {}in ({}))", not(*negated), texts.join(","))
            }
            Has(inner, part, needle, negated) => {
                format!(
                    "({} {}{part} {})",
                    inner.text(),
                    not(*negated),
                    quoted(needle)
                )
            }
        }
    }

    fn is_condition(&self) -> bool {
        !matches!(self, Whole(_) | Floating(_) | Text(_) | Negate(_))
    }

    fn has_order(&self) -> bool {
        matches!(self, Whole(_) | Floating(_) | Property(_) | Negate(_))
    }

    /// Whether the types fit, so that the text compiles.
    fn is_legal(&self) -> bool {
        match self {
            Null | Bool(_) | Whole(_) | Text(_) | Property(_) => true,
            // Zero is no floating literal.
            Floating(tenths) => *tenths != 0,
            Negate(inner) | IsNull(inner, _) | Has(inner, ..) => inner.is_legal(),
            Not(inner) => inner.is_legal() && inner.is_condition(),
            And(trees) | Or(trees) => trees.iter().all(|t| t.is_legal() && t.is_condition()),
            Equal(l, r, _) => {
                let is_odd =
                    matches!(**l, Bool(_)) && matches!(**r, Whole(_) | Floating(_) | Text(_));
                let is_null = matches!(**l, Null) || matches!(**r, Null);
                l.is_legal() && r.is_legal() && !is_odd && !is_null
            }
            Order(l, _, r) => l.is_legal() && r.is_legal() && l.has_order() && r.has_order(),
            Between(x, low, high, negated) => {
                let number = |tree: &Tree| match tree {
                    Whole(n) => Some(*n as f64),
                    Floating(tenths) => Some(f64::from(*tenths) / 10.0),
                    _ => None,
                };
                let is_upside_down = match (number(low), number(high)) {
                    (Some(low), Some(high)) => high < low,
                    _ => false,
                };
                [x, low, high].iter().all(|t| t.is_legal() && t.has_order())
                    && (*negated || !is_upside_down)
            }
            In(..) => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nothing,
    Truth(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Words(String),
}
use Value::*;

type Outcome<T> = Result<T, ()>;
type Map = HashMap<&'static str, String>;

fn truth(value: Value) -> Option<bool> {
    match value {
        Truth(truth) => Some(truth),
        _ => None,
    }
}

fn condition(tree: &Tree, map: &Map) -> Outcome<Option<bool>> {
    Ok(match (tree, evaluate(tree, map)?) {
        (Property(_), Words(_)) => Some(false),
        (_, value) => truth(value),
    })
}

fn from(truth: Option<bool>) -> Value {
    truth.map_or(Nothing, Truth)
}

/// -1, 0 or 1, with both sides in the type of the one that is no text.
fn compare(left: &Value, right: &Value) -> Outcome<i32> {
    let sign = |ordering: std::cmp::Ordering| ordering as i32;
    Ok(match (left, right) {
        (Truth(l), Truth(r)) => sign(l.cmp(r)),
        (Words(l), Truth(r)) => sign((l.to_lowercase() == "true").cmp(r)),
        (Truth(_), Words(_)) => return Err(()),
        (Words(l), Int(r)) => sign(l.parse::<i32>().map_err(drop)?.cmp(r)),
        (Words(l), Long(r)) => sign(l.parse::<i64>().map_err(drop)?.cmp(r)),
        (Words(l), Double(r)) => sign(float(l)?.total_cmp(r)),
        (Int(_) | Long(_) | Double(_), Words(_)) => -compare(right, left)?,
        (Double(l), Double(r)) => sign(l.total_cmp(r)),
        (Int(l), Int(r)) => sign(l.cmp(r)),
        (Long(l), Long(r)) => sign(l.cmp(r)),
        (Int(l), Long(r)) => sign(i64::from(*l).cmp(r)),
        (Long(l), Int(r)) => sign(l.cmp(&i64::from(*r))),
        (Double(l), Int(r)) => sign(l.total_cmp(&f64::from(*r))),
        (Double(l), Long(r)) => sign(l.total_cmp(&(*r as f64))),
        (Int(_) | Long(_), Double(_)) => -compare(right, left)?,
        _ => -1,
    })
}

/// The properties of these tests hold no other floating numbers than plain ones.
fn float(text: &str) -> Outcome<f64> {
    text.trim().parse().map_err(drop)
}

fn equal(left: Value, right: Value) -> Outcome<Option<bool>> {
    Ok(match (&left, &right) {
        (Nothing, Nothing) => Some(true),
        (Nothing, _) => None,
        (_, Nothing) => Some(false),
        (Words(l), Words(r)) => Some(l == r),
        _ => Some(compare(&left, &right)? == 0),
    })
}

fn order(left: &Tree, sign: &str, right: &Tree, map: &Map) -> Outcome<Option<bool>> {
    let left = evaluate(left, map)?;
    if left == Nothing {
        return Ok(None);
    }
    let right = evaluate(right, map)?;
    if right == Nothing {
        return Ok(None);
    }
    let order = match (&left, &right) {
        (Words(l), Words(r)) => float(l)?.total_cmp(&float(r)?) as i32,
        _ => compare(&left, &right)?,
    };
    Ok(Some(match sign {
        "<" => order < 0,
        "<=" => order <= 0,
        ">" => order > 0,
        ">=" => order >= 0,
        other => panic!("{other}"),
    }))
}

/// Two operands at a time, the second only if the first does not decide.
fn both(
    left: Outcome<Option<bool>>,
    right: impl FnOnce() -> Outcome<Option<bool>>,
    decisive: bool,
) -> Outcome<Option<bool>> {
    let left = left?;
    if left == Some(decisive) {
        return Ok(left);
    }
    let right = right()?;
    if right == Some(decisive) {
        return Ok(right);
    }
    Ok(left.and(right))
}

fn evaluate(tree: &Tree, map: &Map) -> Outcome<Value> {
    Ok(match tree {
        Null => Nothing,
        Bool(truth) => Truth(*truth),
        Whole(n) => i32::try_from(*n).map_or(Long(*n), Int),
        Floating(tenths) => Double(format!("{}.{}", tenths / 10, tenths % 10).parse().unwrap()),
        Text(text) => Words(text.clone()),
        Property(name) => map.get(name).cloned().map_or(Nothing, Words),
        Negate(inner) => match evaluate(inner, map)? {
            Int(n) => Int(-n),
            Long(n) => Long(-n),
            Double(n) => Double(-n),
            _ => Nothing,
        },
        Not(inner) => from(condition(inner, map)?.map(|truth| !truth)),
        And(trees) | Or(trees) => {
            let decisive = matches!(tree, Or(_));
            let mut trees = trees.iter();
            let mut outcome = condition(trees.next().unwrap(), map);
            for tree in trees {
                outcome = both(outcome, || condition(tree, map), decisive);
            }
            from(outcome?)
        }
        Equal(l, r, negated) => {
            let equal = equal(evaluate(l, map)?, evaluate(r, map)?)?;
            from(equal.map(|equal| equal != *negated))
        }
        Order(l, sign, r) => from(order(l, sign, r, map)?),
        IsNull(inner, negated) => Truth((evaluate(inner, map)? == Nothing) != *negated),
        Between(x, low, high, false) => {
            let from_low = order(x, ">=", low, map);
            from(both(from_low, || order(x, "<=", high, map), false)?)
        }
        Between(x, low, high, true) => {
            let below = order(x, "<", low, map);
            from(both(below, || order(x, ">", high, map), true)?)
        }
        In(name, texts, negated) => match map.get(name) {
            None => Nothing,
            Some(text) => Truth(texts.contains(text) != *negated),
        },
        Has(inner, part, needle, negated) => {
            if needle.is_empty() {
                return Ok(Truth(false));
            }
            let Words(text) = evaluate(inner, map)? else {
                return Ok(Truth(false));
            };
            let has = match *part {
                "CONTAINS" => text.contains(needle.as_str()),
                "StartsWith" => text.starts_with(needle.as_str()),
                "endswith" => text.ends_with(needle.as_str()),
                other => panic!("{other}"),
            };
            Truth(has != *negated)
        }
    })
}

const NAMES: [&str; 6] = ["a", "b", "TAGS", "_x$1", "missing", "A"];

fn texts() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "x",
        "xy",
        "it's",
        "''",
        "7",
        "-7",
        "+3",
        "3.5",
        " 3.5 ",
        "true",
        "FALSE",
        "3000000000",
        "é",
        "0",
    ])
    .prop_map(str::to_owned)
}

fn leaves() -> impl Strategy<Value = Tree> {
    prop_oneof![
        1 => Just(Null),
        2 => any::<bool>().prop_map(Bool),
        3 => (0i64..9).prop_map(Whole),
        1 => prop::sample::select(vec![3_000_000_000, i64::MAX, 2_147_483_648]).prop_map(Whole),
        2 => (0u32..90).prop_map(Floating),
        3 => texts().prop_map(Text),
        9 => prop::sample::select(NAMES.to_vec()).prop_map(Property),
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    leaves().prop_recursive(5, 48, 4, |inner| {
        let one = || inner.clone().prop_map(Box::new);
        let leaf = || leaves().prop_map(Box::new);
        let signs = prop::sample::select(vec!["<", "<=", ">", ">="]);
        let parts = prop::sample::select(vec!["CONTAINS", "StartsWith", "endswith"]);
        let names = prop::sample::select(NAMES.to_vec());
        prop_oneof![
            1 => leaf().prop_map(Negate),
            2 => one().prop_map(Not),
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(And),
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(Or),
            3 => (leaf(), leaf(), any::<bool>()).prop_map(|(l, r, n)| Equal(l, r, n)),
            1 => (one(), one(), any::<bool>()).prop_map(|(l, r, n)| Equal(l, r, n)),
            4 => (leaf(), signs, leaf()).prop_map(|(l, s, r)| Order(l, s, r)),
            1 => (one(), any::<bool>()).prop_map(|(t, n)| IsNull(t, n)),
            2 => (leaf(), leaf(), leaf(), any::<bool>()).prop_map(|(x, l, h, n)| Between(x, l, h, n)),
            2 => (names, prop::collection::vec(texts(), 1..4), any::<bool>())
                .prop_map(|(name, texts, n)| In(name, texts, n)),
            2 => (one(), parts, texts(), any::<bool>()).prop_map(|(t, p, s, n)| Has(t, p, s, n)),
        ]
    })
}

fn messages() -> impl Strategy<Value = Map> {
    let names = prop::sample::select(vec!["a", "b", "TAGS", "_x$1", "A", "other"]);
    prop::collection::hash_map(names, texts(), 2..6)
}

/// Tokens that a text may be made of.
fn scraps() -> impl Strategy<Value = String> {
    let scraps = prop::sample::select(vec![
        "a",
        "b",
        "(",
        ")",
        "=",
        "<>",
        "<",
        ">=",
        "AND",
        "or",
        "NOT",
        "IS",
        "NULL",
        "IN",
        "BETWEEN",
        "'x'",
        "''",
        "'",
        "1",
        "0",
        "2.5",
        "L",
        "-",
        "--",
        "+",
        ",",
        "/*",
        "*/",
        "\n",
        "CONTAINS",
        "TRUE",
        "é",
        ".",
        "%",
        "STARTSWITH",
    ]);
    prop::collection::vec((scraps, prop::sample::select(vec!["", " "])), 0..24).prop_map(|scraps| {
        scraps
            .iter()
            .fold(String::new(), |mut text, (scrap, blank)| {
                let _ = write!(text, "{scrap}{blank}");
                text
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_compiled_filter_says_what_the_tree_says(tree in trees(), messages in prop::collection::vec(messages(), 4)) {
        let text = tree.text();
        let filter = SqlFilter::compile(&text);
        prop_assert_eq!(filter.is_ok(), tree.is_legal() && tree.is_condition(), "{}: {:?}", text, filter);
        if let Ok(filter) = filter {
            for message in messages {
                let expected = condition(&tree, &message) == Ok(Some(true));
                let pairs = message.iter().map(|(name, value)| (*name, value.as_str()));
                prop_assert_eq!(filter.matches(pairs), expected, "{} over {:?}", text, message);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_stumble(text in prop_oneof![scraps(), any::<String>()]) {
        if let Ok(filter) = SqlFilter::compile(&text) {
            filter.matches([("a", "1"), ("b", "x")]);
        }
    }
}

/// Guards the property above against trees that never compile, or say the same of every message.
#[test]
fn the_random_trees_are_worth_evaluating() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut compiled, mut matched, mut faulty) = (0, 0, 0);
    for _ in 0..1_000 {
        let tree = trees().new_tree(&mut runner).unwrap().current();
        let message = messages().new_tree(&mut runner).unwrap().current();
        if tree.is_legal() && tree.is_condition() {
            compiled += 1;
            match condition(&tree, &message) {
                Ok(Some(true)) => matched += 1,
                Ok(_) => {}
                Err(()) => faulty += 1,
            }
        }
    }
    let counts = (compiled, matched, faulty);
    assert!(compiled > 400 && matched > 80 && faulty > 25, "{counts:?}");
}
