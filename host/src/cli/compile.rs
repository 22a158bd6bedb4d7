//! `wardroom compile`: the child process in which `serve` and the others compile. Not for people, and not shown to
//! them: a component comes in on standard input, machine code goes out on standard output, complaints to standard
//! error; the exit code says what happened.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, nice, setpriority_process, setrlimit};

use crate::plugin::precompile;

/// By how much the compiler stands back behind its host at first: on a core that is wanted by both, it gets a tenth.
/// Somebody waits for a small file to become live, and with less that would take as long as the core is busy.
const NICE: i32 = 10;
/// What takes longer than this is no small file.
const SMALL_MAX: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 500_000_000,
};
/// The lowest priority that there is: from then on the compiler gets what nobody else wants.
const NICE_AT_LAST: i32 = 19;
/// Standard streams, and what the runtime opens to learn how many cores there are.
const FILES_MAX: u64 = 16;
/// It could not begin or end its work.
const BROKEN: u8 = 4;
/// What needs no more than a system call.
const STACK_BYTES: usize = 64 * 1024;

/// What bounds the memory. On Linux it is what is private and writable, so that address space may be reserved, by the
/// allocator for one; elsewhere that counts only a part of the heap, and all address space is bounded.
const MEMORY: Resource = if cfg!(target_os = "linux") {
    Resource::Data
} else {
    Resource::As
};

/// Compile a component, from standard input to standard output
#[derive(Debug, clap::Args)]
pub(super) struct Compile {
    /// What it may allocate
    #[arg(long, value_name = "BYTES")]
    memory_bytes: u64,
    /// What it may compute, on all cores together
    #[arg(long, value_name = "SECONDS")]
    cpu_seconds: u64,
}

impl Compile {
    /// Not on the runtime: it has nothing to wait for, and threads cost memory.
    pub(super) fn run(&self) -> ExitCode {
        std::panic::set_hook(Box::new(end_of_panic));
        // Before the first byte is read: it is somebody else's.
        if let Err(error) = self.confine() {
            return complain(&error, BROKEN);
        }
        let code = match precompile(io::stdin().lock()) {
            Ok(code) => code,
            Err(error) => return complain(&error, error.exit_code()),
        };
        let mut out = io::stdout().lock();
        match out.write_all(&code).and_then(|()| out.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, BROKEN),
        }
    }

    /// Gives up what a compiler does not need.
    fn confine(&self) -> io::Result<()> {
        // When the machine's memory runs out all the same, the system is to end this process, not the host. Where it
        // does not take advice, it decides for itself.
        if cfg!(target_os = "linux") {
            let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        }
        nice(NICE)?;
        watch()?;
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, FILES_MAX)?;
        limit(Resource::Cpu, self.cpu_seconds)?;
        limit(MEMORY, self.memory_bytes)
    }
}

fn complain(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // If nobody hears it, the exit code is left.
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::from(code)
}

/// A panic is the end, on whichever thread, and at once: a backtrace takes memory, and where there is none left, its
/// printing has been seen to wait for itself.
fn end_of_panic(panic: &PanicHookInfo<'_>) {
    let _ = writeln!(io::stderr(), "{panic}");
    #[expect(clippy::exit, reason = "nothing here is worth unwinding for")]
    std::process::exit(BROKEN.into());
}

/// Sets a limit that cannot be raised again.
fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let value = getrlimit(resource)
        .maximum
        .map_or(value, |max| max.min(value));
    let value = Some(value);
    let limit = Rlimit {
        current: value,
        maximum: value,
    };
    Ok(setrlimit(resource, limit)?)
}

/// Gives every thread the lowest priority. On Linux each has one of its own, which those that it starts inherit. What
/// fails is a thread that has ended.
fn stand_back() {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let threads = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for thread in threads {
        let _ = setpriority_process(Pid::from_raw(thread), NICE_AT_LAST);
    }
    let _ = setpriority_process(None, NICE_AT_LAST);
}

/// Ends the process when its host has ended, which closes the other end of standard output. A signal on the death of
/// the parent would not do: the parent it means is the thread that started us, and threads of a runtime come and go.
/// The same thread lowers the priority when that takes long.
fn watch() -> io::Result<()> {
    std::thread::Builder::new()
        .name("host".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(|| {
            let out = io::stdout();
            // Nothing is asked for: errors, and that is what a pipe without a reader is, are told anyway.
            let mut out = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::empty())];
            if poll(&mut out, Some(&SMALL_MAX)) == Ok(0) {
                stand_back();
            }
            while let Err(rustix::io::Errno::INTR) = poll(&mut out, None) {}
            #[expect(clippy::exit, reason = "there is nobody left to return to")]
            std::process::exit(BROKEN.into());
        })?;
    Ok(())
}
