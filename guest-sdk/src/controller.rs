//! What the macros make of a plugin, and how an event finds its handler in it.
//!
//! [`#[controller]`](macro@crate::controller) and [`plugin!`](crate::plugin) only write tables of
//! function pointers; all that happens between the host and a handler is the code below, the same
//! for a component and for the test kit.

use crate::error::{HttpError, WsError};
use crate::log::{self, Level};
use crate::message::Message;
use crate::request::Request;

/// A plugin, as [`plugin!`](crate::plugin) declares it.
/// [`test::Server::new`](crate::test::Server::new) takes it.
pub trait Plugin: 'static {
    /// All there is to know of it.
    #[doc(hidden)]
    const SPEC: PluginSpec;
}

/// A type whose `impl` block is marked [`#[controller]`](macro@crate::controller).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no controller",
    label = "has no impl block marked `#[controller]`",
    note = "mark one: `#[controller(\"prefix\")] impl {Self} {{ .. }}`"
)]
pub trait Controller: 'static {
    /// Its handlers.
    #[doc(hidden)]
    const SPEC: ControllerSpec;
}

#[doc(hidden)]
#[derive(Debug)]
pub struct PluginSpec {
    pub name: &'static str,
    pub version: &'static str,
    pub description: &'static str,
    pub mode: Option<&'static str>,
    pub headers: &'static [&'static str],
    pub config_keys: &'static [&'static str],
    pub parts: &'static [Part],
}

/// A controller and the prefixes around it, the outermost first.
#[doc(hidden)]
#[derive(Debug)]
pub struct Part {
    pub prefixes: &'static [&'static str],
    pub controller: &'static ControllerSpec,
}

#[doc(hidden)]
#[derive(Debug)]
pub struct ControllerSpec {
    pub prefix: &'static str,
    pub routes: &'static [RouteSpec],
    pub upgrade: &'static [fn(&Request) -> Claims],
    pub connect: &'static [fn() -> Outcome],
    pub disconnect: &'static [fn(&Disconnect) -> Outcome],
}

#[doc(hidden)]
#[derive(Debug)]
pub struct RouteSpec {
    pub event: &'static str,
    pub path: &'static str,
    pub handle: fn(&Message) -> Reply,
}

/// The reply as JSON text; `None` replies `null`.
#[doc(hidden)]
pub type Reply = Result<Option<String>, WsError>;

/// What an upgrade handler establishes, as JSON text; `None` says nothing.
#[doc(hidden)]
pub type Claims = Result<Option<String>, HttpError>;

/// How a connect or disconnect handler ends.
#[doc(hidden)]
pub type Outcome = Result<(), WsError>;

/// How a connection ended.
#[doc(hidden)]
#[derive(Debug)]
pub struct Disconnect {
    pub code: u16,
    pub reason: String,
}

/// What a plugin tells the host about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// Its identity within a tenant.
    pub name: String,
    /// For people.
    pub version: String,
    /// For people.
    pub description: String,
    /// Events and patterns. The position of a route in this list is its number.
    pub routes: Vec<(String, String)>,
    /// Of `upgrade`, `connect` and `disconnect` those that some controller has a handler for.
    pub hooks: Vec<String>,
    /// How instances should live: `pooled`, `fresh` or `singleton`; the host decides where there is
    /// none.
    pub mode: Option<String>,
    /// The headers of the upgrade request that the host should keep.
    pub headers: Vec<String>,
    /// What the plugin reads of its [configuration](crate::config()).
    pub config_keys: Vec<String>,
}

impl PluginSpec {
    pub(crate) fn manifest(&self) -> Manifest {
        let routes = self.parts.iter().flat_map(|part| {
            part.controller
                .routes
                .iter()
                .map(|route| (route.event.to_owned(), part.path_of(route)))
        });
        let has = |handled: fn(&ControllerSpec) -> bool| self.controllers().any(handled);
        let hooks = [
            ("upgrade", has(|controller| !controller.upgrade.is_empty())),
            ("connect", has(|controller| !controller.connect.is_empty())),
            (
                "disconnect",
                has(|controller| !controller.disconnect.is_empty()),
            ),
        ];
        let owned = |texts: &[&str]| texts.iter().copied().map(str::to_owned).collect();
        Manifest {
            // A crate may be called `Chat_Room`, a plugin may not.
            name: self.name.to_ascii_lowercase().replace('_', "-"),
            version: self.version.to_owned(),
            description: self.description.to_owned(),
            routes: routes.collect(),
            hooks: hooks
                .iter()
                .filter(|(_, wanted)| *wanted)
                .map(|(name, _)| (*name).to_owned())
                .collect(),
            mode: self.mode.map(str::to_owned),
            headers: owned(self.headers),
            config_keys: owned(self.config_keys),
        }
    }

    /// Calls the handler of the manifest's route number `route`.
    pub(crate) fn message(&self, route: u32, message: &Message) -> Reply {
        let mut index = route as usize;
        for controller in self.controllers() {
            match controller.routes.get(index) {
                Some(route) => {
                    return (route.handle)(message).inspect_err(|error| log_cause(error.cause()));
                }
                None => index -= controller.routes.len(),
            }
        }
        Err(WsError::not_found("Not found"))
    }

    /// Asks the upgrade handlers one after another; each sees the claims of those before it. The
    /// answer is what the last one that claimed anything said.
    pub(crate) fn upgrade(&self, mut request: Request) -> Claims {
        let mut claimed = None;
        for upgrade in self.controllers().flat_map(|controller| controller.upgrade) {
            if let Some(claims) = upgrade(&request).inspect_err(|error| log_cause(error.cause()))? {
                request.claims = Some(claims.clone());
                claimed = Some(claims);
            }
        }
        Ok(claimed)
    }

    /// Asks the connect handlers one after another. When one refuses, the controllers before it
    /// have already begun with the connection: they are told that it is gone, as the host tells
    /// other plugins.
    pub(crate) fn connect(&self) -> Outcome {
        for (accepted, controller) in self.controllers().enumerate() {
            if let Err(error) = controller.connect.iter().try_for_each(|connect| connect()) {
                log_cause(error.cause());
                let code = if matches!(error.code, 401 | 403) {
                    1008
                } else {
                    1011
                };
                let end = Disconnect {
                    code,
                    reason: error.message.clone(),
                };
                self.controllers()
                    .take(accepted)
                    .for_each(|controller| controller.disconnected(&end));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tells all disconnect handlers.
    pub(crate) fn disconnect(&self, end: &Disconnect) {
        self.controllers()
            .for_each(|controller| controller.disconnected(end));
    }

    fn controllers(&self) -> impl Iterator<Item = &'static ControllerSpec> {
        self.parts.iter().map(|part| part.controller)
    }
}

impl Part {
    fn path_of(&self, route: &RouteSpec) -> String {
        let mut path = String::new();
        for prefix in self.prefixes.iter().chain([&self.controller.prefix]) {
            path = join(&path, prefix);
        }
        join(&path, route.path)
    }
}

impl ControllerSpec {
    fn disconnected(&self, end: &Disconnect) {
        for disconnect in self.disconnect {
            // Nobody is left to be told but the log; the other handlers have a right to know all
            // the same.
            if let Err(error) = disconnect(end) {
                log::log(
                    Level::Warn,
                    &format!("a disconnect handler failed: {error}"),
                    &[],
                );
            }
        }
    }
}

/// A prefix and what follows it: one slash between them, a leading slash added. What the host's
/// router does.
fn join(prefix: &str, rest: &str) -> String {
    let prefix = prefix.strip_prefix('/').unwrap_or(prefix);
    if rest.is_empty() {
        return format!("/{prefix}");
    }
    let rest = rest.trim_start_matches('/');
    match prefix.trim_end_matches('/') {
        "" => format!("/{rest}"),
        prefix => format!("/{prefix}/{rest}"),
    }
}

#[cold]
fn log_cause(cause: Option<&str>) {
    if let Some(cause) = cause {
        log::log(Level::Error, cause, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn one_slash_between_a_prefix_and_a_path() {
        assert_eq!(join("chat", ":room"), "/chat/:room");
        assert_eq!(join(&join("admin", "users"), ":id"), "/admin/users/:id");
    }

    #[test]
    fn paths_are_joined_as_the_router_does() {
        let parts = [
            "", "/", "chat", "/chat", "chat/", "/chat/", "a/b", ":room", "/*", "//x",
        ];
        for prefix in parts {
            for rest in parts {
                assert_eq!(
                    join(prefix, rest),
                    wardroom_router::join(prefix, rest),
                    "{prefix:?} and {rest:?}"
                );
            }
        }
    }
}
