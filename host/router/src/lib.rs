//! How wardroom finds the route of a message: patterns, and the immutable table of them.
//!
//! A message carries an **event**, compared as it is, and a **path**, matched against the patterns
//! that the plugins' manifests declare for that event.
//!
//! ```
//! use wardroom_router::{Pattern, RouteTable, join};
//!
//! let mut routes = RouteTable::builder();
//! routes.add("message", Pattern::parse(&join("chat", ":room"))?, "chat")?;
//! routes.add("message", Pattern::parse(r"/chat/:id(\d+)")?, "numbered")?;
//! routes.add("message", Pattern::parse("/files/*")?, "files")?;
//! let table = routes.build();
//!
//! let found = table.find("message", "/chat/caf%C3%A9").expect("a room is any segment");
//! assert_eq!(*found.target, "chat");
//! assert_eq!(found.params, [("room".into(), "café".to_owned())]);
//!
//! // An expression comes before a parameter that takes anything, whatever the load order.
//! assert_eq!(table.find("message", "/chat/7").map(|found| *found.target), Some("numbered"));
//! assert!(table.find("join", "/chat/7").is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Patterns
//!
//! | in a pattern | matches |
//! |---|---|
//! | `chat/general` | itself |
//! | `:room` | text of one segment: at least one character, never a `/` |
//! | `:a-:b`, `:file.css`, `v:major` | parameters and text mixed in one segment |
//! | `:id(\d+)` | text of one segment that the whole of the [`regex`] expression matches |
//! | `*` | any text, `/` included, also none; anywhere, several allowed; captured under the name `*` |
//! | `*(\d+)` | text that the whole of the expression matches |
//! | `:v?` at the end | may be missing, together with the `/` before it; only such may follow |
//! | `\:` `\*` | a colon, an asterisk |
//!
//! - A name is made of ASCII letters, digits and `_`; the first other character ends it. A name may
//!   occur several times and then has several values, in order.
//! - A backslash also makes `\`, `(` and `?` mean themselves; before anything else it is a backslash.
//! - Patterns and paths gain a leading slash when they lack one. A trailing slash counts.
//! - Text and expressions are compared with the path as it was sent. What is captured is then
//!   percent-decoded, once; an escape that is invalid, or part of invalid UTF-8, stays as it is.
//! - From left to right each parameter or wildcard takes as little as it can, so that the last one
//!   takes what remains. An expression's quantifiers follow this rule too when it shares its segment
//!   (or, after a wildcard, its path) with another parameter; its alternatives are tried as written.
//!
//! # Precedence
//!
//! Of several patterns that match a path, a pattern without parameters and wildcards wins. Otherwise
//! the first position from the left where two patterns differ decides:
//!
//! 1. text, the longer one first;
//! 2. a parameter with an expression, 3. without;
//! 4. the end of the pattern;
//! 5. an optional parameter, 6. an optional parameter that the path lacks (with an expression first);
//! 7. a wildcard with an expression, 8. without.
//!
//! Patterns alike in all this are ordered by their text with the names left out, byte by byte: never
//! by the order in which they were added.
//!
//! # Cost
//!
//! A look-up hashes the event, the path and each of its segments; the number of routes does not show.
//! Routes of mixed segments and wildcards are found by the text in them (see `index.rs`). One case is
//! left that is searched one by one: siblings that differ in nothing but their expressions, as
//! `/:a(x+)` and `/:a(y+)` do. No path, however hostile, takes more than linear time per candidate.

mod decode;
mod expression;
mod form;
mod hash;
mod index;
mod matcher;
mod node;
mod parse;
mod pattern;
mod segment;
mod table;

pub use expression::{EXPRESSION_BYTES_MAX, EXPRESSIONS_BYTES_MAX};
pub use parse::{OPTIONALS_MAX, PARAMS_MAX, PATTERN_BYTES_MAX, PatternError};
pub use pattern::{Params, Pattern, PatternParser, join};
pub use table::{Conflict, Match, RouteTable, RouteTableBuilder};
