//! Reads a message's data, and says where it does not fit.
//!
//! The place is found only once reading has failed, by following the text up to where the reader
//! stopped. The usual way, a deserializer that keeps track of the path, would be compiled a second
//! time for every type and allocate for every key of a message that fits.

use std::fmt::Write;

use serde::Deserialize;

use crate::error::WsError;

/// Reads JSON text as a `T`; what is not there reads as `null`.
pub(crate) fn read<'m, T: Deserialize<'m>>(data: Option<&'m str>) -> Result<T, WsError> {
    serde_json::from_str(data.unwrap_or("null")).map_err(|error| mismatch(data, &error))
}

#[cold]
fn mismatch(data: Option<&str>, error: &serde_json::Error) -> WsError {
    let Some(json) = data else {
        return WsError::bad_request("the message has no `data`");
    };
    let mut problem = error.to_string();
    if let Some(end) = problem.rfind(" at line ") {
        problem.truncate(end);
    }
    WsError::bad_request(format!("{}: {problem}", place(json, offset(json, error))))
}

/// Where the reader stopped, in bytes.
fn offset(json: &str, error: &serde_json::Error) -> usize {
    let lines = json
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}

/// An open object or array, and where in it one is.
enum Level {
    Key(String),
    Index(usize),
}

/// The path to the value that begins, goes on or ends at `offset`: `data.players[2].name`.
fn place(json: &str, offset: usize) -> String {
    let end = offset.min(json.len());
    let mut levels: Vec<Level> = Vec::new();
    let mut key_next = false;
    let mut rest = json.get(..end).unwrap_or(json);
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '"' => {
                length = string_length(rest);
                if key_next
                    && let (Some(Level::Key(key)), Some(text)) =
                        (levels.last_mut(), rest.get(..length))
                {
                    *key = serde_json::from_str(text).unwrap_or_default();
                }
                key_next = false;
            }
            '{' => {
                levels.push(Level::Key(String::new()));
                key_next = true;
            }
            '[' => levels.push(Level::Index(0)),
            '}' | ']' => drop(levels.pop()),
            ',' => match levels.last_mut() {
                Some(Level::Index(index)) => *index += 1,
                _ => key_next = true,
            },
            _ => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    let mut path = String::from("data");
    for level in levels {
        // Writing to a string cannot fail.
        let _ = match level {
            Level::Index(index) => write!(path, "[{index}]"),
            Level::Key(key) if key.is_empty() => Ok(()),
            Level::Key(key) => write!(path, ".{key}"),
        };
    }
    path
}

/// The length of the string literal that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = true; // The opening quote ends nothing.
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for their types")]
    struct Team {
        name: String,
        #[serde(default)]
        players: Vec<Player>,
        #[serde(default)]
        notes: HashMap<String, u8>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read for their types")]
    struct Player {
        name: String,
        age: u8,
    }

    fn complaint(json: &str) -> String {
        let error = read::<Team>(Some(json)).unwrap_err();
        assert_eq!(error.code, 400);
        error.message
    }

    #[test]
    fn says_where() {
        for (json, message) in [
            (
                r#"7"#,
                "data: invalid type: integer `7`, expected struct Team",
            ),
            (r#"{}"#, "data: missing field `name`"),
            (
                r#"{"name":7}"#,
                "data.name: invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"name":["x"]}"#,
                "data.name: invalid type: sequence, expected a string",
            ),
            (
                "{\n\"name\" : \"a,}]\\\"\",\n \"players\": [ {\"name\":\"x\",\"age\":1},\n {\"name\":\"y\",\"age\": 300 } ]}",
                "data.players[1].age: invalid value: integer `300`, expected u8",
            ),
            (
                r#"{"name":"a","players":[{"name":"x"}]}"#,
                "data.players[0]: missing field `age`",
            ),
            (
                r#"{"name":"a","players":[5]}"#,
                "data.players[0]: invalid type: integer `5`, expected struct Player",
            ),
            (
                r#"{"name":"ä","notes":{"é\"x":1,"y":null}}"#,
                "data.notes.y: invalid type: null, expected u8",
            ),
        ] {
            assert_eq!(complaint(json), message, "{json}");
        }
        assert!(complaint(r#"{"name":"a","rank":1}"#).contains("unknown field `rank`"));
    }

    #[test]
    fn what_is_missing_reads_as_null() {
        assert_eq!(read::<Option<u8>>(None).unwrap(), None);
        assert_eq!(read::<&RawValue>(None).unwrap().get(), "null");
        assert_eq!(
            read::<u8>(None).unwrap_err().message,
            "the message has no `data`"
        );
    }

    #[test]
    fn text_is_borrowed_from_the_message() {
        assert_eq!(read::<&str>(Some(r#""plain""#)).unwrap(), "plain");
        assert_eq!(read::<&RawValue>(Some("1.50e1")).unwrap().get(), "1.50e1");
    }

    #[test]
    fn nothing_that_is_cut_short_breaks_the_search() {
        let json = r#"{"ä\"b":[{"c":"\\"},["é",{}]]}"#;
        for offset in 0..json.len() + 3 {
            assert!(place(json, offset).starts_with("data"));
        }
    }
}
