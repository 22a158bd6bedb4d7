//! What can be known of a route's pattern while compiling: which parameters it has, and obvious
//! mistakes. The host's router has the last word, and so has the test kit, which uses the same
//! router.

/// The names of the parameters of a pattern, `*` for wildcards, in order.
///
/// # Errors
/// What is wrong with the pattern, for its author.
pub(crate) fn names(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
        match first {
            '\\' => {
                rest = rest
                    .get(rest.chars().next().map_or(0, char::len_utf8)..)
                    .unwrap_or_default()
            }
            ':' => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                if name.is_empty() {
                    return Err(
                        "a `:` begins a parameter and a name must follow; `\\:` is a colon"
                            .to_owned(),
                    );
                }
                names.push(name.to_owned());
                rest = skip_expression(after, name)?;
            }
            '*' => {
                names.push("*".to_owned());
                rest = skip_expression(rest, "*")?;
            }
            _ => {}
        }
    }
    Ok(names)
}

/// What follows the regular expression that may follow a name.
fn skip_expression<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    if !text.starts_with('(') {
        return Ok(text);
    }
    let (mut depth, mut escaped, mut class) = (0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(text.get(index + 1..).unwrap_or_default());
        }
    }
    Err(format!(
        "the expression of `{name}` has no end: a `)` is missing"
    ))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn finds_the_parameters() {
        for (pattern, found) in [
            ("chat/general", &[][..]),
            ("/chat/:room", &["room"]),
            (":a-:b", &["a", "b"]),
            (":file.css", &["file"]),
            (r"v:major(\d+(x|y))/:rest?", &["major", "rest"]),
            (r"\:no/:yes([)\]]+)/*(\d+)", &["yes", "*"]),
            ("/room/*", &["*"]),
        ] {
            assert_eq!(names(pattern).unwrap(), found, "{pattern}");
        }
        assert!(names("a/:/b").is_err());
        assert!(names("a/:x(").is_err());
    }
}
