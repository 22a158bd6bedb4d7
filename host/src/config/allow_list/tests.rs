use super::*;

fn list(hosts: &[&str]) -> AllowList {
    AllowList::new(hosts.iter().copied(), []).unwrap()
}

fn allows(list: &AllowList, scheme: &str, authority: &str) -> bool {
    Destination::new(scheme, authority).is_some_and(|there| list.allows(&there))
}

#[test]
fn scheme_host_and_port_are_compared() {
    let list = list(&[
        "https://api.example.com",
        "http://10.1.2.3:8080/",
        "http://[fd00::1]",
    ]);
    for (scheme, authority, is_allowed) in [
        ("https", "api.example.com", true),
        ("https", "API.Example.COM:443", true),
        ("http", "api.example.com", false),
        ("http", "api.example.com:443", false),
        ("https", "api.example.com:80", false),
        ("https", "api.example.com.", false),
        ("https", "xapi.example.com", false),
        ("https", "api.example.com.evil.org", false),
        ("http", "10.1.2.3:8080", true),
        ("http", "10.1.2.3", false),
        ("http", "10.1.2.4:8080", false),
        ("http", "[fd00::1]:80", true),
        ("http", "[fd00:0::1]", true),
        ("http", "[fd00::2]", false),
        ("ftp", "api.example.com", false),
    ] {
        assert_eq!(
            allows(&list, scheme, authority),
            is_allowed,
            "{scheme} {authority}"
        );
    }
}

#[test]
fn a_star_stands_for_labels_or_for_everything() {
    let below = list(&["https://*.example.com"]);
    assert!(allows(&below, "https", "a.example.com"));
    assert!(allows(&below, "https", "a.b.example.com"));
    for host in [
        "example.com",
        "aexample.com",
        ".example.com",
        "a.example.com.evil.org",
    ] {
        assert!(!allows(&below, "https", host), "{host}");
    }
    let any = list(&["https://*"]);
    assert!(allows(&any, "https", "10.0.0.1"));
    assert!(!allows(&any, "http", "example.com"));
    assert!(!allows(&any, "https", "example.com:8443"));
}

#[test]
fn only_an_address_that_is_listed_is_named() {
    let list = list(&["http://127.0.0.1", "http://*", "http://localhost"]);
    let names = |authority| list.names_address(&Destination::new("http", authority).unwrap());
    assert!(names("127.0.0.1"));
    for other in [
        "127.0.0.2",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127.0.0.1:81",
    ] {
        assert!(!names(other), "{other}");
    }
}

#[test]
fn what_is_no_host_is_refused() {
    for text in [
        "",
        "api.example.com",
        "ftp://example.com",
        "HTTPS://example.com",
        "https://",
        "https://example.com/path",
        "https://example.com//",
        "https://example.com?query",
        "https://user@example.com",
        "https://example.com:",
        "https://example.com:+80",
        "https://example.com:65536",
        "https://*example.com",
        "https://*.*.com",
        "https://*.10.0.0.1",
        "https://a..b",
        "https://ex ample.com",
        "https://bücher.example",
        "https://[::1",
        "https://::1",
        "https://[fe80::1%25eth0]",
    ] {
        assert_eq!(
            AllowList::new([text], []),
            Err(AllowListError::Host(text.to_owned()))
        );
    }
    assert!(AllowList::new([], ["10.0.0.0"]).is_ok());
    assert!(AllowList::new([], ["private"]).is_err());
}

#[test]
fn a_destination_is_shown_as_a_header_has_it() {
    let shown = |scheme, authority| Destination::new(scheme, authority).unwrap().to_string();
    assert_eq!(shown("https", "Example.com:443"), "example.com");
    assert_eq!(shown("http", "example.com:443"), "example.com:443");
    assert_eq!(shown("http", "[::0001]"), "[::1]");
}

#[test]
fn a_list_is_shown_as_it_is_written() {
    let hosts = [
        "https://*",
        "https://*.example.com:8443",
        "http://10.1.2.3",
        "http://[fd00::1]:8080",
    ];
    let list = AllowList::new(hosts, ["10.0.0.0/8", "fd00::/8"]).unwrap();
    assert_eq!(list.hosts().collect::<Vec<_>>(), hosts);
    assert_eq!(list.networks(), ["10.0.0.0/8", "fd00::/8"]);
}
