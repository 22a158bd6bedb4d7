//! Exports a manifest and nothing else. What it promises is in [`WANTS`], which the harness overwrites in the
//! built component: routes without the export `messages`, or hooks without the export `connections`.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package tests:bare;
        world bare {
            include wardroom:plugin/imports@0.1.0;
            export wardroom:plugin/manifest@0.1.0;
        }
    ",
    world: "tests:bare/bare",
    generate_all,
});

use exports::wardroom::plugin::manifest::{Guest, Manifest, Route};

/// `nothing`, `routes ` or `hooks  `, after the word by which the harness finds it.
static WANTS: [u8; 18] = *b"BARE-WANTS:nothing";

struct Bare;

impl Guest for Bare {
    fn describe() -> Manifest {
        // Not a constant to the compiler: the harness changes it afterwards.
        let wants = std::hint::black_box(&WANTS);
        let wants = std::str::from_utf8(wants).unwrap_or_default().trim();
        let route = Route {
            event: "bare".into(),
            path: "/bare".into(),
        };
        Manifest {
            name: "bare".into(),
            version: "0.1.0".into(),
            description: String::new(),
            routes: if wants.ends_with("routes") {
                vec![route]
            } else {
                Vec::new()
            },
            hooks: if wants.ends_with("hooks") {
                vec!["connect".into()]
            } else {
                Vec::new()
            },
            mode: None,
            capabilities: Vec::new(),
            config_keys: Vec::new(),
            headers: Vec::new(),
            extra: Vec::new(),
        }
    }
}

export!(Bare);
