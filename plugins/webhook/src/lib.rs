//! Hands messages over to another server: posts their body to a URL, and answers with what came back.
//!
//! The client names the URL. That is safe because it is not the plugin that decides where it may lead: the operator
//! grants the hosts, and to others, or to addresses inside the operator's network, nothing is sent.

use wardroom_sdk::prelude::*;

#[derive(Deserialize)]
struct Post {
    url: String,
    /// The JSON text as it came, so that numbers keep their spelling.
    body: Box<RawValue>,
}

#[derive(Serialize)]
struct Answered {
    status: u16,
    body: Value,
}

#[derive(Default)]
struct Webhook;

#[controller]
impl Webhook {
    /// What the host refuses, a host that was not granted or one that does not answer, reaches the client by `?`.
    #[message("post", "webhook")]
    fn post(&self, #[data] post: Post) -> Result<Answered, WsError> {
        let response = http::post(post.url).json(&post.body)?.send()?;
        let text = String::from_utf8_lossy(response.bytes());
        Ok(Answered {
            status: response.status(),
            // Not all that comes back is JSON.
            body: response.json().unwrap_or_else(|_| json!(text)),
        })
    }
}

wardroom_sdk::plugin!(Webhook);
