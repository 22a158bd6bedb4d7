//! The commands of README.md's "Several hosts", as they stand there, but for the ports and the folders.

use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use wardroom_tests::binary::Program;
use wardroom_tests::guests::repository;
use wardroom_tests::{Client, Plugin, needed};

/// The lines of the section's commands.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Several hosts\n").unwrap();
    let (_, commands) = section.split_once("```sh\n").unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    commands.lines().map(ToOwned::to_owned).collect()
}

fn start_broker(command: &str, port: u16) -> Child {
    let command = command.replace("6379", &port.to_string());
    let broker = Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    broker.unwrap()
}

async fn start_host(command: &str, port: u16, plugins: &str) -> Program {
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("target/release/wardroom"), "{command}");
    let words = words.map(|word| match word {
        "dist" => plugins.to_owned(),
        word if word.starts_with("127.0.0.1:") => "127.0.0.1:0".to_owned(),
        word => word.replace("6379", &port.to_string()),
    });
    let words: Vec<_> = words.collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let built = env!("CARGO_BIN_EXE_wardroom-tested");
    Program::start(built, &words).await.unwrap()
}

async fn join(client: &mut Client, name: &str) {
    let data = json!({ "name": name });
    let joined = client.request("join", "/chat/lobby", data).await.unwrap();
    assert_eq!(joined["data"]["joined"], true, "{joined}");
}

async fn next_of(client: &mut Client, event: &str) -> Value {
    loop {
        let push = client.receive_json().await.unwrap();
        if push["event"] == event {
            return push["data"].clone();
        }
    }
}

#[tokio::test]
async fn three_hosts_and_a_redis_in_four_commands() {
    needed!("redis-server");
    let commands = commands();
    let [redis, hosts @ ..] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!(hosts.len(), 3, "{commands:?}");
    let folder = TempDir::new().unwrap();
    Plugin::built("chat").write(folder.path());
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let _broker = start_broker(redis, port);
    let mut members = Vec::new();
    let mut programs = Vec::new();
    for command in hosts {
        let program = start_host(command, port, folder.path().to_str().unwrap()).await;
        program.logged(&["the bus is ready"]).await.unwrap();
        members.push(program.connect("member").await.unwrap());
        programs.push(program);
    }
    for (member, name) in members.iter_mut().zip(["ann", "bob", "cy"]) {
        join(member, name).await;
    }
    let said = json!({ "from": "cy", "text": "hello" });
    let [ann, bob, cy] = members.as_mut_slice() else {
        panic!("there are three")
    };
    cy.request("message", "/chat/lobby", said.clone())
        .await
        .unwrap();
    for member in [ann, bob] {
        assert_eq!(next_of(member, "message").await, said);
    }
    drop(programs);
}
