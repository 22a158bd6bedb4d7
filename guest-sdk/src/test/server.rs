//! A plugin in a host of its own: routes messages, runs handlers, closes connections.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use wardroom_router::{Pattern, RouteTable};

use super::client::Client;
use super::host::{Event, event};
use super::hub::{Close, Hub, LogLine, Stage, normalise};
use super::web::Web;
use crate::controller::{Disconnect, Manifest, Plugin, PluginSpec, Reply};
use crate::error::{HostError, HttpError, WsError};
use crate::http;
use crate::log::Level;
use crate::message::{ConnectionId, Message, MessageId, Param};
use crate::query::RoomInfo;
use crate::request::Request;

/// A host with one plugin, in the thread of the test. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Server(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    plugin: &'static PluginSpec,
    routes: RouteTable<u32>,
    hub: Rc<RefCell<Hub>>,
    instances: Rc<Instances>,
    web: Rc<Web>,
    messages: Cell<u64>,
}

/// The controllers of the plugin's one instance.
#[derive(Debug, Default)]
pub(super) struct Instances(RefCell<HashMap<TypeId, Rc<dyn Any>>>);

/// How a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By an upgrade handler, before there was a WebSocket.
    Http(HttpError),
    /// By a connect handler: the client sees a connection that is closed at once.
    Closed(Close),
}

impl Server {
    /// A server with a plugin as [`plugin!`](crate::plugin) declares it and no connections.
    ///
    /// # Panics
    /// When a real host would refuse the plugin: for a pattern that is none, or two routes with the
    /// same event and the same pattern.
    pub fn new<P: Plugin>() -> Self {
        let mut routes = RouteTable::builder();
        for (index, (event, path)) in (0..).zip(P::SPEC.manifest().routes) {
            let pattern =
                Pattern::parse(&path).unwrap_or_else(|error| refuse_route(&event, &path, &error));
            routes
                .add(&event, pattern, index)
                .unwrap_or_else(|error| refuse_route(&event, &path, &error));
        }
        Self(Rc::new(Inner {
            plugin: const { &P::SPEC },
            routes: routes.build(),
            hub: Rc::default(),
            instances: Rc::default(),
            web: Rc::default(),
            messages: Cell::default(),
        }))
    }

    /// Opens a connection with a request for `/`.
    ///
    /// # Panics
    /// When the plugin refuses it.
    pub fn connect(&self) -> Client {
        self.connect_with(Request::new("/"))
            .expect("the plugin lets the connection in")
    }

    /// Opens a connection with a request: its upgrade handlers run, then its connect handlers. Only
    /// the headers that the plugin asks for are kept, as in a host.
    ///
    /// # Errors
    /// How the plugin refused it.
    pub fn connect_with(&self, mut request: Request) -> Result<Client, Refused> {
        let inner = &*self.0;
        let kept = |name: &str| {
            inner
                .plugin
                .headers
                .iter()
                .any(|header| header.eq_ignore_ascii_case(name))
        };
        request.headers.retain(|(name, _)| kept(name));
        let upgrade = || inner.plugin.upgrade(request.clone());
        match self
            .run(Event::default(), upgrade)
            .unwrap_or_else(|_| Err(WsError::internal("").into()))
        {
            Ok(Some(claims)) => request.claims = Some(claims),
            Ok(None) => {}
            Err(error) => return Err(Refused::Http(seen_by_client(error))),
        }
        let id = inner.hub.borrow_mut().open(request);
        let connect = Event {
            connection: Some(id.clone()),
            ..Event::default()
        };
        match self
            .run(connect, || inner.plugin.connect())
            .unwrap_or_else(|_| Err(WsError::internal("")))
        {
            Ok(()) => {
                self.set_open(&id);
                self.settle();
                Ok(Client::new(self.clone(), id))
            }
            Err(error) => {
                inner.hub.borrow_mut().connections.remove(&id);
                inner.hub.borrow_mut().closing.retain(|other| *other != id);
                let code = if matches!(error.code, 401 | 403) {
                    1008
                } else {
                    1011
                };
                Err(Refused::Closed(Close {
                    code,
                    reason: error.message,
                }))
            }
        }
    }

    /// Answers the HTTP requests that the plugin sends from now on. Until then they are
    /// [`Denied`](HostError::Denied), as to a plugin that was granted nothing.
    ///
    /// ```
    /// # use wardroom_sdk::prelude::*;
    /// # #[derive(Default)] struct Orders;
    /// # #[controller] impl Orders {
    /// #[message("order")]
    /// fn order(&self, #[data] dish: &str) -> Result<u16, HostError> {
    ///     let request = http::post("https://kitchen.example/orders").json(&dish)?;
    ///     Ok(request.send()?.status())
    /// }
    /// # }
    /// # wardroom_sdk::plugin!(Orders);
    /// let server = wardroom_sdk::test::Server::new::<Plugin>();
    /// let client = server.connect();
    /// assert_eq!(client.request("order", "/order", &"soup").unwrap_err().code, 403);
    ///
    /// server.on_http(|request| match request.read_json::<String>()?.as_str() {
    ///     "soup" => Ok(http::Response::new(201)),
    ///     _ => Err(HostError::Unavailable("the kitchen is closed".into())),
    /// });
    /// assert_eq!(client.request("order", "/order", &"soup"), Ok(json!(201)));
    /// assert_eq!(client.request("order", "/order", &"fish").unwrap_err().code, 503);
    /// ```
    pub fn on_http(
        &self,
        answer: impl Fn(&http::Request) -> Result<http::Response, HostError> + 'static,
    ) {
        self.0.web.answer_with(answer);
    }

    /// What the plugin tells a host about itself.
    pub fn manifest(&self) -> Manifest {
        self.0.plugin.manifest()
    }

    /// The rooms that have members, sorted by name.
    pub fn rooms(&self) -> Vec<RoomInfo> {
        self.0.hub.borrow().rooms("")
    }

    /// Takes what the plugin has logged since the last time.
    pub fn log(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.0.hub.borrow_mut().log)
    }

    /// Lets time pass for [`state()`](crate::state()): what has lived for as long as it may is gone.
    pub fn pass(&self, time: Duration) {
        self.0.hub.borrow_mut().state.pass(time);
    }

    /// Does away with the plugin's instance, as a host may between any two events: what controllers
    /// keep in themselves is lost, what the host keeps is not.
    pub fn drop_instance(&self) {
        self.0.instances.0.borrow_mut().clear();
    }

    /// Handles a message and answers with its reply as JSON text.
    pub(super) fn message(
        &self,
        connection: &ConnectionId,
        event: &str,
        path: &str,
        data: Option<String>,
        wants_reply: bool,
    ) -> Result<String, WsError> {
        let inner = &*self.0;
        let path = normalise(path);
        let Some(found) = inner.routes.find(event, &path) else {
            return Err(WsError::not_found("Not found"));
        };
        inner.messages.set(inner.messages.get() + 1);
        let id = wants_reply.then(|| inner.messages.get().to_string());
        let captured = found.params.into_iter();
        let params: Vec<Param> = captured
            .map(|(name, value)| Param {
                name: name.as_ref().to_owned(),
                value,
            })
            .collect();
        let current = Event {
            connection: Some(connection.clone()),
            path: Some(path.clone()),
            params: params.clone(),
            frame: Some(frame(event, &path, data.as_deref(), id.as_deref())),
            ..Event::default()
        };
        let message = Message {
            event: event.to_owned(),
            path,
            params: params.into_iter().collect(),
            data,
            id: id.map(MessageId::new),
        };
        let reply: Reply = self
            .run(current, || inner.plugin.message(*found.target, &message))
            .unwrap_or_else(|_| Err(WsError::internal("")));
        self.settle();
        match reply {
            Ok(json) => Ok(json.unwrap_or_else(|| "null".to_owned())),
            Err(error) => Err(WsError::new(error.code, error.message)),
        }
    }

    /// Begins to close a connection from the client's side, and ends it.
    pub(super) fn close(&self, id: &ConnectionId, close: Close) {
        self.0.hub.borrow_mut().close(id, close);
        self.settle();
    }

    pub(super) fn hub(&self) -> &RefCell<Hub> {
        &self.0.hub
    }

    /// Runs handlers for an event. A panic costs the instance, as a trap does, and is in the log.
    fn run<R>(&self, event: Event, handlers: impl FnOnce() -> R) -> Result<R, ()> {
        let inner = &*self.0;
        if inner.plugin.mode == Some("fresh") {
            self.drop_instance();
        }
        let event = Event {
            hub: inner.hub.clone(),
            instances: inner.instances.clone(),
            web: inner.web.clone(),
            ..event
        };
        event
            .run(|| catch_unwind(AssertUnwindSafe(handlers)))
            .map_err(|panic| {
                self.drop_instance();
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text
                    .or(panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                let message = format!("panicked: {text}");
                inner.hub.borrow_mut().log.push(LogLine {
                    level: Level::Error,
                    message,
                    fields: Vec::new(),
                });
            })
    }

    fn set_open(&self, id: &ConnectionId) {
        if let Some(connected) = self.0.hub.borrow_mut().connections.get_mut(id)
            && connected.stage == Stage::Opening
        {
            connected.stage = Stage::Open;
        }
    }

    /// Runs the disconnect handlers of all connections whose close has begun, also of those that
    /// they close.
    fn settle(&self) {
        let inner = &*self.0;
        loop {
            let Some(id) = inner.hub.borrow_mut().closing.pop_front() else {
                return;
            };
            let stage = inner
                .hub
                .borrow()
                .connections
                .get(&id)
                .map(|connected| connected.stage.clone());
            let Some(Stage::Closing(close)) = stage else {
                continue;
            };
            let end = Disconnect {
                code: close.code,
                reason: close.reason.clone(),
            };
            let gone = Event {
                connection: Some(id.clone()),
                ..Event::default()
            };
            // A disconnect handler that panics has nobody to tell; it is in the log.
            let _ = self.run(gone, || inner.plugin.disconnect(&end));
            if let Some(connected) = inner.hub.borrow_mut().connections.get_mut(&id) {
                connected.rooms.clear();
                connected.stage = Stage::Closed(close);
            }
        }
    }
}

/// Runs code with the controller of the plugin's instance, which is made when it is first needed.
pub fn instance<C: Default + 'static, R>(run: impl FnOnce(&C) -> R) -> R {
    let instances = event(|event| event.instances.clone());
    let known = instances.0.borrow().get(&TypeId::of::<C>()).cloned();
    let controller = known.unwrap_or_else(|| {
        let made: Rc<dyn Any> = Rc::new(C::default());
        instances
            .0
            .borrow_mut()
            .insert(TypeId::of::<C>(), made.clone());
        made
    });
    run(controller
        .downcast_ref()
        .expect("it is kept under its own type"))
}

#[expect(clippy::panic, reason = "a test has nothing to go on with")]
fn refuse_route(event: &str, path: &str, error: &dyn std::fmt::Display) -> ! {
    panic!("a host would refuse this plugin: route `{event}` on `{path}`: {error}")
}

/// The cause stays on the server's side.
fn seen_by_client(error: HttpError) -> HttpError {
    let HttpError {
        status,
        headers,
        body,
        ..
    } = error;
    headers
        .into_iter()
        .fold(HttpError::new(status, body), |answer, (name, value)| {
            answer.header(name, value)
        })
}

/// The frame that a client would have sent.
fn frame(event: &str, path: &str, data: Option<&str>, id: Option<&str>) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut frame = format!("{{\"event\":{},\"path\":{}", text(event), text(path));
    for (name, json) in [("data", data), ("id", id)] {
        if let Some(json) = json {
            frame.extend([",\"", name, "\":", json]);
        }
    }
    frame.push('}');
    frame
}
