//! What each peer gets of the encoded frames: the newest one, copies of earlier ones, several in one
//! packet on a thin path, and next to nothing in silence.
//!
//! Belongs to the talk thread: no allocation after `new`, no clock. RFC 2198's idea; Opus' own FEC
//! control stays off, because below 10 ms frames libopus never writes any (measured: 0 of 6118
//! packets carried it). Which [`Plan`] a peer gets is decided in [`super::copies`].

use super::codec::FrameLength;
use super::packet::{
    MAX_COPIES, MAX_FRAME_BYTES, MAX_NEWEST, MAX_OFFSET, PacketFlags, write_packet,
};

/// Frames remembered: the farthest copy lies 5 before the oldest of 4.
const REMEMBERED: u64 = 16;
/// In silence a packet goes out this often, microseconds, so that jitter, drift and life are seen.
const KEEP_ALIVE: i64 = 20_000;
/// So many of them come a frame later than that, then so many a frame sooner. Were they all as far
/// apart, they would meet the blocks of both sound cards always at the same place, and the next
/// word's frames at all the others: this many places there are at most (240 samples in blocks of
/// 256).
const SWEEP: u8 = 16;

/// How one peer's packets are made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Offsets of the copies, rising from 1 to 5; 0 for none.
    offsets: [u8; MAX_COPIES],
    /// Frames in a packet beyond the first: 0, 1 or 3.
    more: u8,
}

impl Plan {
    /// Copies at these offsets; what the layout has no room for is left out.
    pub fn copies(offsets: &[u8]) -> Self {
        let mut plan = Self::default();
        let mut least = 1;
        let fitting = offsets.iter().filter(|&&k| {
            let fits = (least..=MAX_OFFSET).contains(&k);
            least = if fits { k + 1 } else { least };
            fits
        });
        for (slot, offset) in plan.offsets.iter_mut().zip(fitting) {
            *slot = *offset;
        }
        plan
    }

    /// No copies, and 1, 2 or 4 frames a packet.
    pub fn several(frames: u8) -> Self {
        Self {
            offsets: [0; MAX_COPIES],
            more: if frames >= 4 { 3 } else { frames.clamp(1, 2) - 1 },
        }
    }

    /// The copies' offsets.
    pub fn offsets(&self) -> impl Iterator<Item = u8> + '_ {
        self.offsets.iter().copied().filter(|&k| k > 0)
    }

    /// Copies in each packet.
    pub fn count(&self) -> u8 {
        self.offsets().count() as u8
    }

    /// Frames in each packet.
    pub fn frames(&self) -> u8 {
        self.more + 1
    }

    /// What it takes on the wire, kbit/s: IPv4, UDP, header, tag and payload of every packet.
    pub fn wire_kbps(&self, codec_kbps: u32, frame: FrameLength) -> u32 {
        const HEADERS: u32 = 20 + 8 + 12 + 16;
        let frames = u32::from(self.frames());
        let bytes = (codec_kbps * frame.micros() as u32).div_ceil(8_000);
        let copies = u32::from(self.count()) * (bytes + 2);
        let packet = HEADERS + 1 + copies + frames * bytes + (frames - 1);
        (u64::from(packet) * 8_000 / (u64::from(frames) * frame.micros() as u64)) as u32
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// Sent in a packet of its own.
    Sent,
    /// Silence that nobody gets.
    KeptBack,
}

#[derive(Clone, Copy)]
struct Frame {
    number: u64,
    fate: Fate,
    silent: bool,
    len: u8,
    bytes: [u8; MAX_FRAME_BYTES],
}

impl Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The last encoded frames, and which of them silence keeps back; the same for all peers.
pub struct Said {
    frame: FrameLength,
    frames: [Frame; REMEMBERED as usize],
    /// The last silent frame that was sent, while silence goes on.
    silent_since: Option<u64>,
    /// Packets of silence so far, modulo twice [`SWEEP`].
    swept: u8,
}

impl Said {
    /// Nothing said yet.
    pub fn new(frame: FrameLength) -> Self {
        let nothing = Frame {
            number: 0,
            fate: Fate::Unknown,
            silent: false,
            len: 0,
            bytes: [0; MAX_FRAME_BYTES],
        };
        Self { frame, frames: [nothing; REMEMBERED as usize], silent_since: None, swept: 0 }
    }

    /// Frame `number` was encoded to `bytes`, which the encoder calls `silent` or not. Returns
    /// whether there is anything to send: of silence the first frame, then one every 20 ms on average.
    pub fn say(&mut self, number: u64, bytes: &[u8], silent: bool) -> bool {
        let every = (KEEP_ALIVE / self.frame.micros()) as u64;
        let every = if self.swept < SWEEP { every + 1 } else { every - 1 };
        let due = match self.silent_since {
            Some(since) => !silent || number.wrapping_sub(since) >= every,
            None => true,
        };
        if due {
            self.silent_since = silent.then_some(number);
            self.swept = (self.swept + u8::from(silent)) % (2 * SWEEP);
        }
        let len = bytes.len().min(MAX_FRAME_BYTES);
        let slot = &mut self.frames[(number % REMEMBERED) as usize];
        slot.number = number;
        slot.fate = if due && len > 0 { Fate::Sent } else { Fate::KeptBack };
        slot.silent = silent;
        slot.len = len as u8;
        slot.bytes[..len].copy_from_slice(&bytes[..len]);
        due
    }

    /// The frames before `number` were never captured: nobody is to take them for lost on the way.
    pub fn skip_to(&mut self, number: u64) {
        if let Some(before) = number.checked_sub(1) {
            let slot = &mut self.frames[(before % REMEMBERED) as usize];
            (slot.number, slot.fate, slot.silent, slot.len) = (before, Fate::KeptBack, false, 0);
            self.silent_since = None;
        }
    }

    fn get(&self, number: u64) -> Option<&Frame> {
        let frame = &self.frames[(number % REMEMBERED) as usize];
        (frame.number == number && frame.fate != Fate::Unknown).then_some(frame)
    }

    fn sent(&self, number: u64) -> Option<&Frame> {
        self.get(number).filter(|frame| frame.fate == Fate::Sent)
    }
}

/// One peer's packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packer {
    plan: Plan,
    /// First frame that this peer gets.
    first: Option<u64>,
    /// First frame that has not gone out.
    unsent: u64,
}

impl Packer {
    /// A peer that gets no copies yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// From the next packet on.
    pub fn set_plan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    /// The plan in use.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// The next packet up to frame `newest`: its number and the length of the payload in `out`.
    /// Call it after each frame that [`Said::say`] wants sent, until there is none.
    pub fn next(&mut self, said: &Said, newest: u64, out: &mut [u8]) -> Option<(u64, usize)> {
        let first = *self.first.get_or_insert(newest);
        let oldest = self.unsent.max(first).max(newest.saturating_sub(MAX_NEWEST as u64 - 1));
        let from = (oldest..=newest).find(|&n| said.sent(n).is_some())?;
        let run = (from..=newest).take_while(|&n| said.sent(n).is_some()).count() as u64;
        // Silence waits for nothing, nor does what does not follow: then a group is cut short.
        let cut = from + run <= newest || said.sent(newest).is_some_and(|frame| frame.silent);
        if run < u64::from(self.plan.frames()) && !cut {
            self.unsent = from;
            return None;
        }
        // The layout knows groups of 1, 2 and 4; what is over goes into the next packet.
        let count = match run {
            4.. => 4,
            2..4 => 2,
            _ => 1,
        };
        let to = from + count - 1;
        self.unsent = to + 1;
        self.write(said, (first, from, to), out).map(|len| (to, len))
    }

    fn write(
        &self,
        said: &Said,
        (first, from, to): (u64, u64, u64),
        out: &mut [u8],
    ) -> Option<usize> {
        let mut fresh: [&[u8]; MAX_NEWEST] = [&[]; MAX_NEWEST];
        let mut count = 0;
        for number in from..=to {
            fresh[count] = said.sent(number)?.bytes();
            count += 1;
        }
        let mut copies: [(u8, &[u8]); MAX_COPIES] = [(0, &[]); MAX_COPIES];
        let mut copied = 0;
        for offset in self.plan.offsets() {
            let number = from.checked_sub(u64::from(offset)).filter(|n| *n >= first);
            if let Some(frame) = number.and_then(|n| said.sent(n)) {
                copies[copied] = (offset, frame.bytes());
                copied += 1;
            }
        }
        let before = from.checked_sub(1).and_then(|n| said.get(n));
        let flags = PacketFlags {
            half_frames: said.frame == FrameLength::Half,
            silence_follows: said.sent(to)?.silent,
            silence_before: before.is_some_and(|frame| frame.fate == Fate::KeptBack),
        };
        let len = write_packet(flags, &copies[..copied], &fresh[..count], out);
        (len > 0).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::packet::{MAX_AUDIO_PAYLOAD, parse_payload};

    /// What a packet holds: its number, the frames' numbers with whether they are copies, S and B.
    type Seen = (u64, Vec<(u64, bool)>, bool, bool);

    struct Bench {
        said: Said,
        packer: Packer,
        seen: Vec<Seen>,
    }

    impl Bench {
        fn new(plan: Plan) -> Self {
            let mut packer = Packer::new();
            packer.set_plan(plan);
            Self { said: Said::new(FrameLength::Full), packer, seen: Vec::new() }
        }

        /// A frame whose bytes are its number.
        fn say(&mut self, number: u64, silent: bool) {
            if !self.said.say(number, &[number as u8], silent) {
                return;
            }
            let mut out = [0; MAX_AUDIO_PAYLOAD];
            while let Some((to, len)) = self.packer.next(&self.said, number, &mut out) {
                let parsed = parse_payload(&out[..len]).unwrap();
                let frames = parsed.frames().iter().map(|f| {
                    assert_eq!(f.data, [(to - u64::from(f.back)) as u8]);
                    (to - u64::from(f.back), f.copy)
                });
                let frames = frames.collect();
                self.seen.push((to, frames, parsed.silence_follows, parsed.silence_before));
            }
        }

        fn numbers(&self) -> Vec<u64> {
            self.seen.iter().map(|s| s.0).collect()
        }
    }

    #[test]
    fn copies_lie_at_their_offsets_as_soon_as_there_are_such_frames() {
        let mut b = Bench::new(Plan::copies(&[1, 3]));
        (10..15).for_each(|n| b.say(n, false));
        let copies = |i: usize| b.seen[i].1.iter().filter(|f| f.1).map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(b.numbers(), [10, 11, 12, 13, 14]);
        assert_eq!([copies(0), copies(1)], [vec![], vec![10]]);
        assert_eq!([copies(2), copies(3), copies(4)], [vec![11], vec![10, 12], vec![11, 13]]);
    }

    #[test]
    fn a_plan_changes_between_two_packets_and_no_frame_is_missing() {
        let mut b = Bench::new(Plan::several(4));
        (0..6).for_each(|n| b.say(n, false));
        b.packer.set_plan(Plan::copies(&[1]));
        (6..9).for_each(|n| b.say(n, false));
        b.packer.set_plan(Plan::several(2));
        (9..12).for_each(|n| b.say(n, false));
        assert_eq!(b.numbers(), [3, 5, 6, 7, 8, 10]);
        let fresh: Vec<u64> =
            b.seen.iter().flat_map(|s| &s.1).filter(|f| !f.1).map(|f| f.0).collect();
        assert_eq!(fresh, (0..11).collect::<Vec<_>>());
    }

    #[test]
    fn in_silence_one_packet_goes_out_every_20_ms_and_both_ends_are_marked() {
        let mut b = Bench::new(Plan::default());
        (0..3).for_each(|n| b.say(n, false));
        (3..13).for_each(|n| b.say(n, true));
        (13..15).for_each(|n| b.say(n, false));
        assert_eq!(b.numbers(), [0, 1, 2, 3, 8, 13, 14]);
        let marks = |n: u64| b.seen.iter().find(|s| s.0 == n).map(|s| (s.2, s.3)).unwrap();
        assert_eq!([marks(2), marks(3), marks(8)], [(false, false), (true, false), (true, true)]);
        assert_eq!([marks(13), marks(14)], [(false, true), (false, false)]);
    }

    #[test]
    fn packets_of_silence_meet_every_place_against_a_cards_blocks_and_are_20_ms_apart_on_average() {
        let mut b = Bench::new(Plan::default());
        (0..1_000).for_each(|n| b.say(n, true));
        let numbers = b.numbers();
        assert!((249..=251).contains(&numbers.len()), "{}", numbers.len());
        assert!(numbers.windows(2).all(|w| [3, 5].contains(&(w[1] - w[0]))));
        for block in [60u64, 64, 120, 128, 240, 256, 480, 512] {
            let places = |numbers: &mut dyn Iterator<Item = u64>| {
                let mut all: Vec<u64> = numbers.map(|n| n * 240 % block).collect();
                all.sort_unstable();
                all.dedup();
                all.len()
            };
            let all = places(&mut (0..1_000));
            let met = places(&mut numbers.iter().copied().take(32));
            assert!(met >= all.min(16), "{block}: {met} of {all}");
        }
    }

    #[test]
    fn silence_sends_at_once_what_waits_for_a_group() {
        let mut b = Bench::new(Plan::several(4));
        (0..6).for_each(|n| b.say(n, false));
        (6..8).for_each(|n| b.say(n, true));
        b.say(8, false);
        // 4 and 5 go with the first silent frame: two and one; 8 waits for its group.
        assert_eq!(b.numbers(), [3, 5, 6]);
        (9..12).for_each(|n| b.say(n, false));
        assert_eq!(b.numbers(), [3, 5, 6, 11]);
        assert!(b.seen[2].2 && b.seen[3].3);
    }

    #[test]
    fn what_was_never_captured_is_marked_as_kept_back_and_not_as_lost() {
        let mut b = Bench::new(Plan::copies(&[1, 3]));
        (0..10).for_each(|n| b.say(n, false));
        b.said.skip_to(60);
        (60..64).for_each(|n| b.say(n, false));
        let marked: Vec<_> = b.seen.iter().filter(|s| s.3).map(|s| s.0).collect();
        assert_eq!(marked, [60]);
        let first = b.seen.iter().find(|s| s.0 == 60).unwrap();
        assert_eq!(first.1, [(60, false)], "no copies of what is not there");
        assert_eq!(b.numbers(), (0..10).chain(60..64).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_that_were_skipped_leave_no_frame_behind() {
        let mut b = Bench::new(Plan::several(2));
        for n in [0, 1, 2, 40, 41, 43, 44] {
            b.say(n, false);
        }
        assert_eq!(b.numbers(), [1, 41, 44]);
        let mut b = Bench::new(Plan::copies(&[1, 2, 3]));
        for n in [0, 1, 40] {
            b.say(n, false);
        }
        assert_eq!(b.seen[2].1, [(40, false)], "a frame of long ago is no copy");
    }

    #[test]
    fn the_wire_costs_what_the_readme_says() {
        let full = FrameLength::Full;
        let kbps = |plan: Plan| plan.wire_kbps(32, full);
        assert_eq!(kbps(Plan::default()), 123);
        assert_eq!([&[1][..], &[1, 3], &[1, 2, 3]].map(|k| kbps(Plan::copies(k))), [158, 193, 228]);
        assert_eq!([2, 4].map(|n| kbps(Plan::several(n))), [78, 56]);
        assert_eq!(Plan::default().wire_kbps(80, FrameLength::Half), 262);
    }

    #[test]
    fn a_plan_holds_what_the_layout_can() {
        assert_eq!(Plan::copies(&[0, 2, 2, 1, 9, 5]).offsets().collect::<Vec<_>>(), [2, 5]);
        assert_eq!([0, 1, 2, 3, 9].map(|n| Plan::several(n).frames()), [1, 1, 2, 2, 4]);
    }
}
