//! What several recorders have counted, as one text. Prometheus wants all series of a name together, after one line that
//! says what it means and one that says its kind:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#grouping-and-sorting>.

use std::collections::BTreeMap;

use super::Metrics;

/// Everything that these have counted, as Prometheus reads it.
#[must_use]
pub fn render<'a>(all: impl IntoIterator<Item = &'a Metrics>) -> String {
    let texts = Vec::from_iter(all.into_iter().map(Metrics::text));
    merge(texts.iter().map(String::as_str))
}

/// Puts families of the same name together: the comments of the first, the series of all.
fn merge<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut families: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for text in texts {
        for family in text.split("\n\n").filter(|family| !family.is_empty()) {
            let is_comment = |line: &&str| line.starts_with('#');
            let comments = family.split_inclusive('\n').take_while(is_comment);
            let (comments, series) = family.split_at(comments.map(str::len).sum());
            let lines = families.entry(comments).or_default();
            lines.extend(series.lines());
        }
    }
    let mut merged = String::new();
    for (comments, lines) in families {
        merged.push_str(comments);
        for line in lines {
            merged.push_str(line);
            merged.push('\n');
        }
        merged.push('\n');
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_put_together() {
        let one =
            "# HELP b B.\n# TYPE b gauge\nb{t=\"1\"} 1\n\n# HELP a A.\n# TYPE a gauge\na 2\n\n";
        let other = "# HELP b B.\n# TYPE b gauge\nb{t=\"2\",x=\"\\n#\"} 3\nb{t=\"3\"} 4\n\n";
        let merged = "# HELP a A.\n# TYPE a gauge\na 2\n\n# HELP b B.\n# TYPE b gauge\nb{t=\"1\"} 1\nb{t=\"2\",x=\"\\n#\"} 3\nb{t=\"3\"} 4\n\n";
        assert_eq!(merge([one, other].into_iter()), merged);
        assert_eq!(merge([""].into_iter()), "");
    }
}
