//! Plays a transcript against hosts of its own.

use super::compare::{same, shown};
use super::hosts::{Hosts, Venue};
use super::parse::{Script, Step, What};
use crate::{Client, Close, Frame, Refusal};
use anyhow::{Context as _, anyhow, bail};
use std::collections::BTreeMap;

/// What a step came to, if not to what the transcript says.
enum Verdict {
    Right,
    /// What was expected, what came, and the line that would say so.
    Wrong {
        expected: String,
        actual: String,
        line: String,
    },
}

/// Plays the script. When blessing, returns the lines to be corrected: number and new text.
pub(crate) async fn play(
    name: &str,
    script: &Script,
    venue: Venue<'_>,
    bless: bool,
) -> anyhow::Result<Vec<(usize, String)>> {
    let mut stage = Stage {
        hosts: Hosts::start(name, script, venue).await?,
        clients: BTreeMap::new(),
        refusals: BTreeMap::new(),
        ids: BTreeMap::new(),
    };
    let mut corrections = Vec::new();
    for step in &script.steps {
        let verdict = stage.take(step).await;
        let place = || {
            format!(
                "{name}:{}\nthe host's log:\n{}",
                step.line,
                stage.hosts.log()
            )
        };
        match verdict {
            Ok(Verdict::Right) => {}
            Ok(Verdict::Wrong { line, .. }) if bless => corrections.push((step.line, line)),
            Ok(Verdict::Wrong {
                expected, actual, ..
            }) => {
                let (expected, actual) = (shown(&expected), shown(&actual));
                return Err(
                    anyhow!("\n  expected {expected}\n  got      {actual}").context(place())
                );
            }
            Err(error) => return Err(error.context(place())),
        }
    }
    Ok(corrections)
}

struct Stage {
    // Before the hosts, so that they are dropped before them: those would wait for them to answer their close.
    clients: BTreeMap<String, Client>,
    hosts: Hosts,
    refusals: BTreeMap<String, Refusal>,
    ids: BTreeMap<String, String>,
}

impl Stage {
    async fn take(&mut self, step: &Step) -> anyhow::Result<Verdict> {
        let who = step.who.as_str();
        if step.what.is_done() {
            self.hosts.turn_to(who).await?;
        }
        match &step.what {
            What::Connect(path, headers) => self.connect(who, path, headers).await?,
            What::Send(text, times) => {
                let text = self.said(text).await?;
                for _ in 0..*times {
                    self.client(who).await?.send(text.as_str()).await?;
                }
            }
            What::SendBinary(text, times) => {
                let text = self.said(text).await?;
                for _ in 0..*times {
                    self.client(who)
                        .await?
                        .send_binary(text.clone().into_bytes())
                        .await?;
                }
            }
            What::Raw(bytes) => self.client(who).await?.send_raw(bytes).await?,
            What::Ping(text) => self.client(who).await?.ping(text).await?,
            What::Close(code, reason) => self.client(who).await?.close(*code, reason).await?,
            What::Vanish => self
                .clients
                .remove(who)
                .context("is not connected")?
                .vanish(),
            What::Reached(limit, times) => self.hosts.reach(*limit, *times).await?,
            expectation => return self.expect(who, expectation).await,
        }
        Ok(Verdict::Right)
    }

    async fn expect(&mut self, who: &str, expectation: &What) -> anyhow::Result<Verdict> {
        match expectation {
            What::Refused(status, part) => self.refused(who, *status, part),
            What::Protocol(expected) => {
                let actual = self.client(who).await?.protocol().map(str::to_owned);
                let word =
                    |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
                let line = format!("{who} protocol {}", word(&actual));
                Ok(verdict(
                    *expected == actual,
                    word(expected),
                    word(&actual),
                    line,
                ))
            }
            What::Json(text, times) => {
                let expected = self.with_ids(text).await?;
                let expected = self.hosts.expected(&expected, &self.ids)?;
                for _ in 0..*times {
                    let frame = self.client(who).await?.receive().await?;
                    let right = matches!(&frame, Frame::Text(actual) if same(&expected, actual).map_err(anyhow::Error::msg)?);
                    if !right {
                        return Ok(self.wrong(who, expected, &frame, "<"));
                    }
                }
                Ok(Verdict::Right)
            }
            What::Exact(text) => {
                let expected = self.with_ids(text).await?;
                let frame = self.client(who).await?.receive().await?;
                let right = matches!(&frame, Frame::Text(actual) if *actual == expected);
                Ok(if right {
                    Verdict::Right
                } else {
                    self.wrong(who, expected, &frame, "<=")
                })
            }
            What::Nothing => self.nothing(who).await,
            What::Pong(text) => {
                self.control(who, &Frame::Pong(text.as_bytes().to_vec()))
                    .await
            }
            What::Pinged => {
                let frame = self.client(who).await?.receive().await?;
                let right = matches!(frame, Frame::Ping(_));
                Ok(if right {
                    Verdict::Right
                } else {
                    self.wrong(who, "a ping".to_owned(), &frame, "<")
                })
            }
            What::Closed(code, reason) => self.closed(who, *code, reason.as_deref()).await,
            _ => bail!("is no expectation"),
        }
    }

    async fn connect(
        &mut self,
        who: &str,
        path: &str,
        headers: &[(String, String)],
    ) -> anyhow::Result<()> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.ids.remove(who);
        let path = self.said(path).await?;
        let host = self.hosts.of(who);
        match host.connect_at(who, &encoded(&path), &headers).await? {
            Ok(client) => drop(self.clients.insert(who.to_owned(), client)),
            Err(refusal) => drop(self.refusals.insert(who.to_owned(), refusal)),
        }
        Ok(())
    }

    /// The client of this name, connected if it never was.
    async fn client(&mut self, who: &str) -> anyhow::Result<&mut Client> {
        if let Some(refusal) = self.refusals.get(who) {
            bail!("{who} was refused: {refusal:?}");
        }
        if !self.clients.contains_key(who) {
            let client = self.hosts.of(who).connect(who).await?;
            self.clients.insert(who.to_owned(), client);
        }
        self.clients.get_mut(who).context("was connected just now")
    }

    /// What a client sends, in place of what stands in the transcript.
    async fn said(&mut self, text: &str) -> anyhow::Result<String> {
        let text = self.with_ids(text).await?;
        Ok(self.hosts.said(&text))
    }

    /// The text with each `$A` replaced by A's connection id.
    async fn with_ids(&mut self, text: &str) -> anyhow::Result<String> {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            let end = after
                .find(|letter: char| !letter.is_ascii_alphanumeric())
                .unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            whole.push_str(before);
            if name.starts_with(|letter: char| letter.is_ascii_uppercase()) {
                whole.push_str(&self.id(name).await?);
            } else {
                whole.push('$');
                whole.push_str(name);
            }
            rest = tail;
        }
        Ok(whole + rest)
    }

    async fn id(&mut self, who: &str) -> anyhow::Result<String> {
        if !self.ids.contains_key(who) {
            let reply = self
                .client(who)
                .await?
                .request("whoami", "/self", serde_json::Value::Null)
                .await?;
            let id = reply["data"]["id"]
                .as_str()
                .with_context(|| format!("whoami answers {who} {reply}"))?;
            self.ids.insert(who.to_owned(), id.to_owned());
        }
        Ok(self.ids[who].clone())
    }

    fn refused(&mut self, who: &str, status: u16, part: &str) -> anyhow::Result<Verdict> {
        let Some(refusal) = self.refusals.remove(who) else {
            bail!("{who} was not refused")
        };
        let right = refusal.status == status && refusal.body.contains(part);
        let line = format!("{who} refused {} {}", refusal.status, refusal.body);
        Ok(verdict(
            right,
            format!("{status} {part}"),
            format!("{refusal:?}"),
            line.trim_end().to_owned(),
        ))
    }

    /// Round trips of the others, so that what they caused has reached its receivers, and then of this one.
    async fn nothing(&mut self, who: &str) -> anyhow::Result<Verdict> {
        self.client(who).await?;
        let others: Vec<_> = self
            .clients
            .keys()
            .filter(|name| *name != who)
            .cloned()
            .collect();
        for other in others {
            // One that has been closed caused all that it could.
            let _ = self.client(&other).await?.barrier().await;
        }
        self.hosts.settle().await?;
        let client = self.client(who).await?;
        let marker = r#"{"event":"~marker","path":"/~marker","id":"~nothing"}"#;
        client.send(marker).await?;
        let frame = client.receive().await?;
        let right = matches!(&frame, Frame::Text(text) if text.contains("~nothing"));
        Ok(if right {
            Verdict::Right
        } else {
            self.wrong(who, "nothing".to_owned(), &frame, "<")
        })
    }

    async fn control(&mut self, who: &str, expected: &Frame) -> anyhow::Result<Verdict> {
        let frame = self.client(who).await?.receive().await?;
        let right = frame == *expected;
        Ok(if right {
            Verdict::Right
        } else {
            self.wrong(who, format!("{expected:?}"), &frame, "<")
        })
    }

    async fn closed(
        &mut self,
        who: &str,
        code: u16,
        reason: Option<&str>,
    ) -> anyhow::Result<Verdict> {
        let frame = self.client(who).await?.receive().await?;
        let right = match &frame {
            Frame::Closed(close) => {
                close.code.unwrap_or(0) == code
                    && reason.is_none_or(|reason| reason == close.reason)
            }
            _ => false,
        };
        if right {
            self.clients.remove(who);
            return Ok(Verdict::Right);
        }
        Ok(self.wrong(
            who,
            format!("closed {code} {}", reason.unwrap_or_default()),
            &frame,
            "<",
        ))
    }

    /// The verdict on a frame that is not the expected one, with the line that would expect it.
    fn wrong(&self, who: &str, expected: String, frame: &Frame, sign: &str) -> Verdict {
        let (actual, line) = match frame {
            Frame::Text(text) => {
                let mut line = text.clone();
                for (name, id) in &self.ids {
                    line = line.replace(id, &format!("${name}"));
                }
                (text.clone(), format!("{who}{sign} {line}"))
            }
            Frame::Closed(Close { code, reason }) => {
                let words = format!("closed {} {reason}", code.unwrap_or(0));
                (words.clone(), format!("{who} {}", words.trim_end()))
            }
            Frame::Ping(_) => ("a ping".to_owned(), format!("{who} pinged")),
            Frame::Pong(bytes) => {
                let words = format!("ponged {}", String::from_utf8_lossy(bytes));
                (words.clone(), format!("{who} {words}"))
            }
            other => (format!("{other:?}"), format!("# {who} got {other:?}")),
        };
        Verdict::Wrong {
            expected,
            actual,
            line,
        }
    }
}

fn verdict(right: bool, expected: String, actual: String, line: String) -> Verdict {
    if right {
        Verdict::Right
    } else {
        Verdict::Wrong {
            expected,
            actual,
            line,
        }
    }
}

/// A path whose query may hold JSON: what a URL cannot hold is percent-encoded, escapes stay.
fn encoded(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'"'
        | b'['
        | b']'
        | b'{'
        | b'}'
        | b' '
        | b'<'
        | b'>'
        | b'\\'
        | b'^'
        | b'|'
        | b'`'
        | 0x80.. => {
            format!("%{byte:02X}")
        }
        _ => char::from(byte).to_string(),
    };
    path.bytes().map(encode).collect()
}
