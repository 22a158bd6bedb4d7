//! A client's frame, read as far as the host reads it: the envelope. `data` stays the text that it was.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::check_depth;
use super::{EVENT_BYTES_MAX, PATH_BYTES_MAX, is_event_name, normalise_path};

/// A message whose envelope is sound.
#[derive(Debug)]
pub struct Message {
    frame: String,
    event: String,
    path: String,
    data: Option<Range<usize>>,
    id: Option<Range<usize>>,
}

impl Message {
    /// The frame it came in, verbatim.
    #[must_use]
    pub fn frame(&self) -> &str {
        &self.frame
    }

    /// 1 to 128 bytes.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// 1 to 1024 bytes, the leading slash included; not percent-decoded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// JSON as it was spelled; `None` when the message had none.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.part(self.data.as_ref())
    }

    /// A JSON string or number as it was spelled; `None` when no reply is wanted.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.part(self.id.as_ref())
    }

    fn part(&self, range: Option<&Range<usize>>) -> Option<&str> {
        range.and_then(|range| self.frame.get(range.clone()))
    }
}

/// A frame that is no message.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The id to answer to, when it could be read.
    pub id: Option<String>,
    /// What is wrong with it, for the client.
    pub problem: Cow<'static, str>,
}

/// Reads a frame's envelope.
///
/// # Errors
/// [`Malformed`], with the id to answer to if there is one.
///
/// ```
/// let message = wardroom::protocol::decode(r#"{"event":"say","path":"chat","data":1.0,"id":7}"#.into()).unwrap();
/// assert_eq!((message.event(), message.path()), ("say", "/chat"));
/// assert_eq!((message.data(), message.id()), (Some("1.0"), Some("7")));
/// ```
pub fn decode(frame: String) -> Result<Message, Malformed> {
    let members = match Members::read(&frame) {
        Ok(members) => members,
        Err(error) => {
            return Err(Malformed {
                id: None,
                problem: describe(&error),
            });
        }
    };
    let id = members.id.filter(|id| is_readable_id(id.get()));
    let malformed = |problem: Cow<'static, str>| Malformed {
        id: id.map(|id| id.get().to_owned()),
        problem,
    };

    let event = text_member("event", members.event).map_err(malformed)?;
    if !is_event_name(&event) {
        return Err(malformed(
            format!("`event` must have 1 to {EVENT_BYTES_MAX} bytes").into(),
        ));
    }
    let path = text_member("path", members.path).map_err(malformed)?;
    let Some(path) = normalise_path(path) else {
        let problem =
            format!("`path` must have 1 to {PATH_BYTES_MAX} bytes, its leading slash included");
        return Err(malformed(problem.into()));
    };
    if let Some(data) = members.data {
        check_depth(data.get()).map_err(|error| malformed(format!("`data`: {error}").into()))?;
    }
    let data = members.data.map(|data| range_of(data.get(), &frame));
    let id = id.map(|id| range_of(id.get(), &frame));
    Ok(Message {
        event,
        path,
        data,
        id,
        frame,
    })
}

/// The members that the host reads, each the last of its name, as `JSON.parse` has it.
#[derive(Default)]
struct Members<'a> {
    event: Option<&'a RawValue>,
    path: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    fn read(frame: &'a str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(frame);
        let members = deserializer.deserialize_map(MembersVisitor)?;
        deserializer.end()?;
        Ok(members)
    }
}

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Members<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with `event` and `path`")
    }

    // A derived impl would refuse a member that occurs twice.
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<MemberName>()? {
            match name {
                MemberName::Event => members.event = Some(map.next_value()?),
                MemberName::Path => members.path = Some(map.next_value()?),
                MemberName::Data => members.data = Some(map.next_value()?),
                MemberName::Id => members.id = Some(map.next_value()?),
                MemberName::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum MemberName {
    Event,
    Path,
    Data,
    Id,
    #[serde(other)]
    Other,
}

fn text_member(name: &str, value: Option<&RawValue>) -> Result<String, Cow<'static, str>> {
    let Some(value) = value else {
        return Err(format!("`{name}` is missing").into());
    };
    serde_json::from_str(value.get()).map_err(|_| format!("`{name}` must be a string").into())
}

fn is_readable_id(id: &str) -> bool {
    id.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_of(part: &str, whole: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

fn describe(error: &serde_json::Error) -> Cow<'static, str> {
    match error.classify() {
        serde_json::error::Category::Data => {
            "the message must be an object with `event` and `path`".into()
        }
        _ => format!(
            "the message is not JSON (line {}, column {})",
            error.line(),
            error.column()
        )
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(frame: &str) -> (Option<String>, String) {
        let malformed = decode(frame.to_owned()).unwrap_err();
        (malformed.id, malformed.problem.into_owned())
    }

    #[test]
    fn the_last_of_duplicate_members_wins_and_unknown_ones_are_ignored() {
        let frame = r#"{"event":1,"x":{"event":"no"},"event":"a","path":"p","data":1,"data":2,"id":"x","id":3}"#;
        let message = decode(frame.to_owned()).unwrap();
        assert_eq!((message.event(), message.path()), ("a", "/p"));
        assert_eq!((message.data(), message.id()), (Some("2"), Some("3")));
        assert_eq!(message.frame(), frame);
    }

    #[test]
    fn escapes_in_names_and_values_are_read() {
        let message = decode(r#"{"\u0065vent":"\u00e9","path":"\/a\n"}"#.to_owned()).unwrap();
        assert_eq!((message.event(), message.path()), ("é", "/a\n"));
    }

    #[test]
    fn an_id_keeps_its_spelling() {
        for id in [r#""\u0041""#, "1.50e2", "-0", r#""""#] {
            let message = decode(format!(r#"{{"event":"e","path":"/","id": {id} }}"#)).unwrap();
            assert_eq!(message.id(), Some(id));
        }
        for id in ["null", "true", "[1]", r#"{"a":1}"#] {
            let message = decode(format!(r#"{{"event":"e","path":"/","id":{id}}}"#)).unwrap();
            assert_eq!(message.id(), None, "{id} is no readable id");
        }
    }

    #[test]
    fn a_malformed_message_is_answered_to_its_id() {
        assert_eq!(
            problem(r#"{"id":7,"path":"/"}"#),
            (Some("7".into()), "`event` is missing".into())
        );
        assert_eq!(
            problem(r#"{"id":7,"event":7,"path":"/"}"#).1,
            "`event` must be a string"
        );
        assert_eq!(problem(r#"{"id":7,"event":"e"}"#).1, "`path` is missing");
        assert_eq!(
            problem(r#"{"id":7,"event":"e","path":null}"#).1,
            "`path` must be a string"
        );
        assert_eq!(problem(r#"{"id":[],"event":"e"}"#).0, None);
        assert_eq!(
            problem("[]").1,
            "the message must be an object with `event` and `path`"
        );
        assert_eq!(problem(r#"{"id":1,"#).0, None);
        assert!(problem("{\n x").1.contains("line 2, column 2"));
        assert!(decode(r#"{"event":"e","path":"/"} x"#.to_owned()).is_err());
    }

    #[test]
    fn names_have_edges() {
        let frame = |event: usize, path: &str| {
            decode(format!(
                r#"{{"event":"{}","path":"{path}"}}"#,
                "e".repeat(event)
            ))
            .is_ok()
        };
        assert!(!frame(0, "/") && frame(1, "/") && frame(128, "/") && !frame(129, "/"));
        assert!(!frame(1, "") && frame(1, "p"));
        assert!(
            frame(1, &"p".repeat(1023)) && !frame(1, &"p".repeat(1024)),
            "the added slash counts"
        );
        assert!(
            frame(1, &format!("/{}", "p".repeat(1023)))
                && !frame(1, &format!("/{}", "p".repeat(1024)))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(frame in ".*") {
            let _ = decode(frame);
        }

        #[test]
        fn no_near_message_makes_it_panic(
            frame in r#"\{("(event|path|data|id|x)":("[a-z/\\u0]*"|-?[0-9.e]{0,4}|null|\[+\]*|\{\}),?){0,6}\}?"#
        ) {
            let _ = decode(frame);
        }

        #[test]
        fn what_is_encoded_is_decoded(event in ".{1,30}", path in "/.{0,60}", data in ".{0,60}", id: i64) {
            let frame = serde_json::json!({ "event": event, "path": path, "data": data, "id": id }).to_string();
            let message = decode(frame).unwrap();
            proptest::prop_assert_eq!(message.event(), event);
            proptest::prop_assert_eq!(message.path(), path);
            proptest::prop_assert_eq!(message.data().unwrap(), serde_json::to_string(&data).unwrap());
            proptest::prop_assert_eq!(message.id().unwrap(), id.to_string());
        }
    }
}
