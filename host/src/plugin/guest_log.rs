//! What guests have to say: lines of the `log` import, of standard output and of standard error, all in the host's
//! log, bounded in number and length.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::log_rate::LogRate;
use crate::config::Limit;
use crate::metrics::Metrics;

/// What a guest may write to a stream at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One instance's lines, marked with its plugin. Cheap to clone: its streams share it.
#[derive(Clone, Debug)]
pub(super) struct GuestLog {
    rate: Arc<LogRate>,
    line_bytes_max: usize,
    metrics: Metrics,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    lines_left: u32,
    lines_dropped: u32,
    /// What was written to a stream since its last line end.
    partial: Vec<u8>,
}

impl GuestLog {
    pub(super) fn new(rate: Arc<LogRate>, line_bytes_max: usize, metrics: Metrics) -> Self {
        Self {
            rate,
            line_bytes_max,
            metrics,
            state: Arc::default(),
        }
    }

    /// The plugin's name; its file's, while it is described.
    pub(super) fn plugin(&self) -> &str {
        &self.rate.plugin
    }

    /// What the host could not do for the guest, and why, which the guest is not told. It counts among its plugin's lines.
    pub(super) fn unavailable(&self, what: &str, cause: &str) {
        if self.rate.admits() {
            tracing::error!(plugin = self.plugin(), cause, "{what} is unavailable");
        }
    }

    /// Begins an event that may write so many lines.
    pub(super) fn begin(&self, lines: u32) {
        self.state.lock().lines_left = lines;
    }

    /// Ends it: a line without an end is a line too.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        if !state.partial.is_empty() {
            let partial = std::mem::take(&mut state.partial);
            self.stream_line(&mut state, &partial);
        }
        if state.lines_dropped > 0 {
            let dropped = std::mem::take(&mut state.lines_dropped);
            self.metrics.reached(Limit::LogLinesPerEventMax);
            if self.rate.admits() {
                let plugin = &self.rate.plugin;
                tracing::warn!(%plugin, dropped, "log lines dropped (log_lines_per_event_max)");
            }
        }
    }

    /// A line of the `log` import. Control characters are escaped: it is the guest's text.
    pub(super) fn line(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let mut state = self.state.lock();
        if !state.admit() {
            return;
        }
        drop(state);
        let mut text = message.to_owned();
        for (name, value) in fields {
            text.push_str(&format!(" {name}={value}"));
        }
        self.emit(level, &text);
    }

    fn write(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            let mut whole = std::mem::take(&mut state.partial);
            whole.extend_from_slice(line);
            self.stream_line(&mut state, &whole);
            rest = after.get(1..).unwrap_or_default();
        }
        let room = self.line_bytes_max.saturating_sub(state.partial.len());
        state
            .partial
            .extend_from_slice(rest.get(..room).unwrap_or(rest));
    }

    fn stream_line(&self, state: &mut State, line: &[u8]) {
        if !line.is_empty() && state.admit() {
            self.emit(Level::INFO, &String::from_utf8_lossy(line));
        }
    }

    fn emit(&self, level: Level, text: &str) {
        if !self.rate.admits() {
            return;
        }
        let end = text.floor_char_boundary(self.line_bytes_max);
        if end < text.len() {
            self.metrics.reached(Limit::LogLineBytesMax);
        }
        let text = text
            .get(..end)
            .unwrap_or_default()
            .escape_debug()
            .to_string();
        let plugin = &self.rate.plugin;
        match level {
            Level::TRACE => tracing::trace!(target: "wardroom::guest", %plugin, "{text}"),
            Level::DEBUG => tracing::debug!(target: "wardroom::guest", %plugin, "{text}"),
            Level::INFO => tracing::info!(target: "wardroom::guest", %plugin, "{text}"),
            Level::WARN => tracing::warn!(target: "wardroom::guest", %plugin, "{text}"),
            Level::ERROR => tracing::error!(target: "wardroom::guest", %plugin, "{text}"),
        }
    }
}

impl State {
    fn admit(&mut self) -> bool {
        if self.lines_left == 0 {
            self.lines_dropped += 1;
            return false;
        }
        self.lines_left -= 1;
        true
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The default would spawn a task for each stream.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestLog {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        GuestLog::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestLog {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        GuestLog::write(&self, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
