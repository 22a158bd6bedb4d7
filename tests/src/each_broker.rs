//! The same tests on each broker.

/// Makes each of these functions, which take a [`Broker`](crate::Broker), a test on Redis and a test on NATS.
///
/// ```
/// wardroom_tests::on_each_broker! { hosts_hear_each_other }
///
/// async fn hosts_hear_each_other(broker: wardroom_tests::Broker) {}
/// ```
#[macro_export]
macro_rules! on_each_broker {
    ($($test:ident),+ $(,)?) => {
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                $crate::needed!("redis-server");
                super::$test($crate::Broker::redis().await.unwrap()).await;
            })+
        }

        mod nats {
            $(#[tokio::test]
            async fn $test() {
                $crate::needed!("nats-server");
                super::$test($crate::Broker::nats().await.unwrap()).await;
            })+
        }
    };
}
