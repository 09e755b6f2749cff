//! One peer's Opus packets out of the network's: each once, in order, also those that only came as
//! a copy in a later packet; and how many never came.
//!
//! Pure. What is missing is waited for by numbers: a copy comes five frames later at most, what took
//! another way some more.

use std::collections::BTreeMap;

use crate::audio::packet::AudioPayload;

/// Frames after which a missing one will not come: 320 ms of 5 ms frames.
const PATIENCE: u64 = 64;

/// A frame in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Its number.
    pub number: u64,
    /// The Opus packet.
    pub data: Vec<u8>,
    /// Frames before it that were sent and never came.
    pub lost: u64,
}

struct Waiting {
    data: Vec<u8>,
    /// The frames behind it were not sent.
    silence_follows: bool,
    /// The frame before it was not sent.
    silence_before: bool,
}

/// See the module.
#[derive(Default)]
pub struct Order {
    waiting: BTreeMap<u64, Waiting>,
    /// The number that comes next; `None` before the first.
    next: Option<u64>,
    /// The frames from `next` on were not sent, as far as was told.
    silent: bool,
    /// One past the newest that has come.
    end: u64,
}

impl Order {
    /// Takes the frames of a payload whose newest has this number. Those that `whole` refuses are
    /// damaged.
    pub fn push(
        &mut self,
        sequence: u64,
        payload: &AudioPayload<'_>,
        whole: impl Fn(&[u8]) -> bool,
    ) {
        let oldest = payload.fresh() - 1;
        for frame in payload.frames() {
            let Some(number) = sequence.checked_sub(frame.back.into()) else { continue };
            if self.next.is_some_and(|next| number < next) || !whole(frame.data) {
                continue;
            }
            let here = self.waiting.entry(number).or_insert_with(|| Waiting {
                data: frame.data.to_vec(),
                silence_follows: false,
                silence_before: false,
            });
            // A copy does not say what its own packet said.
            if !frame.copy {
                here.silence_follows |= frame.back == 0 && payload.silence_follows;
                here.silence_before |= frame.back == oldest && payload.silence_before;
            }
        }
        self.end = self.end.max(sequence.saturating_add(1));
    }

    /// The next frame, if nothing that belongs before it can still come; or `all` that is here.
    pub fn pop(&mut self, all: bool) -> Option<Released> {
        let (&number, _) = self.waiting.first_key_value()?;
        let due = self.next == Some(number) || self.end - number > PATIENCE;
        if !(all || due) {
            return None;
        }
        let here = self.waiting.remove(&number)?;
        let missing = self.next.map_or(0, |next| number - next);
        // Of a gap after silence only the last frame is known to have been sent, and not even that
        // one if the packet says so.
        let lost = match (here.silence_before, self.silent) {
            (true, _) => 0,
            (false, true) => missing.min(1),
            (false, false) => missing,
        };
        self.next = Some(number + 1);
        self.silent = here.silence_follows;
        Some(Released { number, data: here.data, lost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::packet::{MAX_AUDIO_PAYLOAD, PacketFlags, parse_payload, write_packet};
    use proptest::prelude::*;

    /// A frame's bytes tell its number.
    fn frame(number: u64) -> Vec<u8> {
        vec![0xE0, number as u8, (number >> 8) as u8]
    }

    fn push(order: &mut Order, number: u64, copies: &[u8], flags: PacketFlags) {
        let frames: Vec<(u8, Vec<u8>)> = copies
            .iter()
            .filter_map(|k| Some((*k, frame(number.checked_sub(u64::from(*k))?))))
            .collect();
        let frames: Vec<(u8, &[u8])> = frames.iter().map(|(k, f)| (*k, &f[..])).collect();
        let mut out = [0; MAX_AUDIO_PAYLOAD];
        let len = write_packet(flags, &frames, &[&frame(number)], &mut out);
        order.push(number, &parse_payload(&out[..len]).unwrap(), |_| true);
    }

    fn all(order: &mut Order, flush: bool) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| order.pop(flush))
            .inspect(|r| assert_eq!(r.data, frame(r.number)))
            .map(|r| (r.number, r.lost))
            .collect()
    }

    #[test]
    fn what_came_only_as_a_copy_is_there_once_and_what_never_came_is_counted() {
        let mut order = Order::default();
        for number in (0..100).filter(|n| ![10, 20, 21, 22, 50].contains(n)) {
            push(&mut order, number, &[1, 2], PacketFlags::default());
        }
        let mut got = all(&mut order, false);
        got.extend(all(&mut order, true));
        let numbers: Vec<u64> = got.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, (0..100).filter(|n| *n != 20).collect::<Vec<_>>());
        assert_eq!(got.iter().map(|(_, lost)| lost).sum::<u64>(), 1);
    }

    #[test]
    fn what_silence_kept_back_is_not_lost() {
        let follows = PacketFlags { silence_follows: true, ..PacketFlags::default() };
        let before = PacketFlags { silence_before: true, ..PacketFlags::default() };
        let mut order = Order::default();
        push(&mut order, 0, &[], follows);
        push(&mut order, 40, &[], before);
        // The frame before this one was sent.
        push(&mut order, 41, &[], follows);
        push(&mut order, 80, &[], PacketFlags::default());
        assert_eq!(all(&mut order, true), [(0, 0), (40, 0), (41, 0), (80, 1)]);
    }

    proptest! {
        #[test]
        fn whatever_way_packets_take_each_frame_comes_out_once_and_in_order(
            order in Just((0..200u64).collect::<Vec<_>>()).prop_shuffle(),
            near in 1..40usize, lost in proptest::collection::vec(0..200u64, 0..40)
        ) {
            // Shuffled within reach of the patience.
            let mut numbers: Vec<u64> = (0..200).collect();
            numbers.sort_by_key(|n| n / near as u64 * 1_000 + order[*n as usize]);
            let mut line = Order::default();
            let mut got = Vec::new();
            for number in numbers.iter().filter(|n| !lost.contains(n)) {
                push(&mut line, *number, &[1, 3], PacketFlags::default());
                got.extend(all(&mut line, false));
            }
            got.extend(all(&mut line, true));
            prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0));
            let came = |n: u64| [0, 1, 3].iter().any(|k| n + k < 200 && !lost.contains(&(n + k)));
            let expected: Vec<u64> = (0..200).filter(|n| came(*n)).collect();
            let numbers: Vec<u64> = got.iter().map(|(n, _)| *n).collect();
            let missing = expected.last().map_or(0, |last| last + 1 - expected[0]) - expected.len() as u64;
            prop_assert_eq!(got.iter().map(|(_, lost)| lost).sum::<u64>(), missing);
            prop_assert_eq!(numbers, expected);
        }
    }
}
