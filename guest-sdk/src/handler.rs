//! What the code that `#[controller]` writes calls for a handler's arguments and its return value.

use std::any::type_name;
use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{HttpError, WsError};
use crate::host;
use crate::message::Message;

/// The value of a param, parsed.
pub fn param<T: FromStr<Err: Display>>(
    message: &Message,
    name: &'static str,
) -> Result<T, WsError> {
    parse(param_text(message, name)?, name)
}

/// The value of a param as it is.
pub fn param_text<'m>(message: &'m Message, name: &'static str) -> Result<&'m str, WsError> {
    message.params.get(name).ok_or_else(|| missing(name))
}

/// The value of a param that may be missing, parsed.
pub fn param_option<T: FromStr<Err: Display>>(
    message: &Message,
    name: &'static str,
) -> Result<Option<T>, WsError> {
    message
        .params
        .get(name)
        .map(|text| parse(text, name))
        .transpose()
}

/// All values of a param that the pattern repeats, parsed.
pub fn param_list<T: FromStr<Err: Display>>(
    message: &Message,
    name: &'static str,
) -> Result<Vec<T>, WsError> {
    message
        .params
        .all(name)
        .map(|text| parse(text, name))
        .collect()
}

fn parse<T: FromStr<Err: Display>>(text: &str, name: &str) -> Result<T, WsError> {
    text.parse()
        .map_err(|error: T::Err| unreadable(name, type_name::<T>(), &error))
}

#[cold]
fn missing(name: &str) -> WsError {
    WsError::bad_request(format!("the path has no `{name}`"))
}

#[cold]
fn unreadable(name: &str, wanted: &str, error: &dyn Display) -> WsError {
    let wanted = wanted.rsplit("::").next().unwrap_or(wanted);
    WsError::bad_request(format!("`{name}` in the path is no {wanted}: {error}"))
}

/// The current message's frame. A message handler always has one.
pub fn frame() -> String {
    host::frame().unwrap_or_default()
}

/// Calls a guard.
pub fn guard<E: Into<WsError>>(
    guard: impl FnOnce(&Message) -> Result<(), E>,
    message: &Message,
) -> Result<(), WsError> {
    guard(message).map_err(Into::into)
}

/// The type of error that a kind of handler ends in.
pub trait Failure: Sized {
    /// The plugin itself is at fault.
    fn internal(cause: &dyn Display) -> Self;
}

impl Failure for WsError {
    fn internal(cause: &dyn Display) -> Self {
        WsError::internal(cause)
    }
}

impl Failure for HttpError {
    fn internal(cause: &dyn Display) -> Self {
        WsError::internal(cause).into()
    }
}

/// A [`Returned`] value that is the reply itself.
#[derive(Debug)]
pub struct Plain;

/// A [`Returned`] value that is a `Result`.
#[derive(Debug)]
pub struct Fallible;

/// What a handler may return. `Kind` keeps the two implementations apart where a `Result` is
/// `Serialize` as well; the macro names it when it sees a `Result` in the signature and leaves it
/// to inference otherwise.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be what a handler returns",
    label = "is not a reply",
    note = "return nothing, something `Serialize`, or a `Result` of that with an error that converts into `{E}`"
)]
pub trait Returned<E, Kind> {
    /// As JSON text; `None` stands for `null`.
    fn into_reply(self) -> Result<Option<String>, E>;
}

impl<T: Serialize, E: Failure> Returned<E, Plain> for T {
    fn into_reply(self) -> Result<Option<String>, E> {
        match serde_json::to_string(&self) {
            // `()` and `None` need not be carried to the host.
            Ok(json) if json == "null" => Ok(None),
            Ok(json) => Ok(Some(json)),
            Err(error) => Err(E::internal(&format_args!(
                "the reply cannot be written as JSON: {error}"
            ))),
        }
    }
}

impl<T: Serialize, F: Into<E>, E: Failure> Returned<E, Fallible> for Result<T, F> {
    fn into_reply(self) -> Result<Option<String>, E> {
        self.map_err(Into::into)?.into_reply()
    }
}

/// The reply of a message handler.
pub fn reply<Kind>(returned: impl Returned<WsError, Kind>) -> Result<Option<String>, WsError> {
    returned.into_reply()
}

/// The claims of an upgrade handler.
pub fn claims<Kind>(returned: impl Returned<HttpError, Kind>) -> Result<Option<String>, HttpError> {
    returned.into_reply()
}

/// What a connect or disconnect handler may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be what a connect or disconnect handler returns",
    label = "nobody would get this",
    note = "return nothing, or `Result<(), E>` with an error that converts into `WsError`"
)]
pub trait Outcome {
    /// Whether it went well.
    fn into_result(self) -> Result<(), WsError>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), WsError> {
        Ok(())
    }
}

impl<E: Into<WsError>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), WsError> {
        self.map_err(Into::into)
    }
}

/// The outcome of a connect or disconnect handler.
pub fn outcome(returned: impl Outcome) -> Result<(), WsError> {
    returned.into_result()
}
