//! What a swap changes, as people want to read it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::PluginSet;
use crate::plugin::Plugin;

/// What became of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The plugin.
    pub plugin: String,
    /// Its version until now; `None` when it is new.
    pub from: Option<String>,
    /// Its version from now on; `None` when it is gone.
    pub to: Option<String>,
    /// Routes that it handles from now on, as `event path`.
    pub added: Vec<String>,
    /// Those that it handles no more, and how many open connections have used each.
    pub removed: Vec<(String, usize)>,
}

impl Change {
    /// What is another in `after` than in `before`, in the order of the plugins' names.
    #[must_use]
    pub fn between(before: &PluginSet, after: &PluginSet) -> Vec<Self> {
        let names: BTreeSet<_> = before.names().iter().chain(after.names().iter()).collect();
        let pairs = names
            .into_iter()
            .map(|name| (before.plugin(name), after.plugin(name)));
        pairs
            .filter(|(from, to)| match (from, to) {
                (Some(from), Some(to)) => !Arc::ptr_eq(from, to),
                _ => true,
            })
            .map(|(from, to)| Self::of(before, from.map(Arc::as_ref), to.map(Arc::as_ref)))
            .collect()
    }

    fn of(before: &PluginSet, from: Option<&Plugin>, to: Option<&Plugin>) -> Self {
        let (had, has) = (routes(from), routes(to));
        let users = |(event, path): &(&str, &str)| {
            let mut routes = before.routes().iter();
            let route =
                routes.find(|(other, pattern, _)| other == event && pattern.as_str() == *path);
            route.map_or(0, |(_, _, target)| target.used.connections())
        };
        let text = |(event, path): &(&str, &str)| format!("{event} {path}");
        let version = |plugin: &Plugin| plugin.manifest.version.clone();
        let name = to.or(from).map(|plugin| plugin.manifest.name.clone());
        Self {
            plugin: name.unwrap_or_default(),
            from: from.map(version),
            to: to.map(version),
            added: has.difference(&had).map(text).collect(),
            removed: had
                .difference(&has)
                .map(|route| (text(route), users(route)))
                .collect(),
        }
    }
}

fn routes(plugin: Option<&Plugin>) -> BTreeSet<(&str, &str)> {
    let routes = plugin.map_or(&[][..], |plugin| &plugin.manifest.routes);
    routes
        .iter()
        .map(|route| (route.event.as_str(), route.pattern.as_str()))
        .collect()
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (None, to) => write!(formatter, "{} is new", to.as_deref().unwrap_or_default())?,
            (Some(from), None) => write!(formatter, "{from} is gone")?,
            (Some(from), Some(to)) => write!(formatter, "{from} -> {to}")?,
        }
        let mut separator = "; ";
        for route in &self.added {
            write!(formatter, "{separator}+ {route}")?;
            separator = ", ";
        }
        let mut separator = "; ";
        for (route, users) in &self.removed {
            write!(formatter, "{separator}- {route}")?;
            if *users > 0 {
                write!(formatter, " (used by {users} open connections)")?;
            }
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: Option<&str>, to: Option<&str>) -> Change {
        Change {
            plugin: "chat".to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            added: vec![],
            removed: vec![],
        }
    }

    #[test]
    fn it_reads_as_a_line() {
        let swapped = Change {
            added: vec!["shout /chat/:room".to_owned(), "join /lobby".to_owned()],
            removed: vec![("join /hall".to_owned(), 7), ("old /x".to_owned(), 0)],
            ..change(Some("0.1.0"), Some("0.2.0"))
        };
        assert_eq!(
            swapped.to_string(),
            "0.1.0 -> 0.2.0; + shout /chat/:room, + join /lobby; - join /hall (used by 7 open connections), - old /x"
        );
        assert_eq!(change(None, Some("0.1.0")).to_string(), "0.1.0 is new");
        assert_eq!(change(Some("0.1.0"), None).to_string(), "0.1.0 is gone");
    }
}
