//! What the host is told: addresses, folders, limits. Everything here is plain data that was checked once; who
//! uses a value never checks it again.
//!
//! Every limit of the host and its default is in [`Limits`], and nowhere else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A host's configuration.
///
/// ```
/// let config = wardroom::Config { listen: "127.0.0.1:0".parse()?, ..wardroom::Config::default() };
/// assert_eq!(config.path, "/ws");
/// assert!(config.validate().is_ok());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to accept connections; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The path at which WebSockets are accepted.
    pub path: String,
    /// The folder whose `*.wasm` files are the plugins.
    pub plugins: PathBuf,
    /// This host's name in query answers and on the bus.
    pub node: String,
    /// How long a connection may be silent before it is pinged; zero never pings.
    pub heartbeat_interval: Duration,
    /// How long a pinged connection may stay silent before it is closed with 1001.
    pub heartbeat_timeout: Duration,
    /// What may be used of everything.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            path: "/ws".to_owned(),
            plugins: PathBuf::from("plugins"),
            node: "wardroom".to_owned(),
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

/// The host's limits. Reaching one is never silent: the client or the plugin gets the code or error named here,
/// and the log says which limit it was.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections, handshakes included. One more is answered 503.
    pub connections_max: usize,
    /// From accepting the socket to the end of the upgrade; then the socket is dropped.
    pub handshake_timeout: Duration,
    /// Bytes of one client message. A larger one closes the connection with 1009.
    pub message_bytes_max: usize,
    /// Malformed messages of one connection within a minute. One more closes it with 1008.
    pub malformed_per_minute_max: u32,
    /// Bytes waiting to be written to one connection. More close it with 3008.
    pub outbox_bytes_max: usize,
    /// Messages waiting to be written to one connection. More close it with 3008.
    pub outbox_messages_max: usize,
    /// How long a closing connection may take to read what is left for it; then the socket is dropped.
    pub close_timeout: Duration,
    /// Rooms that one connection may be in. Joining one more is `limit`.
    pub rooms_per_connection_max: usize,
    /// Bytes of one connection's attributes, names and values together. More are `limit`.
    pub attributes_bytes_max: usize,
    /// CPU time of one event, host calls included. An event that needs more is ended and answered 504.
    pub event_cpu_max: Duration,
    /// Time from the start of one event to its end. An event that needs more is ended and answered 504.
    pub event_wall_max: Duration,
    /// Bytes of one instance's linear memory. Growing beyond fails in the guest.
    pub memory_bytes_max: usize,
    /// Elements of one instance's tables. Growing beyond fails in the guest.
    pub table_elements_max: usize,
    /// Sends and broadcasts that one event may cause. One more is `limit`.
    pub pushes_per_event_max: u32,
    /// Bytes of one reply, as sent. A larger one becomes an error 413.
    pub reply_bytes_max: usize,
    /// Bytes of one push, as sent. A larger one is `too-large`.
    pub push_bytes_max: usize,
    /// Log lines of one event. Further ones are dropped, and the log says how many.
    pub log_lines_per_event_max: u32,
    /// Bytes of one log line. The rest is cut.
    pub log_line_bytes_max: usize,
    /// Instances of one plugin, idle ones included.
    pub instances_per_plugin_max: usize,
    /// Instances of all plugins together: the engine reserves address space for that many at start.
    pub instances_max: u32,
    /// Events of one plugin that wait for an instance. One more is answered 503.
    pub waiting_events_max: usize,
    /// How long an event may wait for an instance; then it is answered 503.
    pub instance_wait_max: Duration,
    /// Events after which an instance is replaced.
    pub events_per_instance_max: u32,
    /// Bytes of linear memory beyond which an instance is replaced after its event.
    pub instance_memory_mark: usize,
    /// Bytes of a component's file. A larger one is not loaded.
    pub component_bytes_max: usize,
    /// Routes of one plugin. One with more is not loaded.
    pub routes_max: usize,
    /// CPU time of a plugin's `describe`, its start-up included.
    pub describe_cpu_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            connections_max: 20_000,
            handshake_timeout: Duration::from_secs(10),
            message_bytes_max: MIB,
            malformed_per_minute_max: 20,
            outbox_bytes_max: MIB,
            outbox_messages_max: 1024,
            close_timeout: Duration::from_secs(2),
            rooms_per_connection_max: 128,
            attributes_bytes_max: 16 * KIB,
            event_cpu_max: Duration::from_millis(50),
            event_wall_max: Duration::from_secs(5),
            memory_bytes_max: 64 * MIB,
            table_elements_max: 20_000,
            pushes_per_event_max: 1_000,
            reply_bytes_max: MIB,
            push_bytes_max: MIB,
            log_lines_per_event_max: 100,
            log_line_bytes_max: 4 * KIB,
            instances_per_plugin_max: 64,
            instances_max: 1_000,
            waiting_events_max: 1_000,
            instance_wait_max: Duration::from_secs(1),
            events_per_instance_max: 100_000,
            instance_memory_mark: 32 * MIB,
            component_bytes_max: 64 * MIB,
            routes_max: 2_000,
            describe_cpu_max: Duration::from_secs(1),
        }
    }
}

/// A configuration that cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The value at fault.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Config {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first value that cannot be, with what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key, problem: &str| {
            Err(ConfigError {
                key,
                problem: problem.to_owned(),
            })
        };
        if !self.path.starts_with('/') || self.path.contains(['?', '#']) {
            return refuse(
                "path",
                "must begin with a slash and hold no `?` or `#`, for example `/ws`",
            );
        }
        if self.node.is_empty() || self.node.len() > 63 {
            return refuse("node", "must have 1 to 63 bytes");
        }
        if !self.heartbeat_interval.is_zero() && self.heartbeat_timeout.is_zero() {
            return refuse(
                "heartbeat_timeout",
                "must be more than zero while heartbeat_interval is",
            );
        }
        self.limits.validate()
    }
}

impl Limits {
    fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("connections_max", self.connections_max),
            ("message_bytes_max", self.message_bytes_max),
            ("outbox_bytes_max", self.outbox_bytes_max),
            ("outbox_messages_max", self.outbox_messages_max),
            ("memory_bytes_max", self.memory_bytes_max),
            ("instances_per_plugin_max", self.instances_per_plugin_max),
            ("instances_max", self.instances_max as usize),
            (
                "events_per_instance_max",
                self.events_per_instance_max as usize,
            ),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(ConfigError {
                    key,
                    problem: "must be at least 1".to_owned(),
                });
            }
        }
        if self.instances_per_plugin_max > self.instances_max as usize {
            let problem = format!(
                "must be at least instances_per_plugin_max ({})",
                self.instances_per_plugin_max
            );
            return Err(ConfigError {
                key: "instances_max",
                problem,
            });
        }
        Ok(())
    }
}
