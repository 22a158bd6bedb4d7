//! What is read, what is not, and where the ends are.

use super::*;
use crate::config::{Config, Key};

fn time(text: &str) -> Option<Duration> {
    Time::parse(Given::Text(text))
}

fn bytes(text: &str) -> Option<usize> {
    Bytes::parse(Given::Text(text))
}

#[test]
fn times_have_a_unit_unless_they_are_zero() {
    assert_eq!(time("0"), Some(Duration::ZERO));
    assert_eq!(time("0s"), Some(Duration::ZERO));
    assert_eq!(time("50ms"), Some(Duration::from_millis(50)));
    assert_eq!(time("5 s"), Some(Duration::from_secs(5)));
    assert_eq!(time("1m"), Some(Duration::from_secs(60)));
    assert_eq!(time("2h"), Some(Duration::from_secs(7_200)));
    for wrong in [
        "", " ", "5", "s", "-5s", "5.5s", "5S", "5sec", "1h30m", " 5s", "5s ", "5_s",
    ] {
        assert_eq!(time(wrong), None, "{wrong:?}");
    }
    let untimely = [Given::Integer(5), Given::Switch(false)];
    assert_eq!(untimely.map(<Time as Unit<Duration>>::parse), [None, None]);
}

#[test]
fn times_have_an_upper_end() {
    // 2^64 nanoseconds are 18446744073.709551616 s.
    assert_eq!(
        time("18446744073s"),
        Some(Duration::from_secs(18_446_744_073))
    );
    assert_eq!(time("18446744074s"), None);
    assert_eq!(
        time("18446744073709551615ns").map(|time| time.as_nanos()),
        Some(u128::from(u64::MAX))
    );
    assert_eq!(time("18446744073709551616ns"), None);
}

#[test]
fn sizes_are_numbers_with_or_without_a_unit() {
    assert_eq!(bytes("0"), Some(0));
    assert_eq!(bytes("65_536"), Some(65_536));
    assert_eq!(bytes("12 B"), Some(12));
    assert_eq!(bytes("10kB"), Some(10_000));
    assert_eq!(bytes("64 KiB"), Some(65_536));
    assert_eq!(bytes("1 MiB"), Some(1 << 20));
    assert_eq!(
        <Bytes as Unit<usize>>::parse(Given::Integer(65_536)),
        Some(65_536)
    );
    for wrong in [
        "",
        "KiB",
        "-1",
        "1.5 MiB",
        "1 KB",
        "1 kib",
        "1 Mb",
        "_1",
        "1_",
        "1__0",
        "64 potatoes",
    ] {
        assert_eq!(bytes(wrong), None, "{wrong:?}");
    }
    assert_eq!(
        <Bytes as Unit<usize>>::parse(Given::Integer(-1)),
        None,
        "nothing is smaller than nothing"
    );
}

#[test]
fn sizes_have_an_upper_end() {
    assert_eq!(bytes("18446744073709551615"), Some(usize::MAX));
    assert_eq!(bytes("18446744073709551616"), None);
    assert_eq!(bytes("17179869183 GiB"), Some(17_179_869_183 << 30));
    assert_eq!(bytes("17179869184 GiB"), None);
}

#[test]
fn counts_fit_their_type() {
    let count = |given| <Count as Unit<u32>>::parse(given);
    assert_eq!(count(Given::Integer(4_294_967_295)), Some(u32::MAX));
    assert_eq!(count(Given::Integer(4_294_967_296)), None);
    assert_eq!(count(Given::Any("4_294_967_295")), Some(u32::MAX));
    assert_eq!(count(Given::Any("4_294_967_296")), None);
    assert_eq!(count(Given::Integer(-1)), None);
    assert_eq!(count(Given::Any("")), None);
    assert_eq!(count(Given::Text("5")), None, "a file has numbers for that");
}

#[test]
fn what_is_shown_is_read_back() {
    for text in ["0", "1ns", "1500us", "50ms", "5s", "90s", "2m", "2h"] {
        assert_eq!(
            <Time as Unit<Duration>>::show(&time(text).unwrap()).to_string(),
            text
        );
    }
    for text in ["0", "512", "1_023", "1 kB", "64 KiB", "1500 kB", "3 GiB"] {
        assert_eq!(
            <Bytes as Unit<usize>>::show(&bytes(text).unwrap()).to_string(),
            text
        );
    }
}

#[test]
fn messages_say_what_would_be_right_and_keep_secrets() {
    let problem = <Bytes as Unit<usize>>::read(Given::Text("64 potatoes")).unwrap_err();
    assert!(
        problem.contains("64 KiB") && problem.ends_with("not \"64 potatoes\""),
        "{problem}"
    );
    let problem = <Text as Unit<Option<Secret>>>::read(Given::Integer(1234)).unwrap_err();
    assert!(!problem.contains("1234"), "{problem}");
    let problem = <Switch as Unit<bool>>::read(Given::Any("")).unwrap_err();
    assert_eq!(problem, "must be true or false, not empty");
}

#[test]
fn state_is_in_memory_or_at_the_broker_or_in_a_file() {
    let kept = |text| Keeping::parse(Given::Any(text));
    assert_eq!(kept("memory"), Some(StateStore::Memory));
    assert_eq!(kept("cluster"), Some(StateStore::Cluster));
    for file in ["./memory", "Memory", "./cluster", "state.redb"] {
        assert_eq!(kept(file), Some(StateStore::File(file.into())));
        assert_eq!(
            Keeping::show(&kept(file).unwrap()),
            Value::Text(file.to_owned())
        );
    }
    assert_eq!(kept(""), None);
    assert_eq!(
        <Keeping as Unit<StateStore>>::parse(Given::Switch(true)),
        None
    );
}

#[test]
fn state_is_at_the_broker_when_there_is_one() {
    let mut config = Config::default();
    let shown = |config: &Config| Key::State.get(config);
    assert_eq!(shown(&config), Value::Text("memory".to_owned()));
    config.set("state", "cluster").unwrap();
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("state: can be \"cluster\" only"), "{error}");
    assert!(error.contains("cluster.url"), "{error}");
    config.set("cluster.url", "redis://localhost").unwrap();
    assert!(config.validate().is_ok());
    config.state = StateStore::Automatic;
    assert_eq!(shown(&config), Value::Text("cluster".to_owned()));
    config.set("state", "memory").unwrap();
    assert_eq!(config.state_store(), StateStore::Memory);
}
