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
    assert_eq!(acme.limits.rooms_per_connection_max, 3);
    assert_eq!(acme.limits.pushes_per_event_max, 5);
    assert_eq!(acme.limits.routes_max, 7);
    let other = &tenants[&"other-2".parse().unwrap()];
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
        faults("[tenants.Acme]\n[tenants.acme]\nplugns = 'x'\npath = 'ws'\nhosts = 'x'\n"),
        [
            "1: tenants.Acme: a tenant's name has 1 to 63 characters of a-z, 0-9 and -, and `room` is none",
            "3: tenants.acme.plugns: there is no such key; the nearest is tenants.acme.plugins",
            "5: tenants.acme.hosts: must be a list of texts, such as [\"a\", \"b\"], not \"x\"",
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
    assert!(faults("path = '/a'\n[tenants.a]\n")[0].starts_with("1: path: is the one tenant's"));
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
