//! The admin listener: what an operator and a monitoring system ask of a host.
//!
//! Health is for everyone; all else needs the token, and a `Host` that no web page can forge. Answers are JSON, but
//! for metrics. Knows the host by its public functions alone.

mod answer;
mod cluster;
mod plugins;
mod token;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::config::TenantName;
use crate::server::{Host, Refreshed, ReloadError};
use answer::Answer;

pub use token::Token;

/// Connections at once: a few people and a scraper or two.
const CONNECTIONS_MAX: usize = 64;
/// For the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before accepting again after an error.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Has the host read its configuration and its plugins anew.
pub type Reload =
    dyn Fn() -> BoxFuture<'static, Result<Vec<(TenantName, Refreshed)>, ReloadError>> + Send + Sync;

/// Answers on a listener for as long as it is polled, to those who present the configured token; `token` for as long as
/// none is configured.
pub async fn serve(host: Arc<Host>, listener: TcpListener, token: Token, reload: Box<Reload>) {
    let admin = Arc::new(Admin {
        host,
        token,
        reload,
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = Arc::clone(&admin);
                tokio::spawn(async move {
                    admin.connection(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "the admin listener cannot accept");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

struct Admin {
    host: Arc<Host>,
    /// For as long as none is configured.
    token: Token,
    reload: Box<Reload>,
}

impl Admin {
    async fn connection(&self, stream: TcpStream) {
        let service = service_fn(|request: hyper::Request<Incoming>| async move {
            // No request has a body that is read.
            let (request, _) = request.into_parts();
            Ok::<_, Infallible>(self.answer(&request).await.into_response())
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away in the middle is its own business.
        let _ = serving.await;
    }

    async fn answer(&self, request: &Parts) -> Answer {
        let path = request.uri.path();
        match path {
            "/healthz" => return Answer::text("ok\n"),
            "/readyz" => {
                return match self.host.readiness() {
                    Ok(()) => Answer::text("ok\n"),
                    Err(why) => Answer::unavailable(&format!("{why}\n")),
                };
            }
            _ => {}
        }
        if !is_for_us(&request.headers) {
            return Answer::error(421, "the Host header must be an IP address or localhost");
        }
        if !self.is_allowed(&request.headers) {
            return Answer::unauthorised();
        }
        match (&request.method, path) {
            (&Method::GET, "/metrics") => Answer::text(&self.host.metrics_text()),
            (&Method::GET, "/api/plugins") => Answer::json(&plugins::describe(&self.host)),
            (&Method::GET, "/api/cluster") => Answer::json(&cluster::describe(&self.host)),
            (&Method::POST, "/api/reload") => self.reload().await,
            (_, "/metrics" | "/api/plugins" | "/api/cluster") => Answer::wrong_method("GET"),
            (_, "/api/reload") => Answer::wrong_method("POST"),
            _ => Answer::error(404, "there is no such resource"),
        }
    }

    /// Whether a request carries the token: the one of the configuration as it is now.
    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        match &self.host.config().admin_token {
            Some(secret) => Token::new(secret.expose()).is_in(headers),
            None => self.token.is_in(headers),
        }
    }

    async fn reload(&self) -> Answer {
        // A task of its own: it is done to its end, also when the client goes away in the middle.
        let reloaded = match tokio::spawn((self.reload)()).await {
            Ok(reloaded) => reloaded,
            Err(panic) => return Answer::error(500, &panic.to_string()),
        };
        let error = match reloaded {
            Ok(refreshed) => {
                return Answer::json(&json!({
                    "changes": plugins::changes(&refreshed),
                    "problems": plugins::problems(&refreshed),
                }));
            }
            Err(error) => error,
        };
        let status = match &error {
            ReloadError::Config(_) => 422,
            ReloadError::Fixed(_) => 409,
            ReloadError::Server(_) => 500,
        };
        Answer::faults(status, &error.to_string(), &error.faults())
    }
}

/// Whether a request was meant for this listener. A page that has its own name point here (DNS rebinding) can make a
/// browser send requests, but not with another name than its own.
fn is_for_us(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let Some(authority) = host.and_then(|host| host.parse::<hyper::http::uri::Authority>().ok())
    else {
        return false;
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_page_can_have_are_ours() {
        let is_ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_for_us(&headers)
        };
        for host in [
            "127.0.0.1",
            "127.0.0.1:3001",
            "[::1]:3001",
            "localhost:3001",
            "LocalHost",
            "10.0.0.7:1",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com:3001",
            "127.0.0.1.example.com",
            "",
            "a b",
        ] {
            assert!(!is_ours(host), "{host}");
        }
        assert!(!is_for_us(&HeaderMap::new()));
    }
}
