//! HTTP requests to other servers.
//!
//! A plugin may send requests to the hosts that its operator granted it, and to no others. A request
//! is sent while its handler runs, and the handler waits for the response:
//!
//! ```
//! use wardroom_sdk::prelude::*;
//!
//! #[derive(Deserialize, Serialize)]
//! struct Weather {
//!     degrees: i32,
//! }
//!
//! #[derive(Default)]
//! struct Forecast;
//!
//! #[controller]
//! impl Forecast {
//!     #[message("weather", "/weather/:city")]
//!     fn weather(&self, #[param] city: &str) -> Result<Weather, WsError> {
//!         let response = http::get(format!("https://weather.example/{city}"))
//!             .header("accept", "application/json")
//!             .send()?;
//!         if response.status() == 404 {
//!             return Err(WsError::not_found("no such city"));
//!         }
//!         Ok(response.json()?)
//!     }
//! }
//!
//! wardroom_sdk::plugin!(Forecast);
//!
//! // In a test there is no network: the test answers.
//! let server = wardroom_sdk::test::Server::new::<Plugin>();
//! server.on_http(|request| {
//!     assert_eq!(request.url(), "https://weather.example/oslo");
//!     http::Response::new(200).with_json(json!({ "degrees": -3 }))
//! });
//! let reply = server.connect().request("weather", "/weather/oslo", NoData);
//! assert_eq!(reply, Ok(json!({ "degrees": -3 })));
//! ```
//!
//! Redirects are not followed: a response with one is a response like any other, and the host that
//! it names has to be granted too. What the host bounds, in number, size and time, is an error of
//! [`Request::send`].

mod response;
mod url;

pub use response::Response;

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::error::HostError;
use crate::host;
use crate::push::Data;
pub(crate) use url::Url;

/// A request that asks for something.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A request that hands something over.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// fn order(dish: &str) -> Result<u16, HostError> {
///     let request = http::post("https://kitchen.example/orders").json(json!({ "dish": dish }))?;
///     Ok(request.send()?.status())
/// }
/// ```
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A request that puts something in a place.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// A request that changes a part of something.
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// A request that does away with something.
pub fn delete(url: impl Into<String>) -> Request {
    request("DELETE", url)
}

/// A request with any method.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: None,
    }
}

/// A request to another server; made by [`get`] and its like, sent by [`send`](Self::send).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is sent before `send`"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

impl Request {
    /// With one more header. `host`, and those that are the connection's business (`connection`,
    /// `transfer-encoding`, `upgrade` and the like), are the host's own: with one, `send` refuses.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With a body of JSON, and the `content-type` that says so.
    ///
    /// # Errors
    /// [`HostError::Other`] when the data cannot be written as JSON.
    pub fn json(self, data: impl Data) -> Result<Self, HostError> {
        let body = data.into_json()?.unwrap_or_default();
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Gives up when there is no connection, or nothing comes, for so long. The host's own limits
    /// hold all the same.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the whole response, whatever its status. Waiting costs no CPU time,
    /// but it counts as the event's.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the URL, the method or a header cannot be;
    /// [`Denied`](HostError::Denied) when the plugin may not send requests there, or the host's name
    /// leads to an address that it may not reach; [`Limit`](HostError::Limit) when there are as many
    /// requests as there may be; [`TooLarge`](HostError::TooLarge) when the response is;
    /// [`Unavailable`](HostError::Unavailable) when there is no response: no such host, nobody
    /// listens, no trustworthy certificate, not in time.
    pub fn send(self) -> Result<Response, HostError> {
        let url = Url::parse(&self.url)?;
        host::send_http(&self, url)
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL, as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All headers, in their order.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first header of that name, in any case: for tests.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        response::find(&self.headers, name)
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body read as JSON: for tests.
    ///
    /// # Errors
    /// [`HostError::Other`] when it is none, or no `T`.
    pub fn read_json<T: DeserializeOwned>(&self) -> Result<T, HostError> {
        response::read_json("the request", &self.body)
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.timeout
    }
}
