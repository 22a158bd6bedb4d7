//! Percent-decoding of what a pattern captured. Owns the rule for invalid escapes; knows nothing of
//! patterns. Called by `pattern.rs`, once for each value.

/// Decodes the percent-escapes of `text`, once. An escape that is incomplete, or whose byte is part
/// of invalid UTF-8, stays as it was written.
pub(crate) fn decode(text: &str) -> String {
    let Some(first) = text.find('%') else {
        return text.to_owned();
    };
    let (plain, mut rest) = text.split_at(first);
    let mut decoded = String::with_capacity(text.len());
    decoded.push_str(plain);
    while !rest.is_empty() {
        let (bytes, after) = escapes(rest);
        let (run, _) = rest.split_at(rest.len() - after.len());
        push_valid(&mut decoded, &bytes, run);
        // What follows the run is no escape, though it may begin with a lone `%`.
        let plain = after.char_indices().skip(1).find(|&(_, c)| c == '%');
        let (plain, next) = after.split_at(plain.map_or(after.len(), |(at, _)| at));
        decoded.push_str(plain);
        rest = next;
    }
    decoded
}

/// The bytes that the escapes at the start of `text` stand for, and the text behind them.
fn escapes(mut text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    while let Some((byte, after)) = escape(text) {
        bytes.push(byte);
        text = after;
    }
    (bytes, text)
}

fn escape(text: &str) -> Option<(u8, &str)> {
    let (digits, after) = text.strip_prefix('%')?.split_at_checked(2)?;
    // from_str_radix alone would take a sign for the first digit.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u8::from_str_radix(digits, 16).ok()?, after))
}

/// Pushes what is valid of `bytes` and, for the others, their escapes out of `run`, three bytes each.
fn push_valid(decoded: &mut String, bytes: &[u8], run: &str) {
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        at += chunk.valid().len();
        let invalid = at..at + chunk.invalid().len();
        decoded.push_str(
            run.get(invalid.start * 3..invalid.end * 3)
                .unwrap_or_default(),
        );
        at = invalid.end;
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decodes_once_and_leaves_the_invalid() {
        for (text, decoded) in [
            ("", ""),
            ("plain é", "plain é"),
            ("a%20b", "a b"),
            ("%41%42", "AB"),
            ("caf%C3%A9", "café"),
            ("caf%c3%a9!", "café!"),
            ("%2525", "%25"),
            ("%2F%00", "/\0"),
            ("%", "%"),
            ("%4", "%4"),
            ("%%41", "%A"),
            ("%zz%41", "%zzA"),
            ("%4é", "%4é"),
            ("%é1", "%é1"),
            ("%+1", "%+1"),
            ("100%", "100%"),
            ("%fF", "%fF"),
            ("%41%fF%42", "A%fFB"),
            ("%C3", "%C3"),
            ("%C3x%A9", "%C3x%A9"),
            ("%e2%82%acx", "€x"),
            ("%e2%82x%ac", "%e2%82x%ac"),
            ("%e2%82%41", "%e2%82A"),
            ("%ed%a0%80", "%ed%a0%80"),
            ("%C3é%A9", "%C3é%A9"),
        ] {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }
}
