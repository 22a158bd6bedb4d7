//! The `log` import. It answers during `describe`, too.

use tracing::Level;

use crate::plugin::bindings::wardroom::plugin::log::{self, Host};
use crate::plugin::state::State;

impl Host for State {
    fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            log::Level::Trace => Level::TRACE,
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.log.line(level, &message, &fields);
    }
}
