//! The guest fixture `puppet`, which does what a message tells it to, with a manifest of one's own.

use anyhow::{Context, Result};
use serde_json::Value;

/// Its manifest is text behind this word.
const MARK: &[u8] = b"PUPPET-MANIFEST:";
const SLOT_BYTES: usize = 8192;

/// The component with this manifest.
///
/// # Errors
/// When it is another component, or the manifest too long.
pub(crate) fn with_manifest(mut puppet: Vec<u8>, manifest: &Value) -> Result<Vec<u8>> {
    let start = puppet
        .windows(MARK.len())
        .position(|window| window == MARK)
        .context("the fixture has no place for a manifest")?;
    let mut text = [MARK, manifest.to_string().as_bytes()].concat();
    text.resize(SLOT_BYTES, b' ');
    let slot = puppet.get_mut(start..start + SLOT_BYTES);
    slot.context("the manifest's place is too small")?
        .copy_from_slice(&text);
    Ok(puppet)
}
