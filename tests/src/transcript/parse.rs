//! From text to steps.

use serde_json::Value;
use wardroom::Limit;

/// A transcript.
#[derive(Debug, Default)]
pub struct Script {
    /// Names of example plugins.
    pub plugins: Vec<String>,
    /// Manifests of fixtures.
    pub puppets: Vec<Value>,
    /// Why it cannot be played with its clients on several hosts.
    pub one_host: Option<String>,
    /// The same of those on NATS alone.
    pub one_host_on_nats: Option<String>,
    /// Settings: line, key of the configuration, value.
    pub settings: Vec<(usize, String, String)>,
    /// What is done and expected, in order.
    pub steps: Vec<Step>,
}

/// One line of the dialogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from one.
    pub line: usize,
    /// The client's name.
    pub who: String,
    /// What the client does or expects.
    pub what: What,
}

/// What a client does or expects.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// Connects: path with query, more headers.
    Connect(String, Vec<(String, String)>),
    /// Was refused with this status and a body that contains this.
    Refused(u16, String),
    /// Was given this subprotocol.
    Protocol(Option<String>),
    /// Sends a text frame, so many times.
    Send(String, usize),
    /// Sends a binary frame, so many times.
    SendBinary(String, usize),
    /// Writes bytes to the socket.
    Raw(Vec<u8>),
    /// Gets this JSON, so many times.
    Json(String, usize),
    /// Gets this very text.
    Exact(String),
    /// Gets nothing.
    Nothing,
    /// Pings.
    Ping(String),
    /// Gets a pong.
    Pong(String),
    /// Gets a ping.
    Pinged,
    /// Begins to close.
    Close(u16, String),
    /// Gets a close frame with this code (0: none) and, when given, this reason.
    Closed(u16, Option<String>),
    /// Drops the socket.
    Vanish,
    /// Has come to a limit so often, whoever was the cause: the host's.
    Reached(Limit, u64),
}

impl What {
    /// Whether the client does it, and does not just expect it.
    pub(super) const fn is_done(&self) -> bool {
        matches!(
            self,
            Self::Connect(..)
                | Self::Send(..)
                | Self::SendBinary(..)
                | Self::Raw(_)
                | Self::Ping(_)
                | Self::Close(..)
                | Self::Vanish
        )
    }
}

/// Reads a transcript.
///
/// # Errors
/// The line's number and what is wrong with it.
pub fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    for (number, line) in joined(text) {
        let place = |problem: String| format!("{number}: {problem}");
        if !script.steps.is_empty() || !set_up(&mut script, number, &line).map_err(place)? {
            let (who, what) = step(&line).map_err(place)?;
            script.steps.push(Step {
                line: number,
                who,
                what,
            });
        }
    }
    if script.steps.is_empty() {
        return Err("1: nothing happens in it".to_owned());
    }
    Ok(script)
}

/// Lines with what continues them, without comments.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with(char::is_whitespace) => last.push_str(line.trim()),
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

/// Takes a line of the set-up; false when it is none.
fn set_up(script: &mut Script, number: usize, line: &str) -> Result<bool, String> {
    if let Some(names) = line.strip_prefix("plugins:") {
        script
            .plugins
            .extend(names.split_whitespace().map(str::to_owned));
    } else if let Some(reason) = line.strip_prefix("one host: ") {
        script.one_host = Some(reason.to_owned());
    } else if let Some(reason) = line.strip_prefix("one host on NATS: ") {
        script.one_host_on_nats = Some(reason.to_owned());
    } else if let Some(manifest) = line.strip_prefix("plugin ") {
        script.puppets.push(
            serde_json::from_str(&expand(manifest)?)
                .map_err(|error| format!("manifest: {error}"))?,
        );
    } else if let Some((key, value)) = setting(line) {
        script.settings.push((number, key, value.to_owned()));
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// A key of the configuration and its value; `limit` stands for the table of the limits.
fn setting(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let (table, key) = match key.strip_prefix("limit ") {
        Some(limit) => ("limits.", limit),
        None => ("", key),
    };
    let key = key.trim();
    let name = !key.is_empty()
        && key
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '_');
    name.then(|| (format!("{table}{key}"), value.trim()))
}

fn step(line: &str) -> Result<(String, What), String> {
    let end = line
        .find(|letter: char| !letter.is_ascii_alphanumeric())
        .unwrap_or(line.len());
    let (who, rest) = line.split_at(end);
    if !who.starts_with(|letter: char| letter.is_ascii_uppercase()) {
        return Err(format!(
            "a client's name begins with a capital letter: {line}"
        ));
    }
    let what = match rest.strip_prefix(' ') {
        Some(words) => words_of(words)?,
        None => frames_of(rest)?,
    };
    Ok((who.to_owned(), what))
}

/// `> …`, `< …` and their relatives.
fn frames_of(rest: &str) -> Result<What, String> {
    let (times, rest) = match rest.strip_prefix('*') {
        None => (1, rest),
        Some(rest) => {
            let end = rest
                .find(|digit: char| !digit.is_ascii_digit())
                .unwrap_or(rest.len());
            (
                rest[..end]
                    .parse()
                    .map_err(|error| format!("how many times? {error}"))?,
                &rest[end..],
            )
        }
    };
    let (sign, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let text = expand(text)?;
    match sign {
        ">" => Ok(What::Send(text, times)),
        ">b" => Ok(What::SendBinary(text, times)),
        "<" if text == "nothing" => Ok(What::Nothing),
        "<" => Ok(What::Json(text, times)),
        "<=" => Ok(What::Exact(text)),
        _ => Err(format!("`{sign}` is none of > >b < <=")),
    }
}

fn words_of(words: &str) -> Result<What, String> {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = expand(rest.trim())?;
    let (first, after) = rest.split_once(' ').unwrap_or((&rest, ""));
    let number = || {
        first
            .parse::<u16>()
            .map_err(|error| format!("`{first}`: {error}"))
    };
    Ok(match verb {
        "connects" => {
            let mut parts = rest.split(" | ");
            let path = parts
                .next()
                .filter(|path| !path.is_empty())
                .unwrap_or("/ws");
            let header = |part: &str| {
                let pair = part
                    .split_once(": ")
                    .ok_or_else(|| format!("no header: {part}"))?;
                Ok((pair.0.trim().to_owned(), pair.1.to_owned()))
            };
            What::Connect(
                path.to_owned(),
                parts.map(header).collect::<Result<_, String>>()?,
            )
        }
        "refused" => What::Refused(number()?, after.to_owned()),
        "protocol" => What::Protocol(Some(rest).filter(|name| name != "none")),
        "raw" => What::Raw(hex(&rest)?),
        "pings" => What::Ping(rest),
        "ponged" => What::Pong(rest),
        "pinged" => What::Pinged,
        "closes" if first.is_empty() => What::Close(1000, String::new()),
        "closes" => What::Close(number()?, after.to_owned()),
        "closed" => What::Closed(
            number()?,
            Some(after.to_owned()).filter(|reason| !reason.is_empty()),
        ),
        "vanishes" => What::Vanish,
        "reached" => What::Reached(
            limit(first)?,
            after
                .parse()
                .map_err(|error| format!("`{after}`: {error}"))?,
        ),
        _ => return Err(format!("`{verb}` is nothing that a client does")),
    })
}

fn limit(key: &str) -> Result<Limit, String> {
    let found = Limit::ALL.into_iter().find(|limit| limit.key() == key);
    found.ok_or_else(|| format!("`{key}` is no limit"))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<_> = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits
        .chunks(2)
        .map(byte)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("no bytes: {error}"))
}

/// Replaces each `$(text*n)` by the text n times.
fn expand(text: &str) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let (inside, tail) = after.split_once(')').ok_or("`$(` without `)`")?;
        let (repeated, times) = inside.rsplit_once('*').ok_or("`$(` without `*`")?;
        let times: usize = times
            .parse()
            .map_err(|error| format!("`$({inside})`: {error}"))?;
        expanded.push_str(before);
        expanded.push_str(&repeated.repeat(times));
        rest = tail;
    }
    Ok(expanded + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(line: &str) -> What {
        step(line).unwrap().1
    }

    #[test]
    fn set_up_comes_before_the_dialogue() {
        let text = "# about\none host: why\none host on NATS: too\nplugins: chat echo\nplugin {\"name\":\n  \"x\"}\nlimit rooms_max = 1\npath = /a\nA> x = 1\n";
        let script = parse(text).unwrap();
        assert_eq!(script.plugins, ["chat", "echo"]);
        assert_eq!(script.one_host.as_deref(), Some("why"));
        assert_eq!(script.one_host_on_nats.as_deref(), Some("too"));
        assert_eq!(script.puppets, [serde_json::json!({ "name": "x" })]);
        assert_eq!(
            script.settings[0],
            (7, "limits.rooms_max".to_owned(), "1".to_owned())
        );
        assert_eq!(script.settings[1], (8, "path".to_owned(), "/a".to_owned()));
        assert_eq!(
            script.steps,
            [Step {
                line: 9,
                who: "A".to_owned(),
                what: What::Send("x = 1".to_owned(), 1)
            }]
        );
    }

    #[test]
    fn frames() {
        assert_eq!(only("A>b hi"), What::SendBinary("hi".to_owned(), 1));
        assert_eq!(
            only("A*3> $(ab*2)$(c*1)"),
            What::Send("ababc".to_owned(), 3)
        );
        assert_eq!(only("A>"), What::Send(String::new(), 1));
        assert_eq!(only("Bob<= {}"), What::Exact("{}".to_owned()));
        assert_eq!(only("A< nothing"), What::Nothing);
        assert_eq!(only("A raw 81 ff"), What::Raw(vec![0x81, 0xff]));
    }

    #[test]
    fn verbs() {
        assert_eq!(only("A connects"), What::Connect("/ws".to_owned(), vec![]));
        let headers = vec![("Cookie".to_owned(), "a=b".to_owned())];
        assert_eq!(
            only("A connects /ws?x=[1, 2] | Cookie: a=b"),
            What::Connect("/ws?x=[1, 2]".to_owned(), headers)
        );
        assert_eq!(only("A closed 3008"), What::Closed(3008, None));
        assert_eq!(
            only("A closed 1000 good bye"),
            What::Closed(1000, Some("good bye".to_owned()))
        );
        assert_eq!(only("A protocol none"), What::Protocol(None));
        assert_eq!(
            only("Host reached connections_max 2"),
            What::Reached(Limit::ConnectionsMax, 2)
        );
    }

    #[test]
    fn mistakes_name_the_line() {
        assert_eq!(
            parse("\nA dances").unwrap_err(),
            "2: `dances` is nothing that a client does"
        );
        assert_eq!(parse("# nothing").unwrap_err(), "1: nothing happens in it");
        assert!(parse("A> $(x*y)").is_err() && parse("a> x").is_err() && parse("A raw 8").is_ok());
    }
}
