//! One client connection of the load generator. It does as little as a WebSocket client can, so that the server and
//! not the generator is the limit: no handshake key is checked, nothing is copied, no text is parsed here.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What is read at once. A silent connection owns no buffer.
const READ_BYTES: usize = 16 * 1024;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    queued: Vec<u8>,
}

impl Client {
    /// Connects to `/ws`.
    ///
    /// # Errors
    /// When the server does not switch protocols.
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self> {
        Self::connect_to(addr, "/ws").await
    }

    /// The same to another path.
    pub(crate) async fn connect_to(addr: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let end = loop {
            ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "closed during the handshake"
            );
            if let Some(at) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
        };
        ensure!(
            answer.starts_with(b"HTTP/1.1 101 "),
            "not upgraded: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(Self {
            stream,
            received: answer.split_off(end),
            queued: Vec::new(),
        })
    }

    /// Adds a text message to what the next [`flush`](Self::flush) sends.
    pub(crate) fn queue(&mut self, text: &str) {
        self.queue_frame(TEXT, text.as_bytes());
    }

    fn queue_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.queued.push(0x80 | opcode);
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => self.queued.push(0x80 | length as u8),
            Ok(length) => {
                self.queued.push(0x80 | 126);
                self.queued.extend(length.to_be_bytes());
            }
            Err(_) => unreachable!("no message of the generator is that long"),
        }
        // A client's frames are masked. With a mask of zeros, which is as good as any, the payload stays as it is.
        self.queued.extend([0; 4]);
        self.queued.extend(payload);
    }

    /// Sends what is queued, in one write.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if !self.queued.is_empty() {
            self.stream.write_all(&self.queued).await?;
            self.queued.clear();
        }
        Ok(())
    }

    /// Waits for something to arrive and hands over each complete message. Pings are answered.
    ///
    /// # Errors
    /// Those of `each`; when the connection ends; when the server sends what no generator asked for.
    pub(crate) async fn receive(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.received.reserve(READ_BYTES);
        ensure!(
            self.stream.read_buf(&mut self.received).await? > 0,
            "the server dropped the connection"
        );
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Some(Frame {
            opcode,
            payload,
            behind,
        }) = split_frame(rest)?
        {
            rest = behind;
            match opcode {
                TEXT => each(payload)?,
                PING => self.queue_frame(PONG, payload),
                CLOSE => bail!(
                    "the server closed the connection: {}",
                    describe_close(payload)
                ),
                _ => bail!("a frame of opcode {opcode} arrived"),
            }
        }
        let consumed = received.len() - rest.len();
        self.received = received;
        self.received.drain(..consumed);
        self.flush().await
    }
}

struct Frame<'a> {
    opcode: u8,
    payload: &'a [u8],
    behind: &'a [u8],
}

/// The first frame, and what is behind it; `None` when it is not complete.
fn split_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    ensure!(
        first & 0xF0 == 0x80,
        "a fragment or an extension nobody asked for arrived: {first:#x}"
    );
    let (length, rest) = match second {
        0..=125 => (usize::from(second), rest),
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (usize::try_from(u64::from_be_bytes(*length))?, rest),
            None => return Ok(None),
        },
        128.. => bail!("a masked frame arrived"),
    };
    let frame = rest.split_at_checked(length);
    Ok(frame.map(|(payload, behind)| Frame {
        opcode: first & 0x0F,
        payload,
        behind,
    }))
}

fn describe_close(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => format!(
            "{} {}",
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason)
        ),
        None => "no code".to_owned(),
    }
}

/// What a message says, for those few that are looked at closely.
#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) event: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) id: Option<Value>,
    pub(crate) data: Option<Value>,
    pub(crate) error: Option<Value>,
}

impl Incoming {
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text)
            .with_context(|| format!("no message: {}", String::from_utf8_lossy(text)))
    }

    /// Whether it is a push of this event.
    pub(crate) fn is_push(&self, event: &str) -> bool {
        self.event.as_deref() == Some(event) && self.id.is_none()
    }
}
