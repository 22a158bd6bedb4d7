//! What a look-up costs among few and many routes, by kind of pattern: `cargo bench -p wardroom-router`,
//! or only some kinds: `cargo bench -p wardroom-router --bench lookup -- wildcard`.
//!
//! Prints nanoseconds per look-up, the best of several runs, each over paths of many routes so that the
//! table does not simply stay in the processor's first cache; and the time to parse and build.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use wardroom_router::{PatternParser, RouteTable};

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const RUNS: usize = 60;
const LOOKUPS: usize = 5_000;
/// Routes whose paths are looked up in turn.
const PATHS: usize = 500;

/// A kind of route: its n-th pattern, and a path that only this one matches.
struct Kind {
    name: &'static str,
    pattern: fn(usize) -> String,
    path: fn(usize) -> String,
}

const KINDS: [Kind; 13] = [
    Kind {
        name: "literal",
        pattern: |n| format!("/app{}/page{n}", n % 10),
        path: |n| format!("/app{}/page{n}", n % 10),
    },
    Kind {
        name: "one parameter",
        pattern: |n| format!("/chat{n}/:room"),
        path: |n| format!("/chat{n}/general"),
    },
    Kind {
        name: "two parameters",
        pattern: |n| format!("/:tenant/chat{n}/:room"),
        path: |n| format!("/acme/chat{n}/general"),
    },
    Kind {
        name: "expression",
        pattern: |n| format!(r"/user{n}/:id(\d+)"),
        path: |n| format!("/user{n}/12345"),
    },
    Kind {
        name: "mixed, text first",
        pattern: |n| format!("/room{n}-:x"),
        path: |n| format!("/room{n}-a"),
    },
    Kind {
        name: "mixed, text last",
        pattern: |n| format!("/:file.ext{n}"),
        path: |n| format!("/site.ext{n}"),
    },
    Kind {
        name: "mixed, text between",
        pattern: |n| format!("/:a-{n}-:b"),
        path: |n| format!("/x-{n}-y"),
    },
    Kind {
        name: "mixed, with expression",
        pattern: |n| format!(r"/v{n}/:a(\d+)-:b"),
        path: |n| format!("/v{n}/12-b"),
    },
    Kind {
        name: "wildcard, text first",
        pattern: |n| format!("/files{n}/*"),
        path: |n| format!("/files{n}/a/b"),
    },
    Kind {
        name: "wildcard, text last",
        pattern: |n| format!("/*/end{n}"),
        path: |n| format!("/a/b/end{n}"),
    },
    Kind {
        name: "wildcard, text between",
        pattern: |n| format!("/*/mid{n}/*"),
        path: |n| format!("/a/mid{n}/b"),
    },
    Kind {
        name: "wildcard, parameter last",
        pattern: |n| format!("/*/item{n}/:id"),
        path: |n| format!("/a/b/item{n}/7"),
    },
    Kind {
        name: "optional, missing",
        pattern: |n| format!("/opt{n}/:v?"),
        path: |n| format!("/opt{n}"),
    },
];

fn main() {
    println!(
        "{:<26}{:>10}{:>10}{:>10}   build of the largest",
        "ns per look-up among", "10", "1,000", "10,000"
    );
    let wanted = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    for kind in KINDS.iter().filter(|kind| kind.name.contains(&wanted)) {
        report(kind.name, std::slice::from_ref(kind));
    }
    if wanted.is_empty() {
        report("all kinds together", &KINDS);
    }
}

fn report(name: &str, kinds: &[Kind]) {
    let mut build = Duration::ZERO;
    print!("{name:<26}");
    for size in SIZES {
        let started = Instant::now();
        let mut parser = PatternParser::new();
        let mut builder = RouteTable::builder();
        for (n, kind) in (0..size).zip(kinds.iter().cycle()) {
            let pattern = parser
                .parse(&(kind.pattern)(n))
                .expect("the patterns are valid");
            builder
                .add("message", pattern, n)
                .expect("no two are the same");
        }
        let table = builder.build();
        build = started.elapsed();
        print!("{:>10.0}", nanoseconds(&table, kinds, size));
    }
    println!("   {:.0} ms", build.as_secs_f64() * 1e3);
}

fn nanoseconds(table: &RouteTable<usize>, kinds: &[Kind], size: usize) -> f64 {
    let stride = (size / PATHS).max(1);
    let paths: Vec<String> = (0..size)
        .zip(kinds.iter().cycle())
        .step_by(stride + usize::from(stride.is_multiple_of(kinds.len())))
        .map(|(n, kind)| {
            let path = (kind.path)(n);
            let found = table.find("message", &path).map(|found| *found.target);
            assert_eq!(found, Some(n), "{path}");
            path
        })
        .collect();
    let run = |_| {
        let started = Instant::now();
        for path in paths.iter().cycle().take(LOOKUPS) {
            black_box(table.find(black_box("message"), black_box(path)));
        }
        started.elapsed().as_secs_f64() * 1e9 / LOOKUPS as f64
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}
