//! Judges what was consumed against what was produced: nothing lost, nothing twice, nothing
//! invented, and each slot's messages in the order it sent them. A slot is one request in flight
//! that is repeated, so its sequence numbers are also its order in time.

use std::collections::HashMap;

use super::clock::hex;

/// Who sent a message and as which of its messages, written at the front of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub slot: u32,
    /// From 0, without gaps.
    pub sequence: u64,
}

impl Mark {
    const PREFIX: &'static [u8; 4] = b"mark";
    pub(super) const LEN: usize = 4 + 8 + 16;

    pub(super) fn write(self, out: &mut [u8]) {
        let (prefix, rest) = out.split_at_mut(4);
        prefix.copy_from_slice(Self::PREFIX);
        let (slot, sequence) = rest.split_at_mut(8);
        hex(u64::from(self.slot), slot);
        hex(self.sequence, sequence);
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body.get(..Self::LEN)?).ok()?;
        let text = text.strip_prefix(std::str::from_utf8(Self::PREFIX).ok()?)?;
        let (slot, sequence) = text.split_at_checked(8)?;
        Some(Self {
            slot: u32::from_str_radix(slot, 16).ok()?,
            sequence: u64::from_str_radix(sequence, 16).ok()?,
        })
    }
}

/// What one slot sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotLog {
    /// Sequence numbers from 0 up to here, this one excluded, were sent.
    pub sent: u64,
    /// Those that were answered with an error, or not at all.
    pub doubtful: Vec<u64>,
}

/// Collects what was consumed.
#[derive(Debug, Default)]
pub struct Seen {
    /// One bit per sequence number, per slot.
    bits: HashMap<u32, Vec<u64>>,
    /// Last sequence number seen per queue and slot.
    last: HashMap<(i32, u32), u64>,
    /// Next offset expected per queue.
    next: HashMap<i32, i64>,
    verdict: Verdict,
}

/// Sequence numbers beyond this are taken for invented; 2^32 bits are 512 MiB.
const SEQUENCE_MAX: u64 = 1 << 32;

impl Seen {
    pub fn message(&mut self, queue: i32, offset: i64, body: &[u8]) {
        self.verdict.messages += 1;
        let expected = self.next.insert(queue, offset + 1).unwrap_or(offset);
        if expected != offset {
            self.verdict.gaps += 1;
        }
        let mark = Mark::read(body).filter(|mark| mark.sequence < SEQUENCE_MAX);
        let Some(mark) = mark else {
            self.verdict.invented += 1;
            return;
        };
        let bits = self.bits.entry(mark.slot).or_default();
        let word = (mark.sequence / 64) as usize;
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        let bit = 1 << (mark.sequence % 64);
        if bits[word] & bit != 0 {
            self.verdict.duplicates += 1;
            return;
        }
        bits[word] |= bit;
        let last = self.last.insert((queue, mark.slot), mark.sequence);
        if last.is_some_and(|last| last >= mark.sequence) {
            self.verdict.disordered += 1;
        }
    }

    /// Adds what was seen elsewhere, of other queues.
    pub fn absorb(&mut self, other: Self) {
        for (slot, bits) in other.bits {
            let ours = self.bits.entry(slot).or_default();
            ours.resize(ours.len().max(bits.len()), 0);
            for (ours, theirs) in ours.iter_mut().zip(bits) {
                self.verdict.duplicates += u64::from((*ours & theirs).count_ones());
                *ours |= theirs;
            }
        }
        self.last.extend(other.last);
        self.next.extend(other.next);
        self.verdict.messages += other.verdict.messages;
        self.verdict.duplicates += other.verdict.duplicates;
        self.verdict.invented += other.verdict.invented;
        self.verdict.disordered += other.verdict.disordered;
        self.verdict.gaps += other.verdict.gaps;
    }

    /// Compares with what was sent, by slot number.
    pub fn judge(mut self, sent: &[SlotLog]) -> Verdict {
        for (slot, log) in (0u32..).zip(sent) {
            let bits = self.bits.remove(&slot).unwrap_or_default();
            let has = |sequence: u64| {
                bits.get((sequence / 64) as usize)
                    .is_some_and(|word| word & (1 << (sequence % 64)) != 0)
            };
            let seen: u64 = (0..log.sent).map(|sequence| u64::from(has(sequence))).sum();
            let excused = log.doubtful.iter().filter(|sequence| !has(**sequence));
            self.verdict.lost += log.sent - seen - excused.count() as u64;
            let all: u64 = bits.iter().map(|word| u64::from(word.count_ones())).sum();
            self.verdict.invented += all - seen;
        }
        let strangers = self.bits.values().flatten();
        self.verdict.invented += strangers
            .map(|word| u64::from(word.count_ones()))
            .sum::<u64>();
        self.verdict
    }
}

/// What was found wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    pub messages: u64,
    /// Acknowledged but not there.
    pub lost: u64,
    pub duplicates: u64,
    /// Never sent.
    pub invented: u64,
    /// Before an earlier message of the same slot in the same queue.
    pub disordered: u64,
    /// Queue offsets that do not follow the one before.
    pub gaps: u64,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        *self
            == Self {
                messages: self.messages,
                ..Self::default()
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(slot: u32, sequence: u64) -> Vec<u8> {
        let mut body = vec![0; Mark::LEN];
        Mark { slot, sequence }.write(&mut body);
        body
    }

    fn sent(counts: &[u64]) -> Vec<SlotLog> {
        counts
            .iter()
            .map(|sent| SlotLog {
                sent: *sent,
                doubtful: Vec::new(),
            })
            .collect()
    }

    #[test]
    fn a_complete_ordered_run_is_clean() {
        let mut seen = Seen::default();
        for sequence in 0..100 {
            let queue = (sequence % 2) as i32;
            seen.message(queue, (sequence / 2) as i64, &body(0, sequence));
        }
        let verdict = seen.judge(&sent(&[100]));
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!(verdict.messages, 100);
    }

    #[test]
    fn parts_of_different_queues_add_up() {
        let (mut first, mut second) = (Seen::default(), Seen::default());
        first.message(0, 0, &body(0, 0));
        first.message(0, 1, &body(0, 2));
        second.message(1, 0, &body(0, 1));
        second.message(1, 1, &body(0, 2));
        first.absorb(second);
        let verdict = first.judge(&sent(&[3]));
        let expected = Verdict {
            messages: 4,
            duplicates: 1,
            ..Verdict::default()
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        let mut seen = Seen::default();
        seen.message(0, 0, &body(0, 1));
        seen.message(0, 1, &body(0, 0));
        seen.message(0, 2, &body(0, 0));
        seen.message(0, 9, b"what is this?");
        seen.message(1, 0, &body(7, 0));
        seen.message(1, 1, &body(0, 9));
        let verdict = seen.judge(&sent(&[4]));
        let expected = Verdict {
            messages: 6,
            lost: 2,
            duplicates: 1,
            invented: 3,
            disordered: 1,
            gaps: 1,
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_message_without_a_good_answer_may_be_there_or_not() {
        for present in [true, false] {
            let mut seen = Seen::default();
            seen.message(0, 0, &body(0, 0));
            if present {
                seen.message(0, 1, &body(0, 1));
            }
            let log = SlotLog {
                sent: 2,
                doubtful: vec![1],
            };
            assert!(seen.judge(&[log]).is_clean());
        }
    }
}
