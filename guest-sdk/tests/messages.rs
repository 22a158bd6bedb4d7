//! What the macros say to a mistake. `TRYBUILD=overwrite cargo test -p wardroom-sdk --test
//! messages` writes the `.stderr` files anew; read them as an author would before they are
//! committed.

#[test]
fn mistakes_are_explained() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
}
