//! A value of the configuration as people read and write it: `"64 KiB"`, `"50ms"`, `20_000`.

use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;

use super::{BrokerUrl, Setting};

const KIB: u64 = 1024;
const KB: u64 = 1000;

/// Units of size, in the order in which one is looked for that leaves no rest.
pub(super) const SIZES: [(&str, u64); 6] = [
    ("GiB", KIB * KIB * KIB),
    ("MiB", KIB * KIB),
    ("KiB", KIB),
    ("GB", KB * KB * KB),
    ("MB", KB * KB),
    ("kB", KB),
];

/// Units of time in nanoseconds, in the order in which one is looked for that leaves no rest.
pub(super) const TIMES: [(&str, u64); 6] = [
    ("h", 3_600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A value of the configuration, to be compared and shown.
///
/// It is shown as a file has it, less the quotes:
///
/// ```
/// use wardroom::config::Value;
///
/// assert_eq!(Value::Bytes(64 * 1024).to_string(), "64 KiB");
/// assert_eq!(Value::Bytes(64 * 1024).to_toml().as_deref(), Some("\"64 KiB\""));
/// assert_eq!(Value::Count(20_000).to_string(), "20_000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is none, and no default either.
    Unset,
    /// How many.
    Count(u64),
    /// How many bytes.
    Bytes(u64),
    /// How long.
    Time(Duration),
    /// On or off.
    Switch(bool),
    /// An address, a path, a name.
    Text(String),
    /// Several of those.
    Texts(Vec<String>),
    /// A text that is not shown.
    Secret(Secret),
    /// A URL whose credentials are not shown.
    Url(BrokerUrl),
    /// What a plugin is given.
    Setting(Setting),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => formatter.write_str("not set"),
            Self::Count(count) => formatter.write_str(&grouped(*count)),
            Self::Bytes(bytes) => match whole(&SIZES, u128::from(*bytes)) {
                Some((number, unit)) => write!(formatter, "{number} {unit}"),
                None => formatter.write_str(&grouped(*bytes)),
            },
            Self::Time(time) => match whole(&TIMES, time.as_nanos()) {
                Some((number, unit)) => write!(formatter, "{number}{unit}"),
                None => formatter.write_str("0"),
            },
            Self::Switch(on) => on.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
            Self::Url(url) => fmt::Display::fmt(url, formatter),
            Self::Texts(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                write!(formatter, "[{}]", texts.join(", "))
            }
            Self::Secret(secret) => fmt::Debug::fmt(secret, formatter),
            Self::Setting(setting) => formatter.write_str(&inline(setting.shown())),
        }
    }
}

impl Value {
    /// As it stands behind the `=` in a file; `None` when there is no value.
    #[must_use]
    pub fn to_toml(&self) -> Option<String> {
        match self {
            Self::Unset => None,
            Self::Count(_) | Self::Switch(_) | Self::Texts(_) | Self::Setting(_) => {
                Some(self.to_string())
            }
            Self::Bytes(bytes) if whole(&SIZES, u128::from(*bytes)).is_none() => {
                Some(self.to_string())
            }
            Self::Bytes(_) | Self::Time(_) | Self::Text(_) | Self::Secret(_) | Self::Url(_) => {
                Some(quoted(&self.to_string()))
            }
        }
    }

    /// For programs: sizes are numbers of bytes, times are texts as in a file.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Unset => Json::Null,
            Self::Count(number) | Self::Bytes(number) => (*number).into(),
            Self::Switch(on) => (*on).into(),
            Self::Texts(texts) => texts.clone().into(),
            Self::Setting(setting) => setting.shown().clone(),
            Self::Time(_) | Self::Text(_) | Self::Secret(_) | Self::Url(_) => {
                self.to_string().into()
            }
        }
    }
}

/// In the largest unit that leaves no rest; `None` when none does, and for zero.
fn whole(units: &[(&'static str, u64)], number: u128) -> Option<(u128, &'static str)> {
    let fits = |size: u128| number > 0 && number.is_multiple_of(size);
    let mut units = units.iter().map(|(unit, size)| (unit, u128::from(*size)));
    let (unit, size) = units.find(|(_, size)| fits(*size))?;
    Some((number / size, unit))
}

/// As a file may have it: `20_000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// A TOML string. It is escaped like a JSON string, but for DEL, which may stand in those alone.
fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\x7f', "\\u007f")
}

/// A name as it stands before the `=` in a file.
pub(super) fn name(text: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_bare) {
        return text.to_owned();
    }
    quoted(text)
}

/// JSON as TOML that stays on its line.
fn inline(json: &Json) -> String {
    match json {
        Json::String(text) => quoted(text),
        Json::Array(entries) => {
            let entries: Vec<_> = entries.iter().map(inline).collect();
            format!("[{}]", entries.join(", "))
        }
        Json::Object(table) if table.is_empty() => "{}".to_owned(),
        Json::Object(table) => {
            let pair =
                |(key, value): (&String, &Json)| format!("{} = {}", name(key), inline(value));
            let pairs: Vec<_> = table.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // TOML has none; no file can have given it.
        Json::Null => quoted("null"),
        Json::Bool(_) | Json::Number(_) => json.to_string(),
    }
}

/// A text that neither logs nor messages show: they say `(set)`.
///
/// ```
/// let token = wardroom::config::Secret::new("s3cret");
/// assert_eq!(format!("{token:?}"), "(set)");
/// assert_eq!(token.expose(), "s3cret");
/// ```
#[derive(Clone, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Takes equally long wherever two texts of the same length differ, so that nobody can guess one letter by letter.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.bytes().zip(other.0.bytes());
        let difference = pairs.fold(0, |difference, (one, two)| {
            std::hint::black_box(difference | (one ^ two))
        });
        self.0.len() == other.0.len() && difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(set)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_leaves_no_rest() {
        for (bytes, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 kB"),
            (1_023, "1_023"),
            (1_024, "1 KiB"),
            (1_025, "1_025"),
            (1_500_000, "1500 kB"),
            (64 * 1024 * 1024, "64 MiB"),
            (u64::MAX, "18_446_744_073_709_551_615"),
        ] {
            assert_eq!(Value::Bytes(bytes).to_string(), shown);
        }
    }

    #[test]
    fn times_are_shown_in_the_largest_unit_that_leaves_no_rest() {
        for (time, shown) in [
            (Duration::ZERO, "0"),
            (Duration::from_nanos(1), "1ns"),
            (Duration::from_micros(1_500), "1500us"),
            (Duration::from_millis(50), "50ms"),
            (Duration::from_secs(5), "5s"),
            (Duration::from_secs(90), "90s"),
            (Duration::from_secs(120), "2m"),
            (Duration::from_secs(7_200), "2h"),
        ] {
            assert_eq!(Value::Time(time).to_string(), shown);
        }
    }

    #[test]
    fn files_quote_what_is_no_number() {
        let toml = |value: Value| value.to_toml().unwrap_or_default();
        assert_eq!(toml(Value::Unset), "");
        assert_eq!(toml(Value::Count(1_024)), "1_024");
        assert_eq!(toml(Value::Bytes(1_023)), "1_023");
        assert_eq!(toml(Value::Bytes(1_024)), "\"1 KiB\"");
        assert_eq!(toml(Value::Time(Duration::ZERO)), "\"0\"");
        assert_eq!(toml(Value::Switch(true)), "true");
        assert_eq!(
            toml(Value::Text("a\"\\\n\x7f".to_owned())),
            r#""a\"\\\n\u007f""#
        );
    }

    #[test]
    fn secrets_are_compared_and_never_shown() {
        let secret = Value::Secret(Secret::new("abc"));
        assert_eq!(secret.to_toml().as_deref(), Some("\"(set)\""));
        assert_eq!(secret.to_json(), "(set)");
        assert_eq!(format!("{secret:?}"), "Secret((set))");
        assert_eq!(secret, Value::Secret(Secret::new("abc")));
        assert_ne!(secret, Value::Secret(Secret::new("abd")));
        assert_ne!(secret, Value::Secret(Secret::new("abcd")));
    }
}
