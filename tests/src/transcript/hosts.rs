//! Where a transcript is played: on one host, or on three that a broker makes one server, each client on the next of
//! them.

use super::parse::Script;
use crate::server::reach;
use crate::{Broker, Plugin, TestServer, WAIT};
use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wardroom::Limit;

/// How many there are when there is more than one.
const HOSTS: usize = 3;

/// What a transcript is played on.
#[derive(Clone, Copy, Debug)]
pub enum Venue<'a> {
    /// A host alone.
    OneHost,
    /// Three hosts on this broker.
    ThreeHosts(&'a Broker),
}

/// The hosts of one transcript. They answer questions about all of them as one host does about itself, but for how
/// many have answered.
pub(super) struct Hosts {
    servers: Vec<TestServer>,
    /// By the names of clients, in the order in which they came.
    places: BTreeMap<String, usize>,
    /// Whose client did something last.
    acting: Option<usize>,
}

impl Hosts {
    /// Starts them, and waits until they know each other.
    pub(super) async fn start(
        name: &str,
        script: &Script,
        venue: Venue<'_>,
    ) -> anyhow::Result<Self> {
        let built = script.plugins.iter().map(|name| Plugin::built(name));
        let plugins: Vec<_> = built
            .chain(script.puppets.iter().map(Plugin::puppet))
            .collect();
        let count = match venue {
            Venue::OneHost => 1,
            Venue::ThreeHosts(_) => HOSTS,
        };
        let mut servers = Vec::new();
        for number in 0..count {
            let mut wrong_setting = Ok(());
            servers.push(TestServer::start(&plugins, |config| {
                for (line, key, value) in &script.settings {
                    if let Err(error) = config.set(key, value) {
                        wrong_setting = Err(anyhow!(error).context(format!("{name}:{line}")));
                    }
                }
                if let Venue::ThreeHosts(broker) = venue {
                    config.node = node(number);
                    // Hosts of the transcript before may not have ended yet.
                    config.cluster_prefix = format!("{}.", name.trim_end_matches(".txt"));
                    if let Err(error) = config.set("cluster.url", &broker.url()) {
                        wrong_setting = Err(anyhow!(error));
                    }
                }
            })?);
            wrong_setting?;
        }
        let hosts = Self {
            servers,
            places: BTreeMap::new(),
            acting: None,
        };
        // They answer when they know each other.
        hosts.settle().await?;
        Ok(hosts)
    }

    /// The host of a client.
    pub(super) fn of(&mut self, who: &str) -> &TestServer {
        let place = self.place(who);
        &self.servers[place]
    }

    fn place(&mut self, who: &str) -> usize {
        let next = self.places.len() % self.servers.len();
        *self.places.entry(who.to_owned()).or_insert(next)
    }

    /// Waits until they have come to a limit so often, all together.
    pub(super) async fn reach(&self, limit: Limit, times: u64) -> anyhow::Result<()> {
        reach(&self.servers, limit, times).await
    }

    /// What they logged.
    pub(super) fn log(&self) -> String {
        let logs = self.servers.iter().map(|server| server.log.text());
        logs.collect::<Vec<_>>().join("--- the next host ---\n")
    }

    async fn has_all_answer(&self, server: &TestServer) -> bool {
        match server.ask_all().await {
            Some(coverage) => coverage.is_complete() && coverage.answered as usize == self.count(),
            None => self.count() == 1,
        }
    }

    /// A client is about to do something. What was done before it on another host has to have arrived: that it is over
    /// when the next line begins is what a transcript means, and no bus promises it, as nobody waits for one.
    pub(super) async fn turn_to(&mut self, who: &str) -> anyhow::Result<()> {
        let place = self.place(who);
        match self.acting.replace(place) {
            Some(before) if before != place => self.hear(before).await,
            _ => Ok(()),
        }
    }

    /// Waits until whatever they have said to each other so far has been heard: an answer comes after what its host was
    /// told before the question.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        for place in 0..self.count() {
            self.hear(place).await?;
        }
        Ok(())
    }

    /// Waits until the others have heard what this one has said so far.
    async fn hear(&self, place: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + WAIT;
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while !self.has_all_answer(&self.servers[place]).await {
            let in_time = Instant::now() < deadline;
            anyhow::ensure!(in_time, "not all hosts answer: {}", self.log());
            looks.tick().await;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.servers.len()
    }

    /// What a client says: to several hosts, that all of them are asked.
    pub(super) fn said(&self, text: &str) -> String {
        if self.count() == 1 {
            return text.to_owned();
        }
        text.replace(r#""local""#, r#""cluster""#)
    }

    /// What is expected: of several hosts, that all of them have answered, and that connections are where they are.
    pub(super) fn expected(
        &self,
        text: &str,
        ids: &BTreeMap<String, String>,
    ) -> anyhow::Result<String> {
        if self.count() == 1 {
            return Ok(text.to_owned());
        }
        let mut expected = serde_json::from_str(text).context("the expectation is no JSON")?;
        let nodes: BTreeMap<&str, String> = self
            .places
            .iter()
            .filter_map(|(who, place)| Some((ids.get(who)?.as_str(), node(*place))))
            .collect();
        spread(&mut expected, &nodes);
        Ok(expected.to_string())
    }
}

/// What a host is called. The first is called as one alone is.
fn node(number: usize) -> String {
    match number {
        0 => "here".to_owned(),
        number => format!("here-{number}"),
    }
}

/// Changes what is said of one host into what is said of three.
fn spread(expected: &mut Value, nodes: &BTreeMap<&str, String>) {
    match expected {
        Value::Array(values) => values.iter_mut().for_each(|value| spread(value, nodes)),
        Value::Object(members) => {
            let node = members.get("id").and_then(Value::as_str);
            let node = node.and_then(|id| nodes.get(id)).cloned();
            // Who has found a connection need not hear the others, and nobody is asked for an id that is none.
            let is_of_one = members.contains_key("connection");
            for (name, value) in members.iter_mut() {
                match (name.as_str(), &node) {
                    ("node", Some(node)) if value.is_string() => *value = json!(node),
                    ("coverage", _) if *value == json!([1, 1]) && is_of_one => {
                        *value = json!(["_same", "_same"]);
                    }
                    ("coverage", _) if *value == json!([1, 1]) => *value = json!([HOSTS, HOSTS]),
                    _ => spread(value, nodes),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_host_is_said_of_three() {
        let nodes = BTreeMap::from([("a", "here-2".to_owned())]);
        let mut expected = json!([
            { "size": 1, "coverage": [1, 1] },
            { "connection": { "id": "a", "node": "here" }, "coverage": [1, 1] },
            { "connection": null, "coverage": [1, 1] },
            { "id": 7, "node": "here", "coverage": "_" },
        ]);
        spread(&mut expected, &nodes);
        let three = json!([
            { "size": 1, "coverage": [3, 3] },
            { "connection": { "id": "a", "node": "here-2" }, "coverage": ["_same", "_same"] },
            { "connection": null, "coverage": ["_same", "_same"] },
            { "id": 7, "node": "here", "coverage": "_" },
        ]);
        assert_eq!(expected, three);
    }
}
