//! Outbound HTTP: what guests send by `wasi:http` goes where their plugin was granted that it may go, and nowhere else.
//!
//! A request is checked twice: by what it says, against the plugin's [`AllowList`], and by the address that its host
//! leads to. Redirects are answers like any other: a guest that follows one sends a request, which is checked anew. A
//! request belongs to the event in which it was sent, and ends with it.

mod address;
mod body;
mod connect;
mod exchange;
mod slot;

use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use hyper::header::{HeaderName, TE, TRAILER};
use hyper::{Method, Request, Response};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use super::engine::Engine;
use super::granted::Granted;
use super::guest_log::GuestLog;
use crate::config::{Destination, Limit, Limits, Resolver};
use crate::metrics::Metrics;
use connect::Names;
use exchange::Exchange;
use slot::Slot;

/// What a guest may write to the body of a request before some of it is sent.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// How a tenant's plugins send HTTP requests, and how many of those are under way.
#[derive(Debug)]
pub struct Outbound {
    names: Names,
    under_way: Arc<AtomicUsize>,
}

impl Outbound {
    /// With this to look up names; without it the system does.
    #[must_use]
    pub fn new(resolver: Option<Resolver>) -> Self {
        Self {
            names: Names::new(resolver),
            under_way: Arc::default(),
        }
    }

    /// The same for the requests of one more tenant, which are counted by themselves.
    pub(super) fn for_tenant(&self) -> Self {
        Self {
            names: self.names.clone(),
            under_way: Arc::default(),
        }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new(None)
    }
}

/// The requests of one instance.
pub(super) struct Requests {
    outbound: Arc<Outbound>,
    granted: Granted,
    /// Whose they are; `None` while the plugin is described.
    plugin: Option<Arc<str>>,
    limits: Arc<Limits>,
    metrics: Metrics,
    log: GuestLog,
    /// There is an event: outside of one, in `describe` and in the start of an instance, none may be sent.
    is_open: bool,
    /// Those of the event, if it has sent any.
    sent: Option<Sent>,
}

/// The requests of one event.
#[derive(Default)]
struct Sent {
    /// Cancelled when the event ends.
    ended: CancellationToken,
    /// A request that nobody has any more has given its own back already.
    slots: Vec<Weak<Slot>>,
}

type Answer = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);
type Answering = Box<dyn Future<Output = Result<Answer, Error>> + Send>;

impl Requests {
    pub(super) fn new(engine: &Engine, plugin: Option<Arc<str>>, log: GuestLog) -> Self {
        Self {
            outbound: Arc::clone(&engine.outbound),
            granted: engine.granted.clone(),
            plugin,
            limits: Arc::clone(&engine.limits),
            metrics: engine.metrics.clone(),
            log,
            is_open: false,
            sent: None,
        }
    }

    /// Begins an event.
    pub(super) fn begin(&mut self) {
        self.is_open = true;
    }

    /// Ends it, and its requests: also those that the guest has forgotten.
    pub(super) fn end(&mut self) {
        self.is_open = false;
        if let Some(sent) = self.sent.take() {
            sent.ended.cancel();
            let slots = sent.slots.iter().filter_map(Weak::upgrade);
            slots.for_each(|slot| slot.give_back());
        }
    }

    /// Whether a request may be sent, and what is needed for it.
    fn admit(&mut self, request: &Request<WasiBody>) -> Result<Exchange, Error> {
        let uri = request.uri();
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        let destination = scheme.zip(authority).and_then(|(scheme, authority)| {
            // Whoever logs in says so in a header.
            Destination::new(scheme, authority.as_str())
        });
        let destination = destination.ok_or(Error::HttpRequestUriInvalid)?;
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let fate = Fate {
            destination,
            log: self.log.clone(),
            metrics: self.metrics.clone(),
        };
        let plugin = self.plugin.as_deref().filter(|_| self.is_open);
        let granted = plugin.and_then(|plugin| self.granted.of(plugin));
        let list = granted.map(|granted| granted.http.clone());
        let Some(list) = list.filter(|list| list.allows(&fate.destination)) else {
            fate.tell("denied: it is not granted");
            return Err(Error::HttpRequestDenied);
        };
        let slot = self.slot(&fate)?;
        let sent = self.sent.get_or_insert_default();
        sent.slots.push(Arc::downgrade(&slot));
        Ok(Exchange {
            names: self.outbound.names.clone(),
            list,
            limits: Arc::clone(&self.limits),
            ended: sent.ended.clone(),
            slot,
            fate,
        })
    }

    fn slot(&self, fate: &Fate) -> Result<Arc<Slot>, Error> {
        let refuse = |limit: Limit| {
            fate.reached(limit);
            Error::ConnectionLimitReached
        };
        let sent = self.sent.as_ref().map_or(0, |sent| sent.slots.len());
        if sent >= self.limits.http_requests_per_event_max as usize {
            return Err(refuse(Limit::HttpRequestsPerEventMax));
        }
        let max = self.limits.http_in_flight_max;
        let slot = Slot::take(&self.outbound.under_way, max);
        slot.map(Arc::new)
            .ok_or_else(|| refuse(Limit::HttpInFlightMax))
    }
}

/// What becomes of a request, for those who read the log and the metrics.
#[derive(Clone)]
struct Fate {
    destination: Destination,
    log: GuestLog,
    metrics: Metrics,
}

impl Fate {
    /// In the guest's log, which is bounded: a guest can have a thousand requests refused.
    fn tell(&self, what: &str) {
        let (scheme, destination) = (self.destination.scheme, &self.destination);
        let line = format!("request to {scheme}://{destination} {what}");
        self.log.line(Level::WARN, &line, &[]);
    }

    /// It was as much as it may be.
    fn reached(&self, limit: Limit) {
        self.metrics.reached(limit);
        self.tell(&format!("ended: too much of it ({})", limit.key()));
    }
}

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Answering {
        match self.admit(&request) {
            Ok(exchange) => Box::new(exchange.run(request, options.unwrap_or_default())),
            Err(error) => Box::new(std::future::ready(Err(error))),
        }
    }

    /// What is the connection's business is not the guest's, and whom a request is for was checked.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    /// `exchange` says who the host is, as it was checked.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        WRITE_BYTES_MAX
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || [TE, TRAILER].contains(name)
        || name.as_str().starts_with("proxy-")
}

/// What the guest learns of a connection's end.
fn of_hyper(error: &hyper::Error) -> Error {
    if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else {
        Error::ConnectionTerminated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_are_forbidden() {
        for name in [
            "Host",
            "connection",
            "keep-alive",
            "proxy-authorization",
            "proxy-anything",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ] {
            assert!(is_forbidden(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "authorization",
            "content-length",
            "x-forwarded-host",
            "proxied",
        ] {
            assert!(!is_forbidden(&name.parse().unwrap()), "{name}");
        }
    }
}
