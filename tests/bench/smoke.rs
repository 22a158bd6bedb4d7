//! `smoke`: nothing is measured; both example plugins must answer. For a quick look at a build of theirs.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::client::{Client, Incoming};
use crate::fanout::{ROOM, join};
use crate::measure::Figure;
use crate::process::Server;
use crate::rpc::echo;

/// One request, and one message from a member of a room to another.
pub(crate) async fn run(server: &Server) -> Result<Vec<Figure>> {
    let mut alice = Client::connect(server.addr).await?;
    let mut bob = Client::connect(server.addr).await?;
    echo(&mut alice, 0).await?;
    join(&mut bob).await?;
    join(&mut alice).await?;
    let data = json!({ "from": "alice", "text": "hello" });
    alice.queue(&json!({ "event": "message", "path": ROOM, "data": data }).to_string());
    alice.flush().await?;
    let mut got = 0;
    while got == 0 {
        bob.receive(|text| {
            let push = Incoming::parse(text)?;
            if push.is_push("message") {
                ensure!(
                    push.path.as_deref() == Some(ROOM) && push.data.as_ref() == Some(&data),
                    "wrong push: {push:?}"
                );
                got += 1;
            }
            Ok(())
        })
        .await?;
    }
    Ok(vec![Figure {
        name: "messages",
        value: f64::from(got),
    }])
}
