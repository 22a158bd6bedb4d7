//! Compiling a component: in this process, or in a child that can be killed, has its own limit of memory and stands
//! behind everything else in the queue for the processor. Here is the host's side of that child, and the function
//! that it calls; how it confines itself is in `cli::compile`.
//!
//! A compiler's time and memory have no useful bound in terms of its input, so nothing else stops a component that
//! was made to be hard to compile, and a thread cannot be stopped at all.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::code::Artefact;
use super::engine;
use super::quote::one_line;
use crate::config::Limits;

/// What a child has to say for itself is cut here.
const COMPLAINT_BYTES_MAX: u64 = 4 * 1024;
/// Exit codes of the child. Any other one, and any signal, means the same as the last.
const INVALID: u8 = 1;
const OUT_OF_MEMORY: u8 = 3;
const BROKEN: u8 = 4;

/// Who compiles.
#[derive(Clone, Debug, Default)]
pub enum Compile {
    /// This process, on its blocking pool, with no limit but the machine's: for those whose plugins are their own.
    #[default]
    Here,
    /// A child process for each component: this program, which must be `wardroom` of this very version, called as
    /// `wardroom compile`.
    Child(PathBuf),
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is not what it seems to be.
    #[error(
        "not a valid component: {0}; copy it again, if it may have been cut short, or build it anew"
    )]
    Invalid(String),
    /// It takes too long.
    #[error(
        "compiling it took longer than compile_wall_max ({0:?}); make its functions smaller, or raise the limit"
    )]
    OutOfTime(Duration),
    /// It takes too much memory.
    #[error(
        "compiling it took more memory than compile_memory_max ({0} bytes); make its functions smaller, or raise the limit"
    )]
    OutOfMemory(usize),
    /// The compiler did not do its work.
    #[error(
        "the compiler broke: {0}; if it was not killed from outside, this is a bug of wardroom or wasmtime"
    )]
    Crashed(String),
    /// There is no compiler.
    #[error("cannot run the compiler {}: {source}; it must be the wardroom program", program.display())]
    Start {
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why [`precompile`] failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrecompileError {
    /// The component did not arrive.
    #[error("cannot read the component: {0}")]
    Read(#[from] io::Error),
    /// It cannot be compiled.
    #[error("{0:#}")]
    Compile(wasmtime::Error),
}

impl PrecompileError {
    /// The exit code by which the child tells its host.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Read(error) if is_out_of_memory(error) => OUT_OF_MEMORY,
            Self::Compile(error) if error.chain().any(is_out_of_memory) => OUT_OF_MEMORY,
            Self::Read(_) => BROKEN,
            Self::Compile(_) => INVALID,
        }
    }
}

fn is_out_of_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::OutOfMemory)
        || error.downcast_ref() == Some(&rustix::io::Errno::NOMEM)
        || error.is::<wasmtime::OutOfMemory>()
}

/// The child's part: compiles a component for the engine of a host of this version on this machine.
///
/// # Errors
/// When it is no valid component, or memory is short.
pub(crate) fn precompile(mut component: impl Read) -> Result<Vec<u8>, PrecompileError> {
    let mut bytes = Vec::new();
    component.read_to_end(&mut bytes)?;
    engine::for_compiling()
        .and_then(|engine| engine.precompile_component(&bytes))
        .map_err(PrecompileError::Compile)
}

/// Compiles in this process; blocks.
pub(super) fn here(engine: &wasmtime::Engine, component: &[u8]) -> Result<Artefact, CompileError> {
    let compiled = engine.precompile_component(component);
    let compiled =
        compiled.map_err(|error| CompileError::Invalid(one_line(&format!("{error:#}"))))?;
    Ok(Artefact::compiled(compiled))
}

/// Compiles in a child, which has ended when this returns; if this is dropped, it is killed.
pub(super) async fn in_child(
    program: &Path,
    component: &[u8],
    limits: &Limits,
) -> Result<Artefact, CompileError> {
    let mut child = command(program, limits)
        .spawn()
        .map_err(|source| CompileError::Start {
            program: program.to_owned(),
            source,
        })?;
    // No more can come of so much memory.
    let output_max = limits.compile_memory_max as u64;
    let answered = timeout(
        limits.compile_wall_max,
        Answer::of(&mut child, component, output_max),
    );
    let answer = match answered.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            end(&mut child).await;
            return Err(CompileError::Crashed(error.to_string()));
        }
        Err(_) => {
            end(&mut child).await;
            return Err(CompileError::OutOfTime(limits.compile_wall_max));
        }
    };
    answer.judge(limits)
}

fn command(program: &Path, limits: &Limits) -> Command {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    // Used up only by a child whose host was killed: its wall clock ends before.
    let cpu_seconds = limits
        .compile_wall_max
        .as_secs()
        .saturating_add(1)
        .saturating_mul(threads);
    let mut command = Command::new(program);
    command
        .arg0("wardroom")
        .arg("compile")
        .arg(argument("--memory-bytes", limits.compile_memory_max as u64))
        .arg(argument("--cpu-seconds", cpu_seconds))
        // Nobody's secrets are any business of the compiler's.
        .env_clear()
        // Ctrl-C is for the host, which may want to finish this.
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn argument(name: &str, value: u64) -> OsString {
    format!("{name}={value}").into()
}

async fn end(child: &mut Child) {
    // It fails when the child has ended by itself, and is waited for in any case.
    let _ = child.kill().await;
}

/// What came of a child.
struct Answer {
    status: ExitStatus,
    output: Vec<u8>,
    complaint: String,
}

impl Answer {
    async fn of(child: &mut Child, component: &[u8], output_max: u64) -> io::Result<Self> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A child that does not read to the end says why.
                let _ = stdin.write_all(component).await;
            }
        };
        let ((), output, complaint) = tokio::join!(
            write,
            read(stdout, output_max.saturating_add(1)),
            read(stderr, COMPLAINT_BYTES_MAX),
        );
        Ok(Self {
            status: child.wait().await?,
            output: output?,
            complaint: String::from_utf8_lossy(&complaint?).into_owned(),
        })
    }

    fn judge(self, limits: &Limits) -> Result<Artefact, CompileError> {
        let is = |code: u8| self.status.code() == Some(code.into());
        let out_of_memory = CompileError::OutOfMemory(limits.compile_memory_max);
        if self.output.len() > limits.compile_memory_max || is(OUT_OF_MEMORY) {
            return Err(out_of_memory);
        }
        if self.status.success() {
            return Ok(Artefact::compiled(self.output));
        }
        if is(INVALID) {
            return Err(CompileError::Invalid(one_line(&self.complaint)));
        }
        if says_out_of_memory(&self.complaint) {
            return Err(out_of_memory);
        }
        let (status, complaint) = (self.status, one_line(&self.complaint));
        Err(CompileError::Crashed(format!("{status}: {complaint}")))
    }
}

/// Reads to the end, or to the limit; then the other side cannot write any more.
async fn read(from: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(bytes_max).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Where an allocation fails, Rust's library says so and aborts; a thread that has no room for its stack cannot be
/// started, and is a panic of the compiler's. Neither can be told from other faults by the way the child ends.
fn says_out_of_memory(complaint: &str) -> bool {
    complaint.contains("memory allocation of")
        || complaint.contains("ThreadPoolBuildError")
        || complaint.contains("Cannot allocate memory")
}
