//! Values that peers compute the Java way.

/// Java's `String.hashCode`: over UTF-16 units, wrapping. Tag codes are this hash.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |h, unit| {
        h.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_java() {
        assert_eq!(string_hash(""), 0);
        assert_eq!(string_hash("A"), 65);
        assert_eq!(string_hash("TagA"), 2_598_919);
        assert_eq!(string_hash("polygenelubricants"), i32::MIN);
        // U+1F600 is the pair D83D DE00: 31 * 0xD83D + 0xDE00.
        assert_eq!(string_hash("\u{1f600}"), 31 * 0xd83d + 0xde00);
    }
}
