//! Plays every transcript of `tests/transcripts`: on a host alone, and with its clients spread over three.

use std::path::{Path, PathBuf};
use wardroom_tests::transcript::{self, Venue};
use wardroom_tests::{Broker, needed};

#[tokio::test]
async fn every_transcript_holds() {
    all_hold(Venue::OneHost).await;
}

#[tokio::test]
async fn every_transcript_holds_over_three_hosts_on_redis() {
    needed!("redis-server");
    let broker = Broker::redis().await.unwrap();
    all_hold(Venue::ThreeHosts(&broker)).await;
}

#[tokio::test]
async fn every_transcript_holds_over_three_hosts_on_nats() {
    needed!("nats-server");
    let broker = Broker::nats().await.unwrap();
    all_hold(Venue::ThreeHosts(&broker)).await;
}

fn transcripts() -> Vec<PathBuf> {
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
    files.retain(|file| file.to_string_lossy().contains(&wanted));
    files
}

async fn all_hold(venue: Venue<'_>) {
    let mut failures = Vec::new();
    for file in transcripts() {
        let start = std::time::Instant::now();
        let played = transcript::play(&file, venue).await;
        let name = file.file_name().unwrap_or_default().display();
        match played {
            Ok(None) => eprintln!("{name} {:?}", start.elapsed()),
            Ok(Some(reason)) => eprintln!("{name} is for one host: {reason}"),
            Err(error) => {
                // Not `{error:?}`, which would add a backtrace of the runner.
                let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
                failures.push(causes.join("\n"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} transcripts fail\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
