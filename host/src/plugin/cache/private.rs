//! A folder that is the host's alone, and files of it that nobody else can have written.
//!
//! The folder is opened once and judged by what was opened; every file is reached through it, without following
//! links. So whatever becomes of its path later, what was judged is what is used.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use uuid::Uuid;

/// What a file is called until it is complete.
const PART: &str = ".part";

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It is not there and cannot be made, or it cannot be opened.
    #[error("cannot use the folder {} for compiled code: {source}", folder.display())]
    Open {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is somebody else's, who could put code of theirs into it.
    #[error(
        "the folder {} for compiled code belongs to user {owner}, and the host runs as user {user}; \
         change its owner, or name another with `cache`", folder.display()
    )]
    Owner {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whom the host runs as.
        user: u32,
    },
    /// Others may enter it.
    #[error(
        "the folder {} for compiled code has mode {mode:03o}, so that others can reach into it; \
         run `chmod 700`, or name another with `cache`", folder.display()
    )]
    Mode {
        /// The folder.
        folder: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// What keeps a file from being trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it is a link, or cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is no regular file")]
    NoFile,
    #[error("it belongs to user {0}")]
    Owner(u32),
    #[error("others may write to it (mode {0:03o})")]
    Mode(u32),
    #[error("it has more than the {0} bytes that it should have")]
    TooLong(u64),
}

/// The folder, open.
#[derive(Debug)]
pub(super) struct PrivateFolder {
    folder: OwnedFd,
    path: PathBuf,
    user: u32,
}

/// A file of the folder.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
}

impl Listed {
    /// Whether it never became complete.
    pub(super) fn is_part(&self) -> bool {
        self.name.ends_with(PART)
    }
}

impl PrivateFolder {
    /// Opens it, and makes it when it is not there. A link to it is as good: it is the folder that is judged.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let failed = |source| CacheError::Open {
            folder: path.to_owned(),
            source,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let opened = File::from(folder);
        let metadata = opened.metadata().map_err(failed)?;
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != user {
            return Err(CacheError::Owner {
                folder: path.to_owned(),
                owner: metadata.uid(),
                user,
            });
        }
        // A list of further users shows in the bits of the group, too.
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CacheError::Mode {
                folder: path.to_owned(),
                mode,
            });
        }
        Ok(Self {
            folder: opened.into(),
            path: path.to_owned(),
            user,
        })
    }

    /// A file's contents: all of them, or none that can be trusted. `None` when it is not there.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        // A pipe in its place must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Fault::Read(error.into())),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Fault::NoFile);
        }
        if metadata.uid() != self.user {
            return Err(Fault::Owner(metadata.uid()));
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(Fault::Mode(mode));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(Fault::TooLong(bytes_max));
        }
        Ok(Some(bytes))
    }

    /// Puts a file there, whole or not at all, in place of one of that name. It is not waited for that it is on the
    /// disk: what is missing after a power failure is found out when it is read.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = format!(".{}{PART}", Uuid::new_v4());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &part, flags, Mode::RUSR | Mode::WUSR)?;
        let written = File::from(file).write_all(bytes).and_then(|()| {
            rustix::fs::renameat(&self.folder, &part, &self.folder, name)?;
            Ok(())
        });
        if written.is_err() {
            // Its bytes are what the disk may have had no room for.
            let _ = self.remove(&part);
        }
        written
    }

    /// Marks a file as just used.
    pub(super) fn touch(&self, name: &str) -> io::Result<()> {
        let nanoseconds = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let times = Timestamps {
            last_access: nanoseconds(UTIME_OMIT),
            last_modification: nanoseconds(UTIME_NOW),
        };
        Ok(rustix::fs::utimensat(
            &self.folder,
            name,
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Removes a file; that it is gone already is as good.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What there is. By its path, which may be another folder's by now: nothing is done to what is not also here.
    pub(super) fn list(&self) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // Another host, at the same work, may have removed it since.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if let Ok(name) = entry.file_name().into_string() {
                files.push(Listed {
                    name,
                    bytes: metadata.len(),
                    modified: metadata.modified()?,
                });
            }
        }
        Ok(files)
    }
}
