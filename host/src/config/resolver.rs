//! Who finds the addresses of a name.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Finds the addresses of a name in place of the system.
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
/// use wardroom::config::Resolver;
///
/// let resolver = Resolver::new(|_name| async { Ok(vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]) });
/// ```
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(&str) -> Resolving + Send + Sync>);

/// A look-up that is under way.
type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

impl Resolver {
    /// Asks this for the addresses of each name.
    #[must_use]
    pub fn new<F>(resolve: impl Fn(&str) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(resolve(name))))
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// What the look-up came to.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        (self.0)(name).await
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// One is like itself and its clones alone.
impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Resolver {}
