//! The plugins of a folder: every regular file that ends in `.wasm`.

use std::path::{Path, PathBuf};

use super::{Engine, LoadError, Plugin, load};

/// A file of a plugin folder that is not live, and why.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is no plugin for this host.
    #[error("{0}")]
    Load(#[from] LoadError),
}

/// The plugin files of a folder, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn plugin_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
            && path.is_file()
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Loads one file.
///
/// # Errors
/// [`FileError`], with what to do.
pub async fn load_file(engine: &Engine, file: &Path) -> Result<Plugin, FileError> {
    let bytes = tokio::fs::read(file).await?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(load(engine, &name, bytes).await?)
}
