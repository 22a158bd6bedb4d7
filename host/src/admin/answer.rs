//! Answers of the admin listener.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// An answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    kind: &'static str,
    header: Option<(HeaderName, &'static str)>,
    body: String,
}

impl Answer {
    pub(super) fn text(body: &str) -> Self {
        Self {
            status: 200,
            // What Prometheus asks its text format to be called; for the others it is text as well.
            kind: "text/plain; version=0.0.4; charset=utf-8",
            header: None,
            body: body.to_owned(),
        }
    }

    pub(super) fn unavailable(body: &str) -> Self {
        Self {
            status: 503,
            ..Self::text(body)
        }
    }

    pub(super) fn json(value: &Value) -> Self {
        Self {
            status: 200,
            kind: "application/json",
            header: None,
            body: value.to_string(),
        }
    }

    /// `{"error": {"code", "message"}}`, as clients of the WebSocket know it.
    pub(super) fn error(status: u16, message: &str) -> Self {
        Self {
            status,
            ..Self::json(&json!({ "error": { "code": status, "message": message } }))
        }
    }

    /// The same with all that is wrong, each by itself.
    pub(super) fn faults(status: u16, message: &str, faults: &[String]) -> Self {
        let error = json!({ "code": status, "message": message, "faults": faults });
        Self {
            status,
            ..Self::json(&json!({ "error": error }))
        }
    }

    pub(super) fn unauthorised() -> Self {
        Self {
            header: Some((header::WWW_AUTHENTICATE, "Bearer")),
            ..Self::error(401, "the Authorization header must be `Bearer TOKEN`")
        }
    }

    pub(super) fn wrong_method(right: &'static str) -> Self {
        Self {
            header: Some((header::ALLOW, right)),
            ..Self::error(405, "another method is needed")
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.into()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
