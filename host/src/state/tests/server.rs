//! A real Redis, and nobody else who uses it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::state::shared::Redis;
use crate::state::*;

/// Killed when it is dropped; what it keeps goes with it.
pub(in crate::state) struct Server {
    process: Child,
    port: u16,
    /// What keepers ask it.
    script: &'static str,
}

impl Server {
    /// Leaves the test out, loudly, when it is not installed; but not where `CI` is set.
    pub(in crate::state) fn start() -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir", "/"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) => {
                let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
                assert!(!is_ci, "redis-server: {error}");
                let thread = std::thread::current();
                let test = thread.name().unwrap_or("a test");
                // Not by `eprintln!`: nobody is shown what a test prints that does not fail.
                let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: redis-server: {error}");
                return None;
            }
        };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "no redis-server");
            std::thread::yield_now();
        }
        Some(Self {
            process,
            port,
            script: Redis::SCRIPT,
        })
    }

    /// The same, where values end by a time that only the test lets pass.
    pub(in crate::state) fn with_clock() -> Option<Self> {
        let clock = "redis.call('TIME')";
        assert_eq!(Redis::SCRIPT.matches(clock).count(), 1);
        let script = Redis::SCRIPT.replace(clock, "redis.call('HVALS', 'time')");
        let mut server = Self::start()?;
        server.script = String::leak(script);
        server.set_time(Time::from_millis(0));
        Some(server)
    }

    /// Of one that has a clock.
    pub(in crate::state) fn set_time(&self, time: Time) {
        let (seconds, millis) = (time.as_millis() / 1_000, time.as_millis() % 1_000);
        self.tell(&format!("HSET time seconds {seconds} micros {millis}000"));
    }

    /// The values of a tenant. Within a runtime.
    pub(in crate::state) fn values(&self, tenant: &str) -> Values {
        let store = Store::Shared(store::SharedStore(self.keeper()));
        store.tenant(tenant).unwrap()
    }

    /// The same without what all values have in common.
    pub(in crate::state) fn shared(&self, tenant: &str) -> Shared {
        Shared::new(tenant, self.keeper())
    }

    /// Does a command, past wardroom.
    pub(in crate::state) fn tell(&self, command: &str) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let request = format!("{command}\r\nQUIT\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.starts_with('-'), "{answer}");
    }

    fn keeper(&self) -> Arc<Redis> {
        let url = format!("redis://127.0.0.1:{}", self.port);
        Arc::new(Redis::with(self.script, &url.parse().unwrap(), ""))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// No host but this one, where all rooms have members.
pub(in crate::state) struct Alone;

impl Members for Alone {
    fn are_here(&self, _: &str) -> bool {
        true
    }

    async fn elsewhere(&self, _: Vec<String>) -> Option<BTreeSet<String>> {
        Some(BTreeSet::new())
    }
}
