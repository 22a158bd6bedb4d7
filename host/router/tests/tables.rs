//! What the documentation says about precedence, conflicts, tables and prefixes, line by line.
#![allow(clippy::unwrap_used, reason = "a test fails that way")]

use wardroom_router::{Pattern, PatternParser, RouteTable, join};

/// The pattern that is found for `path`, whatever the order in which they are added.
#[track_caller]
fn first(patterns: &[&str], path: &str, expected: &str) {
    let mut patterns = patterns.to_vec();
    for _ in 0..2 {
        let mut builder = RouteTable::builder();
        for pattern in &patterns {
            builder
                .add("event", Pattern::parse(pattern).unwrap(), *pattern)
                .unwrap();
        }
        let table = builder.build();
        let found = table.find("event", path).map(|found| *found.target);
        assert_eq!(found, Some(expected), "{path:?} among {patterns:?}");
        patterns.reverse();
    }
}

#[test]
fn text_before_expression_before_parameter_before_optional_before_wildcard() {
    let all = ["/a", "/:x(a|b|c)", "/:x", "/:x?", "/*(.+)", "/*"];
    let paths = ["/a", "/b", "/d", "/", "/d/", "//"];
    let expected = ["/a", "/:x(a|b|c)", "/:x", "/:x?", "/*(.+)", "/*(.+)"];
    for (path, expected) in paths.into_iter().zip(expected) {
        first(&all, path, expected);
    }
    for skipped in 0..all.len() - 1 {
        first(&all[skipped..], "/a", all[skipped]);
    }
}

#[test]
fn the_first_position_decides() {
    first(&["/f*", "/:x"], "/foo", "/f*");
    first(&["/foo:x", "/foo*"], "/foo1", "/foo:x");
    first(&["/foo:x", "/f:x(.+)"], "/foo1", "/foo:x");
    first(&["/a/:x/:y", "/:x/b/c"], "/a/b/c", "/a/:x/:y");
    first(&["/:x/*", "/:x/:y/c"], "/a/b/c", "/:x/:y/c");
    first(&["/:x/b/*", "/:x/:y/c"], "/a/b/c", "/:x/b/*");
    first(&["/a/:v?", "/a"], "/a", "/a");
    first(&["/a/:v?", "/a/:v"], "/a/x", "/a/:v");
    first(&["/a/:v?", "/a/*"], "/a/x", "/a/:v?");
    first(&["/a/:v?", "/a*"], "/a", "/a/:v?");
    first(&["/a/:v?", "/a/:v?/:w?"], "/a/x", "/a/:v?");
    first(&["/a/:v?", "/a/:v(x)?"], "/a", "/a/:v(x)?");
    first(&["/:name", "/:name:version"], "/ab", "/:name:version");
    first(&["/:x", "/:x.css"], "/a.css", "/:x.css");
    first(&["/:x", "/:x*"], "/ab", "/:x");
    // What is tried first is not always best.
    first(&["/:a-b/*", "/:x(.+)/*"], "/a-b/c", "/:x(.+)/*");
    first(&["/:a-b/c", "/:x(.+)/c"], "/a-b/c", "/:x(.+)/c");
    first(&["/:a-b/:y", "/:x(.+)/:y"], "/a-b/c", "/:x(.+)/:y");
    first(&["/*b/c", "/*(.+)"], "/b/c", "/*(.+)");
    // Two expressions are alike: what follows decides.
    first(&["/:x(a)/:y", "/:x(a|b)/c"], "/a/c", "/:x(a|b)/c");
    // Nothing but text wins even where a parameter takes nothing.
    first(&["/a", "/a:x(b*)"], "/a", "/a");
}

#[test]
fn longer_text_first_among_wildcards() {
    first(&["/a*", "/ab*"], "/abc", "/ab*");
    first(&["/*/b", "/*/a/b"], "/x/a/b", "/*/a/b");
    first(&["*", "/*.css", "/*.min.css"], "/x.min.css", "/*.min.css");
    first(&["*a*", "*bc*"], "/abc", "*bc*");
    // As long: by the text, byte by byte.
    first(&["*b*", "*a*"], "/ab", "*a*");
    // Names do not count.
    first(&["/:b([ab])", "/:a([bc])"], "/b", "/:b([ab])");
}

#[test]
fn the_event_is_exact() {
    let mut builder = RouteTable::builder();
    for event in ["join", "Join", ""] {
        builder
            .add(event, Pattern::parse("/a").unwrap(), event)
            .unwrap();
        builder
            .add(event, Pattern::parse("/:x").unwrap(), event)
            .unwrap();
    }
    let table = builder.build();
    for event in ["join", "Join", ""] {
        assert_eq!(
            table.find(event, "/a").map(|found| *found.target),
            Some(event)
        );
        assert_eq!(
            table.find(event, "/b").map(|found| *found.target),
            Some(event)
        );
    }
    assert!(table.find("JOIN", "/a").is_none());
    assert!(table.find("join", "/a/b").is_none());
}

#[test]
fn the_same_pattern_twice_is_a_conflict() {
    let same = [
        ("/:a", ":b"),
        ("/a", "a"),
        (r"/:a(\d+)-x", r"/:b(\d+)-x"),
        ("/*", "*"),
        ("/:a/:b?", "/:c/:d?"),
        (r"/\(", "/("),
    ];
    for (one, other) in same.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
        let mut builder = RouteTable::builder();
        builder
            .add("join", Pattern::parse(one).unwrap(), 1)
            .unwrap();
        builder
            .add("leave", Pattern::parse(other).unwrap(), 2)
            .unwrap();
        let conflict = builder
            .add("join", Pattern::parse(other).unwrap(), 3)
            .unwrap_err();
        assert_eq!(conflict.existing, 1);
        let (one, other) = (Pattern::parse(one).unwrap(), Pattern::parse(other).unwrap());
        assert_eq!(
            (
                conflict.existing_pattern.as_str(),
                conflict.pattern.as_str()
            ),
            (one.as_str(), other.as_str())
        );
        let message = conflict.to_string();
        for part in ["join", one.as_str(), other.as_str()] {
            assert!(message.contains(&format!("`{part}`")), "{message}");
        }
        assert_eq!(builder.build().len(), 2);
    }
    let different = [
        ("/:a", "/:a?"),
        ("/:a", "/:a(.+)"),
        ("/*", "/:a"),
        ("/a", "/A"),
        (r"/\:a", "/:a"),
        ("/a/", "/a"),
    ];
    for (one, other) in different.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
        let mut builder = RouteTable::builder();
        builder
            .add("join", Pattern::parse(one).unwrap(), 1)
            .unwrap();
        builder
            .add("join", Pattern::parse(other).unwrap(), 2)
            .unwrap();
    }
}

#[test]
fn a_table_lists_its_routes_in_order() {
    let mut builder = RouteTable::builder();
    for (event, pattern) in [("b", "/x"), ("a", ":z"), ("a", "/c")] {
        builder
            .add(event, Pattern::parse(pattern).unwrap(), ())
            .unwrap();
    }
    assert!(format!("{builder:?}").contains("/:z"));
    let table = builder.build();
    let listed: Vec<_> = table
        .iter()
        .map(|(event, pattern, ())| (event, pattern.as_str()))
        .collect();
    assert_eq!(
        listed,
        [("a", "/:z"), ("a", "/c"), ("b", "/x")].map(|pair| pair)
    );
    assert_eq!((table.len(), table.is_empty()), (3, false));
    assert!(format!("{table:?}").contains("/:z"));

    let empty = RouteTable::<()>::default();
    assert!(empty.is_empty() && empty.iter().next().is_none() && empty.find("a", "/").is_none());
}

#[test]
fn all_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Pattern>();
    shared::<PatternParser>();
    shared::<RouteTable<String>>();
}

#[test]
fn a_pattern_shows_as_it_was_given() {
    let pattern = Pattern::parse(r"chat/:room(\w+)/*/:v?").unwrap();
    assert_eq!(pattern.to_string(), r"/chat/:room(\w+)/*/:v?");
    assert_eq!(
        format!("{pattern:?}"),
        r#"Pattern("/chat/:room(\\w+)/*/:v?")"#
    );
    assert_eq!(pattern.names().collect::<Vec<_>>(), ["room", "*", "v"]);
}

#[test]
fn a_prefix_and_a_pattern_are_joined_with_one_slash() {
    for (prefix, pattern, joined) in [
        ("chat", ":room", "/chat/:room"),
        ("", "self", "/self"),
        ("chat", "/x", "/chat/x"),
        ("chat/", "x", "/chat/x"),
        ("/chat/", "/x", "/chat/x"),
        ("chat//", "//x", "/chat/x"),
        ("/", "/", "/"),
        ("", "", "/"),
        ("chat", "", "/chat"),
        ("/chat", "", "/chat"),
        ("chat", "/", "/chat/"),
        ("chat", "x/", "/chat/x/"),
        ("a/:b", "*", "/a/:b/*"),
    ] {
        assert_eq!(join(prefix, pattern), joined, "{prefix:?} + {pattern:?}");
    }
}
