//! One request and its response, over a connection of their own.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::Received;
use super::connect::{Names, Stream, connect};
use super::slot::Slot;
use super::{Answer, Fate, of_hyper};
use crate::config::{AllowList, Limit, Limits};

/// What is read ahead of the guest; a response's head may be as large.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A request that may be sent.
pub(super) struct Exchange {
    pub(super) names: Names,
    pub(super) list: AllowList,
    pub(super) limits: Arc<Limits>,
    /// Cancelled when the event ends.
    pub(super) ended: CancellationToken,
    pub(super) slot: Arc<Slot>,
    pub(super) fate: Fate,
}

impl Exchange {
    /// Sends it, and waits for the head of the response.
    pub(super) async fn run(
        self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.limits.http_timeout;
        let answered = tokio::select! {
            // Nobody is there any more to be told.
            () = self.ended.cancelled() => return Err(Error::ConnectionTerminated),
            answered = timeout_at(deadline, self.exchange(request, options, deadline)) => {
                answered.unwrap_or_else(|_| {
                    self.fate.reached(Limit::HttpTimeout);
                    Err(Error::HttpResponseTimeout)
                })
            }
        };
        if let Err(error) = &answered {
            self.slot.give_back();
            if !is_by_limit(error) {
                self.fate.tell(&format!("failed: {error}"));
            }
        }
        answered
    }

    async fn exchange(
        &self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let stream = self.connect(options.connect_timeout).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(READ_BYTES_MAX);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| of_hyper(&error))?;
        let ended = self.ended.clone();
        // Who drops it, an event that was cancelled or a guest that has read enough, closes the socket.
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // What is wrong with the connection, the response and its body say.
            let _ = ended.run_until_cancelled(connection).await;
        }));
        self.address(&mut request)?;
        let answering = sender.send_request(request);
        let answered = match options.first_byte_timeout {
            Some(patience) => timeout(patience, answering)
                .await
                .map_err(|_| Error::ConnectionReadTimeout)?,
            None => answering.await,
        };
        let (head, body) = answered.map_err(|error| of_hyper(&error))?.into_parts();
        let body = Received::new(
            body,
            self.limits.http_response_bytes_max,
            deadline,
            options.between_bytes_timeout,
            self.fate.clone(),
            Arc::clone(&self.slot),
        )?;
        let response = hyper::Response::from_parts(head, body.boxed_unsync());
        Ok((response, Box::new(end(connection))))
    }

    async fn connect(&self, patience: Option<Duration>) -> Result<Box<dyn Stream>, Error> {
        let limit = self.limits.http_connect_timeout;
        let patience = patience.unwrap_or(limit).min(limit);
        let connecting = connect(&self.names, &self.list, &self.fate.destination);
        let connected = timeout(patience, connecting).await;
        connected.unwrap_or_else(|_| {
            if patience == limit {
                self.fate.reached(Limit::HttpConnectTimeout);
            }
            Err(Error::ConnectionTimeout)
        })
    }

    /// Says to the server what it needs to know, and nothing that is for a proxy.
    fn address(&self, request: &mut Request<WasiBody>) -> Result<(), Error> {
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        let slash = if path.starts_with('/') { "" } else { "/" };
        let uri: Result<Uri, _> = format!("{slash}{path}").parse();
        *request.uri_mut() = uri.map_err(|_| Error::HttpRequestUriInvalid)?;
        let host = HeaderValue::try_from(self.fate.destination.to_string());
        let host = host.map_err(|_| Error::HttpRequestUriInvalid)?;
        request.headers_mut().insert(HOST, host);
        // There will be no other request on this connection.
        let close = HeaderValue::from_static("close");
        request.headers_mut().insert(CONNECTION, close);
        Ok(())
    }
}

/// Whether it was told when it happened, or is the guest's own doing.
fn is_by_limit(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectionTimeout
            | Error::ConnectionReadTimeout
            | Error::HttpResponseTimeout
            | Error::HttpResponseBodySize(_)
    )
}

/// Holds a connection until it has ended.
async fn end(connection: AbortOnDropHandle<()>) -> Result<(), Error> {
    // It is cancelled, or it has ended: both are its end.
    let _ = connection.await;
    Ok(())
}
