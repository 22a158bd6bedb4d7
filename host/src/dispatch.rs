//! The way of an event: a message, or a connection opening or closing, to the plugins that handle it and back.
//!
//! Every message with an id gets exactly one answer here, whatever happens to its handler. Called by `ws`, which
//! owns the socket; knows nothing of sockets.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::Limit;
use crate::hub::{Connection, Request};
use crate::plugin::{CallError, Event, HttpRefusal, Plugin, RoutedMessage, Subject};
use crate::protocol::{
    self, Close, CloseCode, ErrorReply, Malformed, check_json, encode_error, encode_malformed,
    encode_reply,
};
use crate::tenant::{PluginSet, RoutesUsed, Tenant};

/// What a frame of a client leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The frame that answers it.
    Reply(Bytes),
    /// Nothing: no reply was wanted.
    Silence,
    /// The answer to a frame that was no message.
    Malformed(Bytes),
}

/// Handles a client's frame. `used` is the connection's own.
pub async fn message(
    tenant: &Tenant,
    connection: &Arc<Connection>,
    used: &mut RoutesUsed,
    frame: String,
) -> Answer {
    let message = match protocol::decode(frame) {
        Ok(message) => message,
        Err(malformed) => return Answer::Malformed(encode_malformed(&malformed)),
    };
    let plugins = tenant.plugins();
    let Some(found) = plugins.routes().find(message.event(), message.path()) else {
        tell_author(&plugins, message.event(), message.path());
        return answer_error(message.id(), &ErrorReply::NOT_FOUND);
    };
    used.add(&found.target.used);
    let plugin = &found.target.plugin;
    let routed = Arc::new(RoutedMessage {
        message,
        route: found.target.route,
        params: found.params,
    });
    let event = Event::new(
        tenant.hub.clone(),
        tenant.state.clone(),
        Subject::Message(Arc::clone(connection), Arc::clone(&routed)),
    );
    let outcome = plugin.on_message(event, &routed).await;
    let message = &routed.message;
    let data = match outcome {
        Ok(Ok(data)) => data,
        Ok(Err(refusal)) => {
            let error = ErrorReply::new(refusal.code, refusal.message);
            return bounded(tenant, plugin, message.id(), |id| encode_error(id, &error));
        }
        Err(error) => {
            return answer_error(message.id(), &client_error(plugin, message.event(), &error));
        }
    };
    match data.as_deref().map(check_json).transpose() {
        Ok(data) => bounded(tenant, plugin, message.id(), |id| encode_reply(id, data)),
        Err(error) => {
            if plugin.admits_log_line() {
                tracing::error!(plugin = plugin.label, event = message.event(), %error, "the reply is invalid");
            }
            answer_error(message.id(), &ErrorReply::INTERNAL)
        }
    }
}

/// Answers a client's frame that comes too soon.
pub fn over_rate(frame: String) -> Answer {
    match protocol::decode(frame) {
        Ok(message) => answer_error(message.id(), &ErrorReply::TOO_MANY_REQUESTS),
        Err(malformed) => Answer::Malformed(encode_malformed(&malformed)),
    }
}

/// Tells the author of a plugin that a client's message reached nobody. Off unless the log asks for it, as `dev`
/// does: clients can send as many of those as they like.
fn tell_author(plugins: &PluginSet, event: &str, path: &str) {
    if tracing::enabled!(target: "wardroom::unmatched", tracing::Level::INFO) {
        let nearest = plugins
            .nearest(event, path)
            .unwrap_or_else(|| "none at all".to_owned());
        tracing::info!(target: "wardroom::unmatched", ?event, ?path, nearest, "no route");
    }
}

fn answer_error(id: Option<&str>, error: &ErrorReply) -> Answer {
    id.map_or(Answer::Silence, |id| Answer::Reply(encode_error(id, error)))
}

/// The reply, unless it is too large for the client.
fn bounded(
    tenant: &Tenant,
    plugin: &Plugin,
    id: Option<&str>,
    encode: impl FnOnce(&str) -> Bytes,
) -> Answer {
    let Some(id) = id else { return Answer::Silence };
    let frame = encode(id);
    if frame.len() > plugin.limits().reply_bytes_max {
        tenant.metrics.reached(Limit::ReplyBytesMax);
        if plugin.admits_log_line() {
            let (plugin, bytes) = (&plugin.label, frame.len());
            tracing::warn!(plugin, bytes, "the reply is too large (reply_bytes_max)");
        }
        return answer_error(Some(id), &ErrorReply::REPLY_TOO_LARGE);
    }
    Answer::Reply(frame)
}

/// What a client learns of a failure; the log learns the cause.
fn client_error(plugin: &Plugin, event: &str, error: &CallError) -> ErrorReply {
    let reply = match error {
        CallError::Unavailable { .. } => ErrorReply::UNAVAILABLE,
        CallError::TimedOut(_) => ErrorReply::TIMED_OUT,
        CallError::Failed(_) => ErrorReply::INTERNAL,
    };
    if plugin.admits_log_line() {
        let plugin = &plugin.label;
        match error {
            CallError::Unavailable { .. } => {
                tracing::warn!(plugin, event, %error, "event not handled");
            }
            CallError::TimedOut(_) => tracing::warn!(plugin, event, %error, "event ended"),
            CallError::Failed(_) => tracing::error!(plugin, event, %error, "event failed"),
        }
    }
    reply
}

/// An upgrade that is refused: an HTTP answer.
#[derive(Debug)]
pub enum UpgradeRefused {
    /// By a plugin, in its own words.
    ByPlugin(HttpRefusal),
    /// By the host, because a plugin failed.
    Failed(ErrorReply),
}

/// Runs the upgrade handlers, in the order of the plugins' names. What one establishes about the client is what
/// the next one, and every handler of the connection, finds in the request.
///
/// # Errors
/// The first refusal.
pub async fn upgrade(tenant: &Tenant, mut request: Request) -> Result<Request, UpgradeRefused> {
    for plugin in tenant.plugins().plugins() {
        if !plugin.manifest.hooks.upgrade {
            continue;
        }
        let subject = Arc::new(request.clone());
        let event = Event::new(
            tenant.hub.clone(),
            tenant.state.clone(),
            Subject::Request(Arc::clone(&subject)),
        );
        match plugin.on_upgrade(event, &subject).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(claims))) => match check_json(&claims) {
                Ok(claims) => request.claims = Some(claims.to_owned()),
                Err(error) => {
                    tracing::error!(plugin = plugin.label, %error, "the claims are invalid");
                    return Err(UpgradeRefused::Failed(ErrorReply::INTERNAL));
                }
            },
            Ok(Err(refusal)) => return Err(UpgradeRefused::ByPlugin(refusal)),
            Err(error) => {
                return Err(UpgradeRefused::Failed(client_error(
                    plugin, "upgrade", &error,
                )));
            }
        }
    }
    Ok(request)
}

/// What the connect handlers said: who has to be told when the connection closes, and whether it stays.
#[derive(Debug)]
pub struct Connected {
    /// Those that were live as the connection opened. By name, because others may be live when it closes, and none
    /// is to be kept for that alone.
    plugins: Arc<[Arc<str>]>,
    /// So many of them have accepted it.
    accepted: usize,
    /// The refusal, if there was one.
    pub refused: Option<Close>,
}

/// Runs the connect handlers, in the order of the plugins' names, up to the first refusal.
pub async fn connect(tenant: &Tenant, connection: &Arc<Connection>) -> Connected {
    let plugins = tenant.plugins();
    let mut connected = Connected {
        plugins: Arc::clone(plugins.names()),
        accepted: 0,
        refused: None,
    };
    for plugin in plugins.plugins() {
        if plugin.manifest.hooks.connect {
            connected.refused = refusal(tenant, connection, plugin).await;
        }
        if connected.refused.is_some() {
            break;
        }
        connected.accepted += 1;
    }
    connected
}

/// Runs one connect handler.
async fn refusal(tenant: &Tenant, connection: &Arc<Connection>, plugin: &Plugin) -> Option<Close> {
    let event = Event::new(
        tenant.hub.clone(),
        tenant.state.clone(),
        Subject::Connection(Arc::clone(connection)),
    );
    match plugin.on_connect(event).await {
        Ok(Ok(())) => None,
        Ok(Err(refusal)) if matches!(refusal.code, 401 | 403) => {
            Some(Close::new(CloseCode::Policy, &refusal.message))
        }
        Ok(Err(refusal)) => Some(Close::new(CloseCode::Internal, &refusal.message)),
        Err(error) => {
            let error = client_error(plugin, "connect", &error);
            Some(Close::new(CloseCode::Internal, &error.message))
        }
    }
}

/// Runs the disconnect handlers of the plugins that accepted the connection, in the versions that are live now.
pub async fn disconnect(
    tenant: &Tenant,
    connection: &Arc<Connection>,
    connected: &Connected,
    close: &Close,
) {
    let plugins = tenant.plugins();
    let accepted = connected.plugins.iter().take(connected.accepted);
    let live = accepted.filter_map(|name| plugins.plugin(name));
    for plugin in live.filter(|plugin| plugin.manifest.hooks.disconnect) {
        let event = Event::new(
            tenant.hub.clone(),
            tenant.state.clone(),
            Subject::Connection(Arc::clone(connection)),
        );
        if let Err(error) = plugin.on_disconnect(event, close.code, &close.reason).await {
            // Nobody is left to answer; the log has the cause.
            let _ = client_error(plugin, "disconnect", &error);
        }
    }
}

/// The answer to a frame that is not even text.
#[must_use]
pub fn not_text() -> Answer {
    let malformed = Malformed {
        id: None,
        problem: "the message is not UTF-8".into(),
    };
    Answer::Malformed(encode_malformed(&malformed))
}
