//! Transcripts: text files, each a dialogue of named clients with a host.
//!
//! ```text
//! # A comment. First the set-up: example plugins by name, fixtures by manifest, settings.
//! plugins: chat echo
//! plugin {"name": "mirror", "routes": [["get", "/a/:b"]]}
//! limit message_bytes_max = 200
//! heartbeat_interval = 100ms
//! one host: why                       # not played with its clients on several hosts
//! one host on NATS: why               # not on several hosts that have a NATS
//!
//! A connects                          # connecting is implied by the first `A>`
//! A connects /ws?x=1 | Cookie: a=b    # a path, more headers; JSON in a query is percent-encoded
//! A refused 404                       # the HTTP answer to the line before, with a part of its body if one is given
//! A protocol wardroom.json            # the subprotocol that was chosen; `A protocol none`
//! A> {"event":"echo","path":"/echo"}  # sends this text
//! A>b {"event":"echo","path":"/echo"} # the same in a binary frame
//! A raw 8100                          # writes these bytes to the socket, past the WebSocket
//! A*30> x                             # thirty times; so do `A*30< …` and `A*30>b …`
//! A< {"id":1,"data":"_"}              # the next frame, compared as JSON; "_" stands for any value
//! A<= {"id":1.0,"data":null}          # the next frame, compared byte for byte
//! B< nothing                          # nothing has come, as round trips of A and then of B prove
//! A pings hello                       # A gets `A ponged hello`; a ping of the host is `A pinged`
//! A closes 1000 bye                   # begins to close; `A closed …` is the answer
//! A closed 3008                       # a close frame comes next, with this reason if one is given, and the end
//! A vanishes                          # drops the socket without a word
//! Host reached message_bytes_max 1    # so often, by now, as its metrics say
//! ```
//!
//! `$A` is A's connection id wherever it stands, and `$(x*200)` stands for two hundred times `x`. To say `$A`, A
//! must have a `whoami` at `/self`, as the chat plugin has. A line that begins with white space continues the one
//! before. With `BLESS=1` the lines that the host contradicts are rewritten to what it says.
//!
//! The same files are played with their clients spread over three hosts (`hosts.rs`): there queries with the scope
//! `"local"` are sent with `"cluster"`, and a coverage of `[1,1]` means all three.

mod compare;
mod hosts;
mod parse;
mod play;

use anyhow::Context as _;
use std::path::Path;

pub use hosts::Venue;
pub use parse::{Script, Step, What, parse};

/// Plays the transcript in a file. Returns why it was not, when it cannot be there.
///
/// # Errors
/// The first line that the host contradicts, with the place, what was expected and what came.
pub async fn play(file: &Path, venue: Venue<'_>) -> anyhow::Result<Option<String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let script = parse(&text).map_err(|error| anyhow::anyhow!("{name}:{error}"))?;
    let is_alone = matches!(venue, Venue::OneHost);
    let one_host = match venue {
        Venue::OneHost => None,
        Venue::ThreeHosts(broker) if broker.is_nats() => script
            .one_host
            .as_ref()
            .or(script.one_host_on_nats.as_ref()),
        Venue::ThreeHosts(_) => script.one_host.as_ref(),
    };
    if let Some(reason) = one_host {
        return Ok(Some(reason.clone()));
    }
    let bless = is_alone && std::env::var_os("BLESS").is_some();
    let corrections = play::play(&name, &script, venue, bless).await?;
    if !corrections.is_empty() {
        std::fs::write(file, corrected(&text, &corrections))?;
    }
    Ok(None)
}

/// The text with some lines replaced; their continuations go.
fn corrected(text: &str, corrections: &[(usize, String)]) -> String {
    let mut lines = String::new();
    let mut replaced = false;
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
    {
        if replaced && line.starts_with(char::is_whitespace) && !line.trim().is_empty() {
            continue;
        }
        let correction = corrections.iter().find(|(wanted, _)| *wanted == number);
        replaced = correction.is_some();
        lines.push_str(correction.map_or(line, |(_, line)| line));
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transcript_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let read = parse(&std::fs::read_to_string(&file).unwrap());
            assert!(read.is_ok(), "{}:{}", file.display(), read.unwrap_err());
        }
    }

    #[test]
    fn corrections_replace_lines_and_their_continuations() {
        let text = "A> x\nA< 1\n  2\n\nA< 3\n";
        assert_eq!(
            corrected(text, &[(2, "A< 9".to_owned())]),
            "A> x\nA< 9\n\nA< 3\n"
        );
    }
}
