//! Which of the slots of a cluster a channel is in, as Redis counts it. Pure.

/// How many there are.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a channel: of its whole name, or of what is in its first braces if that is anything.
pub(super) fn slot(channel: &str) -> u16 {
    crc16(tag(channel).unwrap_or(channel).as_bytes()) % SLOTS
}

fn tag(channel: &str) -> Option<&str> {
    let (_, rest) = channel.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    Some(tag).filter(|tag| !tag.is_empty())
}

/// A tag whose slot is one of these. Among so many there is one for each slot.
pub(super) fn tag_in(is_wanted: impl Fn(u16) -> bool) -> Option<String> {
    let mut tags = (0..1_000_000).map(|number: u32| number.to_string());
    tags.find(|tag| is_wanted(slot(tag)))
}

/// CRC-16/XMODEM. The library has it behind the feature that is its whole client of clusters, and does not say the
/// number of a slot.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let crc = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(crc, |crc, _| {
            let carried = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            (crc << 1) ^ carried
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The check value of the specification, and what `CLUSTER KEYSLOT` of Redis 7.0 says.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (channel, expected) in [
            ("", 0),
            ("foo", 12_182),
            ("bar", 5_061),
            ("123456789", 12_739),
            ("ws:room:/chat/a", 8_789),
            ("ws:room:/日本", 872),
            ("{user1000}.following", 3_443),
            ("{user1000}.followers", 3_443),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
            ("foo{bar}{zap}", 5_061),
            ("foo{bar", 15_278),
            ("foo}{bar}", 5_061),
        ] {
            assert_eq!(slot(channel), expected, "{channel}");
        }
    }

    #[test]
    fn there_is_a_tag_for_each_slot() {
        for wanted in [0, 1, 5_000, SLOTS - 1] {
            let tag = tag_in(|slot| slot == wanted).unwrap();
            assert_eq!(slot(&format!("p:{{{tag}}}:x")), wanted);
        }
        assert_eq!(tag_in(|_| false), None);
    }
}
