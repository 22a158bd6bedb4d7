//! A tenant that was removed and is there again, while the old one still has connections.

use parking_lot::Mutex;

use super::*;

#[test]
fn a_hub_takes_nothing_away_from_the_one_in_its_place() {
    let bus = LocalBus::new();
    let elsewhere = hub_on("b", bus.another(), "default");
    let backlog = Arc::new(Backlog::new(usize::MAX));
    let exchange = Exchange::new("a", "", Arc::new(bus), backlog);
    let [old, new] = [0, 1].map(|_| Hub::new(&exchange, &TenantName::default()));
    let ended = Arc::new(Mutex::new(Vec::new()));
    for (number, hub) in [&old, &new].into_iter().enumerate() {
        let ended = Arc::clone(&ended);
        hub.on_room_end(Box::new(move |room| {
            ended.lock().push((number, room.to_string()));
        }));
    }
    let (slow, member) = (open(&old), open(&new));
    for name in ["/both", "/old", "/left"] {
        join(&old, &slow, name).unwrap();
    }
    join(&new, &member, "/both").unwrap();
    join(&new, &member, "/left").unwrap();
    new.leave(&member, &room("/left"));
    ended.lock().clear();
    old.begin_close(&slow);
    assert_eq!(
        *ended.lock(),
        [(0, "/left".to_owned()), (0, "/old".to_owned())]
    );
    broadcast(&elsewhere, "/both", "e", None);
    assert_eq!(received(&member), [r#"{"event":"e","path":"/both"}"#]);
    new.begin_close(&member);
    assert_eq!(ended.lock().last(), Some(&(1, "/both".to_owned())));
}

#[tokio::test]
async fn who_is_in_the_hub_in_its_place_is_not_left_without_what_the_room_keeps() {
    let backlog = Arc::new(Backlog::new(usize::MAX));
    let exchange = Exchange::new("a", "", Arc::new(LocalBus::new()), backlog);
    let [old, new] = [0, 1].map(|_| Hub::new(&exchange, &TenantName::default()));
    join(&new, &open(&new), "/r").unwrap();
    let rooms = || vec![room("/r"), room("/s")];
    let occupied = old.occupied_elsewhere(rooms()).await;
    assert_eq!(occupied, Some(BTreeSet::from([room("/r")])));
    let occupied = new.occupied_elsewhere(rooms()).await;
    assert_eq!(occupied, Some(BTreeSet::new()));
}
