//! Holds README.md to what the host really has: keys and their defaults, close codes, error codes.

use crate::tidy::{mentions, none};
use wardroom::config::{Config, Key, PluginConfig, PluginKey, TenantKey, Value};
use wardroom::metrics::METRICS;
use wardroom_tests::guests::repository;

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).unwrap_or_default()
}

#[test]
fn every_key_is_documented_with_its_default() {
    let readme = readme();
    let rows: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .collect();
    let mut problems = Vec::new();
    let of_host = Key::all().map(|key| {
        let name = match key {
            Key::Limit(limit) => limit.key().to_owned(),
            top => top.to_string(),
        };
        let default = match key.get(&Config::default()) {
            Value::Unset => "not set".to_owned(),
            Value::Text(text) if text.is_empty() => "empty".to_owned(),
            value => format!("`{value}`"),
        };
        (name, default)
    });
    let of_plugin = PluginKey::ALL.into_iter().map(|key| {
        let default = key.get(&PluginConfig::default()).to_toml();
        let default = default.map_or("not set".to_owned(), |value| format!("`{value}`"));
        (key.to_string(), default)
    });
    for (name, default) in of_host.chain(of_plugin) {
        let row = rows.iter().find(|(first, _)| *first == name);
        let shown = row.map(|(_, cells)| cells.split(" | ").next().unwrap_or_default());
        if shown != Some(default.as_str()) {
            problems.push(format!(
                "README.md needs a row | `{name}` | {default} | …; it has {shown:?}"
            ));
        }
    }
    none(&problems);
}

#[test]
fn every_key_of_a_tenant_is_documented() {
    let readme = readme();
    let (_, table) = readme.split_once("| key of a tenant |").unwrap();
    let table = table.split("\n\n").next().unwrap();
    for key in TenantKey::all() {
        let name = match key {
            TenantKey::Jwt(_) => "auth.jwt".to_owned(),
            TenantKey::Limit(_) => "limits".to_owned(),
            top => top.to_string(),
        };
        assert!(
            table.contains(&format!("\n| `{name}` |")),
            "{name}: {table}"
        );
    }
}

#[test]
fn every_metric_is_documented() {
    let readme = readme();
    let missing = METRICS
        .iter()
        .filter(|(name, _)| !readme.contains(&format!("| `{name}` |")));
    none(
        &missing
            .map(|(name, _)| format!("metric {name} is not in README.md"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn what_cannot_be_reloaded_is_documented() {
    let readme = readme();
    let start = readme.find("**SIGHUP**").unwrap();
    let paragraph = readme[start..].split("\n\n").next().unwrap();
    for key in Key::all().filter(|key| key.is_fixed()) {
        let name = key.to_string().replace("limits.", "");
        assert!(mentions(paragraph, &name), "`{name}` is not in {paragraph}");
    }
}

#[test]
fn every_close_code_is_documented() {
    let codes = std::fs::read_to_string(repository().join("host/src/protocol/codes.rs")).unwrap();
    let body = codes
        .split("pub enum CloseCode {")
        .nth(1)
        .unwrap()
        .split("\n}")
        .next()
        .unwrap();
    let number = |line: &str| {
        line.trim()
            .trim_end_matches(',')
            .split_once(" = ")
            .map(|(_, code)| code.to_owned())
    };
    let codes: Vec<_> = body.lines().filter_map(number).collect();
    assert!(codes.len() >= 9, "{codes:?}");
    let readme = readme();
    let missing = codes.iter().filter(|code| !mentions(&readme, code));
    none(
        &missing
            .map(|code| format!("close code {code} is not in README.md"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_table_row_of_the_protocol_is_in_the_readme() {
    let readme = readme();
    let missing = ["400", "404", "413", "500", "503", "504"]
        .into_iter()
        .filter(|code| !mentions(&readme, code));
    none(
        &missing
            .map(|code| format!("error code {code} is not in README.md"))
            .collect::<Vec<_>>(),
    );
}
