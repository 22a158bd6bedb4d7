//! The socket of one connection: frames in, frames out, the heartbeat, the closing handshake.
//!
//! The only file that reads and writes frames. Everything
//! is polled from the connection's one task: while a handler runs the outbox keeps draining, and one message is
//! read ahead.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{
    CloseCode as WireCode, Data, OpCode,
};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::end::End;
use super::heartbeat::{Beat, Heartbeat};
use crate::config::Limits;
use crate::hub::{Hub, Outbox, Taken};
use crate::metrics::Metrics;
use crate::protocol::{Close, CloseCode};
use crate::tenant::Tenant;

/// Tungstenite allocates it for each connection and zero-fills it before each read, so it is small: 4 KiB took
/// 8.4 µs a request and 13 KB a connection where the default of 128 KiB took 7.4 µs and 110 KB or more.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// From here on tungstenite writes without waiting for a flush.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Above the outbox's own limit: what one batch can hold beside one frame as large as that, with headers, and
/// control frames.
const WRITE_BUFFER_SLACK_BYTES: usize = 128 * 1024;

/// Messages that are handled before their replies are written, while more are there to be read: a client that has
/// several requests in flight gets their replies in one write, and one that never stops is still answered.
const CORKED_MESSAGES_MAX: u32 = 32;

/// Bytes that are thrown away at once while a broken client is given the time to read why.
const DISCARD_BYTES: usize = 4 * 1024;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A text frame, or a binary one that holds text.
    Text(String),
    /// A binary frame that holds no text.
    NotText,
}

/// A connection's socket.
pub(super) struct Socket<S> {
    stream: WebSocketStream<S>,
    heartbeat: Heartbeat,
    metrics: Metrics,
    /// Told what is written.
    hub: Hub,
    /// Read while a handler ran.
    ahead: Option<Incoming>,
    /// Tungstenite has something that is not yet flushed: with so many bytes from the outbox.
    unflushed: Option<usize>,
    /// Messages read since replies were last written.
    corked: u32,
    /// Set once; nothing is read after it.
    end: Option<End>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Takes over a stream after its upgrade, with what was read of it beyond the request.
    pub(super) async fn new(
        stream: S,
        read: Bytes,
        limits: &Limits,
        heartbeat: Heartbeat,
        tenant: &Tenant,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(
                limits
                    .outbox_bytes_max
                    .saturating_add(WRITE_BUFFER_SLACK_BYTES),
            )
            .max_message_size(Some(limits.message_bytes_max))
            .max_frame_size(Some(limits.message_bytes_max));
        let stream =
            WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config))
                .await;
        Self {
            stream,
            heartbeat,
            metrics: tenant.metrics.clone(),
            hub: tenant.hub.clone(),
            ahead: None,
            unflushed: None,
            corked: 0,
            end: None,
        }
    }

    /// The next message. Writes what the outbox holds whenever there is none to be read at once.
    pub(super) async fn next(&mut self, outbox: &Outbox) -> Result<Incoming, End> {
        poll_fn(|context| self.poll_next(context, outbox)).await
    }

    /// Has the next [`Self::next`] write what the outbox holds before it reads.
    pub(super) fn uncork(&mut self) {
        self.corked = CORKED_MESSAGES_MAX;
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
    ) -> Poll<Result<Incoming, End>> {
        if let Some(incoming) = self.ahead.take() {
            return Poll::Ready(Ok(incoming));
        }
        if let Some(end) = &self.end {
            return Poll::Ready(Err(end.clone()));
        }
        if self.corked >= CORKED_MESSAGES_MAX
            && let Poll::Ready(end) = self.poll_write(context, outbox)
        {
            return Poll::Ready(Err(self.ended(end)));
        }
        if let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read.map_err(|end| self.ended(end)));
        }
        if let Poll::Ready(end) = self.poll_heartbeat(context) {
            return Poll::Ready(Err(self.ended(end)));
        }
        self.poll_write(context, outbox)
            .map(|end| Err(self.ended(end)))
    }

    /// Runs a handler to its end, whatever becomes of the socket meanwhile.
    pub(super) async fn drive<F: Future>(&mut self, outbox: &Outbox, handler: F) -> F::Output {
        let mut handler = pin!(handler);
        poll_fn(|context| {
            // Nearly every handler is done at its first poll.
            if let Poll::Ready(output) = handler.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            self.poll_beside(context, outbox);
            Poll::Pending
        })
        .await
    }

    /// The socket's part while a handler runs. Asked to close, it does so after the handler.
    fn poll_beside(&mut self, context: &mut Context<'_>, outbox: &Outbox) {
        if self.end.is_some() {
            return;
        }
        if self.ahead.is_none() {
            match self.poll_read(context) {
                Poll::Ready(Ok(incoming)) => self.ahead = Some(incoming),
                Poll::Ready(Err(end)) => self.end = Some(end),
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(end) = self.poll_heartbeat(context) {
            self.end = Some(end);
        }
        match self.poll_write(context, outbox) {
            Poll::Ready(End::ByHost) | Poll::Pending => {}
            Poll::Ready(end) => self.end = Some(end),
        }
    }

    fn ended(&mut self, end: End) -> End {
        self.end = Some(end.clone());
        end
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, End>> {
        loop {
            let message = match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(End::of_error(&error))),
                None => return Poll::Ready(Err(End::Gone)),
            };
            self.heartbeat.heard();
            let incoming = match message {
                // Copied: a slice of tungstenite's buffer would keep the whole of it alive.
                Message::Text(text) => Incoming::Text(text.as_str().to_owned()),
                Message::Binary(bytes) => match String::from_utf8(bytes.to_vec()) {
                    Ok(text) => Incoming::Text(text),
                    Err(_) => Incoming::NotText,
                },
                Message::Close(frame) => return Poll::Ready(Err(End::by_client(frame))),
                // Tungstenite answers pings by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            self.corked += 1;
            return Poll::Ready(Ok(incoming));
        }
    }

    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            match ready!(self.heartbeat.poll(context)) {
                Beat::Ping => {
                    let _ = Pin::new(&mut self.stream).start_send(Message::Ping(Bytes::new()));
                    self.unflushed.get_or_insert(0);
                }
                Beat::Missed => {
                    return Poll::Ready(End::Broken(Close::new(
                        CloseCode::GoingAway,
                        "heartbeat missed",
                    )));
                }
            }
        }
    }

    /// Writes what the outbox holds, and what becomes of it; ends when there is nothing left and the host closes.
    fn poll_write(&mut self, context: &mut Context<'_>, outbox: &Outbox) -> Poll<End> {
        loop {
            if let Some(bytes) = self.unflushed {
                match Pin::new(&mut self.stream).poll_flush(context) {
                    Poll::Ready(Ok(())) => self.unflushed = None,
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                    Poll::Pending => {
                        return outbox.poll_closing(context, bytes).map(|()| End::ByHost);
                    }
                }
            }
            self.corked = 0;
            let mut batch = VecDeque::new();
            match ready!(outbox.poll_take(context, &mut batch)) {
                Taken::Closing => return Poll::Ready(End::ByHost),
                Taken::Frames => {
                    if self.queue(batch).is_err() {
                        return Poll::Ready(End::Gone);
                    }
                }
            }
        }
    }

    fn count(&self, batch: &VecDeque<Bytes>) {
        self.metrics.sent(batch.len());
        self.hub.written(batch.iter().map(Bytes::len).sum());
    }

    fn queue(&mut self, batch: VecDeque<Bytes>) -> Result<(), Error> {
        self.count(&batch);
        let bytes = self.unflushed.get_or_insert(0);
        for frame in batch {
            *bytes += frame.len();
            Pin::new(&mut self.stream).start_send(Message::Frame(text_frame(frame)))?;
        }
        Ok(())
    }

    /// Says goodbye, for as long as the client may take to hear it. Returns whether it was done by then.
    pub(super) async fn finish(
        mut self,
        end: &End,
        outbox: &Outbox,
        close_timeout: Duration,
    ) -> bool {
        let goodbye = async {
            match end {
                End::Gone => Ok(()),
                End::ByClient(_) => {
                    self.write_past_tungstenite(outbox).await?;
                    poll_fn(|context| Pin::new(&mut self.stream).poll_flush(context)).await
                }
                End::Broken(close) => {
                    self.write_past_tungstenite(outbox).await?;
                    self.close_broken(close).await
                }
                End::ByHost => self.close_orderly(outbox).await,
            }
        };
        // Whatever else goes wrong here, the socket is dropped next.
        timeout(close_timeout, goodbye).await.is_ok()
    }

    /// What is queued, the close frame, and then the client's.
    async fn close_orderly(&mut self, outbox: &Outbox) -> Result<(), Error> {
        poll_fn(|context| self.poll_drain(context, outbox)).await?;
        let normal = || Close::new(CloseCode::Normal, "");
        let close = outbox.closing().unwrap_or_else(normal);
        self.stream.close(Some(frame_of(&close))).await?;
        while let Some(message) =
            poll_fn(|context| Pin::new(&mut self.stream).poll_next(context)).await
        {
            message?;
        }
        Ok(())
    }

    fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
    ) -> Poll<Result<(), Error>> {
        loop {
            if self.unflushed.is_some() {
                ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                self.unflushed = None;
            }
            let mut batch = VecDeque::new();
            match ready!(outbox.poll_take(context, &mut batch)) {
                Taken::Closing => return Poll::Ready(Ok(())),
                Taken::Frames => self.queue(batch)?,
            }
        }
    }

    /// What is queued, to a client that closed, or broke the protocol, right behind a message: tungstenite takes no
    /// frame after it has read that, but answers it only at the next flush. If the socket took nothing more even
    /// before, the client has not read what it was sent, and goes without the rest.
    async fn write_past_tungstenite(&mut self, outbox: &Outbox) -> Result<(), Error> {
        if self.unflushed.is_some() {
            return Ok(());
        }
        loop {
            let mut batch = VecDeque::new();
            match poll_fn(|context| outbox.poll_take(context, &mut batch)).await {
                Taken::Closing => return Ok(()),
                Taken::Frames => {
                    self.count(&batch);
                    let mut bytes = Vec::new();
                    for frame in batch {
                        text_frame(frame).format(&mut bytes)?;
                    }
                    self.stream.get_mut().write_all(&bytes).await?;
                }
            }
        }
    }

    /// The close frame, which tungstenite does not send by itself after an error. Then what the client still sends
    /// is thrown away: unread, it would make the system reset the connection, and the reset eats the frame.
    async fn close_broken(&mut self, close: &Close) -> Result<(), Error> {
        self.stream.close(Some(frame_of(close))).await?;
        let stream = self.stream.get_mut();
        stream.shutdown().await?;
        let mut discarded = [0; DISCARD_BYTES];
        while stream.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}

/// Not a `Message::Text`, which would check once more that it is UTF-8.
fn text_frame(text: Bytes) -> Frame {
    Frame::message(text, OpCode::Data(Data::Text), true)
}

fn frame_of(close: &Close) -> CloseFrame {
    CloseFrame {
        code: WireCode::from(close.code),
        reason: close.reason.clone().into(),
    }
}
