//! The servers, and their members, with whom tests do the same on either.

use serde_json::{Value, json};
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::guests::repository;
use wardroom_tests::{Broker, Client, Plugin, TestServer, needed};

/// Leaves the test out, loudly, where something that it needs is not installed.
macro_rules! wooks_needed {
    () => {
        wardroom_tests::needed!("redis-server", "node");
        if !$crate::servers::are_packages_there() {
            return;
        }
    };
}

pub(crate) use wooks_needed;

pub(crate) fn are_packages_there() -> bool {
    let package = repository().join("tests/wooks/node_modules/@wooksjs/event-ws/package.json");
    let installing = "packages that `npm ci --prefix tests/wooks` installs";
    package.is_file() || needed::leave_out(installing)
}

/// A server of either kind.
#[derive(Debug)]
pub(crate) enum Server {
    Wooks(Program),
    Wardroom(TestServer),
}

impl Server {
    pub(crate) async fn wooks(broker: &Broker) -> Self {
        Self::wooks_with(broker, &[]).await
    }

    /// One that hears itself.
    pub(crate) async fn unfiltered_wooks(broker: &Broker) -> Self {
        Self::wooks_with(broker, &["--unfiltered"]).await
    }

    async fn wooks_with(broker: &Broker, options: &[&str]) -> Self {
        let server = repository().join("tests/wooks/server.mjs");
        let server = server.display().to_string();
        let url = broker.url();
        let arguments = [&[server.as_str(), &url], options].concat();
        let node = Invocation::new("node", &arguments);
        Self::Wooks(Program::invoke(&node).await.unwrap())
    }

    pub(crate) async fn wardroom(broker: &Broker, node: &str) -> Self {
        let routes = [
            ["do", "/chat/:room"],
            ["do", "/pair/:n/:n"],
            ["do", "/plain"],
        ];
        let puppet = Plugin::puppet(&json!({ "name": "puppet", "routes": routes }));
        let host = TestServer::start(&[puppet], |config| {
            config.node = node.to_owned();
            config.set("cluster.url", &broker.url()).unwrap();
        });
        let host = host.unwrap();
        host.counts("wardroom_bus_up", |up| up == 1.0)
            .await
            .unwrap();
        Self::Wardroom(host)
    }

    pub(crate) async fn connect(&self, name: &str) -> Member {
        let (client, is_wooks) = match self {
            Self::Wooks(program) => (program.connect(name).await, true),
            Self::Wardroom(host) => (host.connect(name).await, false),
        };
        Member {
            client: client.unwrap(),
            is_wooks,
        }
    }

    /// A connection in the room of this path.
    pub(crate) async fn member(&self, path: &str) -> Member {
        let mut member = self.connect("a member").await;
        member.join(path).await;
        member
    }
}

/// What is broadcast as data.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Absent,
    Json(Value),
}

/// A client of either kind.
#[derive(Debug)]
pub(crate) struct Member {
    client: Client,
    is_wooks: bool,
}

impl Member {
    /// Joins the path's room; returns the connection's id. What is published from then on arrives.
    pub(crate) async fn join(&mut self, path: &str) -> String {
        let id = if self.is_wooks {
            self.ask("join", path, json!({})).await["id"].take()
        } else {
            self.run(path, json!([["join"], ["id"]])).await[1].take()
        };
        id.as_str().unwrap().to_owned()
    }

    pub(crate) async fn leave(&mut self, path: &str) {
        if self.is_wooks {
            self.ask("leave", path, json!({})).await;
        } else {
            self.run(path, json!([["leave"]])).await;
        }
    }

    /// Broadcasts to all others in the path's room, and waits until that is done.
    pub(crate) async fn say(&mut self, path: &str, data: impl Into<Value>) {
        self.broadcast(path, Data::Json(data.into()), false).await;
    }

    /// The same, including itself when that is wanted.
    pub(crate) async fn broadcast(&mut self, path: &str, data: Data, includes_self: bool) {
        if self.is_wooks {
            let mut options = json!({ "excludeSelf": !includes_self });
            if let Data::Json(data) = data {
                options["data"] = data;
            }
            self.ask("say", path, options).await;
        } else {
            let data = match data {
                Data::Absent => Value::Null,
                Data::Json(data) => json!({ "raw": data.to_string() }),
            };
            let step = json!(["broadcast", "said", data, null, includes_self]);
            assert_eq!(self.run(path, json!([step])).await, json!(["ok"]));
        }
    }

    /// The next push.
    pub(crate) async fn next(&mut self) -> Value {
        self.client.receive_json().await.unwrap()
    }

    /// The next push has this data.
    pub(crate) async fn assert_next(&mut self, data: impl Into<Value>) {
        assert_eq!(self.next().await["data"], data.into());
    }

    async fn ask(&mut self, event: &str, path: &str, data: Value) -> Value {
        let mut reply = self.client.request(event, path, data).await.unwrap();
        assert!(reply["error"].is_null(), "{event} {path}: {reply}");
        reply["data"].take()
    }

    async fn run(&mut self, path: &str, script: Value) -> Value {
        let results = self.client.run(path, script).await.unwrap();
        assert!(results.is_array(), "{path}: {results}");
        results
    }
}
