use super::*;

#[test]
fn files_that_are_no_components_are_told_apart() {
    assert!(matches!(
        check_header(b"\0asm\x01\0\0\0", 100),
        Err(LoadError::CoreModule)
    ));
    assert!(matches!(check_header(b"", 100), Err(LoadError::NotWasm)));
    assert!(matches!(
        check_header(b"#!/bin/sh", 100),
        Err(LoadError::NotWasm)
    ));
    assert!(check_header(b"\0asm\x0d\0\x01\0", 8).is_ok());
    assert!(matches!(
        check_header(b"\0asm\x0d\0\x01\0", 7),
        Err(LoadError::TooLarge { bytes: 8, max: 7 })
    ));
}
