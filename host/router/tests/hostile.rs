//! Hostile input: whatever a pattern or a path is, nothing panics, limits hold, and time stays linear.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails that way"
)]

use std::sync::LazyLock;

use proptest::prelude::*;
use wardroom_router::{
    EXPRESSION_BYTES_MAX, EXPRESSIONS_BYTES_MAX, OPTIONALS_MAX, PARAMS_MAX, PATTERN_BYTES_MAX,
    Pattern, PatternError, PatternParser, RouteTable,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_text_parses_or_is_refused(text in any::<String>(), path in any::<String>()) {
        if let Ok(pattern) = Pattern::parse(&text) {
            let _ = pattern.matches(&path);
            prop_assert!(Pattern::parse(pattern.as_str()).unwrap().is_same(&pattern));
        }
    }

    #[test]
    fn anything_like_a_pattern_parses_or_is_refused(
        text in r"[:*?()\[\]\\/ab.|+^$é{}&,0-9~-]{0,24}",
        path in "[%ab/:é0-9]{0,12}",
    ) {
        match Pattern::parse(&text) {
            Ok(pattern) => {
                let mut builder = RouteTable::builder();
                builder.add("event", pattern.clone(), ()).unwrap();
                prop_assert!(builder.add("event", pattern.clone(), ()).is_err());
                let found = builder.build().find("event", &path).map(|found| found.params);
                prop_assert_eq!(found, pattern.matches(&path));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Where an expression ends is found without parsing it: that must agree with the parser.
    #[test]
    fn any_valid_expression_is_taken_whole(expression in r"[()\[\]\\ab|^:?&-]{1,12}") {
        if regex::Regex::new(&expression).is_ok() {
            let pattern = Pattern::parse(&format!("/:a({expression})/:b")).unwrap();
            prop_assert_eq!(pattern.names().collect::<Vec<_>>(), ["a", "b"]);
            let whole = regex::Regex::new(&format!(r"\A(?:{expression})\z")).unwrap();
            for value in ["", "a", "b", "ab", "ba", ")", "(", "aab", ":"] {
                let matched = pattern.matches(&format!("/{value}/x")).is_some();
                prop_assert_eq!(matched, whole.is_match(value), "{} on {}", value, expression);
            }
        }
    }

    #[test]
    fn any_path_is_looked_up(path in any::<String>(), event in any::<String>()) {
        prop_assert!(TABLE.find("event", &path).is_some());
        prop_assert_eq!(TABLE.find(&event, &path).is_some(), event == "event");
    }
}

/// One route of each kind, and one that any path matches.
static TABLE: LazyLock<RouteTable<()>> = LazyLock::new(|| {
    let mut builder = RouteTable::builder();
    for pattern in ["/:a-:b", "/:a:b", "/*é*", r"/:x(\w+)/*", "/a/:v?", "*"] {
        builder
            .add("event", Pattern::parse(pattern).unwrap(), ())
            .unwrap();
    }
    builder.build()
});

fn error(pattern: &str) -> PatternError {
    Pattern::parse(pattern).expect_err(pattern)
}

#[test]
fn the_length_is_limited() {
    let just = "a".repeat(PATTERN_BYTES_MAX - 1);
    assert!(Pattern::parse(&just).is_ok());
    assert!(Pattern::parse(&format!("/{just}")).is_ok());
    let bytes = PATTERN_BYTES_MAX + 1;
    assert_eq!(error(&format!("{just}b")), PatternError::TooLong { bytes });
    assert_eq!(error(&format!("/{just}b")), PatternError::TooLong { bytes });
}

#[test]
fn parameters_are_limited() {
    let just = "/:a/*".repeat(PARAMS_MAX / 2);
    assert!(Pattern::parse(&just).is_ok());
    assert_eq!(
        error(&format!("{just}/:b")),
        PatternError::TooManyParams { at: just.len() + 1 }
    );
    assert_eq!(
        error(&format!("{just}*")),
        PatternError::TooManyParams { at: just.len() }
    );
}

#[test]
fn optional_parameters_are_limited() {
    let just = "/:a?".repeat(OPTIONALS_MAX);
    assert!(Pattern::parse(&just).is_ok());
    assert_eq!(
        error(&format!("{just}/:b?")),
        PatternError::TooManyOptionals { at: just.len() + 1 }
    );
}

#[test]
fn an_expression_compiled_is_limited() {
    // What is allowed most shows how near the limit is: one repetition takes 72 bytes.
    let pattern = |times: usize| format!("/:a([a-z]{{{times}}})");
    let times: Vec<usize> = (1..100_000).step_by(1000).collect();
    let fitting = times.partition_point(|&times| Pattern::parse(&pattern(times)).is_ok());
    let most = times[fitting - 1];
    assert!(
        (50..100).contains(&(EXPRESSION_BYTES_MAX / most)),
        "{most} repetitions fit"
    );
    let big = pattern(times[fitting]);
    let expression = big[4..big.len() - 1].to_owned();
    assert_eq!(error(&big), PatternError::ExpressionTooBig { expression });
    assert!(Pattern::parse(r"/:a(\w{1,32})").is_ok());
    assert!(matches!(
        error(r"/:a(\w{1,64})"),
        PatternError::ExpressionTooBig { .. }
    ));
    // Each fits, but both in one segment are one regex.
    let two_thirds = pattern(most * 2 / 3);
    assert!(Pattern::parse(&two_thirds.repeat(2)).is_ok());
    let both = two_thirds.replace('/', "").repeat(2);
    assert!(matches!(
        error(&both),
        PatternError::ExpressionTooBig { .. }
    ));
}

#[test]
fn all_expressions_of_a_parser_are_limited() {
    let mut parser = PatternParser::new();
    let big = |n| format!(r"/:a({n}\w{{1,32}})");
    for n in 0..EXPRESSIONS_BYTES_MAX / EXPRESSION_BYTES_MAX {
        parser.parse(&big(n)).unwrap();
    }
    let refused = big(99);
    let expression = refused[4..refused.len() - 1].to_owned();
    assert_eq!(
        parser.parse(&refused).unwrap_err(),
        PatternError::ExpressionsTooBig { expression }
    );
    // It goes on with what needs nothing new, and another one begins anew.
    assert!(parser.parse(&big(1)).is_ok());
    assert!(parser.parse("/:a/:b-:c/*").is_ok());
    assert!(PatternParser::new().parse(&big(99)).is_ok());
}

#[test]
fn mistakes_are_told_where_they_are() {
    assert_eq!(error("/a/:"), PatternError::EmptyName { at: 3 });
    assert_eq!(error("::a"), PatternError::EmptyName { at: 0 });
    assert_eq!(error("/:é"), PatternError::EmptyName { at: 1 });
    assert_eq!(error("/:(a)"), PatternError::EmptyName { at: 1 });
    assert_eq!(error("/:a(b"), PatternError::UnclosedExpression { at: 3 });
    assert_eq!(error("/*(b[)]"), PatternError::UnclosedExpression { at: 2 });
    assert_eq!(error(r"/*(b\)"), PatternError::UnclosedExpression { at: 2 });
    assert_eq!(error("/:a()"), PatternError::EmptyExpression { at: 3 });
    assert_eq!(error("/*?"), PatternError::OptionalWildcard { at: 2 });
    assert_eq!(error("/*(a)?"), PatternError::OptionalWildcard { at: 5 });
    for after in [
        "/", "/b", "-", "b", "/:b", ":b", "*", "/:b?/", "-:b?", "//:b?",
    ] {
        let name = "a".to_owned();
        assert_eq!(
            error(&format!("/:a?{after}")),
            PatternError::OptionalNotLast { at: 1, name },
            "{after}"
        );
    }
    let PatternError::InvalidExpression {
        at,
        expression,
        reason,
    } = error("/é/:a(x**[z-a])")
    else {
        panic!("the class is invalid");
    };
    assert_eq!((at, expression.as_str()), (11, "x**[z-a]"));
    assert!(reason.contains("range"), "{reason}");
    assert!(matches!(
        error("/:a((?=b))"),
        PatternError::InvalidExpression { .. }
    ));
    assert!(matches!(
        error(&format!("/:a({}b{})", "(".repeat(200), ")".repeat(200))),
        PatternError::InvalidExpression { .. }
    ));
}

/// A message says what to write instead, and one line is enough for it.
#[test]
fn messages_are_one_line() {
    for pattern in [
        "/:",
        "/:a(",
        "/:a()",
        "/:a(**)",
        "/:a?b",
        "*?",
        r"/:a(\w{999})",
    ] {
        let message = error(pattern).to_string();
        assert!(!message.contains('\n'), "{message}");
        assert!(message.len() > 40, "{message}");
    }
}

/// Quadratic time would make this take minutes.
#[test]
fn a_hostile_path_takes_linear_time() {
    let mut builder = RouteTable::builder();
    let alike = (0..2000).map(|i| format!("/:a-{i}-:b(x+)"));
    let others = [
        "/*a*a*a*a*ab",
        "/:a.:a.:a.:a.b",
        "/*-x-*-:y(b)",
        "/*/:a(.*)/:b(.*)c",
        r"/:a((x+x+)+)y",
    ];
    for pattern in alike.chain(others.map(str::to_owned)) {
        builder
            .add("event", Pattern::parse(&pattern).unwrap(), ())
            .unwrap();
    }
    let table = builder.build();
    for piece in ["a", ".", "/", "-x-", "-1-", "x", "-"] {
        let path = piece.repeat(200_000 / piece.len());
        assert!(table.find("event", &path).is_none(), "{piece}");
    }
}
