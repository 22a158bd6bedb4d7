//! What is answered over HTTP: health, pages, and the request that turns a socket into a WebSocket.
//!
//! Everything here is decided before the 101, so a refusal is a real HTTP answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming as Body;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Host;
use super::admission::{Admitted, Place};
use super::gate;
use super::mount::Mount;
use super::socket::{Deadline, Socket};
use crate::auth::TokenRefused;
use crate::config::Limit;
use crate::dispatch::{self, UpgradeRefused};
use crate::hub::Request;
use crate::ws::upgrade;

impl Host {
    /// Speaks HTTP on the socket. The socket comes back when a WebSocket was asked for and accepted.
    pub(super) async fn upgrade<S>(
        &self,
        stream: S,
        socket: Socket,
        deadline: Deadline,
    ) -> Option<Upgraded<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let accepted = Mutex::new(None);
        let service = service_fn(|request: hyper::Request<Body>| {
            let accepted = &accepted;
            async move {
                let (parts, _) = request.into_parts();
                let response = self.respond(&parts, socket, accepted).await;
                Ok::<_, Infallible>(response)
            }
        });
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(deadline.timeout)
            .serve_connection(TokioIo::new(stream), service);
        // Boxed, so that an open connection does not carry the room for it.
        let http = Box::pin(http.without_shutdown());
        let parts = match tokio::time::timeout_at(deadline.at, http).await {
            Ok(Ok(parts)) => parts,
            Ok(Err(error)) if !error.is_timeout() => return None,
            Ok(Err(_)) | Err(_) => {
                self.metrics.reached(Limit::HandshakeTimeout);
                return None;
            }
        };
        let (mut stream, read) = (parts.io.into_inner(), parts.read_buf);
        let Some(accepted) = accepted.lock().take() else {
            // TLS has an end of its own to say; without it the answer could have been cut.
            let _ = tokio::time::timeout_at(deadline.at, stream.shutdown()).await;
            return None;
        };
        Some(Upgraded {
            stream,
            read,
            accepted,
        })
    }

    /// The tenant whose connection a request asks for.
    fn find(&self, request: &Parts) -> Option<Arc<Mount>> {
        let host = request.headers.get(header::HOST);
        // A whole URI is for proxies, which we are none of; the name in it counts all the same (RFC 9112, 3.2.2).
        let host = request
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| host?.to_str().ok());
        let mounts = self.mounts.load();
        mounts.find(request.uri.path(), host).cloned()
    }

    async fn respond(
        &self,
        request: &Parts,
        socket: Socket,
        accepted: &Mutex<Option<Accepted>>,
    ) -> Response<Full<Bytes>> {
        match request.uri.path() {
            "/healthz" => return answer(StatusCode::OK, "ok\n"),
            "/readyz" => {
                return match self.readiness() {
                    Ok(()) => answer(StatusCode::OK, "ok\n"),
                    Err(why) => answer(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
                };
            }
            _ => {}
        }
        // RFC 9112, 3.2: who is in front of us may have looked at the other one.
        if request.headers.get_all(header::HOST).iter().count() > 1 {
            return answer(StatusCode::BAD_REQUEST, "more than one Host header\n");
        }
        let Some(mount) = self.find(request) else {
            let page = self.pages.as_ref().and_then(|pages| pages(request));
            return page.unwrap_or_else(|| answer(StatusCode::NOT_FOUND, "not found\n"));
        };
        let tenant = mount.tenant();
        let response = match upgrade::accept(request) {
            Ok(response) => response,
            Err(error) => return refuse_upgrade(error),
        };
        let client = self.access.load().client(request, socket);
        let (gate, peer) = (mount.gate(), client.peer);
        let refuse = |reason: &dyn std::error::Error| {
            mount.refusals.say(mount.name(), request, client, reason);
        };
        if let Err(refused) = gate.check_origin(request, client) {
            refuse(&refused);
            return answer(StatusCode::FORBIDDEN, format!("{refused}\n"));
        }
        let Some(place) = mount.admit() else {
            tenant.metrics.reached(Limit::ConnectionsMax);
            return keep_out(Limit::ConnectionsMax);
        };
        let config = self.config();
        let admitted = match self.admission.admit(peer, &config.limits) {
            Ok(admitted) => admitted,
            Err(limit) => {
                self.metrics.reached(limit);
                return keep_out(limit);
            }
        };
        // After the limits, so that they also bound what checking signatures costs.
        let verified = match gate.check_token(request).await {
            Ok(verified) => verified,
            Err(refused) => {
                refuse(&refused);
                return unauthorized(&refused);
            }
        };
        let mut described = upgrade::describe(request, peer, &tenant.plugins());
        let expires_at = verified.map(|verified| gate::disclose(verified, &mut described));
        match dispatch::upgrade(tenant, described).await {
            Ok(request) => {
                *accepted.lock() = Some(Accepted {
                    request,
                    mount,
                    admitted: (admitted, place),
                    expires_at,
                });
                response.map(|()| Full::default())
            }
            Err(refused) => refused_by_plugin(refused),
        }
    }
}

/// A socket that has become a WebSocket.
pub(super) struct Upgraded<S> {
    pub(super) stream: S,
    /// What was read of it beyond the request.
    pub(super) read: Bytes,
    pub(super) accepted: Accepted,
}

/// What was accepted, and the right to it.
pub(super) struct Accepted {
    pub(super) request: Request,
    pub(super) mount: Arc<Mount>,
    pub(super) admitted: (Admitted, Place),
    /// When its token stops being good; `None` without one.
    pub(super) expires_at: Option<SystemTime>,
}

/// Says that there is no time even for a request. The socket is dropped with what was not read of it, so the answer
/// may get lost; who sees it knows why.
pub(super) fn turn_away(stream: &TcpStream) {
    const BUSY: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
        Content-Length: 0\r\n\r\n";
    // Fresh from the listener it can be written to.
    let _ = rustix::io::write(stream, BUSY);
}

fn keep_out(limit: Limit) -> Response<Full<Bytes>> {
    if limit == Limit::ConnectionsPerAddressMax {
        return answer(
            StatusCode::TOO_MANY_REQUESTS,
            "too many connections from this address\n",
        );
    }
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "at capacity\n");
    let second = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, second);
    response
}

/// Says that a token is needed, or is not good, and not why (RFC 6750, 3).
fn unauthorized(refused: &TokenRefused) -> Response<Full<Bytes>> {
    let (challenge, body) = match refused {
        TokenRefused::Missing => ("Bearer", "a token is needed\n"),
        _ => ("Bearer error=\"invalid_token\"", "the token is not valid\n"),
    };
    let mut response = answer(StatusCode::UNAUTHORIZED, body);
    let challenge = HeaderValue::from_static(challenge);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    // The time for a handshake is not for keeping a socket.
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refuse_upgrade(error: upgrade::NoUpgrade) -> Response<Full<Bytes>> {
    let mut response = answer(error.status(), format!("{error}\n"));
    if response.status() == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
    }
    response
}

/// A plugin's answer, as far as it is one: its status and headers are checked here, the framing is the host's.
fn refused_by_plugin(refused: UpgradeRefused) -> Response<Full<Bytes>> {
    let refusal = match refused {
        UpgradeRefused::ByPlugin(refusal) => refusal,
        UpgradeRefused::Failed(error) => {
            let status =
                StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return answer(status, format!("{}\n", error.message));
        }
    };
    let status = StatusCode::from_u16(refusal.status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error());
    let Some(status) = status else {
        tracing::error!(
            status = refusal.status,
            "an upgrade handler's status must be from 400 to 599"
        );
        return answer(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error\n");
    };
    let mut response = answer(status, refusal.body);
    for (name, value) in &refusal.headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) if !is_framing(&name) => {
                response.headers_mut().insert(name, value);
            }
            _ => tracing::error!(
                ?name,
                "an upgrade handler's header is invalid or the host's own"
            ),
        }
    }
    response
}

fn is_framing(name: &HeaderName) -> bool {
    [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
    ]
    .contains(name)
}
