use std::fs;

use tempfile::TempDir;

use super::super::{Config, ConfigError, ConfigFile, Effective, Flags, Sources};
use super::*;

fn load(text: &str, flags: Flags) -> Result<Effective, ConfigError> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("wardroom.toml");
    fs::write(&file, text).unwrap();
    let loaded = Sources {
        file: ConfigFile::Named(file),
        environment: vec![("WARDROOM_LIMITS_ROUTES_MAX".into(), "7".into())],
        flags,
    };
    loaded.load()
}

fn faults(text: &str) -> Vec<String> {
    let error = load(text, Flags::default()).unwrap_err();
    let said = error.faults.iter().map(ToString::to_string);
    said.map(|fault| fault.rsplit_once(".toml:").unwrap().1.to_owned())
        .collect()
}

#[test]
fn what_a_tenant_does_not_say_is_as_it_is_for_the_host() {
    let text = "
        [tenants.acme]
        plugins = 'a'
        hosts = ['acme.example.com', '10.0.0.1']
        origins = 'https://acme.example.com'
        auth = { jwt = { key_file = 'k.pem', audience = 'chat', issuer = ['a', 'b'] } }
        [tenants.acme.limits]
        rooms_per_connection_max = 3
        [tenants.other-2]
        path = '/other'
        [limits]
        pushes_per_event_max = 5
    ";
    let effective = load(text, Flags::default()).unwrap();
    let tenants = effective.config.mounted();
    let names: Vec<_> = tenants.keys().map(TenantName::as_str).collect();
    assert_eq!(names, ["acme", "other-2"]);
    let acme = &tenants[&"acme".parse().unwrap()];
    assert!(acme.plugins.is_absolute() && acme.plugins.ends_with("a"));
    assert_eq!((acme.path.as_str(), acme.hosts.len()), ("/ws", 2));
    assert_eq!(acme.origins.texts(), ["https://acme.example.com"]);
    let key = acme.jwt.key_file.as_ref().unwrap();
    assert!(key.is_absolute() && key.ends_with("k.pem"));
    assert_eq!(acme.jwt.issuer, ["a", "b"]);
    assert_eq!(acme.limits.rooms_per_connection_max, 3);
    assert_eq!(acme.limits.pushes_per_event_max, 5);
    assert_eq!(acme.limits.routes_max, 7);
    let other = &tenants[&"other-2".parse().unwrap()];
    assert_eq!(
        (&other.origins, &other.jwt),
        (&Origins::default(), &JwtTable::default())
    );
    assert_eq!(other.limits, effective.config.limits);
    assert!(other.plugins.is_absolute() && other.plugins.ends_with("tenants/other-2"));
    // And it is shown as it was said.
    let shown = load(
        &effective.to_toml().replace("# admin", "#"),
        Flags::default(),
    );
    assert_eq!(shown.unwrap().config, effective.config);
    let json = &effective.to_json()["configuration"]["tenants"]["acme"];
    assert_eq!(json["hosts"][1], "10.0.0.1");
    assert_eq!(json["auth"]["jwt"]["audience"][0], "chat");
    assert_eq!(json["limits"].as_object().unwrap().len(), 1);
}

#[test]
fn without_tenants_there_is_one() {
    let tenants = Config::default().mounted();
    let (name, tenant) = tenants.first_key_value().unwrap();
    assert_eq!((name.as_str(), tenant.path.as_str()), ("default", "/ws"));
    assert_eq!(tenant.plugins, Path::new("plugins"));
}

#[test]
fn mistakes_are_named_with_their_line() {
    assert_eq!(
        faults("[tenants.Acme]\n[tenants.acme]\nplugns = 'x'\npath = 'ws'\nhosts = 5\n"),
        [
            "1: tenants.Acme: a tenant's name has 1 to 63 characters of a-z, 0-9 and -, and `room` is none",
            "3: tenants.acme.plugns: there is no such key; the nearest is tenants.acme.plugins",
            "5: tenants.acme.hosts: must be an array of texts, or one text, not 5",
        ]
    );
    let limits = "[tenants.a.limits]\ninstances_max = 3\nmemory_bytes_max = '65 MiB'\n";
    assert_eq!(
        faults(limits),
        ["2: tenants.a.limits.instances_max: is the host's: it stands in the table [limits]"]
    );
    assert_eq!(
        faults("[tenants.a]\npath = 'ws'\n[tenants.a.limits]\nmemory_bytes_max = '65 MiB'\n")[1],
        "4: tenants.a.limits.memory_bytes_max: must be at most that of the table [limits] (64 MiB)"
    );
    assert_eq!(
        faults("tenants = 3\nlimits = 4\n"),
        [
            "1: tenants: must be a table, not 3",
            "2: limits: must be a table, not 4"
        ]
    );
}

#[test]
fn who_gets_in_is_said_of_each_tenant_by_itself() {
    for said in [
        "path = '/a'",
        "origins = '*'",
        "auth.jwt.issuer = 'a'",
        "auth.jwt.key_file = 'k'",
    ] {
        let name = said.split(' ').next().unwrap();
        let faults = faults(&format!("{said}\n[tenants.a]\n"));
        let problem = format!("1: {name}: is the one tenant's where none is named");
        assert!(
            faults.len() == 1 && faults[0].starts_with(&problem),
            "{faults:?}"
        );
    }
    let shown = load("[tenants.a]\n", Flags::default()).unwrap().to_toml();
    assert!(
        !shown.lines().any(|line| line == "[auth.jwt]"),
        "nobody's: {shown}"
    );
    let text = "
        [tenants.a]
        origins = ['https://a', 'b']
        auth.jtw.secret = 'x'
        [tenants.a.auth.jwt]
        secrt = 'x'
    ";
    let faults = faults(text);
    for (fault, problem) in faults.iter().zip([
        "3: tenants.a.origins: \"b\" is no origin, such as",
        "4: tenants.a.auth.jtw: there is no such table; the nearest is [tenants.a.auth.jwt]",
        "6: tenants.a.auth.jwt.secrt: there is no such key; the nearest is tenants.a.auth.jwt.secret",
    ]) {
        assert!(fault.starts_with(problem), "{faults:?}");
    }
    assert_eq!(faults.len(), 3, "{faults:?}");
    let half = "[tenants.a]\nauth.jwt.audience = 'chat'\n";
    let error = load(half, Flags::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("tenants.a.auth.jwt: needs one of secret"),
        "{error}"
    );
}

#[test]
fn no_two_tenants_are_at_the_same_place() {
    let clash = |one: &str, other: &str| {
        let text = format!("[tenants.a]\n{one}\n[tenants.b]\n{other}\n");
        load(&text, Flags::default()).is_err()
    };
    assert!(clash("", ""));
    assert!(clash("hosts = ['x', 'y']", "hosts = ['y']"));
    assert!(!clash("hosts = ['x']", "hosts = ['y']"));
    assert!(
        !clash("hosts = ['x']", ""),
        "who names a host goes before who names none"
    );
    assert!(!clash("path = '/a'", "path = '/b'"));
}

#[test]
fn hosts_are_names_or_addresses() {
    for host in [
        "localhost",
        "a.example.com",
        "127.0.0.1",
        "::1",
        "xn--bcher-kva.example",
    ] {
        assert!(is_host_name(host), "{host}");
    }
    for host in ["", "A.example.com", "a:80", "https://a", "a/b", "[::1]"] {
        assert!(!is_host_name(host), "{host}");
    }
}
