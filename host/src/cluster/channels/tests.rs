use super::*;

const MANY: usize = 100;

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn changes(subscribe: &[&str], unsubscribe: &[&str]) -> Changes {
    Changes {
        subscribe: names(subscribe),
        unsubscribe: names(unsubscribe),
    }
}

fn is_confirmed(subscription: &Subscription) -> bool {
    subscription.clone().confirmed().now_or_never().is_some()
}

fn prove(channels: &mut Channels, probe: u64) {
    for waiting in channels.prove(probe) {
        // There may be nobody who waits.
        let _ = waiting.send(());
    }
}

#[test]
fn a_subscription_is_confirmed_by_the_probe_behind_it() {
    let now = Instant::now();
    let mut channels = Channels::default();
    let first = channels.want("a");
    let second = channels.want("a");
    assert_eq!(channels.take(now, MANY, 5), changes(&["a"], &[]));
    assert_eq!(channels.take(now, MANY, 6), changes(&[], &[]), "once");
    prove(&mut channels, 4);
    assert!(!is_confirmed(&first) && !is_confirmed(&second));
    prove(&mut channels, 5);
    assert!(is_confirmed(&first) && is_confirmed(&second));
    assert!(channels.want("a").is_confirmed());
}

#[test]
fn a_channel_is_kept_for_a_while() {
    let now = Instant::now();
    let mut channels = Channels::default();
    channels.want("a");
    channels.take(now, MANY, 0);
    prove(&mut channels, 0);
    channels.release("a", now);
    assert_eq!(channels.next_end(), Some(now + LINGER));
    assert_eq!(channels.take(now, MANY, 1), changes(&[], &[]));
    assert!(is_confirmed(&channels.want("a")), "it was kept");
    let later = now + LINGER;
    assert_eq!(channels.take(later, MANY, 1), changes(&[], &[]));
    channels.release("a", later);
    let end = later + LINGER;
    assert_eq!(channels.take(end, MANY, 1), changes(&[], &["a"]));
    assert!(!is_confirmed(&channels.want("a")));
    assert_eq!(channels.take(end, MANY, 2), changes(&["a"], &[]));
}

#[test]
fn what_is_wanted_again_in_the_last_moment_is_never_dropped() {
    let now = Instant::now();
    let mut channels = Channels::default();
    channels.want("a");
    channels.take(now, MANY, 0);
    channels.release("a", now);
    channels.end_released(now + LINGER);
    assert!(channels.is_changed());
    channels.want("a");
    assert_eq!(channels.take(now + LINGER, MANY, 1), changes(&[], &[]));
    prove(&mut channels, 0);
    assert!(is_confirmed(&channels.want("a")));
}

#[test]
fn what_was_never_told_is_not_taken_back() {
    let now = Instant::now();
    let mut channels = Channels::default();
    let waiting = channels.want("a");
    channels.release("a", now);
    assert_eq!(channels.take(now + LINGER, MANY, 0), changes(&[], &[]));
    assert!(is_confirmed(&waiting), "nobody waits for what is over");
    assert!(channels.all.is_empty() && !channels.is_changed());
    channels.release("unknown", now);
}

#[test]
fn all_are_subscribed_again_and_proven_after_a_loss() {
    let now = Instant::now();
    let mut channels = Channels::default();
    for name in ["a", "b", "c"] {
        channels.want(name);
    }
    channels.take(now, MANY, 0);
    prove(&mut channels, 0);
    channels.release("c", now);
    let kept = channels.want("a");
    channels.lose();
    assert!(is_confirmed(&kept) && !is_confirmed(&channels.want("a")));
    assert!(!channels.is_restored());
    let mut again = channels.take(now, 1, 0).subscribe;
    assert!(!channels.is_restored());
    again.extend(channels.take(now, 1, 1).subscribe);
    assert!(channels.is_restored());
    again.sort();
    assert_eq!(again, names(&["a", "b"]), "nobody needs c");
    prove(&mut channels, 0);
    prove(&mut channels, 1);
    assert!(is_confirmed(&channels.want("a")) && is_confirmed(&channels.want("b")));
}

#[test]
fn a_probe_from_before_the_loss_proves_nothing() {
    let now = Instant::now();
    let mut channels = Channels::default();
    let waiting = channels.want("a");
    channels.take(now, MANY, 3);
    channels.lose();
    prove(&mut channels, 3);
    assert!(!is_confirmed(&waiting));
    channels.take(now, MANY, 0);
    prove(&mut channels, 0);
    assert!(is_confirmed(&waiting), "who waited before is told after");
}

#[test]
fn what_is_interrupted_is_asked_for_again_and_not_proven_until_then() {
    let now = Instant::now();
    let mut channels = Channels::default();
    let waiting = channels.want("a");
    channels.want("b");
    assert!(!channels.interrupt("a", now), "nobody was told yet");
    channels.take(now, MANY, 1);
    assert!(channels.interrupt("a", now));
    assert!(!channels.interrupt("a", now), "once");
    assert!(!channels.interrupt("c", now), "nobody needs it");
    assert!(!channels.is_restored());
    prove(&mut channels, 1);
    assert!(!is_confirmed(&waiting));
    assert!(is_confirmed(&channels.want("b")));
    let retry = now + RETRY;
    assert_eq!(channels.next_end(), Some(retry));
    assert_eq!(channels.take(now, MANY, 2), changes(&[], &[]));
    assert_eq!(channels.take(retry, MANY, 3), changes(&["a"], &[]));
    assert!(channels.is_restored());
    prove(&mut channels, 3);
    assert!(is_confirmed(&waiting));
}

#[test]
fn what_is_interrupted_and_not_needed_is_not_asked_for() {
    let now = Instant::now();
    let mut channels = Channels::default();
    channels.want("a");
    channels.take(now, MANY, 1);
    prove(&mut channels, 1);
    channels.release("a", now);
    assert!(!channels.interrupt("a", now));
    assert!(channels.is_restored());
    let end = now + LINGER;
    assert_eq!(channels.take(end, MANY, 2), changes(&[], &[]));
}

#[test]
fn a_channel_goes_from_one_broker_to_another() {
    let now = Instant::now();
    let (mut one, mut other) = (Channels::default(), Channels::default());
    for name in ["a", "b"] {
        one.want(name);
    }
    one.take(now, MANY, 1);
    prove(&mut one, 1);
    one.interrupt("b", now);
    for name in ["a", "b"] {
        one.forget(name, now);
    }
    assert!(one.is_restored(), "it is not missed any more");
    assert_eq!(one.take(now, MANY, 2), changes(&[], &["a"]));
    other.adopt(&names(&["a", "b"]));
    assert!(!other.is_restored());
    assert_eq!(other.take(now, 1, 1), changes(&["a"], &[]));
    assert!(!other.is_restored());
    assert_eq!(other.take(now, 1, 2), changes(&["b"], &[]));
    assert!(other.is_restored());
}
