//! What a file is to the file system, and who waits for whom.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;

use tempfile::TempDir;

use super::*;
use crate::state::map;

fn opened(folder: &TempDir) -> File {
    File::open(&folder.path().join("state")).unwrap()
}

/// What a read finds of a key.
async fn found(file: &File, key: &'static [u8]) -> Option<Vec<u8>> {
    let read = file.read(move |reading| map::Read::get(reading, key));
    read.await.unwrap()
}

/// A write that is at work until it is told to go on; returns when it is.
fn hold(file: &File) -> mpsc::Sender<()> {
    let (go_on, wait) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel::<()>();
    file.begin(move |writing| {
        writing.put(b"held", b"")?;
        began.send(()).unwrap();
        wait.recv().unwrap();
        Ok(Box::new(|| {}))
    });
    begun.recv().unwrap();
    go_on
}

#[tokio::test]
async fn reads_do_not_wait_for_a_writer() {
    let folder = TempDir::new().unwrap();
    let file = opened(&folder);
    let go_on = hold(&file);
    assert_eq!(found(&file, b"held").await, None, "it is not committed");
    go_on.send(()).unwrap();
    let after = file.write(file.place().await, |_| Ok(((), Box::new(|| {}))));
    after.await.unwrap();
    assert!(found(&file, b"held").await.is_some());
}

#[tokio::test]
async fn what_waits_together_is_written_together() {
    let folder = TempDir::new().unwrap();
    let file = opened(&folder);
    let go_on = hold(&file);
    file.begin(|writing| {
        writing.put(b"first", b"")?;
        Ok(Box::new(|| {}))
    });
    let database = Arc::clone(&file.database);
    let place = file.place().await;
    let second = file.write(place, move |writing| {
        let of_this = writing.get(b"first")?.is_some();
        let committed = Reading::begin(&database)?.get(b"first")?.is_some();
        Ok(((of_this, committed), Box::new(|| {})))
    });
    let tell = async { go_on.send(()).unwrap() };
    let (seen, ()) = tokio::join!(second, tell);
    assert_eq!(seen, Ok((true, false)), "one transaction");
}

#[tokio::test]
async fn what_cannot_be_written_is_said_to_all_who_wait_and_harms_no_later_one() {
    let folder = TempDir::new().unwrap();
    let file = opened(&folder);
    let go_on = hold(&file);
    let fails = file.write(file.place().await, |writing| {
        writing.put(b"lost", b"")?;
        Err::<((), Done), _>(StateError::Unavailable("no disk".to_owned()))
    });
    let other = file.write(file.place().await, |writing| {
        writing.put(b"other", b"")?;
        Ok(((), Box::new(|| {})))
    });
    let tell = async { go_on.send(()).unwrap() };
    let (failed, other, ()) = tokio::join!(fails, other, tell);
    for answer in [failed, other] {
        assert!(matches!(answer, Err(StateError::Unavailable(_))));
    }
    let later = file.write(file.place().await, |writing| {
        Ok((writing.get(b"lost")?, Box::new(|| {})))
    });
    assert_eq!(later.await, Ok(None));
    assert_eq!(found(&file, b"other").await, None);
}

#[test]
fn a_file_is_its_owners_and_has_one_host() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let first = File::open(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = File::open(&path).unwrap_err().to_string();
    assert!(second.contains("already open"), "{second}");
    drop(first);
    File::open(&path).unwrap();
    std::fs::write(&path, "not what we wrote").unwrap();
    assert!(File::open(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"not what we wrote");
    assert!(File::open(&folder.path().join("no/folder")).is_err());
}

/// A host can be killed at any moment.
#[test]
fn a_file_is_whole_from_when_it_has_its_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let making = std::thread::spawn({
        let path = path.clone();
        move || File::open(&path).unwrap()
    });
    let bytes = loop {
        if let Ok(bytes) = std::fs::read(&path) {
            break bytes;
        }
    };
    assert!(bytes.starts_with(b"redb"), "{} bytes", bytes.len());
    making.join().unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["state"]);
}
