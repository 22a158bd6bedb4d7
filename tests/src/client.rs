//! A WebSocket client that shows everything that happens and waits for nothing longer than [`WAIT`].

use crate::WAIT;
use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::HOST;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// What the host sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping; it has been answered.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame; the socket has ended after it.
    Closed(Close),
    /// The socket ended without a close frame.
    Lost(String),
}

/// What a close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code; `None` when the frame was empty.
    pub code: Option<u16>,
    /// The reason.
    pub reason: String,
}

/// An HTTP answer in place of a WebSocket.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// As much of the body as came with the headers.
    pub body: String,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    name: String,
    socket: WebSocketStream<TcpStream>,
    protocol: Option<String>,
    /// Read while waiting for something else.
    stashed: VecDeque<Frame>,
    requests: u64,
}

impl Client {
    /// Connects; the inner error is the HTTP answer of a host that refuses.
    ///
    /// # Errors
    /// When there is no HTTP answer at all.
    pub async fn connect(
        name: &str,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Result<Self, Refusal>> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (header, value) in headers {
            let name = HeaderName::try_from(*header)?;
            let value = HeaderValue::try_from(*value)?;
            if name == HOST {
                request.headers_mut().insert(name, value);
            } else {
                request.headers_mut().append(name, value);
            }
        }
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("{name} connects"))?;
        // A small message must not wait for the answer to the one before.
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match timeout(WAIT, handshake)
            .await
            .with_context(|| format!("{name} waited for the handshake"))?
        {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol =
                    protocol.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                Ok(Ok(Self {
                    name: name.to_owned(),
                    socket,
                    protocol,
                    stashed: VecDeque::new(),
                    requests: 0,
                }))
            }
            Err(Error::Http(response)) => {
                let text =
                    |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                let headers = response
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.to_string(), text(value)))
                    .collect();
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(body).into_owned();
                Ok(Err(Refusal {
                    status: response.status().as_u16(),
                    headers,
                    body,
                }))
            }
            Err(error) => Err(error).with_context(|| format!("{name} connects")),
        }
    }

    /// The name that messages call it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The subprotocol that the host chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The address of its own end.
    ///
    /// # Errors
    /// When the socket has gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn send(&mut self, text: impl Into<String>) -> anyhow::Result<()> {
        self.send_message(Message::text(text.into())).await
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.send_message(Message::binary(bytes)).await
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn ping(&mut self, text: &str) -> anyhow::Result<()> {
        self.send_message(Message::Ping(text.as_bytes().to_vec().into()))
            .await
    }

    async fn send_message(&mut self, message: Message) -> anyhow::Result<()> {
        let sent = timeout(WAIT, self.socket.send(message)).await;
        sent.with_context(|| format!("{} waited to send", self.name))?
            .with_context(|| format!("{} sends", self.name))
    }

    /// Writes bytes to the socket as they are, past the WebSocket.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = timeout(WAIT, self.socket.get_mut().write_all(bytes)).await;
        written
            .with_context(|| format!("{} waited to write", self.name))?
            .with_context(|| format!("{} writes", self.name))
    }

    /// Begins to close the connection; what follows can still be read.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn close(&mut self, code: u16, reason: &str) -> anyhow::Result<()> {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        self.send_message(Message::Close(Some(frame))).await
    }

    /// Ends the connection without a word.
    pub fn vanish(self) {
        drop(self);
    }

    /// What comes next.
    ///
    /// # Errors
    /// When nothing comes in time.
    pub async fn receive(&mut self) -> anyhow::Result<Frame> {
        match self.stashed.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read(WAIT).await,
        }
    }

    /// What comes next, as long as it comes within this time.
    ///
    /// # Errors
    /// When nothing comes in time.
    pub async fn receive_within(&mut self, time: Duration) -> anyhow::Result<Frame> {
        match self.stashed.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read(time).await,
        }
    }

    async fn read(&mut self, time: Duration) -> anyhow::Result<Frame> {
        let next = timeout(time, self.socket.next()).await;
        let next = next.with_context(|| format!("{} got nothing in {time:?}", self.name))?;
        Ok(match next {
            None | Some(Err(Error::ConnectionClosed)) => Frame::Lost("no close frame".to_owned()),
            Some(Err(error)) => Frame::Lost(error.to_string()),
            Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes.to_vec()),
            Some(Ok(Message::Ping(bytes))) => Frame::Ping(bytes.to_vec()),
            Some(Ok(Message::Pong(bytes))) => Frame::Pong(bytes.to_vec()),
            Some(Ok(Message::Frame(_))) => {
                bail!("{} got a raw frame, which reading never gives", self.name)
            }
            Some(Ok(Message::Close(frame))) => {
                let close = frame.map_or(
                    Close {
                        code: None,
                        reason: String::new(),
                    },
                    |frame| Close {
                        code: Some(frame.code.into()),
                        reason: frame.reason.as_str().to_owned(),
                    },
                );
                self.read_to_end(&close).await?;
                Frame::Closed(close)
            }
        })
    }

    /// Answers the close frame and waits for the host to end the socket, which is the server's part.
    async fn read_to_end(&mut self, close: &Close) -> anyhow::Result<()> {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        let ended = timeout(WAIT, end).await;
        ended.with_context(|| {
            format!(
                "{} got {close:?}, but the host did not end the socket",
                self.name
            )
        })
    }

    /// The next JSON message; pings and pongs are passed over.
    ///
    /// # Errors
    /// When something else comes, or nothing.
    pub async fn receive_json(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.receive().await? {
                Frame::Text(text) => {
                    return serde_json::from_str(&text)
                        .with_context(|| format!("{} got no JSON: {text}", self.name));
                }
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => bail!("{} expected a message and got {other:?}", self.name),
            }
        }
    }

    /// The close frame that comes next; pings and pongs are passed over.
    ///
    /// # Errors
    /// When something else comes, or nothing.
    pub async fn receive_close(&mut self) -> anyhow::Result<Close> {
        loop {
            match self.receive().await? {
                Frame::Closed(close) => return Ok(close),
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => bail!("{} expected to be closed and got {other:?}", self.name),
            }
        }
    }

    /// Sends a message with an id and returns the reply; what comes before it is kept for [`Client::receive`].
    ///
    /// # Errors
    /// When the connection ends before the reply, or it does not come.
    pub async fn request(&mut self, event: &str, path: &str, data: Value) -> anyhow::Result<Value> {
        self.requests += 1;
        let id = format!("~{}", self.requests);
        self.send(json!({ "event": event, "path": path, "data": data, "id": id }).to_string())
            .await?;
        loop {
            let frame = self
                .read(WAIT)
                .await
                .with_context(|| format!("{event} {path} has no reply"))?;
            match &frame {
                Frame::Text(text) => match serde_json::from_str::<Value>(text) {
                    Ok(reply) if reply["id"] == id => return Ok(reply),
                    _ => self.stashed.push_back(frame),
                },
                Frame::Closed(_) | Frame::Lost(_) => {
                    bail!("{event} {path} has no reply: {} got {frame:?}", self.name)
                }
                Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => self.stashed.push_back(frame),
            }
        }
    }

    /// Runs a script of the fixture and returns the list of its results, or the whole reply when it is no such list.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn run(&mut self, path: &str, script: Value) -> anyhow::Result<Value> {
        let mut reply = self.request("do", path, script).await?;
        if reply["data"].is_array() {
            Ok(reply["data"].take())
        } else {
            Ok(reply)
        }
    }

    /// Waits until the host has handled everything that this client sent before, by a message that nobody handles.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn barrier(&mut self) -> anyhow::Result<()> {
        let reply = self.request("~marker", "/~marker", Value::Null).await?;
        anyhow::ensure!(
            reply["error"]["code"] == 404,
            "{} expected 404 and got {reply}",
            self.name
        );
        Ok(())
    }
}
