use super::*;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn room(name: &str) -> Owner {
    Owner::Room(name.to_owned())
}

fn spot(owner: &Owner, key: &str) -> Spot {
    Spot {
        tenant: "a".to_owned(),
        owner: owner.clone(),
        key: key.to_owned(),
    }
}

fn list(mirror: &mut Mirror, owner: &Owner, now: u64) -> Vec<String> {
    let wanted = Wanted {
        tenant: "a",
        owner,
        prefix: "",
        after: None,
        limit: 100,
    };
    let page = mirror.keys(&wanted, at(now));
    assert_eq!(page.total, page.keys.len());
    page.keys
}

const QUOTA: Quota = Quota {
    keys_max: 4,
    bytes_max: 20,
};

const PLENTY: Quota = Quota {
    keys_max: 100_000,
    bytes_max: 64 * 1024 * 1024,
};

#[test]
fn keys_are_sorted_and_paged_and_those_of_their_owner() {
    let mut mirror = Mirror::default();
    let owners = [
        Owner::Tenant,
        Owner::Plugin("p".to_owned()),
        room("p"),
        room("pp"),
    ];
    let mut version = 0;
    for owner in &owners {
        for key in ["b", "ä", "ab", "a"] {
            version += 1;
            mirror.learn(&spot(owner, key), version, Some((1, None)), at(0));
        }
    }
    for owner in &owners {
        assert_eq!(list(&mut mirror, owner, 0), ["a", "ab", "b", "ä"]);
        let wanted = Wanted {
            tenant: "a",
            owner,
            prefix: "a",
            after: Some("a"),
            limit: 1,
        };
        let page = mirror.keys(&wanted, at(0));
        assert_eq!((page.total, page.keys), (2, vec!["ab".to_owned()]));
        let nothing = Wanted {
            tenant: "b",
            ..wanted
        };
        assert_eq!(mirror.keys(&nothing, at(0)), KeyPage::default());
    }
    assert_eq!(mirror.rooms("a"), ["p", "pp"]);
}

#[test]
fn what_is_older_changes_nothing() {
    let mut mirror = Mirror::default();
    let k = spot(&Owner::Tenant, "k");
    mirror.learn(&k, 5, Some((1, None)), at(0));
    mirror.learn(&k, 4, None, at(0));
    mirror.forget(&k, 4);
    assert_eq!(list(&mut mirror, &Owner::Tenant, 0), ["k"]);
    mirror.learn(&k, 6, None, at(0));
    mirror.learn(&k, 5, Some((1, None)), at(0));
    assert!(list(&mut mirror, &Owner::Tenant, 0).is_empty());
}

#[test]
fn what_is_over_counts_for_nothing_and_is_swept_later() {
    let mut mirror = Mirror::default();
    let owner = room("/r");
    mirror.learn(&spot(&owner, "lent"), 1, Some((8, Some(at(10)))), at(0));
    mirror.learn(&spot(&owner, "gone"), 2, None, at(5));
    mirror.learn(&spot(&owner, "kept"), 3, Some((1, None)), at(0));
    assert_eq!(list(&mut mirror, &owner, 9), ["kept", "lent"]);
    assert_eq!(list(&mut mirror, &owner, 10), ["kept"]);
    // 2 + 4 + 1 bytes are there.
    let thirteen = Some(20 - 7 - 3);
    let verdict = mirror.reserve(&spot(&owner, "k"), thirteen, QUOTA, at(10));
    assert_eq!(verdict, Verdict::Near);
    assert!(mirror.litter("a", at(4), at(20), 9).is_empty());
    let swept = mirror.litter("a", at(9), at(20), 9);
    assert_eq!(swept, [(spot(&owner, "gone"), 2)]);
    let swept = mirror.litter("a", at(10), at(20), 9);
    assert_eq!(
        swept,
        [(spot(&owner, "gone"), 2), (spot(&owner, "lent"), 1)]
    );
    assert_eq!(mirror.litter("a", at(10), at(20), 1).len(), 1);
    // Somebody has written it again meanwhile.
    mirror.learn(&spot(&owner, "lent"), 4, Some((8, None)), at(20));
    for (spot, version) in swept {
        mirror.forget(&spot, version);
    }
    assert!(mirror.litter("a", at(20), at(20), 9).is_empty());
    assert_eq!(list(&mut mirror, &owner, 20), ["kept", "lent"]);
}

#[test]
fn a_quota_is_exact() {
    let mut mirror = Mirror::default();
    let k = |key: &str| spot(&Owner::Tenant, key);
    let refused = |limit| Verdict::Refused(limit);
    for (version, key) in (1..).zip(["a", "b", "c"]) {
        mirror.learn(&k(key), version, Some((4, None)), at(0));
    }
    // 15 bytes are there.
    let reserve =
        |mirror: &mut Mirror, key: &str, value| mirror.reserve(&k(key), value, QUOTA, at(0));
    assert_eq!(
        reserve(&mut mirror, "d", Some(5)),
        refused(Limit::StateBytesMax)
    );
    assert_eq!(reserve(&mut mirror, "d", Some(4)), Verdict::Near);
    mirror.learn(&k("d"), 4, Some((4, None)), at(0));
    assert_eq!(
        reserve(&mut mirror, "e", Some(0)),
        refused(Limit::StateKeysMax)
    );
    assert_eq!(
        reserve(&mut mirror, "a", Some(5)),
        refused(Limit::StateBytesMax)
    );
    assert_eq!(
        reserve(&mut mirror, "a", Some(3)),
        Verdict::Far(Size::default()),
        "what does not grow may be"
    );
    assert_eq!(
        reserve(&mut mirror, "a", None),
        Verdict::Far(Size::default())
    );
    mirror.learn(&k("d"), 5, None, at(0));
    assert_eq!(reserve(&mut mirror, "a", Some(9)), Verdict::Near);
    assert_eq!(
        reserve(&mut mirror, "a", Some(10)),
        refused(Limit::StateBytesMax)
    );
    // Over the limit, because that was lowered.
    let none = Quota {
        keys_max: 0,
        bytes_max: 0,
    };
    let verdict = mirror.reserve(&k("a"), Some(4), none, at(0));
    assert_eq!(verdict, Verdict::Far(Size::default()));
    let verdict = mirror.reserve(&k("new"), Some(0), none, at(0));
    assert_eq!(verdict, refused(Limit::StateKeysMax));
}

#[test]
fn from_the_middle_on_a_quota_is_near() {
    let mut mirror = Mirror::default();
    let reserve = |mirror: &mut Mirror, bytes: usize| {
        mirror.reserve(&spot(&Owner::Tenant, "k"), Some(bytes - 1), PLENTY, at(0))
    };
    let half = PLENTY.bytes_max / 2;
    let Verdict::Far(size) = reserve(&mut mirror, half) else {
        panic!("it is far");
    };
    let other = reserve(&mut mirror, 2);
    assert_eq!(other, Verdict::Near, "what is being written counts");
    mirror.release("a", size);
    assert_eq!(reserve(&mut mirror, half + 1), Verdict::Near);
    let small = Quota {
        keys_max: KEYS_AT_ONCE,
        ..PLENTY
    };
    let verdict = mirror.reserve(&spot(&room("/r"), "k"), Some(1), small, at(0));
    assert_eq!(verdict, Verdict::Near);
}

#[test]
fn what_goes_with_a_room_is_what_has_no_end_and_is_no_newer() {
    let mut mirror = Mirror::default();
    let owner = room("/r");
    mirror.learn(&spot(&owner, "old"), 1, Some((1, None)), at(0));
    mirror.learn(&spot(&owner, "lent"), 2, Some((1, Some(at(9)))), at(0));
    mirror.learn(&spot(&owner, "new"), 3, Some((1, None)), at(0));
    mirror.learn(&spot(&room("/r/"), "k"), 4, Some((1, None)), at(0));
    mirror.learn(&spot(&room("/lent"), "k"), 5, Some((1, Some(at(9)))), at(0));
    assert_eq!(mirror.lasting("a", "/r", 2), [(spot(&owner, "old"), 1)]);
    assert_eq!(mirror.lasting("a", "/r", 3).len(), 2);
    assert!(mirror.lasting("b", "/r", 9).is_empty());
    assert_eq!(mirror.rooms("a"), ["/r", "/r/"]);
}

#[test]
fn what_is_gone_and_not_swept_leaves_no_room_for_ever() {
    let mut mirror = Mirror::default();
    let owner = Owner::Tenant;
    let key = |number: usize| spot(&owner, &number.to_string());
    let version = |number: usize| u64::try_from(number).unwrap() + 1;
    for number in 0..GONE_MAX - 1 {
        mirror.learn(&key(number), version(number), None, at(0));
    }
    let room = |mirror: &mut Mirror, spot: &Spot| mirror.reserve(spot, Some(1), PLENTY, at(1));
    let there = matches!(room(&mut mirror, &spot(&owner, "new")), Verdict::Far(_));
    assert!(there, "just under");
    // It ends, and is one more.
    let last = GONE_MAX - 1;
    mirror.learn(&key(last), version(last), Some((1, Some(at(1)))), at(0));
    let refused = Verdict::Refused(Limit::StateKeysMax);
    assert_eq!(room(&mut mirror, &spot(&owner, "new")), refused);
    // What is in the bucket already is not one more.
    assert!(matches!(room(&mut mirror, &key(7)), Verdict::Far(_)));
    assert_eq!(
        mirror.reserve(&key(7), None, PLENTY, at(1)),
        Verdict::Far(Size::default())
    );
    mirror.forget(&key(0), version(0));
    assert!(matches!(
        room(&mut mirror, &spot(&owner, "new")),
        Verdict::Far(_)
    ));
}
