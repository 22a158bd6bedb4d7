//! HTTP by hand, for requests that no client library would send.

use crate::WAIT;
use anyhow::Context as _;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An HTTP answer, read up to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The first value of a header, named in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The head of a well-formed upgrade, for tests that change something about it.
#[must_use]
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Sends a request as it is and reads the answer: its head, and the body that `content-length` announces.
///
/// # Errors
/// When there is no answer in time, or it is none.
pub async fn ask(address: SocketAddr, request: &str) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let answer = timeout(WAIT, read(&mut stream)).await;
    answer
        .with_context(|| format!("no answer to {request:?}"))?
        .with_context(|| format!("to {request:?}"))
}

async fn read(stream: &mut TcpStream) -> anyhow::Result<Answer> {
    let mut bytes = Vec::new();
    let head = loop {
        anyhow::ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "the socket ended: {:?}",
            String::from_utf8_lossy(&bytes)
        );
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status line")?
        .parse()?;
    let header = |line: &str| {
        line.split_once(':')
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
    };
    let mut answer = Answer {
        status,
        headers: lines.filter_map(header).collect(),
        body: String::new(),
    };
    let length = answer
        .header("content-length")
        .map_or(Ok(0), str::parse::<usize>)?;
    while bytes.len() < head + length {
        anyhow::ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "the body is cut: {answer:?}"
        );
    }
    answer.body = String::from_utf8_lossy(&bytes[head..]).into_owned();
    Ok(answer)
}
