//! The messages of a crash test. A body follows from who sent it and as which of its messages, so a
//! reader can tell a whole message from a damaged or an invented one without being told.

use std::fmt;

/// Longest filler of a body. Lengths vary, so that records straddle blocks and segments everywhere.
const FILLER_MAX: u64 = 1_500;

/// Identity of a message: which producer sent it, and as which of its messages, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) producer: u32,
    pub(super) sequence: u32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.producer, self.sequence)
    }
}

impl Id {
    /// The whole body of this message.
    pub(super) fn body(self) -> Vec<u8> {
        let mut state = u64::from(self.producer) << 32 | u64::from(self.sequence);
        let mut body = format!("{self} ").into_bytes();
        let len = next(&mut state) % FILLER_MAX;
        body.extend((0..len).map(|_| b'a' + (next(&mut state) % 26) as u8));
        body
    }

    /// The identity a body claims, if the body is exactly what that message has.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        let head = body.get(..body.iter().position(|byte| *byte == b' ')?)?;
        let (producer, sequence) = std::str::from_utf8(head).ok()?.split_once('.')?;
        let id = Self {
            producer: producer.parse().ok()?,
            sequence: sequence.parse().ok()?,
        };
        (id.body() == body).then_some(id)
    }
}

/// Splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_its_message_and_any_damage_is_seen() {
        for sequence in 0..50 {
            let id = Id {
                producer: 7,
                sequence,
            };
            let body = id.body();
            assert_eq!(Id::of(&body), Some(id));
            let mut longer = body.clone();
            longer.push(b'x');
            assert_eq!(Id::of(&longer), None);
            for at in [0, body.len() / 2, body.len() - 1] {
                let mut damaged = body.clone();
                damaged[at] ^= 1;
                assert_eq!(Id::of(&damaged), None);
            }
        }
        assert_eq!(Id::of(b""), None);
        assert_eq!(Id::of(b"7 x"), None);
    }
}
