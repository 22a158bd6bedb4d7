//! What others wrote, made fit for a sentence of ours: on one line, and not without end.

/// Who has read so much of a name or a complaint knows what it is about.
const BYTES_MAX: usize = 1_024;

/// The text with spaces for its control characters, which would forge lines of the log; cut where it is long.
pub(super) fn one_line(text: &str) -> String {
    cut(text.trim()).replace(char::is_control, " ")
}

/// The text, cut where it is long.
pub(super) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(BYTES_MAX);
    match text.get(..end) {
        Some(start) if end < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_forged_and_end() {
        assert_eq!(one_line(" a\nERROR\u{85}b\u{1b}[31m\n"), "a ERROR b [31m");
        assert_eq!(cut(&"x".repeat(BYTES_MAX)), "x".repeat(BYTES_MAX));
        let long = "ä".repeat(BYTES_MAX);
        assert_eq!(cut(&long), format!("{}…", "ä".repeat(BYTES_MAX / 2)));
    }
}
