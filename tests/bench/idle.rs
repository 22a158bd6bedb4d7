//! `idle`: very many connections that are open and silent. How much memory does one hold?

use anyhow::Result;

use crate::client::Client;
use crate::measure::Figure;
use crate::process::{Server, allow_files};
use crate::rpc::echo;

const CONNECTIONS: usize = 10_000;

/// Makes room for the connections' files; before the server is started, which inherits the limit.
pub(crate) fn prepare() -> Result<()> {
    allow_files(CONNECTIONS as u64 + 500)
}

/// Resident bytes per connection: once all are open, and once each has had a reply, which may leave buffers behind.
pub(crate) async fn run(server: &Server) -> Result<Vec<Figure>> {
    let mut first = Client::connect(server.addr).await?;
    echo(&mut first, 0).await?;
    let before = server.resident_bytes()?;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(server.addr).await?);
    }
    echo(&mut first, 0).await?;
    let open = server.resident_bytes()?;
    for client in &mut clients {
        echo(client, 0).await?;
    }
    let used = server.resident_bytes()?;
    let per_connection =
        |after: u64| after.saturating_sub(before) as f64 / CONNECTIONS as f64 / 1024.0;
    Ok(vec![
        Figure {
            name: "KB/connection",
            value: per_connection(open),
        },
        Figure {
            name: "KB after a reply",
            value: per_connection(used),
        },
        Figure {
            name: "server MB",
            value: open as f64 / 1024.0 / 1024.0,
        },
    ])
}
