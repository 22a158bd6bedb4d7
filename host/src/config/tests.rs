//! Sources against each other, and against what people write by mistake.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// A folder with a file in it, and the sources that read it.
fn with_file(text: &str) -> (TempDir, Sources) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("wardroom.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        file: ConfigFile::Named(file),
        ..nothing()
    };
    (folder, sources)
}

fn nothing() -> Sources {
    Sources {
        file: ConfigFile::None,
        environment: vec![],
        flags: Flags::default(),
    }
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let pairs = variables.iter();
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What is wrong, less the folder of the file.
fn faults(sources: &Sources) -> Vec<String> {
    let folder = match &sources.file {
        ConfigFile::Named(file) => format!("{}/", file.parent().unwrap().display()),
        ConfigFile::None | ConfigFile::Search => String::new(),
    };
    let error = sources.load().unwrap_err();
    let faults = error.faults.iter();
    faults
        .map(|fault| fault.to_string().replace(&folder, ""))
        .collect()
}

#[test]
fn without_any_source_there_are_the_defaults() {
    let effective = nothing().load().unwrap();
    assert_eq!(effective.config, Config::default());
    assert_eq!(effective.file(), None);
    assert!(!effective.to_toml().lines().any(|line| line.contains(" # ")));
}

#[test]
fn a_file_may_say_everything() {
    let (folder, sources) = with_file(
        r#"
listen = "0.0.0.0:4000"
admin = "127.0.0.1:4001"
admin_token = "c2VjcmV0=="
path = "/chat/ws"
origins = ["https://acme.com", "https://*.acme.com"]
trusted_proxies = "10.0.0.0/8"
plugins = "live"
cache = "/var/cache/wardroom"
state = "kept/state.redb"
watch = false
node = "north"
heartbeat_interval = "0"
heartbeat_timeout = "90s"
drain = "1m"
cluster = { url = "rediss://me:s3cret@redis.example.com", prefix = "blue:" }

[auth.jwt]
jwks_file = "keys.json"
audience = "chat"
issuer = ["https://a", "https://b"]

[tls]
certificate = "/etc/tls/chain.pem"
key = "key.pem"

[limits]
connections_max = 0x10
message_bytes_max = "64 KiB"
push_bytes_max = 10_000
event_cpu_max = "20ms"
"#,
    );
    let config = sources.load().unwrap().config;
    let expected = Config {
        listen: "0.0.0.0:4000".parse().unwrap(),
        admin: Some("127.0.0.1:4001".parse().unwrap()),
        admin_token: Some(Secret::new("c2VjcmV0==")),
        path: "/chat/ws".to_owned(),
        origins: Origins::of(texts(&["https://acme.com", "https://*.acme.com"])).unwrap(),
        trusted_proxies: Networks::of(texts(&["10.0.0.0/8"])).unwrap(),
        jwt: JwtTable {
            jwks_file: Some(folder.path().join("keys.json")),
            audience: texts(&["chat"]),
            issuer: texts(&["https://a", "https://b"]),
            ..JwtTable::default()
        },
        tls_certificate: Some(PathBuf::from("/etc/tls/chain.pem")),
        tls_key: Some(folder.path().join("key.pem")),
        tenants: BTreeMap::new(),
        plugins: folder.path().join("live"),
        cache: Some(PathBuf::from("/var/cache/wardroom")),
        state: StateStore::File(folder.path().join("kept/state.redb")),
        watch: false,
        node: "north".to_owned(),
        cluster_url: "rediss://me:s3cret@redis.example.com".parse().ok(),
        cluster_prefix: "blue:".to_owned(),
        heartbeat_interval: Duration::ZERO,
        heartbeat_timeout: Duration::from_secs(90),
        drain: Duration::from_secs(60),
        compiler: None,
        plugin: BTreeMap::new(),
        resolver: None,
        limits: Limits {
            connections_max: 16,
            message_bytes_max: 65_536,
            push_bytes_max: 10_000,
            event_cpu_max: Duration::from_millis(20),
            ..Limits::default()
        },
    };
    assert_eq!(config, expected);
}

#[test]
fn flags_overrule_the_environment_which_overrules_the_file() {
    let (folder, mut sources) = with_file(
        "listen = \"127.0.0.1:1\"\nplugins = \"a\"\nadmin = \"127.0.0.1:9\"\n[limits]\nroutes_max = 1\nconnections_max = 1\n",
    );
    let load = |sources: &Sources| sources.load().unwrap();
    let effective = load(&sources);
    assert_eq!(effective.config.listen.port(), 1);
    assert_eq!(effective.config.plugins, folder.path().join("a"));

    sources.environment = environment(&[
        ("WARDROOM_LISTEN", "127.0.0.1:2"),
        ("WARDROOM_PLUGINS", "b"),
        ("WARDROOM_LIMITS_ROUTES_MAX", "2_000"),
        ("WARDROOM_LOG", "debug"),
        ("PATH", "/bin"),
    ]);
    let effective = load(&sources);
    assert_eq!(effective.config.listen.port(), 2);
    assert_eq!(
        effective.config.plugins,
        Path::new("b"),
        "the process's own folder"
    );
    assert_eq!(effective.config.limits.routes_max, 2_000);
    assert_eq!(effective.config.limits.connections_max, 1);

    sources.flags.listen = Some("127.0.0.1:3".parse().unwrap());
    let effective = load(&sources);
    assert_eq!(effective.config.listen.port(), 3);
    let origin = |key| effective.origin(key).map(ToString::to_string);
    let file = folder.path().join("wardroom.toml").display().to_string();
    assert_eq!(origin(Key::Listen).as_deref(), Some("--listen"));
    assert_eq!(origin(Key::Plugins).as_deref(), Some("WARDROOM_PLUGINS"));
    assert_eq!(origin(Key::Admin), Some(format!("{file}:3")));
    assert_eq!(
        origin(Key::Limit(Limit::ConnectionsMax)),
        Some(format!("{file}:6"))
    );
    assert_eq!(origin(Key::Node), None);

    let text = effective.to_toml();
    for line in [
        "listen = \"127.0.0.1:3\" # --listen".to_owned(),
        "plugins = \"b\" # WARDROOM_PLUGINS".to_owned(),
        format!("connections_max = 1 # {file}:6"),
        // As it is by default, wherever it was given.
        "routes_max = 2_000".to_owned(),
        "# cache is not set".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let mut config = Config {
        listen: "[::1]:0".parse().unwrap(),
        node: "a \"b\" \\ \n#".to_owned(),
        watch: false,
        ..Config::default()
    };
    config.limits.message_bytes_max = 1_000_001;
    config.limits.event_cpu_max = Duration::from_micros(1_500);
    let shown = Effective {
        config: config.clone(),
        file: None,
        origins: std::collections::BTreeMap::default(),
    };
    let (folder, sources) = with_file(&shown.to_toml());
    let read = sources.load().unwrap().config;
    config.plugins = folder.path().join(&config.plugins);
    assert_eq!(read, config);

    let json = shown.to_json();
    assert_eq!(
        json["configuration"]["limits"]["message_bytes_max"],
        1_000_001
    );
    assert_eq!(json["configuration"]["limits"]["event_cpu_max"], "1500us");
    assert_eq!(json["configuration"]["admin"], serde_json::Value::Null);
}

#[test]
fn secrets_are_neither_shown_nor_quoted_nor_read_from_what_is_shown() {
    let (_folder, sources) = with_file("admin_token = \"c2VjcmV0\"\n");
    let effective = sources.load().unwrap();
    let shown = [
        effective.to_toml(),
        serde_json::Value::from(effective.to_json()).to_string(),
        format!("{effective:?}"),
    ];
    for text in shown {
        assert!(
            !text.contains("c2VjcmV0") && text.contains("(set)"),
            "{text}"
        );
    }
    for text in [
        "admin_token = \"c2VjcmV0 \"",
        "admin_token = \"c2VjcmV0",
        "admin_token = c2VjcmV0",
        "admin_token = [\"c2VjcmV0\"]",
        "admin_token = \"(set)\"",
        "admin_token = \"\"",
    ] {
        let (_folder, sources) = with_file(text);
        let faults = faults(&sources);
        assert!(!faults.concat().contains("c2VjcmV0"), "{faults:?}");
    }
}

#[test]
fn all_faults_are_found_each_with_its_line_and_the_nearest_name() {
    let (_folder, mut sources) = with_file(
        "lisen = \"127.0.0.1:1\"\nmessage_bytes_max = 5\ndrain = 5\n\n[limits]\nmesage_bytes_max = 5\n\
         routes_max = -1\nconnections_max = \"5\"\nevent_cpu_max = \"50 mins\"\n\n[limit]\nroutes_max = 1\n",
    );
    sources.environment = environment(&[("WARDROOM_LISEN", "x"), ("WARDROOM_WATCH", "")]);
    assert_eq!(
        faults(&sources),
        [
            "wardroom.toml:1: lisen: there is no such key; the nearest is listen",
            "wardroom.toml:2: message_bytes_max: there is no such key; the nearest is limits.message_bytes_max",
            "wardroom.toml:3: drain: must be a time, such as \"50ms\", \"5s\", \"1m\" or \"0\" (ns, us, ms, s, m, h), \
             not 5",
            "wardroom.toml:6: limits.mesage_bytes_max: there is no such key; the nearest is limits.message_bytes_max",
            "wardroom.toml:7: limits.routes_max: must be a whole number from 0 to 18446744073709551615, not -1",
            "wardroom.toml:8: limits.connections_max: must be a whole number from 0 to 18446744073709551615, not \"5\"",
            "wardroom.toml:9: limits.event_cpu_max: must be a time, such as \"50ms\", \"5s\", \"1m\" or \"0\" \
             (ns, us, ms, s, m, h), not \"50 mins\"",
            "wardroom.toml:11: limit: there is no such table; the nearest is [limits]",
            "WARDROOM_LISEN: there is no such variable; the nearest is WARDROOM_LISTEN",
            "WARDROOM_WATCH: must be true or false, not empty",
        ]
    );
}

#[test]
fn what_orchestrators_add_for_a_service_of_that_name_is_no_fault() {
    let mut sources = nothing();
    sources.environment = environment(&[
        ("WARDROOM_SERVICE_HOST", "10.0.0.1"),
        ("WARDROOM_SERVICE_PORT", "3000"),
        ("WARDROOM_SERVICE_PORT_HTTP", "3000"),
        ("WARDROOM_PORT", "tcp://10.0.0.1:3000"),
        ("WARDROOM_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
        ("WARDROOM_PORT_3000_TCP_PORT", "3000"),
        ("WARDROOM_ADMIN_PORT_3001_TCP_ADDR", "10.0.0.2"),
    ]);
    assert_eq!(sources.load().unwrap().config, Config::default());
    sources.environment = environment(&[("WARDROOM_PORT", "3000")]);
    assert!(faults(&sources)[0].starts_with("WARDROOM_PORT: there is no such variable"));
}

#[test]
fn what_is_no_toml_is_reported_with_its_line() {
    let (_folder, sources) = with_file("listen = \"127.0.0.1:1\"\nnode = north\npath = \"/ws\"\n");
    let faults = faults(&sources);
    assert!(
        faults.len() == 1 && faults[0].starts_with("wardroom.toml:2: "),
        "{faults:?}"
    );
    let (_folder, sources) = with_file("limits = 5\n");
    assert_eq!(
        self::faults(&sources),
        ["wardroom.toml:1: limits: must be a table, not 5"]
    );
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing.toml");
    let sources = Sources {
        file: ConfigFile::Named(missing.clone()),
        ..nothing()
    };
    assert!(faults(&sources)[0].starts_with("missing.toml: cannot be read: "));
    let sources = Sources {
        file: ConfigFile::Search,
        environment: environment(&[("WARDROOM_CONFIG", missing.to_str().unwrap())]),
        ..nothing()
    };
    assert!(faults(&sources)[0].contains("missing.toml: cannot be read: "));
}

#[test]
fn values_that_do_not_fit_together_say_where_they_were_given() {
    let (_folder, mut sources) = with_file(
        "path = \"ws\"\nheartbeat_timeout = \"0\"\n\n[limits]\ninstances_max = 8\nevent_wall_max = \"8761h\"\n",
    );
    sources.environment = environment(&[
        ("WARDROOM_NODE", ""),
        ("WARDROOM_LIMITS_CONNECTIONS_MAX", "0"),
    ]);
    sources.flags.admin = Some(Config::default().listen);
    let faults = faults(&sources);
    for expected in [
        "--admin: must be another address than listen",
        "wardroom.toml:1: path: must begin with a slash",
        "WARDROOM_NODE: must have 1 to 63 bytes",
        "wardroom.toml:2: heartbeat_timeout: must be more than zero",
        "wardroom.toml:6: limits.event_wall_max: must be at most \"8760h\"",
        "WARDROOM_LIMITS_CONNECTIONS_MAX: must be at least 1",
        "wardroom.toml:5: limits.instances_max: must be at least instances_per_plugin_max (64)",
    ] {
        let found = faults.iter().any(|fault| fault.starts_with(expected));
        assert!(found, "{expected}\n{faults:?}");
    }
    assert_eq!(faults.len(), 7, "{faults:?}");
}

#[test]
fn some_paths_are_taken() {
    for (path, is_right) in [
        ("/", true),
        ("/a/%20", true),
        ("/readyz", false),
        ("/a b", false),
        ("/ä", false),
        ("/a?b", false),
    ] {
        let config = Config {
            path: path.to_owned(),
            ..Config::default()
        };
        assert_eq!(config.validate().is_ok(), is_right, "{path}");
    }
}

#[test]
fn programs_set_values_by_name() {
    let mut config = Config::default();
    config.set("heartbeat_interval", "5s").unwrap();
    assert_eq!(config.heartbeat_interval, Duration::from_secs(5));
    let error = config.set("heartbeat_interval", "5").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("heartbeat_interval: must be a time"),
        "{error}"
    );
    assert_eq!(config.heartbeat_interval, Duration::from_secs(5));
    let error = config.set("heart", "5").unwrap_err();
    assert!(error.to_string().contains("no such key"), "{error}");
}

#[test]
fn changes_are_named() {
    let mut other = Config::default();
    other.limits.instances_max += 1;
    other.admin_token = Some(Secret::new("t"));
    let changes: Vec<_> = Config::default().changes(&other).collect();
    assert_eq!(changes, [Key::AdminToken, Key::Limit(Limit::InstancesMax)]);
    assert!(changes[1].is_fixed() && !changes[0].is_fixed());
}
