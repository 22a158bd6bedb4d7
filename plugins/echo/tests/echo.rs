//! The echo, without a host: `cargo test -p echo`.

use wardroom_sdk::prelude::*;
use wardroom_sdk::test::Server;

#[test]
fn data_comes_back_as_it_was_spelled() {
    let client = Server::new::<echo::Plugin>().connect();
    for json in [
        r#"{"b":1.50,"a":1e2,"b":12345678901234567890123}"#,
        r#""\u00e4""#,
        "[ 1,2 ]",
        "null",
    ] {
        let data = RawValue::from_string(json.to_owned()).unwrap();
        assert_eq!(
            client.request_text("echo", "/echo", &data),
            Ok(json.to_owned())
        );
    }
}

#[test]
fn no_data_comes_back_as_null() {
    let client = Server::new::<echo::Plugin>().connect();
    assert_eq!(client.request("echo", "/echo", NoData), Ok(json!(null)));
    assert_eq!(
        client.request("echo", "/ECHO", NoData),
        Err(WsError::new(404, "Not found"))
    );
}
