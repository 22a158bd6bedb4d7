//! HTTP requests by `wasi:http`, as wrong as a step wants them.
//!
//! `["http", {"scheme", "authority", "path", "method", "headers": [[name, value]], "body", "patience", "keep"}]` sends
//! one; all but the authority may be missing. `patience` is milliseconds. What comes of it is `{"status", "headers",
//! "body"}` or `{"error": "…"}`. With `keep` the response is not waited for, and its handle is kept.
//! `["http-many", times, {…}]` sends many at once and lists what comes of each.

use serde_json::{Value, json};
use std::cell::RefCell;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::text;

thread_local! {
    static KEPT: RefCell<Vec<FutureIncomingResponse>> = const { RefCell::new(Vec::new()) };
}

/// Does what the word says; `None` when it is no request.
pub fn run(word: &str, step: &Value) -> Option<Value> {
    Some(match word {
        "http" => match send(&step[1]) {
            Ok(answer) if step[1]["keep"] == true => {
                KEPT.with_borrow_mut(|kept| kept.push(answer));
                json!("kept")
            }
            Ok(answer) => wait(&answer),
            Err(error) => error,
        },
        "http-many" => {
            let times = step[1].as_u64().unwrap_or(0);
            let sent: Vec<_> = (0..times).map(|_| send(&step[2])).collect();
            let results = sent.into_iter().map(|sent| match sent {
                Ok(answer) => wait(&answer),
                Err(error) => error,
            });
            results.collect()
        }
        _ => return None,
    })
}

fn failed(what: &str) -> Value {
    json!({ "error": what })
}

fn of_code(code: &ErrorCode) -> Value {
    failed(&format!("{code:?}").replace("ErrorCode::", ""))
}

fn send(told: &Value) -> Result<FutureIncomingResponse, Value> {
    let fields = Fields::new();
    for header in told["headers"].as_array().into_iter().flatten() {
        let set = fields.append(&text(&header[0]), text(&header[1]).as_bytes());
        set.map_err(|error| match error {
            HeaderError::Forbidden => failed("Forbidden"),
            HeaderError::InvalidSyntax => failed("InvalidSyntax"),
            HeaderError::Immutable => failed("Immutable"),
        })?;
    }
    let request = OutgoingRequest::new(fields);
    let set = |set: Result<(), ()>, what: &str| set.map_err(|()| failed(what));
    let scheme = match told["scheme"].as_str() {
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => Scheme::Other(other.to_owned()),
    };
    set(request.set_scheme(Some(&scheme)), "the scheme")?;
    set(
        request.set_authority(told["authority"].as_str()),
        "the authority",
    )?;
    set(
        request.set_path_with_query(told["path"].as_str().or(Some("/"))),
        "the path",
    )?;
    if let Some(method) = told["method"].as_str() {
        set(
            request.set_method(&Method::Other(method.to_owned())),
            "the method",
        )?;
    }
    let body = told["body"].as_str().map(|text| (request.body(), text));
    let options = told["patience"].as_u64().map(|milliseconds| {
        let options = RequestOptions::new();
        let time = Some(milliseconds * 1_000_000);
        let _ = options.set_connect_timeout(time);
        let _ = options.set_first_byte_timeout(time);
        let _ = options.set_between_bytes_timeout(time);
        options
    });
    let answer = handle(request, options).map_err(|code| of_code(&code))?;
    if let Some((Ok(body), text)) = body {
        if let Ok(stream) = body.write() {
            // Whether anybody reads it shows in the answer.
            let _ = stream.blocking_write_and_flush(text.as_bytes());
        }
        let _ = OutgoingBody::finish(body, None);
    }
    Ok(answer)
}

fn wait(answer: &FutureIncomingResponse) -> Value {
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => read(&response),
        Some(Ok(Err(code))) => of_code(&code),
        Some(Err(())) | None => failed("no answer"),
    }
}

fn read(response: &IncomingResponse) -> Value {
    let headers = response.headers().entries().into_iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    let mut bytes = Vec::new();
    let Ok(body) = response.consume() else {
        return failed("no body");
    };
    let Ok(stream) = body.stream() else {
        return failed("no stream");
    };
    loop {
        match stream.blocking_read(65_536) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return json!({ "error": error.to_debug_string(), "bytes": bytes.len() });
            }
        }
    }
    let body = match bytes.len() {
        0..1024 => json!(String::from_utf8_lossy(&bytes)),
        length => json!(length),
    };
    json!({ "status": response.status(), "headers": headers, "body": body })
}
