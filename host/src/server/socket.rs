//! One accepted socket: its handshakes, within their time and their number, and then its connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;

use super::Host;
use super::access::Access;
use super::admission::Place;
use super::http::{self, Accepted, Upgraded};
use super::mount::Mount;
use crate::config::Limit;
use crate::ws::{self, Settings};

/// What a socket is, apart from its stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    /// Its other end.
    pub(super) peer: SocketAddr,
    /// TLS is spoken on it.
    pub(super) is_secure: bool,
}

/// Until when a socket has to be a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// How long that was from the start.
    pub(super) timeout: Duration,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self {
            at: Instant::now() + timeout,
            timeout,
        }
    }
}

impl Host {
    /// A place for one more handshake; without one, the socket is to be dropped.
    pub(super) fn begin_handshake(&self, stream: &TcpStream) -> Option<Place> {
        let handshakes_max = self.config.load().limits.handshakes_max;
        let place = self.handshakes.take(handshakes_max);
        if place.is_none() {
            self.metrics.reached(Limit::HandshakesMax);
            // Who speaks TLS could not read it.
            if self.access.load().tls.is_none() {
                http::turn_away(stream);
            }
        }
        place
    }

    /// One accepted socket, through its handshakes to its end.
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        handshake: Place,
    ) {
        // Frames are written whole: there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let deadline = Deadline::after(self.config.load().limits.handshake_timeout);
        let access = self.access.load_full();
        if access.tls.is_none() {
            drop(access);
            let socket = Socket {
                peer,
                is_secure: false,
            };
            return self.speak(stream, socket, deadline, handshake).await;
        }
        // Boxed, so that a connection without it does not carry the room for it.
        Box::pin(async move {
            let secured = tokio::select! {
                secured = self.secure(&access, stream, deadline) => secured,
                () = self.stopping.cancelled() => None,
            };
            drop(access);
            let Some(stream) = secured else { return };
            let socket = Socket {
                peer,
                is_secure: true,
            };
            self.speak(stream, socket, deadline, handshake).await;
        })
        .await;
    }

    /// The TLS handshake.
    async fn secure(
        &self,
        access: &Access,
        stream: TcpStream,
        deadline: Deadline,
    ) -> Option<TlsStream<TcpStream>> {
        let tls = access.tls.as_ref()?;
        match timeout_at(deadline.at, tls.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS handshake");
                None
            }
            Err(_) => {
                self.metrics.reached(Limit::HandshakeTimeout);
                None
            }
        }
    }

    /// HTTP, and then what it was upgraded to.
    async fn speak<S>(&self, stream: S, socket: Socket, deadline: Deadline, handshake: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let upgraded = tokio::select! {
            upgraded = self.upgrade(stream, socket, deadline) => upgraded,
            () = self.stopping.cancelled() => None,
        };
        drop(handshake);
        let Some(Upgraded {
            stream,
            read,
            accepted:
                Accepted {
                    request,
                    mount,
                    admitted,
                    expires_at,
                },
        }) = upgraded
        else {
            return;
        };
        let settings = self.settings(&mount, expires_at);
        ws::serve(stream, read, request, mount.tenant(), &settings).await;
        drop(admitted);
    }

    fn settings(&self, mount: &Mount, expires_at: Option<SystemTime>) -> Settings {
        let config = self.config.load();
        Settings {
            heartbeat_interval: config.heartbeat_interval,
            heartbeat_timeout: config.heartbeat_timeout,
            drain: config.drain,
            lifetime: expires_at
                .map(|end| end.duration_since(SystemTime::now()).unwrap_or_default()),
            stopping: self.stopping.clone(),
            removed: mount.removed().clone(),
        }
    }
}
