//! The environment: each key has a variable of its own, `WARDROOM_LIMITS_MESSAGE_BYTES_MAX` for
//! `limits.message_bytes_max`.

use std::ffi::{OsStr, OsString};

use super::Key;
use super::fault::Origin;
use super::key::{PREFIX, nearest};
use super::sources::Reading;
use super::unit::Given;

/// Names the file. The configuration's own, but no key of it.
pub(super) const FILE: &str = "WARDROOM_CONFIG";
/// What to log: not the configuration's.
const LOG: &str = "WARDROOM_LOG";

/// Reads those variables into the configuration that are meant for it.
pub(super) fn read(variables: &[(OsString, OsString)], reading: &mut Reading) {
    for (name, value) in variables {
        // A name of ours is text.
        let ours = name.to_str().filter(|name| name.starts_with(PREFIX));
        match ours {
            None | Some(FILE | LOG) => {}
            Some(name) if is_link(name, value) => {}
            Some(name) => variable(name, value, reading),
        }
    }
}

/// Whether a variable is one of those that Kubernetes gives every container for a service, and Docker for a linked
/// container, that happens to be called `wardroom` or `wardroom-…`: nobody has misspelt anything there.
fn is_link(name: &str, value: &OsStr) -> bool {
    let is_url = value.to_str().is_some_and(|value| value.contains("://"));
    let is_of_port = name.split_once("_PORT_").is_some_and(|(_, port)| {
        let mut parts = port.split('_');
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        parts.next().is_some_and(is_number) && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_url)
        || is_of_port
}

fn variable(name: &str, value: &OsStr, reading: &mut Reading) {
    let origin = Origin::Variable(name.to_owned());
    let Some(key) = Key::all().find(|key| key.variable() == name) else {
        let others = [FILE, LOG].map(ToOwned::to_owned);
        let nearest = nearest(name, Key::all().map(Key::variable).chain(others));
        let problem = format!("there is no such variable; the nearest is {nearest}");
        return reading.fault(None, Some(origin), problem);
    };
    match value.to_str() {
        Some(text) => reading.take(key, Given::Any(text), origin),
        None => reading.fault(
            Some(key.to_string()),
            Some(origin),
            "must be UTF-8".to_owned(),
        ),
    }
}

/// The file that the environment names.
pub(super) fn file(variables: &[(OsString, OsString)]) -> Option<&OsStr> {
    let named = variables.iter().find(|(name, _)| name == FILE);
    named.map(|(_, value)| value.as_os_str())
}
