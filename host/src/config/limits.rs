//! Every limit of the host, declared once: what it is called, what happens there, its type, its default.

use std::time::Duration;

use super::unit::{Bytes, Count, Given, Time, Unit};
use super::value::Value;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Makes of one list the struct, its defaults, the enum of names, and the way from one to the other. Of each limit it
/// takes the name of the variant, that of the field, the type, the [`Unit`] in which it is written, the default, and
/// the least value with which a host could work.
macro_rules! limits {
    ($(
        $(#[doc = $about:literal])+
        $variant:ident $field:ident: $type:ty as $unit:ident = $default:expr $(, at least $least:expr)?;
    )+) => {
        /// The host's limits. Reaching one is never silent: the client or the plugin gets the code or error named
        /// here, and the log says which limit it was.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $about])+ pub $field: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        /// The name of a limit: what a log line, a label or a configuration calls it.
        ///
        /// ```
        /// use wardroom::Limit;
        ///
        /// assert_eq!(Limit::MessageBytesMax.key(), "message_bytes_max");
        /// assert_eq!(Limit::MessageBytesMax.default_text(), "1 MiB");
        /// let mut reached = [0; Limit::COUNT];
        /// reached[Limit::MessageBytesMax.index()] += 1;
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $($(#[doc = $about])+ $variant,)+
        }

        impl Limit {
            /// All of them, in the order in which they are documented.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($field)),+].len();

            /// Its field of [`Limits`], and its key in the table `limits` of a file.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($field),)+
                }
            }
        }

        impl Limits {
            /// The value of one of them.
            #[must_use]
            pub fn get(&self, limit: Limit) -> Value {
                match limit {
                    $(Limit::$variant => <$unit as Unit<$type>>::show(&self.$field),)+
                }
            }

            /// Takes what is given for one of them, or says what would be right.
            pub(super) fn read(&mut self, limit: Limit, given: Given<'_>) -> Result<(), String> {
                match limit {
                    $(Limit::$variant => self.$field = <$unit as Unit<$type>>::read(given)?,)+
                }
                Ok(())
            }

            /// Those that are too small, and what they must at least be.
            pub(super) fn too_small(&self) -> Vec<(Limit, Value)> {
                let mut found = Vec::new();
                $($(if self.$field < $least {
                    found.push((Limit::$variant, <$unit as Unit<$type>>::show(&$least)));
                })?)+
                found
            }
        }
    };
}

impl Limit {
    /// Its place in [`Self::ALL`], for counters kept in an array.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it is one of the host as a whole: no tenant has a value of its own for it.
    #[must_use]
    pub const fn is_of_host(self) -> bool {
        matches!(
            self,
            Self::ConnectionsPerAddressMax
                | Self::ConnectionsPerSecondMax
                | Self::HandshakesMax
                | Self::HandshakeTimeout
                | Self::OutboxesBytesMax
                | Self::BusBytesMax
                | Self::BusMessagesMax
                | Self::InstancesMax
                | Self::InstancesMemoryMax
                | Self::CompileWallMax
                | Self::CompileMemoryMax
                | Self::CacheBytesMax
        )
    }

    /// Its default, as a file would have it, less the quotes.
    #[must_use]
    pub fn default_text(self) -> String {
        Limits::default().get(self).to_string()
    }
}

limits! {
    /// Open connections. One more is answered 503.
    ConnectionsMax connections_max: usize as Count = 20_000, at least 1;

    /// Open connections from one address; of version 6, from one network of 64 bits. One more is answered 429. By
    /// default as many as there may be at all, because a proxy is one address.
    ConnectionsPerAddressMax connections_per_address_max: usize as Count = 20_000, at least 1;

    /// Connections that open within a second, and at once after a second of rest. One more is answered 503.
    ConnectionsPerSecondMax connections_per_second_max: u32 as Count = 10_000, at least 1;

    /// Sockets that are not yet connections. One more is answered 503, unread.
    HandshakesMax handshakes_max: usize as Count = 2_000, at least 1;

    /// From accepting the socket to the end of the upgrade; then the socket is dropped.
    HandshakeTimeout handshake_timeout: Duration as Time = Duration::from_secs(10), at least Duration::from_millis(1);

    /// Messages of one connection within a second, and at once after a second of rest. One more is answered 429.
    MessagesPerSecondPerConnectionMax messages_per_second_per_connection_max: u32 as Count = 10_000, at least 1;

    /// Messages of all connections of a tenant within a second, and at once after a second of rest. One more is answered
    /// 429.
    MessagesPerSecondMax messages_per_second_max: u32 as Count = 1_000_000, at least 1;

    /// Bytes of messages of all connections of a tenant within a second, and at once after a second of rest. While there
    /// were more, a message is answered 429.
    BytesInPerSecondMax bytes_in_per_second_max: usize as Bytes = 1024 * MIB, at least 1;

    /// Bytes written to all connections of a tenant within a second, and at once after a second of rest. While there were
    /// more, a push is `limit`; replies are sent.
    BytesOutPerSecondMax bytes_out_per_second_max: usize as Bytes = 4096 * MIB, at least 1;

    /// Bytes of one client message. A larger one closes the connection with 1009.
    MessageBytesMax message_bytes_max: usize as Bytes = MIB, at least 1;

    /// Malformed messages of one connection within a minute. One more closes it with 1008.
    MalformedPerMinuteMax malformed_per_minute_max: u32 as Count = 20;

    /// Bytes waiting to be written to one connection. More close it with 3008.
    OutboxBytesMax outbox_bytes_max: usize as Bytes = MIB, at least 1;

    /// Messages waiting to be written to one connection. More close it with 3008.
    OutboxMessagesMax outbox_messages_max: usize as Count = 1_024, at least 1;

    /// Bytes waiting to be written to all connections together; what waits for several counts once. When there are more,
    /// connections whose clients do not read are closed with 3008, those first for which most waits.
    OutboxesBytesMax outboxes_bytes_max: usize as Bytes = 256 * MIB, at least 1;

    /// Bytes waiting to be sent to other hosts, by each master of a cluster of Redis. What a broadcast would add to them is dropped: members here have got it.
    /// On NATS, also bytes that have come from other hosts and wait to be delivered. What would be more is dropped.
    BusBytesMax bus_bytes_max: usize as Bytes = 8 * MIB, at least 1;

    /// Broadcasts waiting to be sent to other hosts, by each master of a cluster of Redis. One more is dropped: members here have got it.
    BusMessagesMax bus_messages_max: usize as Count = 10_000, at least 1;

    /// How long a closing connection may take to read what is left for it; then the socket is dropped.
    CloseTimeout close_timeout: Duration as Time = Duration::from_secs(2);

    /// Rooms that one connection may be in. Joining one more is `limit`.
    RoomsPerConnectionMax rooms_per_connection_max: usize as Count = 128;

    /// Rooms of a tenant that have members. Joining one more is `limit`.
    RoomsMax rooms_max: usize as Count = 100_000;

    /// Bytes of one connection's attributes, names and values together. More are `limit`.
    AttributesBytesMax attributes_bytes_max: usize as Bytes = 16 * KIB;

    /// Reads and writes of state that one event may cause; a list of keys counts as one more for each 1,000 of them. One
    /// more is `limit`.
    StateOperationsPerEventMax state_operations_per_event_max: u32 as Count = 100;

    /// Bytes of one value of state. A larger one is `too-large`.
    StateValueBytesMax state_value_bytes_max: usize as Bytes = 64 * KIB;

    /// Keys of all state of a tenant together. One more is `limit`.
    StateKeysMax state_keys_max: usize as Count = 100_000;

    /// Bytes of all state of a tenant together: keys, values, and with each key the name of its room or plugin. More are
    /// `limit`.
    StateBytesMax state_bytes_max: usize as Bytes = 64 * MIB;

    /// CPU time of one event, host calls included. An event that needs more is ended and answered 504.
    EventCpuMax event_cpu_max: Duration as Time = Duration::from_millis(50), at least Duration::from_millis(1);

    /// Time from the start of one event to its end. An event that needs more is ended and answered 504.
    EventWallMax event_wall_max: Duration as Time = Duration::from_secs(5), at least Duration::from_millis(1);

    /// Bytes of one instance's linear memory. Growing beyond fails in the guest.
    MemoryBytesMax memory_bytes_max: usize as Bytes = 64 * MIB, at least 1;

    /// Elements of one instance's tables. Growing beyond fails in the guest.
    TableElementsMax table_elements_max: usize as Count = 20_000;

    /// Bytes that one call may copy from a guest to the host: the arguments of an import, a handler's result, a manifest.
    /// More is a trap, and the event is answered 500.
    HostCallBytesMax host_call_bytes_max: usize as Bytes = 16 * MIB, at least 1;

    /// Random bytes that a guest may ask for at once. Asking for more is a trap, and the event is answered 500.
    RandomBytesMax random_bytes_max: usize as Bytes = 64 * KIB;

    /// Handles that an instance may hold at once, of streams, clocks and the like. One more is a trap, and the event is
    /// answered 500.
    HandlesMax handles_max: usize as Count = 1_000;

    /// Sends and broadcasts that one event may cause. One more is `limit`.
    PushesPerEventMax pushes_per_event_max: u32 as Count = 1_000;

    /// Bytes of one reply, as sent. A larger one becomes an error 413.
    ReplyBytesMax reply_bytes_max: usize as Bytes = MIB;

    /// Bytes of one push, as sent. A larger one is `too-large`.
    PushBytesMax push_bytes_max: usize as Bytes = MIB;

    /// HTTP requests that one event may send. One more fails with `connection-limit-reached`.
    HttpRequestsPerEventMax http_requests_per_event_max: u32 as Count = 10;

    /// HTTP requests of plugins that are under way, until their responses have been read. One more fails with
    /// `connection-limit-reached`.
    HttpInFlightMax http_in_flight_max: usize as Count = 64;

    /// From the look-up of a host to the connection with it. A request that needs longer fails with
    /// `connection-timeout`.
    HttpConnectTimeout http_connect_timeout: Duration as Time = Duration::from_secs(2), at least Duration::from_millis(1);

    /// From the beginning of an HTTP request of a plugin to the end of the response. One that needs longer fails with
    /// `HTTP-response-timeout`.
    HttpTimeout http_timeout: Duration as Time = Duration::from_secs(4), at least Duration::from_millis(1);

    /// Bytes of the body of an HTTP response. A larger one fails with `HTTP-response-body-size`, at once when it is
    /// announced.
    HttpResponseBytesMax http_response_bytes_max: usize as Bytes = MIB;

    /// Log lines of one event. Further ones are dropped, and the log says how many.
    LogLinesPerEventMax log_lines_per_event_max: u32 as Count = 100;

    /// Log lines of one plugin within a second, its own and those about its failures. Further ones are dropped, and the
    /// log says how many.
    LogLinesPerSecondMax log_lines_per_second_max: u32 as Count = 1_000;

    /// Bytes of one log line. The rest is cut.
    LogLineBytesMax log_line_bytes_max: usize as Bytes = 4 * KIB;

    /// Instances of one plugin, idle ones included.
    InstancesPerPluginMax instances_per_plugin_max: usize as Count = 64, at least 1;

    /// Instances of all plugins of a tenant, idle ones included. An event that needs one more is answered 503.
    InstancesPerTenantMax instances_per_tenant_max: usize as Count = 256, at least 1;

    /// Instances of all plugins together: the engine reserves address space for that many at start.
    InstancesMax instances_max: u32 as Count = 1_000, at least 1;

    /// Bytes of linear memory of all instances together. Growing beyond fails in the guest; an event that would need
    /// another instance for it is answered 503.
    InstancesMemoryMax instances_memory_max: usize as Bytes = 4096 * MIB, at least 1;

    /// Bytes of linear memory of all instances of a tenant. Growing beyond fails in the guest; an event that would need
    /// another instance for it is answered 503.
    InstancesMemoryPerTenantMax instances_memory_per_tenant_max: usize as Bytes = 1024 * MIB, at least 1;

    /// Events of one plugin that wait for an instance. One more is answered 503.
    WaitingEventsMax waiting_events_max: usize as Count = 1_000;

    /// How long an event may wait for an instance; then it is answered 503.
    InstanceWaitMax instance_wait_max: Duration as Time = Duration::from_secs(1);

    /// Events after which an instance is replaced.
    EventsPerInstanceMax events_per_instance_max: u32 as Count = 100_000, at least 1;

    /// Bytes of linear memory beyond which an instance is replaced after its event.
    InstanceMemoryMark instance_memory_mark: usize as Bytes = 32 * MIB;

    /// How long an instance may be unused; then it is thrown away.
    InstanceIdleMax instance_idle_max: Duration as Time = Duration::from_secs(60), at least Duration::from_millis(1);

    /// Events of one plugin, in a row, that trap or run out of time. After so many the plugin is in quarantine: its
    /// events are answered 503.
    FailuresInRowMax failures_in_row_max: u32 as Count = 100, at least 1;

    /// How long the first quarantine of a plugin lasts; each further one, twice as long as the one before.
    QuarantineMin quarantine_min: Duration as Time = Duration::from_secs(1), at least Duration::from_millis(1);

    /// How long a quarantine lasts at most.
    QuarantineMax quarantine_max: Duration as Time = Duration::from_secs(60), at least Duration::from_millis(1);

    /// Bytes of a component's file. A larger one is not loaded.
    ComponentBytesMax component_bytes_max: usize as Bytes = 64 * MIB, at least 1;

    /// Routes of one plugin. One with more is not loaded.
    RoutesMax routes_max: usize as Count = 2_000;

    /// Bytes of a plugin's manifest: its texts, 24 more for each text in a list and 48 for each route or pair. One
    /// with a larger manifest is not loaded.
    ManifestBytesMax manifest_bytes_max: usize as Bytes = MIB, at least 4 * KIB;

    /// CPU time of a plugin's `describe`, its start-up included.
    DescribeCpuMax describe_cpu_max: Duration as Time = Duration::from_secs(1), at least Duration::from_millis(1);

    /// How long a [`Config::compiler`](crate::Config::compiler) may take for one component; then it is killed, and the
    /// plugin is not loaded.
    CompileWallMax compile_wall_max: Duration as Time = Duration::from_secs(30), at least Duration::from_millis(1);

    /// Bytes that a [`Config::compiler`](crate::Config::compiler) may allocate. One that needs more ends, and the
    /// plugin is not loaded.
    CompileMemoryMax compile_memory_max: usize as Bytes = 2048 * MIB, at least 1;

    /// Bytes of compiled code in [`Config::cache`](crate::Config::cache). When there are more, what was not used for
    /// longest is removed.
    CacheBytesMax cache_bytes_max: usize as Bytes = 1024 * MIB;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_a_name_and_a_default() {
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit.index(), place);
            let mut limits = Limits::default();
            let text = limit.default_text();
            limits.read(limit, Given::Any(&text)).unwrap();
            assert_eq!(limits, Limits::default(), "{} {text}", limit.key());
        }
    }

    #[test]
    fn the_least_is_enough_and_less_is_not() {
        let limits = Limits {
            connections_max: 1,
            event_cpu_max: Duration::from_millis(1),
            ..Limits::default()
        };
        assert_eq!(limits.too_small(), []);
        let limits = Limits {
            connections_max: 0,
            event_cpu_max: Duration::from_micros(999),
            ..Limits::default()
        };
        assert_eq!(
            limits.too_small(),
            [
                (Limit::ConnectionsMax, Value::Count(1)),
                (Limit::EventCpuMax, Value::Time(Duration::from_millis(1)))
            ]
        );
    }
}
