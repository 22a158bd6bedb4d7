//! The table against a model that shares nothing with it: patterns are made as tokens here, matched
//! by backtracking over them one character at a time, compared position by position, and the table
//! must find what a scan of all of them finds.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails that way"
)]

use std::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;
use wardroom_router::{Pattern, PatternParser, RouteTable};

/// Whether an expression matches the whole of a value.
type Meaning = fn(&str) -> bool;

/// Expressions that prefer less when their quantifiers do, as the model does; and what they mean.
const EXPRESSIONS: [(&str, Meaning); 7] = [
    ("[ab]+", |v| {
        !v.is_empty() && v.chars().all(|c| "ab".contains(c))
    }),
    ("a|bb", |v| v == "a" || v == "bb"),
    (".+", |v| !v.is_empty()),
    ("b*", |v| v.chars().all(|c| c == 'b')),
    (r"[^a)]+|[)\)(]", |v| !v.is_empty() && !v.contains('a')),
    ("(a)((?:b)?)", |v| v == "a" || v == "ab"),
    ("^a+?$", |v| !v.is_empty() && v.chars().all(|c| c == 'a')),
];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Param {
        name: &'static str,
        expression: Option<usize>,
        optional: bool,
    },
    Wildcard {
        expression: Option<usize>,
    },
}
use Token::{Param, Text, Wildcard};

/// The tokens of a pattern behind its leading slash: texts apart from each other, and none that would lengthen a parameter's name.
fn tidy(tokens: Vec<Token>) -> Vec<Token> {
    let mut tidied: Vec<Token> = Vec::new();
    for token in tokens {
        match (tidied.last_mut(), token) {
            (Some(Text(before)), Text(text)) => before.push_str(&text),
            (
                Some(Param {
                    expression: None, ..
                }),
                Text(text),
            ) if text.starts_with(['a', 'b']) => {
                tidied.push(Text(format!("-{text}")));
            }
            (_, token) => tidied.push(token),
        }
    }
    tidied
}

/// The pattern as it is written; without names it tells whether two patterns are the same.
fn written(tokens: &[Token], names: bool) -> String {
    let mut text = String::from("/");
    let expressed =
        |e: &Option<usize>| e.map_or(String::new(), |e| format!("({})", EXPRESSIONS[e].0));
    for token in tokens {
        match token {
            Text(literal) => text.push_str(&literal.replace('*', r"\*").replace(':', r"\:")),
            Param {
                name,
                expression,
                optional,
            } => {
                text.push(':');
                text.push_str(if names { name } else { "" });
                text.push_str(&expressed(expression));
                text.push_str(if *optional { "?" } else { "" });
            }
            Wildcard { expression } => {
                text.push('*');
                text.push_str(&expressed(expression));
            }
        }
    }
    text
}

/// A pattern with some of its optional parameters, and how many it lacks.
#[derive(Clone, Debug)]
struct Form {
    tokens: Vec<Token>,
    missing: Vec<Token>,
}

fn forms(tokens: &[Token]) -> Vec<Form> {
    let optional = |token: &Token| matches!(token, Param { optional: true, .. });
    let mut forms = vec![Form {
        tokens: tokens.to_vec(),
        missing: Vec::new(),
    }];
    while let Some(at) = forms[forms.len() - 1].tokens.iter().rposition(optional) {
        let mut form = forms[forms.len() - 1].clone();
        form.missing.insert(0, form.tokens[at].clone());
        form.tokens.truncate(at);
        if let Some(Text(text)) = form.tokens.last_mut() {
            text.truncate(text.strip_suffix('/').unwrap_or(text).len());
        }
        form.tokens.retain(|token| *token != Text(String::new()));
        forms.push(form);
    }
    forms
}

/// The values with which `tokens` match `path`, each as short as it can be from left to right.
fn captures(tokens: &[Token], path: &str) -> Option<Vec<(String, String)>> {
    let Some((token, others)) = tokens.split_first() else {
        return path.is_empty().then(Vec::new);
    };
    let (name, expression, param) = match token {
        Text(text) => return captures(others, path.strip_prefix(text.as_str())?),
        Param {
            name, expression, ..
        } => (*name, expression, true),
        Wildcard { expression } => ("*", expression, false),
    };
    let ends = path.char_indices().map(|(at, _)| at).chain([path.len()]);
    for (value, rest) in ends.map(|end| path.split_at(end)) {
        let fits = match expression {
            Some(expression) => EXPRESSIONS[*expression].1(value),
            None => !param || !value.is_empty(),
        };
        if fits
            && !(param && value.contains('/'))
            && let Some(mut captured) = captures(others, rest)
        {
            captured.insert(0, (name.to_owned(), value.to_owned()));
            return Some(captured);
        }
    }
    None
}

/// The positions of a form: bytes with the length of the text around it, or what ranks
/// behind them.
fn positions(form: &Form) -> Vec<(u8, u8, usize)> {
    let rank = |rank| vec![(rank, b' ', 0)];
    let mut positions: Vec<_> = form
        .tokens
        .iter()
        .flat_map(|token| match token {
            Text(text) => text.bytes().map(|byte| (0, byte, text.len())).collect(),
            Param {
                expression,
                optional,
                ..
            } => rank(if *optional { 4 } else { 1 } + u8::from(expression.is_none())),
            Wildcard { expression } => rank(8 + u8::from(expression.is_none())),
        })
        .collect();
    positions.extend(form.missing.iter().flat_map(|token| match token {
        Param { expression, .. } => rank(6 + u8::from(expression.is_none())),
        Text(_) | Wildcard { .. } => Vec::new(),
    }));
    positions.push((3, b' ', 0));
    positions
}

fn precedence(a: &Form, b: &Form) -> Ordering {
    for ((a, _, a_text), (b, _, b_text)) in positions(a).into_iter().zip(positions(b)) {
        // Where both are texts, alike up to here, a longer one either goes on where the other ends,
        // or it differs in the middle.
        let order = a.cmp(&b).then(b_text.cmp(&a_text));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn is_literal(tokens: &[Token]) -> bool {
    tokens.iter().all(|token| matches!(token, Text(_)))
}

/// Which of the patterns a scan finds, and what it captures.
fn scan(patterns: &[Vec<Token>], path: &str) -> Option<(usize, Vec<(String, String)>)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let found = patterns.iter().enumerate().flat_map(|(index, tokens)| {
        let matching = forms(tokens).into_iter();
        matching.filter_map(move |form| Some((index, captures(&form.tokens, path)?, form)))
    });
    let best = found.min_by(|(a, _, a_form), (b, _, b_form)| {
        (is_literal(&patterns[*b]).cmp(&is_literal(&patterns[*a])))
            .then_with(|| precedence(a_form, b_form))
            .then_with(|| written(&patterns[*a], false).cmp(&written(&patterns[*b], false)))
    });
    best.map(|(index, captured, _)| (index, captured))
}

fn text() -> impl Strategy<Value = Token> {
    const TEXTS: &[&str] = &[
        "a", "b", "ab", "-", "/", "/a", "a/", "/a/", "-a", "é", "*", ":",
    ];
    prop::sample::select(TEXTS).prop_map(|text| Text(text.to_owned()))
}

fn expression() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![2 => Just(None), 1 => (0..EXPRESSIONS.len()).prop_map(Some)]
}

fn param(optional: bool) -> impl Strategy<Value = Token> {
    (prop::sample::select(&["x", "y"][..]), expression()).prop_map(move |(name, expression)| {
        Param {
            name,
            expression,
            optional,
        }
    })
}

fn pattern() -> impl Strategy<Value = Vec<Token>> {
    let wildcard = expression().prop_map(|expression| Wildcard { expression });
    let token = prop_oneof![5 => text(), 3 => param(false), 1 => wildcard];
    (
        vec(token, 0..6),
        vec((any::<bool>(), param(true)), 0..3),
        any::<bool>(),
    )
        .prop_map(|(mut tokens, optionals, keep)| {
            for (slash, optional) in optionals.into_iter().filter(|_| keep) {
                tokens.extend(slash.then(|| Text("/".to_owned())));
                tokens.push(optional);
            }
            tidy(tokens)
        })
}

/// A path that one of the patterns might well match: its texts, with these values between them.
fn near(patterns: &[Vec<Token>], which: &prop::sample::Index, values: &[&str]) -> String {
    let tokens = &patterns[which.index(patterns.len())];
    let mut values = values.iter().cycle();
    let parts = tokens.iter().map(|token| match token {
        Text(text) => text.as_str(),
        Param { .. } | Wildcard { .. } => values.next().copied().unwrap_or_default(),
    });
    std::iter::once("/").chain(parts).collect()
}

fn values() -> impl Strategy<Value = Vec<&'static str>> {
    vec(
        prop::sample::select(&["a", "b", "ab", "-", "bb", "", "a/b", "é", "a-b"][..]),
        1..5,
    )
}

/// Adds `patterns` in order, checks that exactly those conflict that should, and gives the table.
fn table(patterns: &[Vec<Token>], kept: &mut Vec<Vec<Token>>) -> RouteTable<usize> {
    let mut parser = PatternParser::new();
    let mut builder = RouteTable::builder();
    for tokens in patterns {
        let text = written(tokens, true);
        let pattern = parser
            .parse(&text)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let same = kept
            .iter()
            .position(|other| written(other, false) == written(tokens, false));
        match (builder.add("event", pattern, kept.len()), same) {
            (Ok(()), None) => kept.push(tokens.clone()),
            (Err(conflict), Some(same)) => assert_eq!(conflict.existing, same),
            (added, same) => panic!("{text}: {added:?}, but the model says {same:?}"),
        }
    }
    builder.build()
}

fn check(mut patterns: Vec<Vec<Token>>, paths: &[String]) {
    let mut kept = Vec::new();
    let forth = table(&patterns, &mut kept);
    patterns.reverse();
    let mut kept_back = Vec::new();
    let back = table(&patterns, &mut kept_back);
    assert_eq!(forth.len(), back.len());
    let mut parser = PatternParser::new();
    let alone: Vec<Pattern> = kept
        .iter()
        .map(|tokens| parser.parse(&written(tokens, true)).unwrap())
        .collect();
    for path in paths {
        let owned = |params: &wardroom_router::Params| -> Vec<(String, String)> {
            params
                .iter()
                .map(|(name, value)| (name.as_ref().to_owned(), value.clone()))
                .collect()
        };
        let found = forth.find("event", path);
        let expected = scan(&kept, path);
        let shown: Vec<_> = kept.iter().map(|tokens| written(tokens, true)).collect();
        assert_eq!(
            found
                .as_ref()
                .map(|found| (*found.target, owned(&found.params))),
            expected,
            "{path:?} among {shown:?}"
        );
        // A conflict lets the first one in, so that names may differ from here on.
        let found_back = back.find("event", path);
        assert_eq!(
            found
                .as_ref()
                .map(|found| written(&kept[*found.target], false)),
            found_back.map(|found| written(&kept_back[*found.target], false)),
            "{path:?} depends on the order of {shown:?}"
        );
        for (tokens, pattern) in kept.iter().zip(&alone) {
            let expected = scan(std::slice::from_ref(tokens), path);
            let matched = pattern.matches(path).map(|params| (0, owned(&params)));
            assert_eq!(matched, expected, "{path:?} on {pattern}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn finds_what_a_scan_finds(
        patterns in vec(pattern(), 1..9),
        random in vec("[ab\\-/]{0,7}", 4),
        near_ones in vec((any::<prop::sample::Index>(), values()), 8),
    ) {
        let mut paths: Vec<String> = near_ones.iter().map(|(which, v)| near(&patterns, which, v)).collect();
        paths.extend(random);
        check(patterns, &paths);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// So many alike that they are looked for by the text between what varies.
    #[test]
    fn finds_what_a_scan_finds_among_many_alike(
        words in vec(("[ab\\-é]{1,2}", any::<bool>()), 12..40),
        around in [(pattern_end(), pattern_end()), (pattern_end(), pattern_end())],
        others in vec(pattern(), 0..4),
        near_ones in vec((any::<prop::sample::Index>(), values()), 20),
    ) {
        let alike = words.into_iter().map(|(word, first)| {
            let (before, after) = around[usize::from(first)].clone();
            tidy(vec![before, Text(format!("-{word}")), after])
        });
        let patterns: Vec<_> = alike.chain(others).collect();
        let paths: Vec<String> = near_ones.iter().map(|(which, v)| near(&patterns, which, v)).collect();
        check(patterns, &paths);
    }
}

fn pattern_end() -> impl Strategy<Value = Token> {
    prop_oneof![
        param(false),
        expression().prop_map(|expression| Wildcard { expression })
    ]
}
