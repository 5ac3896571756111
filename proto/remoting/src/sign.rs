//! What a request signature covers. The HMAC over it is the verifier's business.

use smallvec::SmallVec;

use crate::command::Command;

/// Ext fields that carry credentials.
pub const ACCESS_KEY: &str = "AccessKey";
pub const SECURITY_TOKEN: &str = "SecurityToken";
pub const SIGNATURE: &str = "Signature";

/// A marker that clients up to V4_9_3 add after signing.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
const SIGNS_UNIQUE_KEY_QUERY_ABOVE: i32 = 399;

/// Feeds the signed content of `command` to `sink`: the field values ordered by the UTF-16 units
/// of their names, without the signature itself, then the body.
pub fn signed_content(command: &Command, mut sink: impl FnMut(&[u8])) {
    let mut fields: SmallVec<[(&str, &str); 32]> = command
        .ext
        .iter()
        .filter(|(name, _)| {
            *name != SIGNATURE
                && (*name != UNIQUE_KEY_QUERY || command.version > SIGNS_UNIQUE_KEY_QUERY_ABOVE)
        })
        .collect();
    // The sort is stable, so of fields with one name the last received ends a run.
    fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    for (n, (name, value)) in fields.iter().enumerate() {
        if fields.get(n + 1).is_none_or(|(next, _)| next != name) {
            sink(value.as_bytes());
        }
    }
    sink(&command.body);
}

/// [`signed_content`] gathered in one buffer.
pub fn content(command: &Command) -> Vec<u8> {
    let mut all = Vec::new();
    signed_content(command, |part| all.extend_from_slice(part));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(fields: &[(&str, &str)]) -> Command {
        Command::request(14)
            .with_ext(fields.iter().copied().collect())
            .with_body("body")
    }

    #[test]
    fn values_are_sorted_by_name_and_followed_by_the_body() {
        let fields = [
            ("topic", "T"),
            ("Signature", "x"),
            ("queueId", "0"),
            ("AccessKey", "ak"),
        ];
        assert_eq!(content(&command(&fields)), b"ak0Tbody");
    }

    #[test]
    fn names_sort_by_utf16_units() {
        // By code point U+FF5E precedes U+1F600; by UTF-16 unit it follows D83D.
        let fields = [("\u{ff5e}", "2"), ("\u{1f600}", "1")];
        assert_eq!(content(&command(&fields)), b"12body");
    }

    #[test]
    fn unique_key_marker_is_unsigned_in_old_versions_only() {
        let mut command = command(&[("_UNIQUE_KEY_QUERY", "true"), ("a", "1")]);
        assert_eq!(content(&command), b"true1body");
        command.version = 399;
        assert_eq!(content(&command), b"1body");
    }

    #[test]
    fn repeated_name_counts_once_with_its_last_value() {
        assert_eq!(
            content(&command(&[("a", "1"), ("b", "2"), ("a", "3")])),
            b"32body"
        );
    }
}
