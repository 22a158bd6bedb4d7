//! Files that are read again when they change, while the host runs: keys and certificates.
//!
//! They are looked at when they are used, at most once a second. What cannot be read, or is none of what it should
//! be, is logged once and changes nothing: what was read before stays.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// What changes within it is noticed together. Who rotates keys does so hours apart.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// More than any key, certificate or set of them takes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why files are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct BadFile {
    /// Which of them.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Makes a value of the contents of files, which are in the order in which they were named; or says which of them,
/// by its place, is wrong, and why.
type Make<T> = dyn Fn(&[Vec<u8>]) -> Result<T, (usize, String)> + Send + Sync;

/// A value that is made of files.
pub struct Reread<T> {
    current: ArcSwap<T>,
    /// When the files were looked at last. Whoever moves it on is the one who looks.
    looked: Mutex<Instant>,
    source: Arc<Source<T>>,
}

struct Source<T> {
    files: Vec<PathBuf>,
    make: Box<Make<T>>,
    /// What the last look found, to notice a change by. The contents and not their times: those are kept by the tick,
    /// and what was written twice within one looks unchanged.
    seen: Mutex<Contents>,
}

type Contents = Result<Vec<Vec<u8>>, BadFile>;

impl<T: Send + Sync + 'static> Reread<T> {
    /// Reads the files.
    ///
    /// # Errors
    /// [`BadFile`], when one cannot be read or `make` refuses it.
    pub fn open(
        files: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, (usize, String)> + Send + Sync + 'static,
    ) -> Result<Self, BadFile> {
        let make = Box::new(make);
        let seen = Mutex::new(Ok(read(&files)?));
        let source = Source { files, make, seen };
        let contents = source.seen.lock().clone()?;
        let made = source.make(&contents)?;
        Ok(Self {
            current: ArcSwap::from_pointee(made),
            looked: Mutex::new(Instant::now()),
            source: Arc::new(source),
        })
    }

    /// What the files say now, or said when they last made sense.
    pub async fn current(&self) -> Arc<T> {
        if self.is_due() {
            let source = Arc::clone(&self.source);
            // Not here: a network's file system may take its time, and others are served by this thread.
            let looked = tokio::task::spawn_blocking(move || source.look()).await;
            if let Ok(Some(made)) = looked {
                self.current.store(Arc::new(made));
            }
        }
        self.current.load_full()
    }

    fn is_due(&self) -> bool {
        if self.source.files.is_empty() {
            return false;
        }
        let mut looked = self.looked.lock();
        let is_due = looked.elapsed() >= LOOK_INTERVAL;
        if is_due {
            *looked = Instant::now();
        }
        is_due
    }
}

impl<T> Source<T> {
    fn make(&self, contents: &[Vec<u8>]) -> Result<T, BadFile> {
        (self.make)(contents).map_err(|(place, problem)| BadFile {
            file: self.files.get(place).cloned().unwrap_or_default(),
            problem,
        })
    }

    /// What the files say, if that is new and makes sense.
    fn look(&self) -> Option<T> {
        let contents = read(&self.files);
        let mut seen = self.seen.lock();
        if *seen == contents {
            return None;
        }
        let made = contents
            .as_deref()
            .map_err(Clone::clone)
            .and_then(|contents| self.make(contents));
        *seen = contents;
        drop(seen);
        match made {
            Ok(made) => {
                tracing::info!(files = ?self.files, "read again, they have changed");
                Some(made)
            }
            Err(error) => {
                tracing::error!("not read again, what was read before stays: {error}");
                None
            }
        }
    }
}

fn read(files: &[PathBuf]) -> Contents {
    let contents = files.iter().map(|file| {
        read_one(file).map_err(|problem| BadFile {
            file: file.clone(),
            problem,
        })
    });
    contents.collect()
}

fn read_one(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| {
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(())
    });
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// The contents are secrets.
impl<T> fmt::Debug for Reread<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reread")
            .field("files", &self.source.files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(contents: &[Vec<u8>]) -> Result<u32, (usize, String)> {
        let text = contents.iter().flatten().copied().collect::<Vec<u8>>();
        let text = String::from_utf8(text).map_err(|error| (0, error.to_string()))?;
        text.parse().map_err(|_| (1, "no number".to_owned()))
    }

    #[tokio::test]
    async fn what_changes_is_read_again_and_what_is_broken_changes_nothing() {
        let folder = tempfile::TempDir::new().unwrap();
        let files: Vec<_> = ["a", "b"].map(|name| folder.path().join(name)).into();
        let write = |text: &str| {
            std::fs::write(&files[0], &text[..1]).unwrap();
            std::fs::write(&files[1], &text[1..]).unwrap();
        };
        write("12");
        let value = Reread::open(files.clone(), number).unwrap();
        let look = async || {
            *value.looked.lock() = Instant::now() - LOOK_INTERVAL;
            *value.current().await
        };
        assert_eq!(look().await, 12);
        write("34");
        assert_eq!(*value.current().await, 12, "it was just looked at");
        assert_eq!(look().await, 34);
        write("5x");
        assert_eq!(look().await, 34);
        std::fs::remove_file(&files[1]).unwrap();
        assert_eq!(look().await, 34);
        write("56");
        assert_eq!(look().await, 56);
    }

    #[test]
    fn what_is_wrong_at_first_is_said_with_the_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("a");
        let open = |content: Option<&[u8]>| {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let error = Reread::open(vec![file.clone(), file.clone()], number).unwrap_err();
            assert_eq!(error.file, file);
            error.problem
        };
        assert!(open(None).starts_with("cannot be read: "));
        assert_eq!(open(Some(b"x")), "no number");
        let large = vec![b'1'; 1024 * 1024 + 1];
        assert_eq!(open(Some(&large)), "is larger than 1048576 bytes");
    }
}
