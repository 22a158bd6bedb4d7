//! How many open connections have used a route: what a swap that removes one concerns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Routes that are remembered of one connection, so that it stays small. Of further ones it is not counted as a
/// user.
const ROUTES_MAX: usize = 32;

/// The open connections that have used a route. Its clones count together: the versions of a plugin share those of
/// the routes that they have in common.
#[derive(Clone, Debug, Default)]
pub struct RouteUse(Arc<AtomicUsize>);

impl RouteUse {
    /// As many.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The routes that one connection has used. Counts no more when it is dropped.
#[derive(Debug, Default)]
pub struct RoutesUsed(Vec<RouteUse>);

impl RoutesUsed {
    /// The connection uses a route.
    pub fn add(&mut self, route: &RouteUse) {
        let is_known = self.0.iter().any(|known| Arc::ptr_eq(&known.0, &route.0));
        if !is_known && self.0.len() < ROUTES_MAX {
            route.0.fetch_add(1, Ordering::Relaxed);
            self.0.push(route.clone());
        }
    }
}

impl Drop for RoutesUsed {
    fn drop(&mut self) {
        for route in &self.0 {
            route.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_once_and_until_it_closes() {
        let route = RouteUse::default();
        let (mut one, mut other) = (RoutesUsed::default(), RoutesUsed::default());
        one.add(&route);
        one.add(&route.clone());
        assert_eq!(route.connections(), 1);
        other.add(&route);
        assert_eq!(route.connections(), 2);
        drop(one);
        assert_eq!(route.connections(), 1);
    }

    #[test]
    fn what_is_remembered_of_a_connection_is_bounded() {
        let routes: Vec<_> = (0..=ROUTES_MAX).map(|_| RouteUse::default()).collect();
        let mut used = RoutesUsed::default();
        routes.iter().for_each(|route| used.add(route));
        let users: usize = routes.iter().map(RouteUse::connections).sum();
        assert_eq!(users, ROUTES_MAX);
    }
}
