//! How channels are called.

use super::Run;
use crate::config::TenantName;

/// The channel that every host listens to.
pub(super) fn of_all(prefix: &str) -> String {
    format!("{prefix}ws:nodes")
}

/// The channel of one of them.
pub(super) fn of_host(prefix: &str, run: Run) -> String {
    format!("{prefix}ws:node:{run}")
}

/// What the channels of a tenant's rooms begin with. Without a prefix, the default tenant's are those of the `event-ws`
/// family.
pub(super) fn of_rooms(prefix: &str, tenant: &TenantName) -> String {
    if prefix.is_empty() && *tenant == TenantName::default() {
        return "ws:room:".to_owned();
    }
    format!("{prefix}ws:{tenant}:room:")
}

/// A channel's tenant, and its room: no tenant's name has a colon, and none is `room`.
pub(super) fn split<'a>(prefix: &str, channel: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = channel.strip_prefix(prefix)?.strip_prefix("ws:")?;
    let room = match rest.strip_prefix("room:") {
        Some(room) => room,
        None => rest.split_once(':')?.1.strip_prefix("room:")?,
    };
    let channels = channel.get(..channel.len() - room.len())?;
    Some((channels, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_says_whose_it_is_and_which_room() {
        let split_plain = |channel| split("", channel);
        assert_eq!(
            split_plain("ws:room:/chat/a"),
            Some(("ws:room:", "/chat/a"))
        );
        assert_eq!(
            split_plain("ws:acme:room:/a:b"),
            Some(("ws:acme:room:", "/a:b"))
        );
        assert_eq!(
            split_plain("ws:room:acme:room:x"),
            Some(("ws:room:", "acme:room:x"))
        );
        for other in ["", "ws:", "ws:acme", "ws:acme:x:room:y", "room:x"] {
            assert_eq!(split_plain(other), None, "{other}");
        }
        let acme: TenantName = "acme".parse().unwrap();
        for (prefix, tenant, name) in [
            ("", TenantName::default(), "ws:room:"),
            ("", acme.clone(), "ws:acme:room:"),
            ("blue.", TenantName::default(), "blue.ws:default:room:"),
            ("blue.", acme, "blue.ws:acme:room:"),
        ] {
            let channels = of_rooms(prefix, &tenant);
            assert_eq!(channels, name);
            let channel = format!("{channels}/r");
            assert_eq!(split(prefix, &channel), Some((name, "/r")));
        }
        assert_eq!(split("blue.", "ws:room:/r"), None);
    }

    #[test]
    fn what_hosts_say_is_no_rooms() {
        for prefix in ["", "blue."] {
            assert_eq!(split(prefix, &of_all(prefix)), None);
            assert_eq!(split(prefix, &of_host(prefix, Run::random())), None);
        }
    }
}
