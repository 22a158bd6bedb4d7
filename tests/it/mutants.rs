//! Components that were damaged at random, through the loader: an error or a plugin comes of each, and soon.

use std::time::Duration;
use tokio::time::timeout;
use wardroom::Limits;
use wardroom::metrics::Metrics;
use wardroom::plugin::{Engine, load};
use wardroom_tests::{Plugin, WAIT};

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Loads what comes of a component by so many changes, each made with a number of its own; says how many were plugins.
async fn load_each(
    component: &[u8],
    times: u64,
    change: impl Fn(&mut Vec<u8>, &mut Numbers),
) -> u64 {
    let limits = Limits {
        instances_max: 4,
        instances_per_plugin_max: 1,
        describe_cpu_max: Duration::from_millis(100),
        event_wall_max: Duration::from_secs(1),
        ..Limits::default()
    };
    let engine = Engine::new(&limits, Metrics::of_host()).unwrap();
    let mut loaded = 0;
    for seed in 0..times {
        let mut bytes = component.to_vec();
        change(&mut bytes, &mut Numbers(seed));
        let loading = timeout(WAIT, load(&engine, "mutant", bytes.into()));
        match loading.await.unwrap_or_else(|_| panic!("{seed} hangs")) {
            Ok(_) => loaded += 1,
            // What a panic would become, on whichever thread.
            Err(error) => assert!(
                !error.to_string().contains("compiler broke"),
                "{seed}: {error}"
            ),
        }
    }
    loaded
}

fn flip(bytes: &mut [u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        let (place, bit) = (numbers.below(bytes.len()), numbers.below(8));
        bytes[place] ^= 1 << bit;
    }
}

#[tokio::test]
async fn flipped_bits() {
    // Small, so that most of it matters, and many can be compiled in little time.
    let small = Plugin::repeating("small", 16, 4).bytes;
    let loaded = load_each(&small, 500, |bytes, numbers| flip(bytes, numbers)).await;
    assert!((1..500).contains(&loaded), "{loaded}");
    let bare = Plugin::bare("nothing").bytes;
    load_each(&bare, 10, |bytes, numbers| flip(bytes, numbers)).await;
}

#[tokio::test]
async fn cut_ends() {
    let bare = Plugin::bare("nothing").bytes;
    let loaded = load_each(&bare, 200, |bytes, numbers| {
        let end = numbers.below(bytes.len());
        bytes.truncate(end);
    })
    .await;
    // What is missing of some of them is nothing but names for a debugger.
    assert!(loaded < 200, "{loaded}");
}
