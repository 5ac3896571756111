//! The language by example: what compiles, what does not, and what each expression says of a message.

use super::*;

/// The properties that the examples are evaluated over.
const MESSAGE: [(&str, &str); 9] = [
    ("a", "7"),
    ("b", "x"),
    ("price", "3.50"),
    ("big", "3000000000"),
    ("yes", "TRUE"),
    ("word", "half'way"),
    ("TAGS", "created"),
    ("same", "x"),
    ("blank", " 7 "),
];

fn matches(text: &str) -> bool {
    let filter = SqlFilter::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    filter.matches(MESSAGE)
}

#[track_caller]
fn true_of_the_message(texts: &[&str]) {
    for text in texts {
        assert!(matches(text), "{text}");
    }
}

#[track_caller]
fn no_match(texts: &[&str]) {
    for text in texts {
        assert!(!matches(text), "{text}");
    }
}

/// Neither the expression nor its opposite matches.
#[track_caller]
fn unknown(texts: &[&str]) {
    for text in texts {
        assert!(!matches(text), "{text}");
        assert!(!matches(&format!("NOT ({text})")), "opposite of {text}");
        assert!(matches(&format!("({text}) IS NULL")), "nullness of {text}");
    }
}

/// The evaluation stops and takes everything around it along.
#[track_caller]
fn faulty(texts: &[&str]) {
    for text in texts {
        assert!(!matches(text), "{text}");
        assert!(!matches(&format!("NOT ({text})")), "opposite of {text}");
        assert!(
            !matches(&format!("({text}) OR TRUE")),
            "alternative to {text}"
        );
        assert!(!matches(&format!("({text}) IS NULL")), "nullness of {text}");
    }
}

#[test]
fn properties_take_the_type_of_the_constant() {
    true_of_the_message(&[
        "a = 7",
        "a = 7.0",
        "a = '7'",
        "a > 5 AND b = 'x'",
        "7 = a AND 5 < a AND 8.5 > a",
        "a = 7L",
        "price = 3.5 AND price > 3.4",
        "big = 3000000000 AND big >= 3e9",
        "yes = TRUE AND b = FALSE",
        "blank > 6.5",
        "a = b <> TRUE",
        "-a IS NULL",
        "a > -5 AND a <> -7",
        "a = + 7",
    ]);
    no_match(&["a = '7.0'", "a > 7", "a < 7.0", "b = 'X'"]);
    // Not of the constant's type, or wider than it.
    faulty(&[
        "price = 3",
        "price > 3",
        "big > 5",
        "b > 1.5",
        "blank = 7",
        "b = 1",
        "TRUE = yes",
    ]);
}

#[test]
fn texts_are_ordered_only_if_both_are_numbers() {
    true_of_the_message(&["a > price", "price <= a", "big > a", "b = same", "b <> a"]);
    faulty(&["a > b", "b < same"]);
}

#[test]
fn missing_properties_are_unknown() {
    unknown(&[
        "m = 1",
        "m <> 1",
        "m > 1",
        "1 < m",
        "m = 'x'",
        "m IN ('x')",
        "m BETWEEN 1 AND 2",
    ]);
    unknown(&[
        "m",
        "NOT m",
        "m NOT IN ('x')",
        "m = TRUE",
        "m = a",
        "m > 1 AND a = 7",
    ]);
    // A missing right side of an equality is a difference, and two missing sides are equal.
    true_of_the_message(&[
        "NOT (a = m)",
        "a <> m",
        "m = n",
        "m IS NULL",
        "a IS NOT NULL",
    ]);
    no_match(&["a = m", "m <> n", "m IS NOT NULL", "a IS NULL"]);
    // Kleene's rules.
    true_of_the_message(&["m = 1 OR a = 7", "NOT (m = 1 AND a = 8)"]);
    unknown(&["m = 1 OR a = 8"]);
}

#[test]
fn the_parts_of_a_text_never_are_unknown() {
    true_of_the_message(&[
        "b CONTAINS 'x'",
        "TAGS STARTSWITH 'crea'",
        "TAGS endswith 'ted'",
        "TAGS NOT CONTAINS 'z' AND TAGS NOT STARTSWITH 'r' AND TAGS NOT ENDSWITH 'e'",
        "word CONTAINS 'f''w'",
        "'axb' CONTAINS 'x'",
    ]);
    no_match(&[
        "TAGS CONTAINS 'Crea'",
        "TAGS STARTSWITH 'reated'",
        "TAGS NOT CONTAINS 'e'",
    ]);
    for test in ["CONTAINS", "STARTSWITH", "ENDSWITH"] {
        for negated in ["", "NOT "] {
            // Missing, empty and of another type: false, and its opposite true.
            for (operand, needle) in [("m", "x"), ("TAGS", ""), ("5", "5"), ("(a = 7)", "t")] {
                let text = format!("{operand} {negated}{test} '{needle}'");
                assert!(!matches(&text), "{text}");
                assert!(matches(&format!("NOT ({text})")), "opposite of {text}");
            }
        }
    }
}

#[test]
fn lists_hold_texts_and_stand_right_of_a_property() {
    true_of_the_message(&[
        "a IN ('3', '7')",
        "a NOT IN ('3')",
        "(b) IN ('x')",
        "word in ('half''way')",
    ]);
    no_match(&["a IN ('07', '8')", "a NOT IN ('7')"]);
}

#[test]
fn between_includes_its_bounds() {
    true_of_the_message(&[
        "a BETWEEN 7 AND 7",
        "a BETWEEN -1 AND 10",
        "a NOT BETWEEN 8 AND 10",
    ]);
    true_of_the_message(&[
        "a NOT BETWEEN 10 AND 8",
        "7 BETWEEN 5 AND a",
        "price BETWEEN 3.4 AND a",
    ]);
    no_match(&["a BETWEEN 8 AND 10", "a NOT BETWEEN 7 AND 9"]);
}

#[test]
fn operators_bind_as_in_the_reference() {
    true_of_the_message(&["a = 8 AND a = 8 OR a = 7", "a = 7 OR a = 7 AND a = 8"]);
    // NOT takes the property, not the comparison: it is true, since a property is no condition.
    true_of_the_message(&["NOT a", "NOT a = TRUE", "NOT (NOT b = FALSE)"]);
    true_of_the_message(&["a > 5 = TRUE", "a = 8 = FALSE", "(a = 7) = (b = 'x')"]);
    // A text that is not `true` equals FALSE.
    true_of_the_message(&["a = (b = 'y')"]);
    no_match(&["a", "NOT a = FALSE", "(a = 7) = 1", "yes = (b = 'y')"]);
    true_of_the_message(&["TRUE", "NOT FALSE", "1 <> TRUE", "1 = 1.0", "NULL IS NULL"]);
    no_match(&["FALSE", "NULL", "NOT NULL", "2 > 3"]);
}

#[test]
fn a_false_left_side_spares_the_right_its_fault() {
    true_of_the_message(&["a = 7 OR b > 1", "NOT (a = 8 AND b > 1)"]);
    faulty(&["b > 1 OR a = 7", "a = 7 AND b > 1", "m = 1 AND b > 1"]);
}

#[test]
fn the_last_of_repeated_properties_counts() {
    let filter = SqlFilter::compile("a = '2'").unwrap();
    assert!(filter.matches([("a", "1"), ("a", "2")]));
    assert!(!filter.matches([("a", "2"), ("a", "1")]));
    assert!(!filter.matches([]));
}

#[test]
fn comments_and_blanks_separate() {
    true_of_the_message(&[
        "a/**/=\t7",
        "a = 7 -- the end",
        "-- first\n a = 7",
        "a = --7\r 7",
        "a=7and b='x'",
    ]);
    // Two signs, since no line ends.
    true_of_the_message(&["a = --7"]);
}

#[test]
fn what_is_no_filter_says_where() {
    for (text, at) in [
        ("", 0),
        ("  ", 2),
        ("a =", 3),
        ("a = 1 b", 6),
        ("a LIKE 'x%'", 2),
        ("a != 1", 2),
        ("a + 1 = 2", 2),
        ("a == 1", 3),
        ("a IS 1", 5),
        ("a NOT 1", 6),
        ("a and between 2 and 10", 6),
        ("a IN ()", 6),
        ("a IN (1)", 6),
        ("a IN ('1' '2')", 10),
        ("a CONTAINS b", 11),
        ("(a = 1", 6),
        ("a = 1)", 5),
        ("a = 007", 5),
        ("a = 'x", 4),
        ("a = 1;", 5),
        ("a.b = 1", 1),
        ("a-b = 1", 1),
        ("a BETWEEN 1, 2", 11),
        ("+", 1),
    ] {
        match SqlFilter::compile(text) {
            Err(FilterError::Unexpected { at: found, .. }) => assert_eq!(found, at, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn types_that_do_not_fit_are_refused() {
    for text in [
        "5",
        "'x'",
        "-a",
        "5 AND a = 1",
        "NOT 'x'",
        "a > 'x'",
        "a > TRUE",
        "a > NULL",
        "(a = 1) > 2",
        "a = NULL",
        "NULL <> a",
        "TRUE = 1",
        "a BETWEEN 10 AND 0",
        "a BETWEEN 1.5 AND 1",
        "a BETWEEN NULL AND 1",
        "a BETWEEN 'a' AND 'b'",
        "5 IN ('5')",
        "(a = 1) IN ('x')",
        "a = 9223372036854775808",
        "a = 0.0",
        "a = 1e999",
        "a = 1e-999",
    ] {
        let error = SqlFilter::compile(text).unwrap_err();
        assert!(
            matches!(error, FilterError::Types { .. }),
            "{text}: {error}"
        );
    }
    // Zero as a whole number, the ends of the ranges, and bounds that are no constants.
    for text in [
        "a = 0",
        "a = 4.9e-324",
        "a = -9223372036854775807",
        "a BETWEEN 5 AND -5",
    ] {
        assert!(SqlFilter::compile(text).is_ok(), "{text}");
    }
}

#[test]
fn every_size_has_a_limit() {
    let too_many = |text: &str| match SqlFilter::compile(text) {
        Err(FilterError::TooMany { what, .. }) => what,
        other => panic!("{:?}", other.map(|_| "compiles")),
    };
    assert_eq!(
        too_many(&format!("a = '{}'", "x".repeat(FILTER_TEXT_MAX))),
        "bytes"
    );
    for (open, close) in [("(", ")"), ("NOT (", ")"), ("+", ""), ("- ", "")] {
        let text = format!("{}a{} = 1", open.repeat(1000), close.repeat(1000));
        assert_eq!(too_many(&text), "levels", "{open}");
        let text = format!("{}a{} IS NULL", open.repeat(60), close.repeat(60));
        assert!(SqlFilter::compile(&text).is_ok(), "{open}");
    }
    let chain = format!("a{}", " = a".repeat(FILTER_DEPTH_MAX + 1));
    assert_eq!(too_many(&chain), "levels");
    let names = |n: usize| {
        let each: Vec<_> = (0..n).map(|n| format!("p{n} = 1")).collect();
        each.join(" OR ")
    };
    assert_eq!(too_many(&names(FILTER_NAMES_MAX + 1)), "different names");
    let list = |n: usize| format!("a IN ('x'{})", ",'x'".repeat(n - 1));
    assert_eq!(too_many(&list(FILTER_LIST_MAX + 1)), "texts in a list");
    assert!(SqlFilter::compile(&list(FILTER_LIST_MAX)).is_ok());
    // As many names as there may be, and a long chain.
    let filter = SqlFilter::compile(&names(FILTER_NAMES_MAX)).unwrap();
    assert!(filter.matches([("p63", "1")]) && !filter.matches([("p64", "1")]));
    let chain = vec!["a = 7"; 1000].join(" AND ");
    assert!(matches(&chain));
}
