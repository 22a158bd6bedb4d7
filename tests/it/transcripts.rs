//! Plays every transcript of `tests/transcripts`.

use std::path::Path;
use wardroom_tests::transcript;

#[tokio::test]
async fn every_transcript_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let entries = std::fs::read_dir(&folder).expect("the folder is part of the crate");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    // Only those whose name contains this, for who works on one.
    let wanted = std::env::var("TRANSCRIPT").unwrap_or_default();
    let mut failures = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.to_string_lossy().contains(&wanted))
    {
        let start = std::time::Instant::now();
        let played = transcript::play(file).await;
        eprintln!(
            "{} {:?}",
            file.file_name().unwrap_or_default().display(),
            start.elapsed()
        );
        if let Err(error) = played {
            // Not `{error:?}`, which would add a backtrace of the runner.
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            failures.push(causes.join("\n"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} transcripts fail\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
