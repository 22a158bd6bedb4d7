//! What the documentation says about patterns, line by line.
#![allow(clippy::panic, reason = "a test fails that way")]

use wardroom_router::Pattern;

fn matches(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let pattern = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let params = pattern.matches(path)?;
    Some(
        params
            .into_iter()
            .map(|(name, value)| (name.as_ref().to_owned(), value))
            .collect(),
    )
}

/// Asserts what `pattern` captures of each path: `a=1 b=2`, or `None` where it should not match.
#[track_caller]
fn check(pattern: &str, paths: &[(&str, Option<&str>)]) {
    for (path, expected) in paths {
        let found = matches(pattern, path).map(|params| {
            let params: Vec<_> = params
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            params.join(" ")
        });
        assert_eq!(found.as_deref(), *expected, "{path:?} on {pattern}");
    }
}

#[test]
fn text_matches_itself() {
    let nothing = Some("");
    check(
        "chat/general",
        &[("/chat/general", nothing), ("chat/general", nothing)],
    );
    check(
        "/chat/general",
        &[
            ("chat/general", nothing),
            ("/Chat/general", None),
            ("//chat/general", None),
        ],
    );
    check(
        "/chat",
        &[
            ("/chat/", None),
            ("/chat/x", None),
            ("/cha", None),
            ("/chat", nothing),
        ],
    );
    check("/chat/", &[("/chat/", nothing), ("/chat", None)]);
    check("/a//b", &[("/a//b", nothing), ("/a/b", None)]);
    check(
        "",
        &[("", nothing), ("/", nothing), ("//", None), ("a", None)],
    );
    check("/", &[("", nothing), ("/", nothing)]);
    check(
        "/a b.c+(d)?é",
        &[
            ("/a b.c+(d)?é", nothing),
            ("/a bxc+(d)?é", None),
            ("/a%20b.c+(d)?é", None),
        ],
    );
}

#[test]
fn a_parameter_is_a_segment() {
    check(
        "/chat/:room",
        &[
            ("/chat/general", Some("room=general")),
            ("chat/é", Some("room=é")),
            ("/chat/a\nb", Some("room=a\nb")),
            ("/chat/", None),
            ("/chat", None),
            ("/chat/a/", None),
            ("/chat/a/b", None),
        ],
    );
    check(
        "/:a/:b/x",
        &[
            ("/1/2/x", Some("a=1 b=2")),
            ("/1//x", None),
            ("//2/x", None),
        ],
    );
    check("/:room_9/", &[("/x/", Some("room_9=x")), ("/x", None)]);
    check("/:x/:x", &[("/1/2", Some("x=1 x=2"))]);
}

#[test]
fn parameters_and_text_mix_in_a_segment() {
    check(
        "/:a-:b",
        &[
            ("/x-y", Some("a=x b=y")),
            ("/x-y-z", Some("a=x b=y-z")),
            ("/--y", Some("a=- b=y")),
            ("/---", Some("a=- b=-")),
            ("/-y", None),
            ("/x-", None),
            ("/x-/y", None),
            ("/x/-y", None),
        ],
    );
    check(
        "/:file.css",
        &[
            ("/a.css", Some("file=a")),
            ("/a.css.css", Some("file=a.css")),
            ("/.css", None),
        ],
    );
    check(
        "/v:major",
        &[("/v1", Some("major=1")), ("/v", None), ("/1", None)],
    );
    check(
        "/:a:b",
        &[
            ("/xyz", Some("a=x b=yz")),
            ("/éy", Some("a=é b=y")),
            ("/x", None),
        ],
    );
    check(
        "/:a.:b.:c.d",
        &[("/1.2.3.4.d", Some("a=1 b=2 c=3.4")), ("/1.2.d", None)],
    );
    check("/:aé", &[("/xé", Some("a=x"))]);
    check("/a:x/b:y", &[("/a1/b2", Some("x=1 y=2"))]);
    check("/ab:xba", &[("/abc", Some("xba=c"))]);
    check(
        "/aba:x.aba",
        &[
            ("/aba.aba", None),
            ("/aba.ab", None),
            ("/aba1.aba", Some("x=1")),
        ],
    );
}

#[test]
fn an_expression_matches_the_whole_value() {
    check(
        r"/:id(\d+)",
        &[
            ("/12", Some("id=12")),
            ("/12a", None),
            ("/a12", None),
            ("/", None),
            ("/1/2", None),
            ("/1\n", None),
        ],
    );
    check(
        "/:x(a|ab)",
        &[("/a", Some("x=a")), ("/ab", Some("x=ab")), ("/abc", None)],
    );
    check("/:x(.+)/y", &[("/a/y", Some("x=a")), ("/a/b/y", None)]);
    check("/:x(a|/)", &[("/a", Some("x=a")), ("//", None)]);
    check("/:x(a*)", &[("/", Some("x=")), ("/a", Some("x=a"))]);
    check(
        "/v:n(^[0-9]+$).x",
        &[("/v12.x", Some("n=12")), ("/v.x", None)],
    );
    check("/:x((?i)ab)", &[("/aB", Some("x=aB"))]);
    check("/:x((?x) a b # ab\n)", &[("/ab", Some("x=ab"))]);
}

#[test]
fn an_expression_may_hold_parentheses() {
    check(r"/:x(\(\d\))", &[("/(1)", Some("x=(1)"))]);
    check("/:x([)]+)y", &[("/))y", Some("x=))"))]);
    check("/:x([]()]+)", &[("/])(", Some("x=])("))]);
    check("/:x([^]()])", &[("/)", None), ("/a", Some("x=a"))]);
    check(
        "/:x([[:alpha:]()&&[^)]]+)",
        &[("/a(", Some("x=a(")), ("/a)", None)],
    );
    check(
        r"/:x([\])])z",
        &[("/)z", Some("x=)")), ("/]z", Some("x=]"))],
    );
    check(
        "/:a((x)|(y(z)?))-:b((1)(2))",
        &[("/yz-12", Some("a=yz b=12")), ("/x-12", Some("a=x b=12"))],
    );
    check("/:a((?P<b>x)+)-:b", &[("/xx-y", Some("a=xx b=y"))]);
}

#[test]
fn an_expression_among_others_takes_little_and_no_slash() {
    check("/:a(.+)-:b", &[("/x-y-z", Some("a=x b=y-z"))]);
    check("/:a(.+?)-:b", &[("/x-y-z", Some("a=x b=y-z"))]);
    check(
        r"/:a(\d+):b(\d*)",
        &[("/123", Some("a=1 b=23")), ("/1", Some("a=1 b="))],
    );
    check(
        "/:a(^x+$)-:b",
        &[("/xx-y", Some("a=xx b=y")), ("/x-xx-y", Some("a=x b=xx-y"))],
    );
    check(
        "/*/:id(.+)/x",
        &[
            ("/a/b/x", Some("*=a id=b")),
            ("/a/b/c/x", Some("*=a/b id=c")),
            ("/a/x", None),
        ],
    );
    check(r"/*:id(\D+)", &[("/a/b", Some("*=a/ id=b"))]);
    check(
        "/*:id([^a]+|/)",
        &[("/a/b", Some("*=a/ id=b")), ("/a/", None)],
    );
    check(
        "/*/:x((?-u:[+-z]+))",
        &[("/a/b", Some("*=a x=b")), ("/a/", None)],
    );
}

#[test]
fn a_wildcard_is_any_text() {
    let all = |value| Some(value);
    check(
        "*",
        &[
            ("", all("*=")),
            ("/", all("*=")),
            ("a", all("*=a")),
            ("//a/b", all("*=/a/b")),
        ],
    );
    check("/*", &[("/a\n/é", all("*=a\n/é"))]);
    check(
        "/files/*",
        &[
            ("/files/a/b", all("*=a/b")),
            ("/files/", all("*=")),
            ("/files", None),
        ],
    );
    check(
        "/files*",
        &[
            ("/files", all("*=")),
            ("/files/a", all("*=/a")),
            ("/file", None),
        ],
    );
    check(
        "/*/end",
        &[
            ("/a/b/end", all("*=a/b")),
            ("//end", all("*=")),
            ("/end", None),
        ],
    );
    check(
        "/*-*",
        &[
            ("/a-b-c", all("*=a *=b-c")),
            ("/-", all("*= *=")),
            ("/a", None),
        ],
    );
    check(
        "/a*b*c",
        &[
            ("/abc", all("*= *=")),
            ("/a/b/bc", all("*=/ *=/b")),
            ("/ac", None),
        ],
    );
    check(
        "/:x/*/:y",
        &[
            ("/1/2/3/4", all("x=1 *=2/3 y=4")),
            ("/1//4", all("x=1 *= y=4")),
            ("/1/4", None),
        ],
    );
    check("/*/:a-:b", &[("/x-y/1-2-3", all("*=x-y a=1 b=2-3"))]);
    check(
        "/:a*",
        &[("/ab/c", all("a=a *=b/c")), ("/", None), ("//a", None)],
    );
    check("/**", &[("/ab", all("*= *=ab"))]);
}

#[test]
fn a_wildcard_may_have_an_expression() {
    check(
        r"/n*(\d+)",
        &[("/n12", Some("*=12")), ("/n", None), ("/n1a", None)],
    );
    check(
        "/*([a-z/]+)/x",
        &[("/a/b/x", Some("*=a/b")), ("/a/B/x", None)],
    );
    check(
        "/*(a|/)-:x",
        &[("/a-1", Some("*=a x=1")), ("//-1", Some("*=/ x=1"))],
    );
    check("/*(a/b)-:x", &[("/a/b-1", Some("*=a/b x=1"))]);
}

#[test]
fn what_is_optional_may_be_missing_at_the_end() {
    check(
        "/a/:v?",
        &[
            ("/a", Some("")),
            ("/a/x", Some("v=x")),
            ("/a/", None),
            ("/a/x/", None),
            ("/ax", None),
        ],
    );
    check(
        "/a/:v?/:w?",
        &[
            ("/a", Some("")),
            ("/a/x", Some("v=x")),
            ("/a/x/y", Some("v=x w=y")),
        ],
    );
    check(
        "/a/:v?:w?",
        &[
            ("/a", Some("")),
            ("/a/x", Some("v=x")),
            ("/a/xy", Some("v=x w=y")),
        ],
    );
    check(
        "/:v?",
        &[("/", Some("")), ("", Some("")), ("/x", Some("v=x"))],
    );
    check("/v:major?", &[("/v", Some("")), ("/v1", Some("major=1"))]);
    check(
        r"/a/:id(\d+)?",
        &[("/a", Some("")), ("/a/1", Some("id=1")), ("/a/x", None)],
    );
    check(
        "/*/:v?",
        &[
            ("/a/b", Some("*=a v=b")),
            ("/a", Some("*=a")),
            ("/a/", Some("*=a/")),
        ],
    );
    check("/:x/:x?", &[("/1", Some("x=1")), ("/1/2", Some("x=1 x=2"))]);
}

#[test]
fn a_backslash_escapes() {
    check(r"/a\:b", &[("/a:b", Some("")), (r"/a\:b", None)]);
    check(r"/\*", &[("/*", Some("")), ("/x", None)]);
    check(r"\:b", &[("/:b", Some(""))]);
    check(r"/:a\:b", &[("/x:b", Some("a=x"))]);
    check(r"/:a\(b)", &[("/x(b)", Some("a=x"))]);
    check(r"/:a\?", &[("/x?", Some("a=x")), ("/", None)]);
    check(r"/*\?", &[("/x?", Some("*=x"))]);
    check(r"/\\:a", &[(r"/\x", Some("a=x"))]);
    check(r"/a\b\", &[(r"/a\b\", Some(""))]);
}

#[test]
fn values_are_decoded_once() {
    check(
        "/:x",
        &[
            ("/a%20b", Some("x=a b")),
            ("/%2525", Some("x=%25")),
            ("/%2f", Some("x=/")),
        ],
    );
    check(
        "/:x",
        &[
            ("/%", Some("x=%")),
            ("/%zz%41", Some("x=%zzA")),
            ("/%ff%C3%A9", Some("x=%ffé")),
        ],
    );
    check("/*", &[("/a%2fb/%41", Some("*=a/b/A"))]);
    // The text and the expression are compared with what was sent.
    check(r"/:x(\d+)", &[("/%31", None)]);
    check("/%41:x", &[("/%41b", Some("x=b")), ("/Ab", None)]);
}
