//! Settings by name, as transcripts write them.

use anyhow::{Context as _, bail};
use std::time::Duration;
use wardroom::Config;

trait Setting: Sized {
    fn parse(text: &str) -> anyhow::Result<Self>;
}

impl Setting for usize {
    fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(text.replace('_', "").parse()?)
    }
}

impl Setting for u32 {
    fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(text.replace('_', "").parse()?)
    }
}

impl Setting for Duration {
    fn parse(text: &str) -> anyhow::Result<Self> {
        match text.strip_suffix("ms") {
            Some(milliseconds) => Ok(Self::from_millis(milliseconds.parse()?)),
            None => Ok(Self::from_secs(
                text.strip_suffix('s')
                    .context("a time ends in `ms` or `s`")?
                    .parse()?,
            )),
        }
    }
}

impl Setting for String {
    fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(text.to_owned())
    }
}

macro_rules! settings {
    ($($field:ident)*; limits: $($limit:ident)*) => {
        /// Sets one value of a configuration: a limit by its bare name, or one of the other values.
        ///
        /// # Errors
        /// When there is no such value, or the text is none for it.
        pub fn set(config: &mut Config, key: &str, text: &str) -> anyhow::Result<()> {
            let wrong = || format!("`{key} = {text}`");
            match key {
                $(stringify!($field) => config.$field = Setting::parse(text).with_context(wrong)?,)*
                $(stringify!($limit) => config.limits.$limit = Setting::parse(text).with_context(wrong)?,)*
                _ => bail!("there is no setting `{key}`"),
            }
            Ok(())
        }

        /// The limits that can be set by name: all there are, as a test checks.
        pub const LIMITS: &[&str] = &[$(stringify!($limit)),*];
    };
}

settings! {
    path node heartbeat_interval heartbeat_timeout;
    limits:
    connections_max handshake_timeout message_bytes_max malformed_per_minute_max outbox_bytes_max outbox_messages_max
    close_timeout rooms_per_connection_max attributes_bytes_max event_cpu_max event_wall_max memory_bytes_max
    table_elements_max pushes_per_event_max reply_bytes_max push_bytes_max log_lines_per_event_max log_line_bytes_max
    instances_per_plugin_max instances_max waiting_events_max instance_wait_max events_per_instance_max
    instance_memory_mark component_bytes_max routes_max describe_cpu_max
}
