//! A connection with one server of Redis, made again whenever it is lost, for ever. Owns nothing else: what is asked
//! through it, a call of the script, is tried once.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, PushKind, RedisError, ServerErrorKind};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::cluster::{Backoff, RedisServer};

/// How many of the script's arguments are keys.
const KEYS: usize = 5;

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long to wait for one that is being made: as long as two attempts are apart.
const CONNECTING_MAX: Duration = Duration::from_millis(500);
/// How often to see whether the server still answers, and how long that may take: events that are cut short must not
/// be who finds out, or one could have the connection ended by asking for little time.
const PULSE: Duration = Duration::from_millis(500);
const PULSE_MAX: Duration = Duration::from_secs(1);

/// One server. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Link {
    standing: watch::Receiver<Standing>,
    _keeping: AbortOnDropHandle<()>,
}

/// How it stands with the server.
#[derive(Clone, Debug)]
enum Standing {
    /// The first attempt is under way.
    Beginning,
    Up(Current),
    Away,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    script: &'static str,
    /// What the server calls the script: its digest.
    digest: String,
    is_over: CancellationToken,
}

/// Why there is no answer: for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("there is no connection with the broker")]
    Away,
    #[error("the connection with the broker was lost")]
    Lost,
    #[error("the broker: {0}")]
    Redis(#[from] RedisError),
}

impl LinkError {
    /// Whether the server is away, or knows that it is cut off from its cluster, or in none.
    pub(super) fn is_of_who_is_no_use(&self) -> bool {
        match self {
            Self::Away => true,
            Self::Lost => false,
            Self::Redis(error) => error.kind() == ErrorKind::Server(ServerErrorKind::ClusterDown),
        }
    }
}

impl Link {
    /// Begins to connect. `name` is for the log.
    pub(super) fn begin(server: RedisServer, name: String, script: &'static str) -> Self {
        let (sender, standing) = watch::channel(Standing::Beginning);
        let keeping = tokio::spawn(keep(server, name, script, sender));
        Self {
            standing,
            _keeping: AbortOnDropHandle::new(keeping),
        }
    }

    /// Calls the script, once. After an error that is not the server's, it may have been done or not. `is_asking` is for a
    /// node of a cluster to which the keys are moving.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        arguments: &[Vec<u8>],
        is_asking: bool,
    ) -> Result<T, LinkError> {
        let current = self.current().await?;
        let mut calling = redis::cmd("EVALSHA");
        calling.arg(&current.digest).arg(KEYS);
        for argument in arguments {
            calling.arg(argument.as_slice());
        }
        match current.ask(&calling, is_asking).await {
            // The server has forgotten it: nothing has been done.
            Err(LinkError::Redis(error))
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
            {
                let _: String = current.ask(&loading(current.script), false).await?;
                current.ask(&calling, is_asking).await
            }
            answer => answer,
        }
    }

    /// Whether it is not known yet if the server is there.
    pub(super) fn is_beginning(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Beginning)
    }

    async fn current(&self) -> Result<Current, LinkError> {
        let mut standing = self.standing.clone();
        let is_up = standing.wait_for(|standing| matches!(standing, Standing::Up(_)));
        let found = timeout(CONNECTING_MAX, is_up).await;
        match found.map_err(|_| LinkError::Away)?.as_deref() {
            Ok(Standing::Up(current)) => Ok(current.clone()),
            Ok(Standing::Beginning | Standing::Away) | Err(_) => Err(LinkError::Away),
        }
    }
}

impl Current {
    async fn ask<T: FromRedisValue>(&self, command: &Cmd, is_asking: bool) -> Result<T, LinkError> {
        let mut connection = self.connection.clone();
        let asking = async {
            if !is_asking {
                return command.query_async(&mut connection).await;
            }
            // In one piece: it is about the very next command.
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(command.clone());
            let (answer,) = both.query_async(&mut connection).await?;
            Ok(answer)
        };
        let answer = tokio::select! {
            answer = asking => answer,
            () = self.is_over.cancelled() => return Err(LinkError::Lost),
        };
        answer.map_err(|error: RedisError| {
            // One that only reads has been the master before.
            if error.is_unrecoverable_error() || error.code() == Some("READONLY") {
                self.is_over.cancel();
            }
            error.into()
        })
    }
}

fn loading(script: &str) -> Cmd {
    let mut loading = redis::cmd("SCRIPT");
    loading.arg("LOAD").arg(script);
    loading
}

async fn keep(
    server: RedisServer,
    name: String,
    script: &'static str,
    sender: watch::Sender<Standing>,
) {
    let mut backoff = Backoff::default();
    let mut is_away = false;
    loop {
        let cause = match timeout(CONNECT_MAX, connect(&server, script)).await {
            Ok(Ok(current)) => {
                backoff.reset();
                if is_away {
                    is_away = false;
                    tracing::info!(broker = name, "shared state is there again");
                }
                sender.send_replace(Standing::Up(current.clone()));
                live(&current).await;
                current.is_over.cancel();
                "the connection was lost".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {CONNECT_MAX:?}"),
        };
        sender.send_replace(Standing::Away);
        if !is_away {
            is_away = true;
            tracing::warn!(broker = name, cause, "shared state is away");
        }
        let (random, _) = Uuid::new_v4().as_u64_pair();
        sleep(backoff.next(random)).await;
    }
}

async fn connect(server: &RedisServer, script: &'static str) -> Result<Current, RedisError> {
    let is_over = CancellationToken::new();
    let lost = is_over.clone();
    let connecting = server.connect(move |push| {
        if push.kind == PushKind::Disconnection {
            lost.cancel();
        }
    });
    let mut connection = connecting.await?;
    Ok(Current {
        script,
        digest: loading(script).query_async(&mut connection).await?,
        connection,
        is_over,
    })
}

/// Waits until the connection is of no use any more.
async fn live(current: &Current) {
    let ping = redis::cmd("PING");
    let beating = async {
        let mut connection = current.connection.clone();
        loop {
            sleep(PULSE).await;
            let beat = ping.exec_async(&mut connection);
            if !matches!(timeout(PULSE_MAX, beat).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::select! {
        () = beating => {}
        () = current.is_over.cancelled() => {}
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Current").finish_non_exhaustive()
    }
}
