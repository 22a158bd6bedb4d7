use std::fs;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::super::{ConfigError, ConfigFile, Effective, Flags, Sources};
use super::*;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Secrets are in `secrets/token` and in `HOOK_TOKEN`.
fn load(text: &str) -> Result<Effective, ConfigError> {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    write("secrets/token", b"s3cret\r\n");
    write("secrets/two-lines", b"one\ntwo\n\n");
    write("secrets/bytes", b"\xff");
    write("secrets/large", &[b'x'; 64 * 1024 + 1]);
    write("wardroom.toml", text.as_bytes());
    let loaded = Sources {
        file: ConfigFile::Named(folder.path().join("wardroom.toml")),
        environment: vec![("HOOK_TOKEN".into(), "v3ry".into())],
        flags: Flags::default(),
    };
    loaded.load()
}

fn values(plugin: &PluginConfig) -> Json {
    let values = plugin.config.iter();
    let values = values.map(|(key, value)| (key.clone(), value.expose().clone()));
    Json::Object(values.collect())
}

const TABLE: &str = "
    [plugin.webhook]
    http = ['https://hooks.example.com', 'http://*.example.com:8080']
    http_networks = ['10.0.0.0/8']
    sha256 = 'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855'
    [plugin.webhook.config]
    text = 'a \"b\"'
    number = -7
    grouped = 0x00_ff
    fraction = 1_000.5
    on = true
    list = [1, 'b', { env = 'HOOK_TOKEN' }]
    lines = { file = 'secrets/two-lines' }
    token = { file = 'secrets/token' }
    'odd key' = []
    [plugin.webhook.config.database]
    user = 'wardroom'
    password = { env = 'HOOK_TOKEN' }
    both = { file = 'a', env = 'b' }
    [plugin.other]
";

#[test]
fn a_table_is_read_and_shown() {
    let effective = load(TABLE).unwrap();
    let plugins = &effective.config.mounted()[&TenantName::default()].plugin;
    let webhook = &plugins["webhook"];
    assert_eq!(plugins["other"], PluginConfig::default());
    assert_eq!(webhook.sha256, DIGEST.parse().ok());
    assert_eq!(
        values(webhook),
        json!({
            "text": "a \"b\"", "number": -7, "grouped": 255, "fraction": 1000.5, "on": true,
            "list": [1, "b", "v3ry"], "lines": "one\ntwo\n", "token": "s3cret", "odd key": [],
            "database": { "user": "wardroom", "password": "v3ry", "both": { "file": "a", "env": "b" } },
        })
    );
    let shown = effective.to_toml();
    for line in [
        "[plugin.webhook]",
        "http = [\"https://hooks.example.com\", \"http://*.example.com:8080\"] # ",
        "http_networks = [\"10.0.0.0/8\"] # ",
        &format!("sha256 = \"{DIGEST}\" # "),
        "[plugin.webhook.config]",
        "text = \"a \\\"b\\\"\" # ",
        "fraction = 1000.5 # ",
        "list = [1, \"b\", \"(set)\"] # ",
        "token = \"(set)\" # ",
        "\"odd key\" = [] # ",
        "database = { both = { env = \"b\", file = \"a\" }, password = \"(set)\", user = \"wardroom\" } # ",
        "[plugin.other]",
    ] {
        assert!(
            shown.lines().any(|shown| shown.starts_with(line)),
            "{line}\n{shown}"
        );
    }
    let json = Json::Object(effective.to_json());
    let config = &json["configuration"]["plugin"]["webhook"]["config"];
    assert_eq!(config["database"]["password"], "(set)");
    assert_eq!(config["number"], -7);
    let from = json["from"]["plugin.webhook.config.token"].as_str();
    assert!(
        from.is_some_and(|from| from.ends_with("wardroom.toml:14")),
        "{from:?}"
    );
    for shown in [&shown, &json.to_string(), &format!("{effective:?}")] {
        assert!(
            !shown.contains("s3cret") && !shown.contains("v3ry"),
            "{shown}"
        );
    }
    let again = load(&shown).unwrap().config.plugin;
    assert_eq!(again["webhook"].http, webhook.http);
    assert_eq!(again["webhook"].sha256, webhook.sha256);
}

#[test]
fn what_a_tenants_plugin_is_given_is_its_own() {
    let text = "
        [tenants.acme.plugin.chat]
        http = ['https://acme.example']
        config = { name = 'acme' }
        [tenants.umbra]
        path = '/umbra'
        [tenants.umbra.plugin.chat.config]
        name = 'umbra'
    ";
    let effective = load(text).unwrap();
    let tenants = effective.config.mounted();
    let chat = |tenant: &str| &tenants[&tenant.parse().unwrap()].plugin["chat"];
    assert_eq!(values(chat("acme")), json!({ "name": "acme" }));
    assert_eq!(values(chat("umbra")), json!({ "name": "umbra" }));
    assert_eq!(chat("umbra").http, AllowList::default());
    let shown = effective.to_toml();
    assert!(
        shown.contains("\n[tenants.acme.plugin.chat.config]\nname = \"acme\" # "),
        "{shown}"
    );
}

/// Texts, and what is said of them.
const WRONG: &[(&str, &str)] = &[
    ("plugin = 1", "plugin: must be a table, not 1"),
    ("[plugin]\nchat = 1", "plugin.chat: must be a table, not 1"),
    ("[plugin.Chat]", "plugin.Chat: a plugin's name has"),
    (
        "[plugn.chat]",
        "plugn: there is no such table; the nearest is [plugin]",
    ),
    (
        "[plugin.a]\nhtp = []",
        "plugin.a.htp: there is no such key; the nearest is plugin.a.http",
    ),
    (
        "[plugin.a.confg]",
        "plugin.a.confg: there is no such table; the nearest is [plugin.a.config]",
    ),
    (
        "[plugin.a.limits]",
        "plugin.a.limits: there is no such table",
    ),
    (
        "[plugin.a]\nconfig = 1",
        "plugin.a.config: must be a table, not 1",
    ),
    (
        "[plugin.a]\nhttp = ''",
        "plugin.a.http: must be an array of texts, or one text",
    ),
    (
        "[plugin.a]\nhttp = ['a']",
        "plugin.a.http: \"a\" is no host",
    ),
    (
        "[plugin.a]\nhttp_networks = ['a']",
        "plugin.a.http_networks: \"a\" is no network",
    ),
    (
        "[plugin.a]\nsha256 = 'ab'",
        "plugin.a.sha256: must be the SHA-256 of a file",
    ),
    (
        "[plugin.a.config]\n'' = 1",
        "plugin.a.config.: the name of a value must have 1 to 256 bytes",
    ),
    (
        "[plugin.a.config]\nb = 1979-05-27",
        "plugin.a.config.b: must be a text, a number",
    ),
    (
        "[plugin.a.config]\nb = [inf]",
        "plugin.a.config.b: must be a number that has an end",
    ),
    (
        "[plugin.a.config]\nb = 9223372036854775808",
        "plugin.a.config.b: must be a whole number of 64 bits",
    ),
    (
        "[plugin.a.config]\nb = { file = 'none' }",
        "plugin.a.config.b: the file ",
    ),
    (
        "[plugin.a.config]\nb = { file = 'none' }",
        "none cannot be read: No such file",
    ),
    (
        "[plugin.a.config]\nb = { file = 'secrets/bytes' }",
        "secrets/bytes must be UTF-8",
    ),
    (
        "[plugin.a.config]\nb = { file = 'secrets/large' }",
        "secrets/large must have at most 65536 bytes",
    ),
    (
        "[plugin.a.config]\nb = { env = 'NONE' }",
        "plugin.a.config.b: the variable NONE is not set",
    ),
    (
        "[plugin.a.config.b]\nc = { env = 'NONE' }",
        "plugin.a.config.b.c: the variable NONE is not set",
    ),
    (
        "[plugin.a.config]\nb = { env = 7 }",
        "plugin.a.config.b: a table with nothing but file or env is a secret",
    ),
    (
        "[plugin.a.config]\nb = { file = '' }",
        "plugin.a.config.b: a table with nothing but file or env is a secret",
    ),
    (
        "[tenants.t]\n[plugin.a]",
        "plugin.a: is the one tenant's where none is named",
    ),
    (
        "[tenants.t.plugin.a]\nhttp = 1",
        "tenants.t.plugin.a.http: must be an array of texts, or one text",
    ),
    (
        "[tenants.t.plugin.a.config]\nb = { env = 'NONE' }",
        "tenants.t.plugin.a.config.b: the variable NONE",
    ),
];

#[test]
fn all_that_is_wrong_is_said() {
    let text = "
        [plugin.a.config]
        list = [{ env = 'ONE' }, 1, { env = 'TWO' }]
        table = { a = { env = 'THREE' }, b = { file = 'four' } }
        number = inf
    ";
    assert_eq!(load(text).unwrap_err().faults.len(), 5);
}

#[test]
fn what_is_wrong_is_said_with_its_key() {
    for (text, wrong) in WRONG {
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains(wrong), "{wrong}\n{error}");
        assert!(error.contains(".toml:"), "no line: {error}");
    }
}
