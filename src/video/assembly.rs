//! From fragments back to whole frames, in order; late and incomplete ones are left out.
//!
//! VP8 deltas refer to the frame before. So after a hole nothing is handed out until a keyframe,
//! and [`Assembler::wants_keyframe`] says when to ask the sender for one. Holds a bounded number
//! of bytes whatever arrives. Used by one peer's receiving side; knows no clock.

use std::collections::BTreeMap;

use super::payload::{self, Chain};
use crate::units::Micros;

/// How long a missing frame is waited for once a later one has begun to arrive, microseconds.
/// The sender paces frames in order, so only reordering on the way can still bring it; 40 ms is
/// beyond the reordering of ordinary paths and under one frame and a half.
const REORDER_WAIT: i64 = 40_000;
/// The same for a keyframe, whose loss costs many frames: a retransmission may be under way, and a
/// second one.
const KEYFRAME_WAIT: i64 = 250_000;
/// Time between two requests for a keyframe, microseconds: a round trip, the encoder's next frame
/// and the paced keyframe itself take about as long.
const REQUEST_INTERVAL: i64 = 400_000;
/// A fragment is late, not lost, for so long after a later one has come, microseconds.
const OVERTAKEN: i64 = 8_000;
/// So long after a round trip, what was asked for is asked for again.
const ASK_AGAIN: i64 = 30_000;
/// Frames in flight at most: over a second of them at 24 fps.
const MAX_FRAMES: usize = 32;
/// Bytes in flight at most. A keyframe of live video has some 10 kB.
const MAX_BYTES: usize = 1 << 20;
/// Longest fragment that is taken, bytes; packets are built to 1,150.
const MAX_FRAGMENT: usize = 1500;
/// Frames further ahead than this are no loss but another stream: start over.
const MAX_AHEAD: u64 = 1 << 12;

/// A whole frame in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledFrame {
    /// Depends on nothing.
    pub keyframe: bool,
    /// The frame's number.
    pub sequence: u64,
    /// All fragments, one behind the other.
    pub data: Vec<u8>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblyStats {
    /// Frames handed out.
    pub delivered: u64,
    /// Frames that never became whole in time, as far as their numbers tell.
    pub missing: u64,
    /// Whole frames left out because one that they refer to was missing.
    pub undecodable: u64,
    /// Fragments of frames that were already handed out or given up, and repeated ones.
    pub late_or_duplicate: u64,
    /// Fragments that contradict themselves or each other, or found no room.
    pub refused: u64,
}

struct Partial {
    keyframe: bool,
    first_arrival: Micros,
    newest_arrival: Micros,
    fragments: Vec<Option<Box<[u8]>>>,
    missing: usize,
    bytes: usize,
}

/// Puts one peer's video stream together.
#[derive(Default)]
pub struct Assembler {
    frames: BTreeMap<u64, Partial>,
    bytes: usize,
    /// The next frame to hand out; `None` until the first keyframe.
    next: Option<u64>,
    /// Deltas are useless until a keyframe.
    lost: bool,
    /// Frames tell what they refer to ([`payload::Chain`]).
    layered: bool,
    /// Something is missing before the next frame; it will tell whether that matters.
    gap: bool,
    /// The newest base frame that was handed out.
    base: Option<Chain>,
    last_request: Option<Micros>,
    /// Fragments that were asked for, and when.
    asked: Option<((u64, u32), Micros)>,
    stats: AssemblyStats,
}

impl Assembler {
    /// One that waits for a first keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for frames with the prefix of [`super::payload`]: one that is missing and that no
    /// other refers to costs nothing but itself.
    pub fn layered() -> Self {
        Self { layered: true, ..Self::default() }
    }

    /// Takes one fragment. `fragment` counts from 0; `fragments` is the frame's number of them,
    /// 0 (like 1) for a frame that was not cut.
    pub fn push(
        &mut self,
        keyframe: bool,
        sequence: u64,
        fragment: u8,
        fragments: u8,
        payload: &[u8],
        now: Micros,
    ) {
        let count = usize::from(fragments.max(1));
        let index = usize::from(fragment);
        if index >= count || payload.len() > MAX_FRAGMENT || payload.is_empty() {
            self.stats.refused += 1;
            return;
        }
        if let Some(next) = self.next {
            if sequence < next {
                self.stats.late_or_duplicate += 1;
                return;
            }
            if sequence - next > MAX_AHEAD {
                self.start_over();
            }
        }
        if !self.frames.contains_key(&sequence) && !self.make_room(sequence) {
            self.stats.refused += 1;
            return;
        }
        let frame = self.frames.entry(sequence).or_insert_with(|| Partial {
            keyframe,
            first_arrival: now,
            newest_arrival: now,
            fragments: vec![None; count],
            missing: count,
            bytes: 0,
        });
        if frame.keyframe != keyframe
            || frame.fragments.len() != count
            || self.bytes + payload.len() > MAX_BYTES
        {
            self.stats.refused += 1;
            return;
        }
        let slot = &mut frame.fragments[index];
        if slot.is_some() {
            self.stats.late_or_duplicate += 1;
            return;
        }
        *slot = Some(payload.into());
        frame.newest_arrival = now;
        frame.missing -= 1;
        frame.bytes += payload.len();
        self.bytes += payload.len();
    }

    /// The next whole frame that can be decoded, if its turn has come. Call until `None`.
    pub fn pop(&mut self, now: Micros) -> Option<AssembledFrame> {
        if self.lost || self.next.is_none() {
            self.skip_to_keyframe();
        }
        loop {
            let (&sequence, first) = self.frames.first_key_value()?;
            let whole = first.missing == 0;
            let keyframe = first.keyframe;
            let in_turn = self.next == Some(sequence);
            // Before the first keyframe there is no order to wait for.
            if whole && (in_turn || self.next.is_none()) {
                if in_turn && self.gap && !keyframe {
                    self.lost |= !self.chained(sequence);
                }
                self.gap = false;
                let usable = keyframe || (in_turn && !self.lost);
                let frame = self.take(sequence);
                if usable {
                    self.next = Some(sequence.saturating_add(1));
                    self.lost = false;
                    let chain = frame.chain();
                    if let Some(base) = chain.filter(|c| keyframe || c.is_base()) {
                        self.base = Some(base);
                    }
                    self.stats.delivered += 1;
                    return Some(AssembledFrame { keyframe, sequence, data: frame.join() });
                }
                self.stats.undecodable += 1;
                if in_turn {
                    self.next = Some(sequence.saturating_add(1));
                }
                continue;
            }
            // Something before or in this frame is missing.
            let wait = if keyframe && !whole { KEYFRAME_WAIT } else { REORDER_WAIT };
            let since = if whole { first.first_arrival } else { self.overtaken(sequence)? };
            if now.since(since) < wait {
                return None;
            }
            if let Some(next) = self.next {
                self.stats.missing += sequence - next;
                self.miss(sequence > next, sequence - next);
            }
            if whole {
                self.next = Some(sequence);
                self.miss(true, 1);
            } else {
                self.take(sequence);
                self.stats.missing += 1;
                // Without a keyframe nothing goes on.
                self.lost |= keyframe;
                self.miss(true, 1);
                if self.next.is_some() {
                    self.next = Some(sequence.saturating_add(1));
                }
            }
        }
    }

    /// Whether to ask the sender for a keyframe now. Asking counts: the next yes comes
    /// `REQUEST_INTERVAL` later, if there is still none.
    pub fn wants_keyframe(&mut self, now: Micros) -> bool {
        let received = self.next.is_some() || self.stats.undecodable + self.stats.missing > 0;
        if !received || !(self.lost || self.next.is_none()) {
            return false;
        }
        if self.last_request.is_some_and(|last| now.since(last) < REQUEST_INTERVAL) {
            return false;
        }
        self.last_request = Some(now);
        true
    }

    /// Fragments of a keyframe that should have come and did not: its number and bit n for fragment
    /// n (the first 32). Asking counts, as in [`Self::wants_keyframe`]. `round_trip` in
    /// microseconds is what an answer takes.
    pub fn missing_fragments(&mut self, round_trip: i64, now: Micros) -> Option<(u64, u32)> {
        let (&sequence, first) = self.frames.iter().find(|(_, f)| f.keyframe && f.missing > 0)?;
        // The sender lets them out in order and evenly: what has been overtaken is lost.
        let overtaken = self.overtaken(sequence);
        let last = first.fragments.iter().rposition(|f| f.is_some())?;
        let until = if overtaken.is_some() { first.fragments.len() } else { last };
        let missing = first.fragments.iter().take(until.min(32)).enumerate();
        let mask = missing.filter(|(_, f)| f.is_none()).fold(0, |mask, (n, _)| mask | 1 << n);
        let again = self.asked.is_some_and(|(asked, at)| {
            asked == (sequence, mask) && now.since(at) < round_trip.max(0) + ASK_AGAIN
        });
        if mask == 0 || again || now.since(first.newest_arrival) < OVERTAKEN {
            return None;
        }
        self.asked = Some(((sequence, mask), now));
        Some((sequence, mask))
    }

    /// The decoder found its reference damaged: hand out nothing before the next keyframe.
    pub fn reference_lost(&mut self) {
        self.lost = true;
    }

    /// What has happened so far.
    pub fn stats(&self) -> AssemblyStats {
        self.stats
    }

    /// Frames are missing. Where frames tell what they refer to, the next one decides.
    fn miss(&mut self, missing: bool, frames: u64) {
        // Numbers of base frames wrap: more of them missing than that is not told.
        if self.layered && frames < u64::from(payload::BASES) / 2 {
            self.gap |= missing;
        } else {
            self.lost |= missing;
        }
    }

    /// The frame refers to the newest that was handed out.
    fn chained(&self, sequence: u64) -> bool {
        let here = self.frames.get(&sequence).and_then(Partial::chain);
        self.layered && here.zip(self.base).is_some_and(|(here, base)| here.follows(base))
    }

    /// Without a reference, nothing before the first whole keyframe is of use.
    fn skip_to_keyframe(&mut self) {
        let keyframe = self.frames.iter().find(|(_, frame)| frame.keyframe && frame.missing == 0);
        let Some((&sequence, _)) = keyframe else { return };
        let kept = self.frames.split_off(&sequence);
        for (_, frame) in std::mem::replace(&mut self.frames, kept) {
            self.bytes -= frame.bytes;
            if frame.missing == 0 {
                self.stats.undecodable += 1;
            } else {
                self.stats.missing += 1;
            }
        }
        self.next = Some(sequence);
    }

    /// When the first fragment of a frame later than `sequence` arrived.
    fn overtaken(&self, sequence: u64) -> Option<Micros> {
        self.frames.range(sequence.saturating_add(1)..).map(|(_, frame)| frame.first_arrival).min()
    }

    /// Makes room for a frame; a new one pushes out the oldest, never the other way round.
    fn make_room(&mut self, sequence: u64) -> bool {
        while self.frames.len() >= MAX_FRAMES || self.bytes > MAX_BYTES - MAX_FRAGMENT {
            let Some((&oldest, _)) = self.frames.first_key_value() else { return true };
            if sequence < oldest {
                return false;
            }
            self.take(oldest);
            self.stats.missing += 1;
            self.lost = true;
            if let Some(next) = self.next {
                self.stats.missing += oldest - next;
                self.next = Some(oldest.saturating_add(1));
            }
        }
        true
    }

    fn take(&mut self, sequence: u64) -> Partial {
        let frame = self.frames.remove(&sequence).expect("the caller has just seen it");
        self.bytes -= frame.bytes;
        frame
    }

    fn start_over(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.next = None;
        self.lost = true;
    }
}

impl Partial {
    fn chain(&self) -> Option<Chain> {
        self.fragments.first()?.as_deref().and_then(Chain::of)
    }

    fn join(self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.bytes);
        for fragment in self.fragments.iter().flatten() {
            data.extend_from_slice(fragment);
        }
        data
    }
}

#[cfg(test)]
mod tests;
