//! Values in a file, which a killed host leaves as it was at the last commit.
//!
//! One thread writes. Whatever waits for it goes into one transaction, and is answered when that is on the disk: so
//! many writes wait for one flush, and none is answered before it. Readers see the last commit and wait for nobody.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::map::{Map, Read};
use super::{StateError, StoreError};

const VALUES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("values");

/// Pages in memory, read or to be written. What does not fit is in the system's cache of the file.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How many writes wait in the queue. More wait for a place in it.
const WRITES_WAITING_MAX: usize = 256;

/// An open file. The last one who drops it waits until all that was begun is written.
pub(super) struct File {
    database: Arc<Database>,
    queue: Arc<Queue>,
    /// One for each write that waits.
    places: Arc<Semaphore>,
    /// Readers at work: on as many threads as there are cores, whoever asks for how much.
    readers: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
}

/// Writes to a transaction. What it returns is called when that is on the disk, and dropped when it never will be.
type Work = Box<dyn FnOnce(&mut Writing<'_>) -> Result<Done, StateError> + Send>;
pub(super) type Done = Box<dyn FnOnce() + Send>;

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    works: Vec<Work>,
    is_closed: bool,
}

impl File {
    /// Opens a file, or makes it. One host at a time may have it open.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source: redb::Error| StoreError {
            file: path.to_owned(),
            source,
        };
        make(path).map_err(failed)?;
        let database = open(path).map_err(failed)?;
        Self::run(database).map_err(failed)
    }

    fn run(database: Database) -> Result<Self, redb::Error> {
        let database = Arc::new(database);
        let queue = Arc::<Queue>::default();
        let writer = std::thread::Builder::new().name("state".to_owned()).spawn({
            let (database, queue) = (Arc::clone(&database), Arc::clone(&queue));
            move || {
                // Whoever asks a queue that nobody empties is told so at once.
                let _closing = Closing(&queue);
                let mut is_failing = false;
                while let Some(works) = queue.take() {
                    write(&database, works, &mut is_failing);
                }
            }
        });
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            database,
            queue,
            places: Arc::new(Semaphore::new(WRITES_WAITING_MAX)),
            readers: Arc::new(Semaphore::new(threads)),
            writer: Some(writer?),
        })
    }

    /// Waits for a place in the queue.
    pub(super) async fn place(&self) -> Place {
        let places = Arc::clone(&self.places);
        Place {
            // It is never closed: without a permit, the queue would merely be longer.
            _permit: places.acquire_owned().await.ok(),
        }
    }

    /// Puts a write at the end of the queue, and answers when it is on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        place: Place,
        write: impl FnOnce(&mut Writing<'_>) -> Result<(T, Done), StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let (answer, answered) = oneshot::channel();
        self.begin(move |writing| {
            drop(place);
            let (answers, done) = write(writing)?;
            Ok(Box::new(move || {
                done();
                // Who asked may have run out of time.
                let _ = answer.send(answers);
            }))
        });
        let lost = || StateError::Unavailable("the file cannot be written".to_owned());
        answered.await.map_err(|_| lost())
    }

    /// The same for what nobody waits for. There must not be more of them than of something that has a limit.
    pub(super) fn begin(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<Done, StateError> + Send + 'static,
    ) {
        self.queue.push(Box::new(work));
    }

    /// Reads what the last commit has left.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        // Held by the thread: when nobody waits for it any more, it is still at work.
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let database = Arc::clone(&self.database);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&Reading::begin(&database)?)
        });
        let lost = |error: tokio::task::JoinError| StateError::Unavailable(error.to_string());
        reading.await.map_err(lost)?
    }

    /// The same on this thread.
    pub(super) fn read_here<T>(
        &self,
        read: impl FnOnce(&Reading) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        read(&Reading::begin(&self.database)?)
    }
}

/// Makes a file, unless it is there. It gets its name when it is whole: what a host leaves that is killed while it makes
/// one must not keep the next from starting.
fn make(path: &Path) -> Result<(), redb::Error> {
    if path.exists() {
        return Ok(());
    }
    let new = path.with_added_extension(format!("{}.new", std::process::id()));
    // Left by one that was killed.
    let _ = std::fs::remove_file(&new);
    let mut options = OpenOptions::new();
    // What plugins keep of their users is nobody else's.
    options.write(true).create_new(true).mode(0o600);
    drop(options.open(&new)?);
    drop(open(&new)?);
    // Unlike a rename, it does not replace what another host has made meanwhile.
    let linked = std::fs::hard_link(&new, path);
    std::fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    // The name has to be on the disk before anything in the file counts.
    Ok(std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?)
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    let database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create(path)?;
    // Readers find the table.
    let first = database.begin_write()?;
    first.open_table(VALUES)?;
    first.commit()?;
    Ok(database)
}

impl Drop for File {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("File").finish_non_exhaustive()
    }
}

impl Queue {
    fn push(&self, work: Work) {
        let mut waiting = self.waiting.lock();
        if !waiting.is_closed {
            waiting.works.push(work);
            self.filled.notify_one();
        }
    }

    /// All that waits, or waits for some; `None` when there is and will be nothing.
    fn take(&self) -> Option<Vec<Work>> {
        let mut waiting = self.waiting.lock();
        while waiting.works.is_empty() && !waiting.is_closed {
            self.filled.wait(&mut waiting);
        }
        let works = std::mem::take(&mut waiting.works);
        (!works.is_empty()).then_some(works)
    }

    fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.filled.notify_one();
    }
}

/// Closes a queue when its reader ends, by a panic too.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        let left = std::mem::take(&mut self.0.waiting.lock().works);
        // Without the lock: those who wait for them are woken.
        drop(left);
    }
}

/// One transaction for all of them, on the disk before anyone is told. The first that fails is logged, not each one:
/// anybody's message may cause one.
fn write(database: &Database, works: Vec<Work>, is_failing: &mut bool) {
    match commit(database, works) {
        Ok(done) => {
            *is_failing = false;
            done.into_iter().for_each(|done| done());
        }
        Err(error) if !*is_failing => {
            *is_failing = true;
            tracing::error!(%error, "state cannot be written");
        }
        Err(_) => {}
    }
}

fn commit(database: &Database, works: Vec<Work>) -> Result<Vec<Done>, StateError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    // Its checksum alone would tell a torn commit from a whole one, but strangers write the values, and it is none
    // that withstands intent.
    transaction.set_two_phase_commit(true);
    let (done, has_changed) = {
        let mut writing = Writing {
            table: transaction.open_table(VALUES).map_err(failed)?,
            has_changed: false,
        };
        let done: Result<Vec<_>, _> = works.into_iter().map(|work| work(&mut writing)).collect();
        // Dropped without a commit it changes nothing.
        (done?, writing.has_changed)
    };
    if has_changed {
        transaction.commit().map_err(failed)?;
    }
    Ok(done)
}

/// A transaction that writes.
pub(super) struct Writing<'a> {
    table: Table<'a, &'static [u8], &'static [u8]>,
    /// What has changed nothing need not be flushed.
    has_changed: bool,
}

impl Read for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        get(&self.table, key)
    }

    fn visit(
        &self,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        walk(&self.table, from, visit)
    }
}

impl Map for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.has_changed = true;
        self.table.insert(key, value).map_err(failed)?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.has_changed = true;
        self.table.remove(key).map_err(failed)?;
        Ok(())
    }
}

/// What the last commit has left.
pub(super) struct Reading(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Reading {
    fn begin(database: &Database) -> Result<Self, StateError> {
        let transaction = database.begin_read().map_err(failed)?;
        Ok(Self(transaction.open_table(VALUES).map_err(failed)?))
    }
}

impl Read for Reading {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        get(&self.0, key)
    }

    fn visit(
        &self,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        walk(&self.0, from, visit)
    }
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StateError> {
    let found = table.get(key).map_err(failed)?;
    Ok(found.map(|value| value.value().to_owned()))
}

fn walk(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StateError> {
    for found in table.range(from..).map_err(failed)? {
        let (key, value) = found.map_err(failed)?;
        if !visit(key.value(), value.value()) {
            break;
        }
    }
    Ok(())
}

/// After an error of the disk nothing can be written until the file is opened again.
fn failed(error: impl Into<redb::Error>) -> StateError {
    StateError::Unavailable(error.into().to_string())
}
