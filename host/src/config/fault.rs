//! What is wrong with a configuration, and where it stands.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1.
    File {
        /// The file, as it was named.
        file: PathBuf,
        /// The line; none when it is the file itself that is meant.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: None } => file.display().fmt(formatter),
            Self::File {
                file,
                line: Some(line),
            } => write!(formatter, "{}:{line}", file.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::Flag(name) => formatter.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, as it was given: there may be none of that name. `None` when it is not about a key.
    pub key: Option<String>,
    /// Where it was given; `None` when it was set by a program.
    pub origin: Option<Origin>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(formatter, "{origin}: ")?;
        }
        // The name of a variable or a flag says which key it is.
        let says_key = matches!(self.origin, Some(Origin::Variable(_) | Origin::Flag(_)));
        if let (Some(key), false) = (&self.key, says_key) {
            write!(formatter, "{key}: ")?;
        }
        formatter.write_str(&self.problem)
    }
}

/// A configuration that cannot be run: all that was found to be wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError {
    /// One or more.
    pub faults: Vec<Fault>,
}

impl ConfigError {
    /// An error, if there is anything wrong.
    pub(super) fn of(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        Err(Self { faults })
    }
}
