//! Misbehaviour.

use crate::text;
use crate::wardroom::plugin::log;
use crate::wardroom::plugin::types::HandlerError;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

thread_local! {
    /// What this instance holds on to.
    static HELD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Does what the word says; `None` when it is no fault.
pub fn run(word: &str, step: &Value) -> Option<Value> {
    let count = step[1].as_u64().unwrap_or(0);
    Some(match word {
        "trap" => trap(),
        "panic" => panic!("{}", text(&step[1])),
        "exit" => std::process::exit(count as i32),
        "spin" => spin(),
        "work" => work(count),
        "sleep" => {
            std::thread::sleep(Duration::from_millis(count));
            json!("slept")
        }
        "recurse" => json!(recurse(count)),
        "hold" => hold(count),
        "hog" => hog(),
        "fill" => fill(count),
        "free" => {
            HELD.with_borrow_mut(Vec::clear);
            json!("ok")
        }
        "random-bytes" => random_bytes(count),
        "print" => {
            println!("{}", text(&step[1]));
            json!("ok")
        }
        "eprint" => {
            eprintln!("{}", text(&step[1]));
            json!("ok")
        }
        "log-bytes" => {
            log::log(log::Level::Info, &no_utf8(), &[]);
            json!("ok")
        }
        "environment" => environment(),
        _ => return None,
    })
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    unreachable!()
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Keeps the processor busy for about so many milliseconds of its own clock.
fn work(milliseconds: u64) -> Value {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(milliseconds) {
        black_box(start);
    }
    json!("worked")
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame[0] == 0 {
        0
    } else {
        recurse(frame[1].wrapping_sub(1)).wrapping_add(frame[2])
    }
}

/// Allocates so many MiB and keeps them; says whether it got them.
fn hold(mebibytes: u64) -> Value {
    let mut block = Vec::new();
    if block.try_reserve_exact((mebibytes << 20) as usize).is_err() {
        return json!("refused");
    }
    block.push(1);
    HELD.with_borrow_mut(|held| held.push(block));
    json!("ok")
}

/// Allocates until it is refused, and says how many MiB it got.
fn hog() -> Value {
    let mut held = 0;
    while hold(1) == "ok" {
        held += 1;
    }
    HELD.with_borrow_mut(Vec::clear);
    json!({ "held": held })
}

/// Asks the host for so many random bytes in one call.
fn random_bytes(count: u64) -> Value {
    unsafe extern "C" {
        /// wasi-libc passes it on as it is.
        fn getentropy(buffer: *mut u8, length: usize) -> i32;
    }
    let mut bytes = vec![0; count as usize];
    // SAFETY: the buffer has the length.
    json!(unsafe { getentropy(bytes.as_mut_ptr(), bytes.len()) })
}

/// Allocates so many MiB and writes to all of them, at one stroke; keeps none.
fn fill(mebibytes: u64) -> Value {
    let mut block = Vec::new();
    let bytes = (mebibytes << 20) as usize;
    if block.try_reserve_exact(bytes).is_err() {
        return json!("refused");
    }
    block.resize(bytes, 1u8);
    black_box(&block);
    json!("ok")
}

/// What of the machine can be seen from inside: nothing.
fn environment() -> Value {
    let write = std::fs::write("/tmp/wardroom-test", "x").is_err();
    json!({
        "arguments": std::env::args().count(),
        "variables": std::env::vars().count(),
        "files": std::fs::read_dir("/").is_ok() || !write,
        "network": std::net::TcpStream::connect("127.0.0.1:1").err().map(|error| error.kind().to_string()),
        "listens": std::net::TcpListener::bind("127.0.0.1:0").is_ok(),
        "input": std::io::read_to_string(std::io::stdin()).ok(),
    })
}

/// A string that is none: the contract's strings are UTF-8.
pub fn no_utf8() -> String {
    // SAFETY: none; breaking the rule is what this is for, and nothing here looks at the text.
    unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"']) }
}

/// Answers, refuses, traps, spins or answers rubbish, as the number says.
pub fn random(number: &str) -> Result<Option<String>, HandlerError> {
    let number: u64 = number.trim().parse().unwrap_or(0);
    match number % 16 {
        0 => trap(),
        1 => panic!("told to"),
        2 => Ok(Some("rubbish".to_owned())),
        3 => Ok(Some(no_utf8())),
        4 => Ok(Some("[".repeat(1000))),
        5 => Err(HandlerError {
            code: 418,
            message: "told to".to_owned(),
        }),
        6 => Ok(None),
        7 => Ok(Some(String::new())),
        8 => Ok(Some(format!("\"{}\"", "x".repeat(4096)))),
        // Few, because each costs the whole CPU budget.
        9 if number % 1024 == 9 => spin(),
        _ => Ok(Some(number.to_string())),
    }
}
