//! A web server, for plugins that send requests.

use crate::WAIT;
use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A server on a free port of this machine. Dropping it stops it. By its path a request is answered so:
///
/// - `/slow`: not at all
/// - `/drip`: with the beginning of a body
/// - `/large?N`: with a body of N bytes, announced
/// - `/stream?N`: with a body of N bytes, unannounced
/// - `/redirect`: with a redirect to `http://elsewhere.example/`
/// - any other: with what was asked, as JSON
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many connections are open, and how many there have been.
    connections: watch::Receiver<(usize, usize)>,
    _task: AbortOnDropHandle<()>,
}

impl Web {
    /// Starts it in the test's runtime.
    ///
    /// # Errors
    /// What keeps a port from being bound.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (counter, connections) = watch::channel((0, 0));
        let task = tokio::spawn(accept(listener, Arc::new(counter)));
        Ok(Self {
            address,
            connections,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// As a request names it.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// As an allow-list names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there have been.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.connections.borrow().1
    }

    /// Waits until so many connections are open.
    ///
    /// # Errors
    /// When there are not in time.
    pub async fn has_open(&self, wanted: usize) -> anyhow::Result<()> {
        let mut connections = self.connections.clone();
        let waiting = connections.wait_for(|(open, _)| *open == wanted);
        tokio::time::timeout(WAIT, waiting)
            .await
            .with_context(|| format!("never {wanted} connections"))??;
        Ok(())
    }
}

async fn accept(listener: TcpListener, counter: Arc<watch::Sender<(usize, usize)>>) {
    let mut serving = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counter.send_modify(|(open, all)| (*open, *all) = (*open + 1, *all + 1));
        let counter = Arc::clone(&counter);
        serving.spawn(async move {
            let service = service_fn(answer);
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is an error here, and what some tests wait for.
            let _ = serving.await;
            counter.send_modify(|(open, _)| *open -= 1);
        });
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    // All of it, whatever the answer: to close a socket with something unread resets the connection, and what the
    // client has not read yet of the answer is lost.
    let body = body.collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let bytes = || {
        let query = head.uri.query().unwrap_or_default();
        query.parse::<usize>().unwrap_or(0)
    };
    let response = match head.uri.path() {
        "/slow" => std::future::pending().await,
        "/drip" => {
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"drop")))]);
            let body = StreamBody::new(first.chain(stream::pending()));
            Response::new(http_body_util::BodyExt::boxed(body))
        }
        "/large" => Response::new(Full::new(vec![b'x'; bytes()].into()).boxed()),
        "/stream" => {
            let chunk = Bytes::from(vec![b'x'; bytes()]);
            let chunks = stream::iter([Ok(Frame::data(chunk))]);
            Response::new(http_body_util::BodyExt::boxed(StreamBody::new(chunks)))
        }
        "/redirect" => {
            let response = Response::builder()
                .status(302)
                .header("location", "http://elsewhere.example/");
            let body = Full::new(Bytes::new()).boxed();
            response.body(body).expect("the headers are valid")
        }
        _ => mirror(&head, &body),
    };
    Ok(response)
}

fn mirror(head: &Parts, body: &[u8]) -> Response<Body> {
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), value.to_str().unwrap_or_default()]))
        .collect();
    let said = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(body),
    });
    Response::new(Full::new(said.to_string().into()).boxed())
}
