//! Hands messages over to another server: posts each to the URL that the operator has configured, and answers with what
//! came back.
//!
//! What leads out is not the clients' to choose: where to, and by which token, the operator says in the plugin's table
//! of the configuration, and there too that the host may be asked at all.

use wardroom_sdk::prelude::*;

#[derive(Serialize)]
struct Answered {
    status: u16,
    body: Value,
}

#[derive(Default)]
struct Webhook;

#[controller]
impl Webhook {
    /// The body is the JSON text as it came, so that numbers keep their spelling. What the host refuses, a host that was
    /// not granted or one that does not answer, reaches the client by `?`.
    #[message("post", "webhook")]
    fn post(&self, #[data] body: Box<RawValue>) -> Result<Answered, WsError> {
        let mut request = http::post(config().require::<String>("url")?).json(&body)?;
        if let Some(token) = config().get::<String>("token")? {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send()?;
        let text = String::from_utf8_lossy(response.bytes());
        Ok(Answered {
            status: response.status(),
            // Not all that comes back is JSON.
            body: response.json().unwrap_or_else(|_| json!(text)),
        })
    }
}

wardroom_sdk::plugin! {
    config_keys = ["url", "token"],
    Webhook,
}
