//! The frames that clients get. Each is encoded once and shared by all who get it.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::{ErrorReply, Malformed};

/// `{"id":…,"data":…}`. `id` and `data` are JSON already; no data is `null`.
#[must_use]
pub fn encode_reply(id: &str, data: Option<&str>) -> Bytes {
    let data = data.unwrap_or("null");
    let mut frame = Vec::with_capacity(id.len() + data.len() + 16);
    for part in [r#"{"id":"#, id, r#","data":"#, data, "}"] {
        frame.extend_from_slice(part.as_bytes());
    }
    frame.into()
}

/// `{"id":…,"error":{"code":…,"message":…}}`. `id` is JSON already.
#[must_use]
pub fn encode_error(id: &str, error: &ErrorReply) -> Bytes {
    let mut frame = Vec::with_capacity(id.len() + error.message.len() + 48);
    frame.extend_from_slice(br#"{"id":"#);
    frame.extend_from_slice(id.as_bytes());
    frame.push(b',');
    write_error(&mut frame, error);
    frame.into()
}

/// The answer to a frame that is no message: with its id when that could be read, `{"error":…}` otherwise.
#[must_use]
pub fn encode_malformed(malformed: &Malformed) -> Bytes {
    let error = ErrorReply::new(400, malformed.problem.clone());
    if let Some(id) = &malformed.id {
        return encode_error(id, &error);
    }
    let mut frame = vec![b'{'];
    write_error(&mut frame, &error);
    frame.into()
}

/// Ends the object that `frame` has begun.
fn write_error(frame: &mut Vec<u8>, error: &ErrorReply) {
    write!(frame, r#""error":{{"code":{},"message":"#, error.code)
        .expect("a vector takes all writes");
    write_text(frame, &error.message);
    frame.extend_from_slice(b"}}");
}

/// A push, to be encoded once however many get it.
#[derive(Clone, Copy, Debug)]
pub struct PushFrame<'a> {
    /// What happened.
    pub event: &'a str,
    /// Where: a room's name, or the path that the sender gave.
    pub path: &'a str,
    /// Left out when empty; a name that occurs several times becomes an array.
    pub params: &'a [(Arc<str>, String)],
    /// JSON already; left out when `None`.
    pub data: Option<&'a str>,
}

impl PushFrame<'_> {
    /// `{"event":…,"path":…,"params"?:{…},"data"?:…}`.
    ///
    /// ```
    /// # use wardroom::protocol::PushFrame;
    /// let params = [("n".into(), "1".to_owned()), ("n".into(), "2".to_owned())];
    /// let push = PushFrame { event: "e", path: "/1/2", params: &params, data: Some("[]") };
    /// assert_eq!(push.encode(), r#"{"event":"e","path":"/1/2","params":{"n":["1","2"]},"data":[]}"#);
    /// ```
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut frame = Vec::with_capacity(
            self.event.len() + self.path.len() + self.data.map_or(0, str::len) + 64,
        );
        frame.push(b'{');
        self.write_members(&mut frame);
        frame.push(b'}');
        frame.into()
    }

    /// The members alone: the bus has others beside them.
    pub(crate) fn write_members(&self, frame: &mut Vec<u8>) {
        frame.extend_from_slice(br#""event":"#);
        write_text(frame, self.event);
        frame.extend_from_slice(br#","path":"#);
        write_text(frame, self.path);
        if !self.params.is_empty() {
            frame.extend_from_slice(br#","params":{"#);
            write_params(frame, self.params);
            frame.push(b'}');
        }
        if let Some(data) = self.data {
            frame.extend_from_slice(br#","data":"#);
            frame.extend_from_slice(data.as_bytes());
        }
    }
}

fn write_params(frame: &mut Vec<u8>, params: &[(Arc<str>, String)]) {
    // Patterns have few parameters: looking back is cheaper than a map.
    for (index, (name, value)) in params.iter().enumerate() {
        let before = params.iter().take(index);
        if before.clone().any(|(earlier, _)| earlier == name) {
            continue;
        }
        if index > 0 {
            frame.push(b',');
        }
        write_text(frame, name);
        frame.push(b':');
        let values: Vec<&str> = params
            .iter()
            .skip(index)
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect();
        match values.len() {
            1 => write_text(frame, value),
            _ => write_json(frame, &values),
        }
    }
}

fn write_text(frame: &mut Vec<u8>, text: &str) {
    write_json(frame, text);
}

fn write_json<T: Serialize + ?Sized>(frame: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(frame, value).expect("text is always JSON and a vector takes all writes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_splice_what_is_json_already() {
        assert_eq!(
            encode_reply("1.0", Some("[1.50]")),
            r#"{"id":1.0,"data":[1.50]}"#
        );
        assert_eq!(encode_reply(r#""a""#, None), r#"{"id":"a","data":null}"#);
    }

    #[test]
    fn errors_escape_their_message() {
        let error = ErrorReply::new(400, "a \"b\"\n");
        assert_eq!(
            encode_error("7", &error),
            r#"{"id":7,"error":{"code":400,"message":"a \"b\"\n"}}"#
        );
        let malformed = Malformed {
            id: None,
            problem: "no".into(),
        };
        assert_eq!(
            encode_malformed(&malformed),
            r#"{"error":{"code":400,"message":"no"}}"#
        );
        let malformed = Malformed {
            id: Some("7".into()),
            problem: "no".into(),
        };
        assert_eq!(
            encode_malformed(&malformed),
            r#"{"id":7,"error":{"code":400,"message":"no"}}"#
        );
    }

    #[test]
    fn a_push_leaves_out_what_it_has_not() {
        let push = PushFrame {
            event: "e\"",
            path: "/p",
            params: &[],
            data: None,
        };
        assert_eq!(push.encode(), r#"{"event":"e\"","path":"/p"}"#);
    }

    #[test]
    fn repeated_params_keep_the_order_of_the_first() {
        let params = [("b", "1"), ("a", "2"), ("b", "3")]
            .map(|(name, value)| (name.into(), value.to_owned()));
        let push = PushFrame {
            event: "e",
            path: "/",
            params: &params,
            data: None,
        };
        assert_eq!(
            push.encode(),
            r#"{"event":"e","path":"/","params":{"b":["1","3"],"a":"2"}}"#
        );
    }
}
