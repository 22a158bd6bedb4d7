//! Programs that some tests need and not every machine has.

use std::io::Write as _;
use std::path::PathBuf;

/// Leaves the test out, loudly, when one of these programs is not installed. Where `CI` is set nothing may be left out:
/// then the test fails.
///
/// ```no_run
/// # async fn test() {
/// wardroom_tests::needed!("redis-server");
/// let broker = wardroom_tests::Broker::redis().await.unwrap();
/// # }
/// ```
#[macro_export]
macro_rules! needed {
    ($($program:expr),+ $(,)?) => {
        $(if !$crate::needed::is_there($program) {
            return;
        })+
    };
}

/// Whether a program is installed; says so when it is not.
///
/// # Panics
/// When it is not, where `CI` is set.
#[must_use]
pub fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&paths);
    is_in(program, &mut folders) || leave_out(&format!("{program}, which is not installed"))
}

/// Says that this test is left out because it needs something; `false`.
///
/// # Panics
/// Where `CI` is set.
#[must_use]
pub fn leave_out(needed: &str) -> bool {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!is_ci, "it needs {needed}, and CI is set");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by `eprintln!`: nobody is shown what a test prints that does not fail.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test}: it needs {needed}");
    false
}

fn is_in(program: &str, folders: &mut impl Iterator<Item = PathBuf>) -> bool {
    folders.any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_all_folders() {
        let [with, without] = [0; 2].map(|_| tempfile::TempDir::new().unwrap());
        std::fs::write(with.path().join("broker"), "").unwrap();
        let folders = [without.path(), with.path()].map(PathBuf::from);
        assert!(is_in("broker", &mut folders.iter().cloned()));
        assert!(!is_in("broker", &mut folders.iter().take(1).cloned()));
        assert!(!is_in("other", &mut folders.into_iter()));
    }
}
