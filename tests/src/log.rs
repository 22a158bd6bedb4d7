//! The log of one host, in this process or another, kept for assertions and for the message of a failing test.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

/// What one host logged so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    text: Mutex<Vec<u8>>,
    written: Notify,
}

impl Log {
    /// Everything, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.text.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned()
    }

    /// Adds a line of the harness's own.
    pub fn note(&self, line: &str) {
        let mut text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }

    /// The lines that contain all of these.
    #[must_use]
    pub fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        let text = self.text();
        text.lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .map(str::to_owned)
            .collect()
    }

    /// Waits for a line that contains all of these, for as long as it takes.
    pub async fn line_with(&self, parts: &[&str]) -> String {
        loop {
            let written = self.0.written.notified();
            if let Some(line) = self.lines_with(parts).pop() {
                return line;
            }
            written.await;
        }
    }

    /// A subscriber that writes here; it has to be the default of each thread of the host.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(self.clone())
            .with_ansi(false)
            .with_env_filter("info,wardroom=debug")
            .finish();
        Dispatch::new(subscriber)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        self.0.written.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
