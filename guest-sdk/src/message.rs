//! A client's message and the values in it.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data;
use crate::error::WsError;

/// A connection's id: a UUID in its hyphenated form. It names one connection for as long as that
/// connection lives, and is never used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ConnectionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<String> for ConnectionId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl From<&str> for ConnectionId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// Any text is taken: an id that does not exist is as good as one that cannot.
impl FromStr for ConnectionId {
    type Err = Infallible;

    fn from_str(id: &str) -> Result<Self, Infallible> {
        Ok(Self::from(id))
    }
}

/// The id that a client gave its message to recognise the reply by: a JSON string or number,
/// spelled as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(String);

impl MessageId {
    pub(crate) fn new(json: String) -> Self {
        Self(json)
    }

    /// As JSON: a string has its quotes.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one name of a route's pattern captured, percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// A wildcard's name is `*`.
    pub name: String,
    /// The text that it captured.
    pub value: String,
}

/// All that a route's pattern captured, in the order of the pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

impl Params {
    /// The value of a name; the first one when the pattern repeats it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|param| param.name == name)
            .map(|param| param.value.as_str())
    }

    /// All values of a name that the pattern repeats, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |param| param.name == name)
            .map(|param| param.value.as_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|param| (param.name.as_str(), param.value.as_str()))
    }

    /// Whether the pattern captures nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Param> for Params {
    fn from_iter<I: IntoIterator<Item = Param>>(params: I) -> Self {
        Self(params.into_iter().collect())
    }
}

/// A client's message, as a [`#[guard]`](crate::guard) sees it; handlers ask for its parts by their
/// arguments' attributes.
#[derive(Clone, Debug)]
pub struct Message {
    pub(crate) event: String,
    pub(crate) path: String,
    pub(crate) params: Params,
    pub(crate) data: Option<String>,
    pub(crate) id: Option<MessageId>,
}

impl Message {
    /// The event, which the route matched exactly.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The path with its leading slash, as the client wrote it: not percent-decoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the route's pattern captured from the path.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The data as it came, as JSON text; `None` when the message has none.
    pub fn data_json(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// The data, read as a `T`. A message without data reads as `null`.
    ///
    /// # Errors
    /// 400 when the data does not fit, with the place where it does not.
    pub fn data<'m, T: Deserialize<'m>>(&'m self) -> Result<T, WsError> {
        data::read(self.data.as_deref())
    }

    /// The message's own id; `None` when the client wants no reply.
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }
}
