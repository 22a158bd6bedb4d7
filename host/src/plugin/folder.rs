//! The plugins of a folder: every regular file that ends in `.wasm`, and every link to one inside the folder.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::{Engine, LoadError, background};
use crate::config;

/// A file that was changed so recently may change again without a sign of it: file systems keep times by the tick.
const TICK: Duration = Duration::from_millis(20);

/// A file of a plugin folder that is not live, and why.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is a link to somewhere else.
    #[error("a link that leaves the folder, to {}; copy the file instead", .0.display())]
    Outside(PathBuf),
    /// It is no plugin for this host.
    #[error("{0}")]
    Load(#[from] LoadError),
}

/// What a content is: the SHA-256 of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// As an operator says it.
    #[must_use]
    pub fn sha256(self) -> config::Sha256 {
        config::Sha256(self.0)
    }
}

/// All that is in a file.
#[derive(Debug)]
pub struct Content {
    /// As it is.
    pub bytes: Vec<u8>,
    /// Of these.
    pub digest: Digest,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { bytes, digest }
    }
}

/// Reads a file, if it is no larger than a component may be; no byte is read of one that is, and no more than one too
/// many of one that grows.
///
/// # Errors
/// [`FileError::Read`], and [`LoadError::TooLarge`] in a [`FileError::Load`].
pub async fn read(engine: &Engine, file: &Path) -> Result<Content, FileError> {
    let (file, bytes_max) = (file.to_owned(), engine.limits.component_bytes_max);
    let reading = background::run(move || read_at_most(&file, bytes_max));
    let content = reading.await?;
    if let Err(FileError::Load(error)) = &content
        && let Some(limit) = error.limit()
    {
        engine.metrics.reached(limit);
    }
    content
}

fn read_at_most(file: &Path, bytes_max: usize) -> Result<Content, FileError> {
    let file = File::open(file)?;
    let bytes_max = bytes_max as u64;
    let mut size = file.metadata()?.len();
    let mut bytes = Vec::new();
    if size <= bytes_max {
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)?;
        size = bytes.len() as u64;
    }
    if size > bytes_max {
        let max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        return Err(LoadError::TooLarge { bytes: size, max }.into());
    }
    Ok(bytes.into())
}

/// What tells one content of a file from another without reading it; also after the file was renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: SystemTime,
    /// Looked at too soon after it was changed.
    is_fresh: bool,
}

impl Stamp {
    fn of(metadata: &Metadata) -> std::io::Result<Self> {
        let modified = metadata.modified()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified,
            is_fresh: age(modified) < TICK,
        })
    }

    /// Whether this is the content that `other` was, for certain.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        !self.is_fresh && !other.is_fresh && self == other
    }

    /// Whether this may be the content that `other` was: nothing speaks against it.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let stripped = |stamp: &Self| Self {
            is_fresh: false,
            ..*stamp
        };
        stripped(self) == stripped(other)
    }

    /// How long ago it was changed.
    #[must_use]
    pub fn age(&self) -> Duration {
        age(self.modified)
    }
}

/// A time in the future is as good as now: some clock was wrong.
fn age(modified: SystemTime) -> Duration {
    modified.elapsed().unwrap_or_default()
}

/// The plugin files of a folder, and what tells their contents apart.
///
/// # Errors
/// When the folder cannot be read. A file that cannot be is in the list, with the reason.
pub fn plugin_files(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, Result<Stamp, FileError>>> {
    let root = folder.canonicalize()?;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_wasm = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        if !is_wasm {
            continue;
        }
        match stamp(&root, &path) {
            Ok(Some(stamp)) => drop(files.insert(path, Ok(stamp))),
            Ok(None) => {}
            // Gone since the folder was listed.
            Err(FileError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => drop(files.insert(path, Err(error))),
        }
    }
    Ok(files)
}

/// `None` for what is neither a file nor a link to one. A link may point into the folder, also by way of another
/// link: that is how configuration volumes are mounted.
fn stamp(root: &Path, path: &Path) -> Result<Option<Stamp>, FileError> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let target = path.canonicalize()?;
    if !target.starts_with(root) {
        return Err(FileError::Outside(target));
    }
    Ok(Some(Stamp::of(&metadata)?))
}
