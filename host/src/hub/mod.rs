//! Who is connected, who is in which room, and what is sent to whom: all of one tenant.
//!
//! Owns connections, rooms and outboxes; knows neither sockets nor plugins. Handlers reach it through `plugin`,
//! sockets through `ws`, other hosts through the bus. Nothing here waits for a client.

mod backlog;
mod cluster;
mod connection;
mod exchange;
mod first;
mod outbox;
mod query;
mod question;
mod remote;
mod rooms;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::RwLock;

pub use backlog::Backlog;
pub use connection::{AttributesTooLarge, Connection, ConnectionId, Request};
pub use exchange::Exchange;
pub use outbox::{Outbox, Refused, Taken};
pub use query::{ConnectionInfo, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page};
pub use question::Coverage;
pub use rooms::RoomName;

use crate::cluster::Subscription;
use crate::config::{Limit, Limits, TenantName};
use crate::protocol::PushFrame;
use crate::rate::Flow;
use connection::Phase;
use remote::RoomMessage;
use rooms::Rooms;

/// How long `join` waits for the bus; then the room works within this host, and with the others once the bus does.
const JOIN_WAIT_MAX: Duration = Duration::from_secs(1);

/// The connections and rooms of one tenant. Cheap to clone; a handle to it is the only way to reach them.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    tenant: TenantName,
    exchange: Arc<Exchange>,
    /// What the names of its channels begin with.
    channels: String,
    /// The open ones. Sorted, because queries page through them.
    connections: RwLock<BTreeMap<ConnectionId, Arc<Connection>>>,
    rooms: Rooms,
    /// Who is told that a room has lost its last member.
    on_room_end: OnceLock<Box<RoomEnd>>,
    /// Bytes that are written to its connections.
    outflow: Flow,
    /// Of one push from another host.
    push_bytes_max: AtomicUsize,
}

/// Takes the end of a room. Called under the room's lock, so that nobody has joined it again: it must not wait, nor ask
/// the hub.
pub type RoomEnd = dyn Fn(&RoomName) + Send + Sync;

/// Why a connection could not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// It is closing or gone.
    #[error("the connection is closing")]
    Closed,
    /// It is in as many rooms as it may be, or there are as many.
    #[error("{}", .0.key())]
    TooManyRooms(Limit),
}

impl Hub {
    /// A tenant's hub, empty.
    #[must_use]
    pub fn new(exchange: &Arc<Exchange>, tenant: &TenantName) -> Self {
        let inner = Arc::new(Inner {
            tenant: tenant.clone(),
            exchange: Arc::clone(exchange),
            channels: exchange.channels_of(tenant),
            connections: RwLock::default(),
            rooms: Rooms::new(),
            on_room_end: OnceLock::new(),
            outflow: Flow::default(),
            push_bytes_max: AtomicUsize::new(usize::MAX),
        });
        exchange.attach(&inner.channels, Arc::downgrade(&inner));
        Self { inner }
    }

    /// From here on a push from another host is refused when it has more bytes. Those of this host are checked by who
    /// makes them.
    pub fn set_push_bytes_max(&self, bytes: usize) {
        let max = &self.inner.push_bytes_max;
        max.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of the largest push that the bus carries to the other hosts.
    #[must_use]
    pub fn broadcast_bytes_max(&self) -> usize {
        let payload = self.inner.exchange.bus.payload_bytes_max();
        payload.saturating_sub(remote::ENVELOPE_BYTES_MAX)
    }

    /// Has somebody told of every room that loses its last member. One is enough: whoever comes later is not.
    pub fn on_room_end(&self, end: Box<RoomEnd>) {
        // A tenant has one state.
        let _ = self.inner.on_room_end.set(end);
    }

    /// Calls it for a room that has no members.
    pub fn end_if_empty(&self, room: &RoomName) {
        if let Some(end) = self.inner.on_room_end.get() {
            self.inner.rooms.if_empty(room.as_str(), || end(room));
        }
    }

    /// Makes a connection that nobody sees until it is [opened](Self::open). Its outbox keeps these limits.
    #[must_use]
    pub fn connect(&self, request: Request, limits: &Limits) -> Arc<Connection> {
        let outbox = Outbox::new(
            limits.outbox_bytes_max,
            limits.outbox_messages_max,
            Arc::clone(&self.inner.exchange.backlog),
        );
        Arc::new(Connection::new(request, outbox))
    }

    /// From here on the connection can be queried, addressed and broadcast to, in the rooms that its connect
    /// handlers joined, too. What completes when broadcasts from other hosts reach these rooms is returned.
    pub fn open(&self, connection: &Arc<Connection>) -> impl Future<Output = ()> + use<> {
        let mut membership = connection.membership.lock();
        membership.phase = Phase::Open;
        self.inner
            .connections
            .write()
            .insert(connection.id, Arc::clone(connection));
        // Whether there are too many was asked when it joined.
        let rooms = membership.joined.iter();
        let subscriptions = rooms.filter_map(|room| self.enter(room, connection, usize::MAX));
        let subscriptions: Vec<_> = subscriptions.collect();
        async move {
            let mut confirmed = pin!(async {
                for subscription in subscriptions {
                    subscription.confirmed().await;
                }
            });
            if confirmed.as_mut().now_or_never().is_none() {
                // Late is not lost, as with those that are joined later.
                let _ = tokio::time::timeout(JOIN_WAIT_MAX, confirmed).await;
            }
        }
    }

    /// From here on the connection is not counted. Its disconnect handlers still learn where it was.
    pub fn begin_close(&self, connection: &Connection) {
        let mut membership = connection.membership.lock();
        let was_open = membership.phase == Phase::Open;
        membership.phase = Phase::Closing;
        if !was_open {
            return;
        }
        self.inner.connections.write().remove(&connection.id);
        for room in &membership.joined {
            self.exit(room, connection.id);
        }
    }

    /// Makes the connection a member, within the limits of rooms, and waits until broadcasts from other hosts reach the
    /// room here.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(
        &self,
        connection: &Arc<Connection>,
        room: &RoomName,
        limits: &Limits,
    ) -> Result<(), JoinError> {
        let subscription = self.begin_join(connection, room, limits)?;
        if !subscription.is_confirmed() {
            // Late is not lost: the bus goes on trying.
            let _ = tokio::time::timeout(JOIN_WAIT_MAX, subscription.confirmed()).await;
        }
        Ok(())
    }

    fn begin_join(
        &self,
        connection: &Arc<Connection>,
        room: &RoomName,
        limits: &Limits,
    ) -> Result<Subscription, JoinError> {
        let mut membership = connection.membership.lock();
        let is_new = !membership.joined.contains(room);
        if is_new && membership.joined.len() >= limits.rooms_per_connection_max {
            return Err(JoinError::TooManyRooms(Limit::RoomsPerConnectionMax));
        }
        let rooms = &self.inner.rooms;
        let entered = match membership.phase {
            Phase::Closing => return Err(JoinError::Closed),
            Phase::Open => self.enter(room, connection, limits.rooms_max),
            // It enters when it opens.
            Phase::Connecting => {
                let is_room = rooms.len() < limits.rooms_max || rooms.size(room.as_str()) > 0;
                is_room.then_some(Subscription::done())
            }
        };
        let subscription = entered.ok_or(JoinError::TooManyRooms(Limit::RoomsMax))?;
        if is_new {
            membership.joined.insert(room.clone());
        }
        Ok(subscription)
    }

    /// Ends a membership.
    pub fn leave(&self, connection: &Connection, room: &RoomName) {
        let mut membership = connection.membership.lock();
        if membership.joined.remove(room) && membership.phase == Phase::Open {
            self.exit(room, connection.id);
        }
    }

    /// Pushes to a room's members, here and on the other hosts, but for one connection. `frame` is the push as
    /// its members here get it: who sends has encoded it already, to know its size.
    pub fn broadcast(
        &self,
        room: &RoomName,
        push: &PushFrame<'_>,
        frame: Bytes,
        except: Option<ConnectionId>,
    ) {
        let frame = self.inner.exchange.backlog.hold(frame);
        self.inner.rooms.deliver(room.as_str(), &frame, except);
        let exchange = &self.inner.exchange;
        let origin = &exchange.origin;
        let next_number = &exchange.next_number;
        let link = exchange.bus.link();
        let channel = self.inner.channel(room);
        exchange.bus.publish(
            &channel,
            &RoomMessage {
                push,
                except,
                origin,
                next_number,
                link,
            },
        );
    }

    /// Pushes to one connection, whoever sends it.
    ///
    /// # Errors
    /// [`Refused`]; the push is lost then, and nobody waits.
    pub fn send(&self, connection: &Connection, frame: Bytes) -> Result<(), Refused> {
        deliver(connection, self.inner.exchange.backlog.hold(frame))
    }

    /// Queues the answer to a message of the connection. A client that does not read gets none; its connection is
    /// closed for that.
    pub fn reply(&self, connection: &Connection, frame: Bytes) {
        let frame = self.inner.exchange.backlog.hold(frame);
        let _ = connection.outbox.push_reply(frame);
    }

    /// So many bytes were written to one of its connections.
    pub fn written(&self, bytes: usize) {
        self.inner.outflow.spend(bytes);
    }

    /// Whether less was written to its connections than so many bytes a second.
    #[must_use]
    pub fn may_push(&self, now: Instant, bytes_per_second_max: usize) -> bool {
        self.inner.outflow.take(now, 0, bytes_per_second_max)
    }

    /// An open connection.
    #[must_use]
    pub fn find(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.inner.connections.read().get(&id).cloned()
    }

    /// All open connections.
    #[must_use]
    pub fn open_connections(&self) -> Vec<Arc<Connection>> {
        self.inner.connections.read().values().cloned().collect()
    }

    /// How many connections are open.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.inner.connections.read().len()
    }

    fn enter(
        &self,
        room: &RoomName,
        connection: &Arc<Connection>,
        rooms_max: usize,
    ) -> Option<Subscription> {
        let inner = &self.inner;
        inner.rooms.insert(room, connection, rooms_max, || {
            inner.exchange.bus.subscribe(&inner.channel(room))
        })
    }

    fn exit(&self, room: &RoomName, id: ConnectionId) {
        let inner = &self.inner;
        inner.rooms.remove(room, id, || {
            inner.exchange.unless_in_use(inner, room, || {
                inner.exchange.bus.unsubscribe(&inner.channel(room));
                if let Some(end) = inner.on_room_end.get() {
                    end(room);
                }
            });
        });
    }
}

impl Inner {
    /// The bus channel of a room.
    fn channel(&self, room: &RoomName) -> String {
        let mut channel = String::with_capacity(self.channels.len() + room.as_str().len());
        channel.push_str(&self.channels);
        channel.push_str(room.as_str());
        channel
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("channels", &self.inner.channels)
            .finish_non_exhaustive()
    }
}

/// Queues a frame that is [held](Backlog::hold).
fn deliver(connection: &Connection, frame: Bytes) -> Result<(), Refused> {
    let result = connection.outbox.push(frame);
    if let Err(Refused::Overflow(_)) = result {
        tracing::info!(connection = %connection.id, "slow consumer: closing with 3008 (outbox_bytes_max, outbox_messages_max)");
    }
    result
}
