//! HTTP requests by `wasi:http`, and waiting for what comes of them.
//!
//! Nothing else in the SDK names these imports, and a component imports what its code can reach: a
//! plugin that sends no requests imports nothing of it.

use std::time::Duration;

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, HeaderError, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

use crate::error::HostError;
use crate::http::{Request, Response, Url};

/// What is asked for at once of a response's body.
const READ_BYTES: u64 = 64 * 1024;

pub(crate) fn send_http(request: &Request, url: Url<'_>) -> Result<Response, HostError> {
    let outgoing = outgoing(request, url)?;
    // A body that nobody is there to read is reported with the request, not with the write.
    let body = (!request.bytes().is_empty()).then(|| outgoing.body());
    let options = request.patience().map(options);
    let answer = handle(outgoing, options).map_err(of_code)?;
    if let Some(Ok(body)) = body {
        write(&body, request.bytes());
        let _ = OutgoingBody::finish(body, None);
    }
    answer.subscribe().block();
    // It is there, and nobody has taken it before.
    let none = || HostError::Other("there is no response".to_owned());
    let answered = answer.get().ok_or_else(none)?;
    let incoming = answered.map_err(|()| none())?.map_err(of_code)?;
    read(&incoming)
}

fn outgoing(request: &Request, url: Url<'_>) -> Result<OutgoingRequest, HostError> {
    let invalid = |what: &str, text: &str| HostError::Invalid(format!("the {what} {text:?}"));
    let fields = Fields::new();
    let length = request.bytes().len().to_string();
    let announces = request.header_value("content-length").is_some() || request.bytes().is_empty();
    let own = (!announces).then_some(("content-length", length.as_str()));
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in headers.chain(own) {
        let set = fields.append(name, value.as_bytes());
        set.map_err(|error| match error {
            HeaderError::Forbidden => {
                HostError::Invalid(format!("the header {name:?} is the host's own to set"))
            }
            HeaderError::InvalidSyntax | HeaderError::Immutable => invalid("header", name),
        })?;
    }
    let outgoing = OutgoingRequest::new(fields);
    let scheme = if url.is_secure {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let method = method(request.method());
    let set = outgoing.set_method(&method);
    set.map_err(|()| invalid("method", request.method()))?;
    let set = outgoing.set_scheme(Some(&scheme));
    let set = set.and_then(|()| outgoing.set_authority(Some(url.authority)));
    let set = set.and_then(|()| outgoing.set_path_with_query(Some(url.path)));
    set.map_err(|()| invalid("URL", request.url()))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(patience: Duration) -> RequestOptions {
    let nanoseconds = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    // A host that knows no such times has its own.
    let _ = options.set_connect_timeout(Some(nanoseconds));
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds));
    options
}

/// Writes as much as is taken: a server may answer without having read it all.
fn write(body: &OutgoingBody, mut bytes: &[u8]) {
    let Ok(stream) = body.write() else { return };
    while !bytes.is_empty() {
        stream.subscribe().block();
        let Ok(room) = stream.check_write() else {
            return;
        };
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(room);
        if stream.write(now).is_err() {
            return;
        }
        bytes = later;
    }
}

fn read(incoming: &IncomingResponse) -> Result<Response, HostError> {
    let headers = incoming.headers().entries();
    let response = headers.into_iter().fold(
        Response::new(incoming.status()),
        |response, (name, value)| {
            response.with_header(name, String::from_utf8_lossy(&value).into_owned())
        },
    );
    let none = |()| HostError::Other("the response has no body".to_owned());
    let body = incoming.consume().map_err(none)?;
    let bytes = read_body(&body)?;
    Ok(response.with_body(bytes))
}

fn read_body(body: &IncomingBody) -> Result<Vec<u8>, HostError> {
    let none = |()| HostError::Other("the response's body was read before".to_owned());
    let stream = body.stream().map_err(none)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                let said = || of_text(error.to_debug_string());
                return Err(http_error_code(&error).map_or_else(said, of_code));
            }
        }
    }
}

/// Of what went wrong in the middle of a body some hosts have words alone.
fn of_text(text: String) -> HostError {
    if text.contains("body size") {
        return HostError::TooLarge(text);
    }
    HostError::Unavailable(text)
}

fn of_code(code: ErrorCode) -> HostError {
    let text = |text: &str| text.to_owned();
    match code {
        ErrorCode::HttpRequestDenied => {
            HostError::Denied(text("requests to this host are not granted"))
        }
        ErrorCode::DestinationIpProhibited => {
            HostError::Denied(text("the address of this host may not be reached"))
        }
        ErrorCode::ConnectionLimitReached => HostError::Limit(text("HTTP requests")),
        ErrorCode::HttpResponseBodySize(_) => HostError::TooLarge(text("the HTTP response")),
        ErrorCode::HttpResponseHeaderSectionSize(_) | ErrorCode::HttpResponseHeaderSize(_) => {
            HostError::TooLarge(text("the HTTP response's headers"))
        }
        ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestLengthRequired => {
            HostError::Invalid(format!("the HTTP request: {}", name(&code)))
        }
        ErrorCode::InternalError(cause) => {
            HostError::Other(cause.unwrap_or_else(|| text("the HTTP request failed")))
        }
        other => HostError::Unavailable(format!("the HTTP request failed: {}", name(&other))),
    }
}

/// `ConnectionTimeout`.
fn name(code: &ErrorCode) -> String {
    format!("{code:?}").replace("ErrorCode::", "")
}
