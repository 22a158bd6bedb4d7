//! Structured lines in the host's log, marked there with the tenant and the plugin.
//!
//! ```no_run
//! use wardroom_sdk::prelude::*;
//!
//! let (room, members) = ("/chat/general", 3);
//! log::info!("{room} is getting crowded");
//! log::warn!(room = room, members = members, "{} is getting crowded", room);
//! ```
//!
//! What stands before the text are fields: anything that implements `Serialize`. The host cuts
//! lines that are too long and drops those that are too many for one event, and says so in the log.

use std::fmt;

use serde::Serialize;

use crate::host;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator may want to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What went wrong.
    Error,
}

/// Writes a line; the macros of this module are the comfortable way to.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    host::log(level, message, fields);
}

#[doc(hidden)]
pub fn __line(level: Level, message: fmt::Arguments<'_>, fields: &[(&str, String)]) {
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, json)| (*name, json.as_str()))
        .collect();
    match message.as_str() {
        Some(message) => log(level, message, &fields),
        None => log(level, &message.to_string(), &fields),
    }
}

#[doc(hidden)]
pub fn __field<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_line {
    ($level:ident, $($name:ident = $value:expr,)* $format:literal $($args:tt)*) => {
        $crate::log::__line(
            $crate::log::Level::$level,
            ::core::format_args!($format $($args)*),
            &[$((::core::stringify!($name), $crate::log::__field(&$value))),*],
        )
    };
}

macro_rules! level_macro {
    ($(#[$doc:meta])* $name:ident $hidden:ident $level:ident $dollar:tt) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $hidden {
            ($dollar($dollar line:tt)*) => { $crate::__log_line!($level, $dollar($dollar line)*) };
        }
        $(#[$doc])*
        #[doc(inline)]
        pub use $hidden as $name;
    };
}

level_macro!(/** Logs every step. */ trace __log_trace Trace $);
level_macro!(/** Logs what helps to find a fault. */ debug __log_debug Debug $);
level_macro!(/** Logs what an operator may want to know. */ info __log_info Info $);
level_macro!(/** Logs what an operator should look at. */ warn __log_warn Warn $);
level_macro!(/** Logs what went wrong. */ error __log_error Error $);
