//! What plugins are given by the file: values, secrets, grants, and what they must be. By the real program.

use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::process::Output;
use tempfile::TempDir;
use wardroom::plugin::Digest;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::http::{Answer, ask};
use wardroom_tests::{Client, Plugin, Web};

const ADMIN_TOKEN: &str = "b3BlbiBzZXNhbWU=";

/// Its events are on a path of its own.
fn puppet(name: &str, version: &str) -> Plugin {
    let path = format!("/{name}");
    Plugin::puppet(&json!({ "name": name, "version": version, "routes": [["do", path]] }))
}

fn digest(plugin: &Plugin) -> String {
    Digest::of(&plugin.bytes).sha256().to_string()
}

/// A folder to run in, with these plugins in `plugins`.
struct Home(TempDir);

impl Home {
    fn new(plugins: &[Plugin], config: &str) -> Self {
        let home = Self(TempDir::new().unwrap());
        home.put("plugins", plugins);
        home.configure(config);
        home
    }

    fn put(&self, folder: &str, plugins: &[Plugin]) {
        let folder = self.0.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        plugins.iter().for_each(|plugin| plugin.write(&folder));
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.path().join(file), text).unwrap();
    }

    fn configure(&self, config: &str) {
        self.write("wardroom.toml", config);
    }

    fn wardroom(&self, arguments: &[&str]) -> Invocation {
        let built = env!("CARGO_BIN_EXE_wardroom-tested");
        let invocation = Invocation::new(built, arguments).within(self.0.path());
        // Two tests and a compiler may share one core.
        invocation.with("WARDROOM_LIMITS_COMPILE_WALL_MAX", "5m")
    }

    async fn serve(&self, more: &[(&str, &str)]) -> Host {
        let with = |command: Invocation, (name, value): &(&str, &str)| command.with(name, value);
        // What is compiled already is ready at once.
        let check = more.iter().fold(self.wardroom(&["check"]), with);
        let (code, out, errors) = said(&check.run().await.unwrap());
        assert_eq!(code, Some(0), "{out}{errors}");
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let serve = self.wardroom(&arguments);
        let serve = serve.with("WARDROOM_ADMIN_TOKEN", ADMIN_TOKEN);
        let program = Program::invoke(&more.iter().fold(serve, with))
            .await
            .unwrap();
        let (_, admin) = program.ready.split_once(" admin=").unwrap();
        let admin = admin.parse().unwrap();
        Host { program, admin }
    }
}

struct Host {
    program: Program,
    admin: SocketAddr,
}

impl Host {
    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 0\r\n\r\n"
        );
        ask(self.admin, &request).await.unwrap()
    }

    async fn reload(&self) -> Value {
        let answer = self.ask("POST", "/api/reload").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Has a puppet do one thing, at the path of its tenant.
    async fn does(&self, at: &str, puppet: &str, step: Value) -> Value {
        let connected = Client::connect(at, self.program.address, at, &[]).await;
        let mut client = connected.unwrap().unwrap();
        let path = format!("/{puppet}");
        client.run(&path, json!([step])).await.unwrap()[0].take()
    }
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const VALUES: &str = "
    [plugin.puppet.config]
    text = 'a'
    number = -7
    fraction = 0.5
    on = true
    list = [1, 'b']
    table = { c = 2, password = { env = 'PUPPET_PASSWORD' } }
    token = { file = 'secret.txt' }
";

#[tokio::test]
async fn values_are_read_and_secrets_are_not_shown() {
    let home = Home::new(&[puppet("puppet", "1")], VALUES);
    home.write("secret.txt", "t0ken\n");
    let secrets = [("PUPPET_PASSWORD", "p4ss"), ("WARDROOM_LOG", "trace")];
    let host = home.serve(&secrets).await;
    for (key, value) in [
        ("text", json!("a")),
        ("number", json!(-7)),
        ("fraction", json!(0.5)),
        ("on", json!(true)),
        ("list", json!([1, "b"])),
        ("table", json!({ "c": 2, "password": "p4ss" })),
        ("token", json!("t0ken")),
        ("nothing", Value::Null),
        ("", Value::Null),
    ] {
        let got = host.does("/ws", "puppet", json!(["config", key])).await;
        assert_eq!(got, value, "{key}");
    }
    let keys = host.does("/ws", "puppet", json!(["config-keys"])).await;
    let sorted = ["fraction", "list", "number", "on", "table", "text", "token"];
    assert_eq!(keys, json!(sorted));
    home.configure(&VALUES.replace("'a'", "'b'"));
    host.reload().await;
    let mut shown = vec![host.ask("GET", "/api/plugins").await.body];
    for arguments in [&["check"][..], &["check", "--json"]] {
        let check = home.wardroom(arguments).with("PUPPET_PASSWORD", "p4ss");
        let (code, out, errors) = said(&check.run().await.unwrap());
        assert_eq!(code, Some(0), "{errors}");
        assert!(out.contains("(set)"), "{out}");
        shown.extend([out, errors]);
    }
    shown.push(host.program.log.text());
    for shown in shown {
        assert!(
            !shown.contains("t0ken") && !shown.contains("p4ss"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn nobody_reads_what_is_anothers() {
    let home = Home::new(
        &[],
        "
        [tenants.acme]
        path = '/acme'
        plugins = 'acme'
        plugin.one.config = { of = 'one of acme', acme = 1 }
        plugin.two.config = { of = 'two of acme' }
        [tenants.umbra]
        path = '/umbra'
        plugins = 'umbra'
        plugin.one.config = { of = 'one of umbra' }
        plugin.three.config = { of = 'nobody' }
        ",
    );
    let asks = json!([["config", "of"], ["config-keys"]]);
    let asking = json!({ "name": "two", "routes": [["do", "/two"]], "describe": asks });
    let two = Plugin::puppet(&asking);
    for tenant in ["acme", "umbra"] {
        home.put(tenant, &[puppet("one", "1"), two.clone()]);
    }
    let host = home.serve(&[]).await;
    for (at, plugin, of, keys) in [
        ("/acme", "one", json!("one of acme"), json!(["acme", "of"])),
        ("/acme", "two", json!("two of acme"), json!(["of"])),
        ("/umbra", "one", json!("one of umbra"), json!(["of"])),
        ("/umbra", "two", Value::Null, json!([])),
    ] {
        let got = host.does(at, plugin, json!(["config", "of"])).await;
        assert_eq!(got, of, "{at} {plugin}");
        let got = host.does(at, plugin, json!(["config-keys"])).await;
        assert_eq!(got, keys, "{at} {plugin}");
    }
    // Nor does anybody read anything to say what it is.
    let plugins = host.ask("GET", "/api/plugins").await.body;
    let plugins: Value = serde_json::from_str(&plugins).unwrap();
    let plugins = plugins["plugins"].as_array().unwrap();
    let two = plugins.iter().find(|plugin| plugin["name"] == "two");
    let description = two.unwrap()["description"].as_str().unwrap();
    assert_eq!(
        description.matches("\"denied\"").count(),
        2,
        "{description}"
    );
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_bound() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let home = Home::new(&[], VALUES);
    for command in ["serve", "check"] {
        let mut arguments = vec![command];
        if command == "serve" {
            // Where it could not listen either.
            arguments.extend(["--listen", &listen]);
        }
        let (code, _, errors) = said(&home.wardroom(&arguments).run().await.unwrap());
        assert_eq!(code, Some(64), "{errors}");
        for wrong in [
            "wardroom.toml:8: plugin.puppet.config.table.password: the variable PUPPET_PASSWORD is not set",
            "wardroom.toml:9: plugin.puppet.config.token: the file secret.txt cannot be read",
        ] {
            assert!(errors.contains(wrong), "{wrong}\n{errors}");
        }
    }
}

#[tokio::test]
async fn a_reload_takes_over_what_plugins_are_given() {
    let web = Web::start().await.unwrap();
    let text = |greeting: &str, http: &str| {
        format!("[plugin.puppet]\nhttp = [{http}]\nconfig = {{ greeting = '{greeting}' }}\n")
    };
    let home = Home::new(
        &[puppet("puppet", "1"), puppet("other", "1")],
        &text("Hello", ""),
    );
    let host = home.serve(&[]).await;
    let greeting = || host.does("/ws", "puppet", json!(["config", "greeting"]));
    let request = json!(["http", { "authority": web.authority() }]);
    let http = || host.does("/ws", "puppet", request.clone());
    assert_eq!(greeting().await, "Hello");
    assert_eq!(http().await["error"], "HttpRequestDenied");
    // Who may keep what it read is loaded anew, and nobody else.
    home.configure(&text("Goodbye", ""));
    let said = host.reload().await;
    assert_eq!(greeting().await, "Goodbye");
    let changed: Vec<_> = said["changes"].as_array().unwrap().iter().collect();
    assert_eq!(
        (changed.len(), &changed[0]["plugin"]),
        (1, &json!("puppet")),
        "{said}"
    );
    // Whom it may ask, it cannot have kept.
    home.configure(&text("Goodbye", &format!("'{}'", web.url())));
    let said = host.reload().await;
    assert_eq!(said["changes"], json!([]), "{said}");
    assert_eq!(http().await["status"], 200);
    // What cannot be changes nothing.
    home.configure(&text("Again", "'nowhere'"));
    let answer = host.ask("POST", "/api/reload").await;
    assert_ne!(answer.status, 200);
    assert!(answer.body.contains("is no host"), "{answer:?}");
    assert_eq!(greeting().await, "Goodbye");
    assert_eq!(http().await["status"], 200);
    home.configure("");
    host.reload().await;
    assert_eq!(greeting().await, Value::Null);
    assert_eq!(http().await["error"], "HttpRequestDenied");
}

#[tokio::test]
async fn a_file_that_is_not_the_one_that_was_said_is_not_loaded() {
    let (first, second) = (puppet("puppet", "1"), puppet("puppet", "2"));
    let pinned = |plugin: &Plugin| format!("[plugin.puppet]\nsha256 = '{}'\n", digest(plugin));
    let is_refused = |text: &str| {
        let both = [digest(&first), digest(&second)];
        text.contains("its SHA-256 is") && both.iter().all(|digest| text.contains(digest))
    };
    let home = Home::new(std::slice::from_ref(&first), &pinned(&second));
    for arguments in [&["check"][..], &["inspect", "plugins/puppet.wasm"]] {
        let (code, out, errors) = said(&home.wardroom(arguments).run().await.unwrap());
        assert_eq!(code, Some(1), "{out}{errors}");
        assert!(is_refused(&out) || is_refused(&errors), "{out}{errors}");
    }
    home.configure(&pinned(&first));
    let host = home.serve(&[]).await;
    let version = || host.does("/ws", "puppet", json!(["version"]));
    assert_eq!(version().await, "1");
    // Neither another file nor another digest takes away what was live.
    home.put("plugins", std::slice::from_ref(&second));
    let said = host.reload().await;
    assert!(is_refused(&said["problems"].to_string()), "{said}");
    assert_eq!(version().await, "1");
    home.configure(&pinned(&second));
    let said = host.reload().await;
    assert_eq!(said["problems"], json!([]), "{said}");
    assert_eq!(version().await, "2");
    home.configure(&pinned(&first));
    let said = host.reload().await;
    assert!(is_refused(&said["problems"].to_string()), "{said}");
    assert_eq!(version().await, "2");
    let stays = ["plugin not loaded, and 2 stays live", "its SHA-256 is"];
    host.program.logged(&stays).await.unwrap();
}
