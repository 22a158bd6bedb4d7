//! A line to a broker, which takes time and can be cut.

use super::Broker;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What is on its way in one direction, in pieces of at most [`PIECE`] bytes.
const PIECES: usize = 1024;
const PIECE: usize = 64 * 1024;

/// It ends when it is dropped.
#[derive(Debug)]
pub struct Line {
    url: String,
    is_cut: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Line {
    /// Lays one on which everything takes so long, in each direction.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(broker: &Broker, time: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (from, to) = (listener.local_addr()?, broker.address);
        let (is_cut, cuts) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, to, time, cuts));
        Ok(Self {
            url: broker.url().replace(&to.to_string(), &from.to_string()),
            is_cut,
            _task: task,
        })
    }

    /// The broker's URL at this end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all connections, and refuses others.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn serve(
    listener: TcpListener,
    to: SocketAddr,
    time: Duration,
    mut cuts: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if !*cuts.borrow() => drop(connections.spawn(carry(stream, to, time))),
                // It ends at once.
                _ => {}
            },
            changed = cuts.changed() => {
                if changed.is_err() {
                    return;
                }
                if *cuts.borrow() {
                    connections.shutdown().await;
                }
            }
        }
    }
}

/// Ends when either end does, as the connection would.
async fn carry(near: TcpStream, to: SocketAddr, time: Duration) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    for stream in [&near, &far] {
        // It is late enough.
        let _ = stream.set_nodelay(true);
    }
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = delay(from_near, to_far, time) => {}
        () = delay(from_far, to_near, time) => {}
    }
}

async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, time: Duration) {
    let (pieces, mut due) = mpsc::channel(PIECES);
    let reading = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(bytes @ 1..) = from.read(&mut piece).await {
            let Some(read) = piece.get(..bytes) else {
                return;
            };
            if pieces
                .send((Instant::now() + time, read.to_vec()))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((when, piece)) = due.recv().await {
            sleep_until(when).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
