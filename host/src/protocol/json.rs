//! JSON that passes through the host unread: is it one value, and not too deep?

use serde_json::value::RawValue;

/// How deep arrays and objects may be nested in a message's data, a push's data or a reply.
///
/// The same depth is where `serde_json` and most other parsers stop, so what passes here can be read there.
pub const JSON_DEPTH_MAX: usize = 128;

/// Why a text is not acceptable JSON.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// It is not JSON, or more than one value.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is, but nested deeper than [`JSON_DEPTH_MAX`].
    #[error("JSON nested more than {JSON_DEPTH_MAX} deep")]
    TooDeep,
}

/// Checks that `text` is one JSON value that is not too deep, and returns it without the white space around it.
///
/// # Errors
/// [`InvalidJson`], saying where.
///
/// ```
/// # use wardroom::protocol::check_json;
/// assert_eq!(check_json(" 1.0e3 ").unwrap(), "1.0e3");
/// assert!(check_json("{} {}").is_err());
/// ```
pub fn check_json(text: &str) -> Result<&str, InvalidJson> {
    let value: &RawValue = serde_json::from_str(text)?;
    check_depth(value.get())?;
    Ok(value.get())
}

/// `text` is valid JSON already: `serde_json` skips over a `RawValue` without recursion and so without a limit.
pub(super) fn check_depth(text: &str) -> Result<(), InvalidJson> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(InvalidJson::TooDeep);
                }
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn depth_has_an_edge() {
        assert!(check_json(&nested(JSON_DEPTH_MAX)).is_ok());
        assert!(matches!(
            check_json(&nested(JSON_DEPTH_MAX + 1)),
            Err(InvalidJson::TooDeep)
        ));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = format!(r#"["{}\"{}\\"]"#, "[".repeat(500), "{".repeat(500));
        assert!(check_json(&text).is_ok());
    }

    #[test]
    fn anything_but_one_value_is_refused() {
        for text in [
            "",
            " ",
            "1 2",
            "{",
            "nul",
            "[1,]",
            "\u{feff}1",
            "'a'",
            "NaN",
        ] {
            assert!(check_json(text).is_err(), "{text:?}");
        }
    }
}
