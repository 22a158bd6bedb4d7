//! `rpc`: many connections, each with many requests in flight. What does one request cost the server?

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::client::{Client, Incoming};
use crate::measure::{Figure, Load, Window};
use crate::process::Server;

const CONNECTIONS: usize = 50;
const IN_FLIGHT: u64 = 32;

pub(crate) async fn run(server: &Server, seconds: u64) -> Result<Vec<Figure>> {
    let load = Load::default();
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        tasks.spawn(converse(
            server.addr,
            load.clone(),
            Dialogue { request, check },
        ));
    }
    let window = Window::measure(server, seconds, &load, tasks, || ()).await?;
    let mut figures = vec![
        Figure {
            name: "cpu/request us",
            value: window.cpu_us(),
        },
        Figure {
            name: "requests/s",
            value: window.per_second(),
        },
    ];
    figures.extend(window.busy());
    Ok(figures)
}

/// What is said on a connection: the request of this number, and whether this is its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialogue {
    pub(crate) request: fn(u64) -> String,
    pub(crate) check: fn(&[u8], u64) -> Result<()>,
}

/// One connection: a request goes out for each reply that came in.
pub(crate) async fn converse(addr: SocketAddr, load: Load, dialogue: Dialogue) -> Result<()> {
    let mut client = Client::connect(addr).await?;
    let (mut asked, mut answered) = (0, 0);
    loop {
        while asked < answered + IN_FLIGHT && !load.is_stopping() {
            client.queue(&(dialogue.request)(asked));
            asked += 1;
        }
        if answered == asked {
            return Ok(());
        }
        client.flush().await?;
        let before = answered;
        client
            .receive(|text| {
                (dialogue.check)(text, answered)?;
                answered += 1;
                Ok(())
            })
            .await?;
        load.count(answered - before);
    }
}

/// About 100 bytes.
fn request(id: u64) -> String {
    format!(
        r#"{{"event":"echo","path":"/echo","id":{id},"data":{}}}"#,
        data(id)
    )
}

fn data(id: u64) -> String {
    format!(r#"{{"n":{id},"text":"The quick brown fox jumps over the dog"}}"#)
}

/// A connection's messages are answered in their order, so the next reply is known; almost always to the byte.
fn check(text: &[u8], id: u64) -> Result<()> {
    let expected = format!(r#"{{"id":{id},"data":{}}}"#, data(id));
    if text != expected.as_bytes() {
        let got = Incoming::parse(text)?;
        ensure!(
            got == Incoming::parse(expected.as_bytes())?,
            "the reply to request {id} is {got:?}"
        );
    }
    Ok(())
}

/// One request and its one reply.
pub(crate) async fn echo(client: &mut Client, id: u64) -> Result<()> {
    client.queue(&request(id));
    client.flush().await?;
    let mut replies = 0;
    while replies == 0 {
        client
            .receive(|text| {
                replies += 1;
                check(text, id)
            })
            .await?;
    }
    ensure!(replies == 1, "{replies} replies to request {id}");
    Ok(())
}
