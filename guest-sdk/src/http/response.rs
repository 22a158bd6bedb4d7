//! What came back.

use serde::de::DeserializeOwned;

use crate::error::HostError;
use crate::push::Data;

/// What a server answered, its body included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A response without headers and without a body, as a test answers with it.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With a body of JSON.
    ///
    /// # Errors
    /// [`HostError::Other`] when the data cannot be written as JSON.
    pub fn with_json(self, data: impl Data) -> Result<Self, HostError> {
        let body = data.into_json()?.unwrap_or_default();
        Ok(self
            .with_header("content-type", "application/json")
            .with_body(body))
    }

    /// The status: 200, 404. A redirect is a status too, and its target is in `location`.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status says that it went well: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// All headers, in their order; what is no UTF-8 in one is replaced.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`HostError::Other`] when it is no UTF-8.
    pub fn text(&self) -> Result<&str, HostError> {
        let text = std::str::from_utf8(&self.body);
        text.map_err(|error| HostError::Other(format!("the response is no text: {error}")))
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// [`HostError::Other`] when it is none, or no `T`: says what is missing and where. A client is
    /// told no more than `Internal Error` of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HostError> {
        read_json("the response", &self.body)
    }
}

pub(super) fn find<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.as_str())
}

pub(super) fn read_json<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, HostError> {
    serde_json::from_slice(body).map_err(|error| {
        HostError::Other(format!("{what} is not the JSON that was expected: {error}"))
    })
}
