//! Whether what came is what was expected.

use serde_json::Value;

/// Whether a frame's text is the expected JSON: the same values, `"_"` standing for any, and in an array all `"_same"`
/// for one number, whichever.
pub(crate) fn same(expected: &str, actual: &str) -> Result<bool, String> {
    let expected: Value = serde_json::from_str(expected)
        .map_err(|error| format!("the expectation is no JSON: {error}"))?;
    Ok(serde_json::from_str(actual).is_ok_and(|actual| matches(&expected, &actual)))
}

fn matches(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(any), _) if any == "_" => true,
        (Value::Array(expected), Value::Array(actual)) if is_same(expected) => {
            let first = actual.first();
            expected.len() == actual.len()
                && first.is_some_and(Value::is_number)
                && actual.iter().all(|value| Some(value) == first)
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected
                    .iter()
                    .zip(actual)
                    .all(|(expected, actual)| matches(expected, actual))
        }
        (Value::Object(expected), Value::Object(actual)) => {
            expected.len() == actual.len()
                && expected.iter().all(|(name, value)| {
                    actual
                        .get(name)
                        .is_some_and(|actual| matches(value, actual))
                })
        }
        (Value::Number(expected), Value::Number(actual)) => expected.as_f64() == actual.as_f64(),
        _ => expected == actual,
    }
}

fn is_same(expected: &[Value]) -> bool {
    !expected.is_empty() && expected.iter().all(|value| value == "_same")
}

/// A text that a person can read: long ones are cut in the middle.
pub(crate) fn shown(text: &str) -> String {
    const ENDS: usize = 300;
    let characters = text.chars().count();
    if characters <= 3 * ENDS {
        return text.to_owned();
    }
    let head: String = text.chars().take(ENDS).collect();
    let tail: String = text.chars().skip(characters - ENDS).collect();
    format!("{head} … {characters} characters … {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_not_spellings() {
        assert_eq!(
            same(r#"{"a":1.0,"b":[true]}"#, r#"{ "b": [true], "a": 1 }"#),
            Ok(true)
        );
        assert_eq!(same(r#"{"a":1}"#, r#"{"a":1,"b":2}"#), Ok(false));
        assert_eq!(same("[1]", "[1,2]"), Ok(false));
        assert_eq!(same("1", "no JSON"), Ok(false));
        assert!(same("no JSON", "1").is_err());
    }

    #[test]
    fn an_underscore_is_any_value_but_not_an_absent_one() {
        assert_eq!(same(r#"{"a":"_"}"#, r#"{"a":{"b":1}}"#), Ok(true));
        assert_eq!(same(r#"{"a":"_"}"#, "{}"), Ok(false));
    }

    #[test]
    fn numbers_may_be_the_same_whichever_they_are() {
        let expected = r#"{"a":["_same","_same"]}"#;
        assert_eq!(same(expected, r#"{"a":[2,2]}"#), Ok(true));
        for other in ["[2,3]", "[2]", "[]", "[null,null]", "2"] {
            let actual = format!(r#"{{"a":{other}}}"#);
            assert_eq!(same(expected, &actual), Ok(false), "{other}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shown("short"), "short");
        assert!(shown(&"x".repeat(5000)).contains("5000 characters"));
    }
}
