//! Who has sent something.

use serde_json::json;

use super::Run;

/// Which host a broadcast comes from.
#[derive(Debug)]
pub(in crate::hub) struct Origin {
    /// The host's name.
    pub(in crate::hub) node: String,
    /// Another at each start: nobody keeps two hosts from having the same name.
    pub(super) run: Run,
    /// The same, as envelopes have it.
    run_text: String,
    /// Both, as members of an envelope.
    pub(in crate::hub) members: String,
}

impl Origin {
    pub(super) fn new(node: &str) -> Self {
        let run = Run::random();
        let run_text = run.to_string();
        Self {
            node: node.to_owned(),
            members: format!(r#""node":{},"run":"{run_text}""#, json!(node)),
            run,
            run_text,
        }
    }

    /// Whether it is this host. Not every server names its run.
    pub(in crate::hub) fn is(&self, node: Option<&str>, run: Option<&str>) -> bool {
        node == Some(&self.node) && run.is_none_or(|run| run == self.run_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_its_own_and_another_of_its_name() {
        let (one, other) = (Origin::new("a\""), Origin::new("a\""));
        let is_one = |origin: &Origin| one.is(Some(&origin.node), Some(&origin.run_text));
        assert!(is_one(&one) && !is_one(&other));
        assert!(one.is(Some("a\""), None) && !one.is(None, None));
        assert!(one.members.starts_with(r#""node":"a\"","run":""#));
    }
}
