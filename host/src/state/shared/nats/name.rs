//! What a bucket and its keys are called. Pure.
//!
//! A key is `<tenant>.t.<key>` for what is the tenant's, and `<tenant>.p.<plugin>.<key>` or `<tenant>.r.<room>.<key>`:
//! so the keys of one owner are one filter of subjects. A name that has only letters, digits and `-_/` stands as it is;
//! any other is `=` and its bytes in hexadecimal. With the longest names that is some 2,700 bytes, of the 4,096 that a
//! server takes as a line by default.

use std::fmt::Write as _;

use crate::state::Owner;
use crate::state::shared::Spot;

/// The bucket of all hosts with this prefix.
pub(super) fn bucket(prefix: &str) -> String {
    let mut name = String::new();
    for byte in prefix.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            name.push(char::from(byte));
        } else {
            write!(name, "_{byte:02X}").expect("a string takes all writes");
        }
    }
    name + "ws-state"
}

/// The key of a value in the bucket.
pub(super) fn key(spot: &Spot) -> String {
    let (kind, name) = match &spot.owner {
        Owner::Tenant => ('t', None),
        Owner::Plugin(name) => ('p', Some(name)),
        Owner::Room(name) => ('r', Some(name)),
    };
    let mut text = part(&spot.tenant);
    text.push('.');
    text.push(kind);
    for name in name.into_iter().chain([&spot.key]) {
        text.push('.');
        text.push_str(&part(name));
    }
    text
}

/// What [`key`] was made of; `None` when somebody else has made it.
pub(super) fn spot(text: &str) -> Option<Spot> {
    let mut parts = text.split('.');
    let tenant = unpart(parts.next()?)?;
    let owner = match parts.next()? {
        "t" => Owner::Tenant,
        "p" => Owner::Plugin(unpart(parts.next()?)?),
        "r" => Owner::Room(unpart(parts.next()?)?),
        _ => return None,
    };
    let key = unpart(parts.next()?)?;
    let spot = Spot { tenant, owner, key };
    parts.next().is_none().then_some(spot)
}

fn is_plain(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

fn part(name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    let mut text = String::with_capacity(1 + 2 * name.len());
    text.push('=');
    for byte in name.bytes() {
        write!(text, "{byte:02x}").expect("a string takes all writes");
    }
    text
}

fn unpart(text: &str) -> Option<String> {
    let Some(digits) = text.strip_prefix('=') else {
        return is_plain(text).then(|| text.to_owned());
    };
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    let name = String::from_utf8(bytes?).ok()?;
    // One name, one text: with two, there would be two values of one key.
    (rest.is_empty() && part(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(tenant: &str, owner: Owner, name: &str) -> Spot {
        Spot {
            tenant: tenant.to_owned(),
            owner,
            key: name.to_owned(),
        }
    }

    #[test]
    fn what_a_bucket_cannot_be_called_is_encoded() {
        assert_eq!(bucket(""), "ws-state");
        assert_eq!(bucket("blue-2:"), "blue-2_3Aws-state");
        assert_eq!(bucket("a.b/c_d"), "a_2Eb_2Fc_5Fdws-state");
        // The longest prefix, in the longest name that a stream may have.
        assert!("KV_".len() + bucket(&":".repeat(64)).len() <= 255);
    }

    #[test]
    fn keys_can_be_read() {
        let room = Owner::Room("/chat/general".to_owned());
        let plugin = Owner::Plugin("chat".to_owned());
        assert_eq!(key(&at("default", Owner::Tenant, "hits")), "default.t.hits");
        assert_eq!(key(&at("a", plugin, "k_1")), "a.p.chat.k_1");
        assert_eq!(key(&at("a", room, "ä.")), "a.r./chat/general.=c3a42e");
    }

    #[test]
    fn the_longest_fits_into_a_line() {
        let longest = at(
            &"t".repeat(63),
            Owner::Room("é".repeat(512)),
            &"é".repeat(128),
        );
        let subject = format!("$KV.{}.{}", bucket(&":".repeat(64)), key(&longest));
        assert!(subject.len() < 3_000, "{}", subject.len());
    }

    #[test]
    fn what_was_not_written_so_is_nobodys() {
        for text in [
            "",
            "a",
            "a.t",
            "a.t.k.k",
            "a.r.k",
            "a.x.k",
            "a.t.",
            ".t.k",
            "a.t.=6",
            "a.t.=6g",
            "a.t.=61",
            "a.t.=C3A4",
            "a.t.=ff",
            "a.t.k k",
            "a.t.=+1",
            "t.t.ä",
        ] {
            assert_eq!(spot(text), None, "{text:?}");
        }
    }

    fn owner() -> impl Strategy<Value = Owner> {
        prop_oneof![
            Just(Owner::Tenant),
            ".{1,9}".prop_map(Owner::Plugin),
            ".{1,9}".prop_map(Owner::Room),
        ]
    }

    proptest! {
        #[test]
        fn a_key_says_whose_it_is(tenant in "[a-z0-9-]{1,9}", owner in owner(), name in ".{1,9}") {
            let spot_ = at(&tenant, owner, &name);
            let text = key(&spot_);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_/=.".contains(&byte)));
            prop_assert_eq!(spot(&text), Some(spot_));
        }

        #[test]
        fn any_text_is_read(text in "[a-z=.0-9ä]{0,20}") {
            if let Some(spot) = spot(&text) {
                prop_assert_eq!(key(&spot), text);
            }
        }
    }
}
