//! How a value is written where it is given: each kind of value, what may stand for it, and what to say when something
//! else does.

mod list;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::value::{SIZES, Secret, TIMES, Value};
use super::{BrokerUrl, Sha256, StateStore};
pub(super) use list::{List, Texts};

/// What a source gives for a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    /// A text that stands for any kind of value: all that a variable can hold.
    Any(&'a str),
    /// A text of a file, where a number would be no text.
    Text(&'a str),
    /// A list of texts of a file.
    Texts(&'a [&'a str]),
    /// A number of a file.
    Integer(i128),
    /// `true` or `false` of a file.
    Switch(bool),
    /// What no key takes, by its name.
    Other(&'static str),
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any("") | Self::Text("") => formatter.write_str("empty"),
            Self::Any(text) | Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Texts(texts) => write!(formatter, "{texts:?}"),
            Self::Integer(number) => number.fmt(formatter),
            Self::Switch(on) => on.fmt(formatter),
            Self::Other(name) => formatter.write_str(name),
        }
    }
}

/// A kind of value that is written alike, whatever type `T` holds it. The kinds themselves are never made: they are
/// what the declarations of keys and limits name beside the type.
pub(super) trait Unit<T> {
    /// What may be given, after "must be".
    fn wanted() -> String;
    /// What is given, if it may be.
    fn parse(given: Given<'_>) -> Option<T>;
    /// To be shown and compared.
    fn show(value: &T) -> Value;
    /// Whether messages may repeat what was given.
    const SHOWN: bool = true;

    /// What is given, or what would be right.
    fn read(given: Given<'_>) -> Result<T, String> {
        Self::parse(given).ok_or_else(|| {
            let wanted = Self::wanted();
            if Self::SHOWN {
                format!("must be {wanted}, not {given}")
            } else {
                format!("must be {wanted}")
            }
        })
    }
}

/// The number types of the configuration.
pub(super) trait Number: Copy + TryFrom<u64> + TryInto<u64> + fmt::Display {
    const MAX: Self;
}

impl Number for usize {
    const MAX: Self = Self::MAX;
}

impl Number for u32 {
    const MAX: Self = Self::MAX;
}

fn as_u64(number: impl Number) -> u64 {
    // There are no wider numbers here.
    number.try_into().unwrap_or(u64::MAX)
}

/// How many: `20_000`.
pub(super) enum Count {}

impl<T: Number> Unit<T> for Count {
    fn wanted() -> String {
        format!("a whole number from 0 to {}", T::MAX)
    }

    fn parse(given: Given<'_>) -> Option<T> {
        let number = match given {
            Given::Any(text) => digits(text)?,
            Given::Integer(number) => u64::try_from(number).ok()?,
            Given::Text(_) | Given::Texts(_) | Given::Switch(_) | Given::Other(_) => return None,
        };
        T::try_from(number).ok()
    }

    fn show(value: &T) -> Value {
        Value::Count(as_u64(*value))
    }
}

/// How many bytes: `65536`, `"64 KiB"`, `"10kB"`.
pub(super) enum Bytes {}

impl<T: Number> Unit<T> for Bytes {
    fn wanted() -> String {
        format!(
            "a size up to {} bytes, such as 65536 or \"64 KiB\" (B, kB, MB, GB, KiB, MiB, GiB)",
            T::MAX
        )
    }

    fn parse(given: Given<'_>) -> Option<T> {
        let number = match given {
            Given::Any(text) | Given::Text(text) => {
                let (number, unit) = split(text)?;
                let size = match unit {
                    "" | "B" => 1,
                    unit => size_of(&SIZES, unit)?,
                };
                number.checked_mul(size)?
            }
            Given::Integer(number) => u64::try_from(number).ok()?,
            Given::Texts(_) | Given::Switch(_) | Given::Other(_) => return None,
        };
        T::try_from(number).ok()
    }

    fn show(value: &T) -> Value {
        Value::Bytes(as_u64(*value))
    }
}

/// How long: `"50ms"`, `"5s"`, `"1m"`, `"0"`.
pub(super) enum Time {}

impl Unit<Duration> for Time {
    fn wanted() -> String {
        "a time, such as \"50ms\", \"5s\", \"1m\" or \"0\" (ns, us, ms, s, m, h)".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<Duration> {
        let (Given::Any(text) | Given::Text(text)) = given else {
            return None;
        };
        match split(text)? {
            (0, "") => Some(Duration::ZERO),
            (number, unit) => number
                .checked_mul(size_of(&TIMES, unit)?)
                .map(Duration::from_nanos),
        }
    }

    fn show(value: &Duration) -> Value {
        Value::Time(*value)
    }
}

/// On or off.
pub(super) enum Switch {}

impl Unit<bool> for Switch {
    fn wanted() -> String {
        "true or false".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<bool> {
        match given {
            Given::Any(text) => text.parse().ok(),
            Given::Switch(on) => Some(on),
            Given::Text(_) | Given::Texts(_) | Given::Integer(_) | Given::Other(_) => None,
        }
    }

    fn show(value: &bool) -> Value {
        Value::Switch(*value)
    }
}

/// Any text; what it may be is checked with the whole configuration.
pub(super) enum Text {}

impl Unit<String> for Text {
    fn wanted() -> String {
        "a text".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<String> {
        text(given).map(ToOwned::to_owned)
    }

    fn show(value: &String) -> Value {
        Value::Text(value.clone())
    }
}

impl Unit<Secret> for Text {
    const SHOWN: bool = false;

    fn wanted() -> String {
        <Self as Unit<String>>::wanted()
    }

    fn parse(given: Given<'_>) -> Option<Secret> {
        text(given).map(Secret::new)
    }

    fn show(value: &Secret) -> Value {
        Value::Secret(value.clone())
    }
}

/// A folder. Relative ones are relative to the process's own; the file's reader makes its own of it.
pub(super) enum Folder {}

impl Unit<PathBuf> for Folder {
    fn wanted() -> String {
        "a folder".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<PathBuf> {
        path(given)
    }

    fn show(value: &PathBuf) -> Value {
        Value::Text(value.display().to_string())
    }
}

/// A file. Relative ones are as with [`Folder`].
pub(super) enum FileName {}

impl Unit<PathBuf> for FileName {
    fn wanted() -> String {
        "a file".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<PathBuf> {
        path(given)
    }

    fn show(value: &PathBuf) -> Value {
        Folder::show(value)
    }
}

/// Where state is kept: `"memory"`, `"cluster"`, or a file. One in the current folder that is called `memory` is
/// `"./memory"`.
pub(super) enum Keeping {}

/// What stands for memory.
const MEMORY: &str = "memory";
/// What stands for the broker.
const CLUSTER: &str = "cluster";

impl Unit<StateStore> for Keeping {
    fn wanted() -> String {
        format!("{MEMORY:?}, {CLUSTER:?} or a file")
    }

    fn parse(given: Given<'_>) -> Option<StateStore> {
        match text(given)? {
            "" => None,
            MEMORY => Some(StateStore::Memory),
            CLUSTER => Some(StateStore::Cluster),
            file => Some(StateStore::File(PathBuf::from(file))),
        }
    }

    fn show(value: &StateStore) -> Value {
        Value::Text(match value {
            // Where nobody has said anything and there is no broker.
            StateStore::Automatic | StateStore::Memory => MEMORY.to_owned(),
            StateStore::Cluster => CLUSTER.to_owned(),
            StateStore::File(file) => file.display().to_string(),
        })
    }
}

/// An address to listen on.
pub(super) enum Address {}

impl Unit<SocketAddr> for Address {
    fn wanted() -> String {
        "an address and a port, such as \"127.0.0.1:3000\" or \"[::1]:3000\"".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<SocketAddr> {
        text(given)?.parse().ok()
    }

    fn show(value: &SocketAddr) -> Value {
        Value::Text(value.to_string())
    }
}

/// The way to a broker.
pub(super) enum Link {}

impl Unit<BrokerUrl> for Link {
    /// There may be a password in it.
    const SHOWN: bool = false;

    fn wanted() -> String {
        "the URL of a broker: redis://, redis-cluster://, rediss:// or rediss-cluster:// (TLS), nats:// or tls:// (NATS \
         with TLS), if need be USER:PASSWORD@, a host (of a cluster also several, with commas), and a port unless it is \
         the usual one, such as \"redis://127.0.0.1:6379\""
            .to_owned()
    }

    fn parse(given: Given<'_>) -> Option<BrokerUrl> {
        text(given)?.parse().ok()
    }

    fn show(value: &BrokerUrl) -> Value {
        Value::Url(value.clone())
    }
}

/// A digest.
pub(super) enum Hex {}

impl Unit<Sha256> for Hex {
    fn wanted() -> String {
        "the SHA-256 of a file: 64 hexadecimal digits".to_owned()
    }

    fn parse(given: Given<'_>) -> Option<Sha256> {
        text(given)?.parse().ok()
    }

    fn show(value: &Sha256) -> Value {
        Value::Text(value.to_string())
    }
}

/// Of what there need not be any.
impl<T, U: Unit<T>> Unit<Option<T>> for U {
    const SHOWN: bool = <U as Unit<T>>::SHOWN;

    fn wanted() -> String {
        <U as Unit<T>>::wanted()
    }

    fn parse(given: Given<'_>) -> Option<Option<T>> {
        <U as Unit<T>>::parse(given).map(Some)
    }

    fn show(value: &Option<T>) -> Value {
        value.as_ref().map_or(Value::Unset, <U as Unit<T>>::show)
    }
}

fn path(given: Given<'_>) -> Option<PathBuf> {
    let text = text(given).filter(|text| !text.is_empty());
    text.map(PathBuf::from)
}

fn text(given: Given<'_>) -> Option<&str> {
    match given {
        Given::Any(text) | Given::Text(text) => Some(text),
        Given::Texts(_) | Given::Integer(_) | Given::Switch(_) | Given::Other(_) => None,
    }
}

/// A number and what follows it, less the space between.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((digits(number)?, unit.trim_start_matches(' ')))
}

/// Digits, which may be grouped as in a file: `20_000`.
fn digits(text: &str) -> Option<u64> {
    let is_grouped = text
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    is_grouped
        .then(|| text.replace('_', "").parse().ok())
        .flatten()
}

fn size_of(units: &[(&str, u64)], wanted: &str) -> Option<u64> {
    let unit = units.iter().find(|(unit, _)| *unit == wanted);
    unit.map(|(_, size)| *size)
}
