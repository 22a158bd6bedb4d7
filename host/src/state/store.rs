//! Where a host keeps the values of its tenants.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::file::File;
use super::rooms::Rooms;
use super::shared::{Keeper, Nats, Redis, Shared};
use super::{Backend, StateError, Tenant, Values, map};
use crate::config::{Broker, BrokerUrl};

/// Where a host keeps values.
#[derive(Clone, Debug, Default)]
pub enum Store {
    /// In memory, for as long as the host runs.
    #[default]
    Memory,
    /// In a file, which is made when it is not there.
    File(StoreFile),
    /// At the broker through which hosts are one server, for all of them.
    Shared(SharedStore),
}

/// An open file of values.
#[derive(Clone, Debug)]
pub struct StoreFile(Arc<File>);

/// A broker that keeps values.
#[derive(Clone, Debug)]
pub struct SharedStore(pub(super) Arc<dyn Keeper>);

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep state in {}: {source}", file.display())]
pub struct StoreError {
    pub(super) file: PathBuf,
    pub(super) source: redb::Error,
}

impl Store {
    /// Opens a file, or makes it. After a host was killed, that takes as long as reading it.
    ///
    /// # Errors
    /// When it cannot be read, is no such file, or another host has it open.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        File::open(file).map(|file| Self::File(StoreFile(Arc::new(file))))
    }

    /// Has the values kept at a broker: those of hosts with the same prefix are the same. Begins to connect, which has to
    /// be within a tokio runtime, and goes on trying when there is no broker.
    #[must_use]
    pub fn share(url: &BrokerUrl, prefix: &str) -> Self {
        let keeper: Arc<dyn Keeper> = match url.broker() {
            Broker::Redis | Broker::RedisCluster => Arc::new(Redis::open(url, prefix)),
            Broker::Nats => Arc::new(Nats::open(url, prefix)),
        };
        Self::Shared(SharedStore(keeper))
    }

    /// The values of one tenant. In memory, they are as many as are asked for: the tenant keeps its own.
    ///
    /// # Errors
    /// [`StateError::Unavailable`], when a file cannot be read.
    pub fn tenant(&self, name: &str) -> Result<Values, StateError> {
        let rooms = Arc::<Rooms>::default();
        let kept = match self {
            Self::Memory => Backend::Memory(RwLock::default()),
            Self::File(StoreFile(file)) => {
                let mut met = |room: &str| rooms.count(room, 1);
                file.read_here(|reading| map::rooms(reading, name, &mut met))?;
                Backend::File(Arc::clone(file))
            }
            Self::Shared(SharedStore(keeper)) => {
                Backend::Shared(Box::new(Shared::new(name, Arc::clone(keeper))))
            }
        };
        Ok(Values(Arc::new(Tenant {
            name: name.to_owned(),
            rooms,
            kept,
        })))
    }
}
