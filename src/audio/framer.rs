//! Cuts captured samples into frames, whatever block lengths the device delivers them in.
//!
//! Belongs to the talk thread. A frame is out as soon as its last sample is in: nothing is rounded
//! up to a multiple of the device's block. No allocation after `new`.

use super::codec::FRAME;
use crate::units::{Micros, SAMPLE_RATE};

/// Samples kept at most: 200 ms. Who falls behind further skips to the latest sound (PRD 5.3).
const CAPACITY: usize = 9_600;

/// Turns blocks of samples into numbered frames.
///
/// The frame number counts every frame since the start, also skipped ones, so that a number is a
/// position in the captured sound.
pub struct Framer {
    frame: usize,
    samples: Box<[f32]>,
    start: usize,
    end: usize,
    /// Number of the frame that begins at `start`.
    next: u64,
    skipped: u64,
    /// A sample whose capture time is known: its position from the very start, and the time.
    anchor: (u64, Micros),
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// Frames of 5 ms.
    pub fn new() -> Self {
        Self::with_frame(FRAME)
    }

    /// Frames of `frame` samples (1 to 4,800).
    pub fn with_frame(frame: usize) -> Self {
        Self {
            frame: frame.clamp(1, CAPACITY / 2),
            samples: vec![0.0; CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
            next: 0,
            skipped: 0,
            anchor: (0, Micros(0)),
        }
    }

    /// Takes samples, the first of which was captured at `first_sample_captured`.
    pub fn push(&mut self, samples: &[f32], first_sample_captured: Micros) {
        self.anchor = (self.position(self.end), first_sample_captured);
        for part in samples.chunks(self.frame) {
            self.make_room(part.len());
            self.samples[self.end..self.end + part.len()].copy_from_slice(part);
            self.end += part.len();
        }
    }

    /// The next whole frame: its number, its samples, and when its first sample was captured.
    pub fn pop(&mut self) -> Option<(u64, &[f32], Micros)> {
        if self.end - self.start < self.frame {
            return None;
        }
        let from = self.start;
        let captured = self.captured(self.position(from));
        let number = self.next;
        self.start += self.frame;
        self.next += 1;
        Some((number, &self.samples[from..from + self.frame], captured))
    }

    /// Leaves out samples that nobody will hear, and what waits. Numbers stay positions: silence
    /// stands for the part of a frame that is left.
    pub fn skip(&mut self, samples: usize) {
        let left_out = self.pending() + samples;
        let (frames, rest) = (left_out / self.frame, left_out % self.frame);
        self.start = 0;
        self.end = rest;
        self.samples[..rest].fill(0.0);
        self.next += frames as u64;
        self.skipped += frames as u64;
    }

    /// Samples that wait for their frame to become whole, or to be taken.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// Frames skipped because nobody took them for 200 ms.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn position(&self, index: usize) -> u64 {
        self.next * self.frame as u64 + (index - self.start) as u64
    }

    fn captured(&self, position: u64) -> Micros {
        let samples = position as i64 - self.anchor.0 as i64;
        self.anchor.1 + samples * 1_000_000 / i64::from(SAMPLE_RATE)
    }

    fn make_room(&mut self, len: usize) {
        if self.end + len <= self.samples.len() {
            return;
        }
        self.samples.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end - self.start + len > self.samples.len() {
            self.start += self.frame;
            self.next += 1;
            self.skipped += 1;
        }
        if self.start > 0 {
            self.samples.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

/// Notices where the device has lost sound (an overrun, a lost card that is back): its blocks do not
/// say so, but their times do.
#[derive(Debug, Default)]
pub struct Continuity {
    /// Where the next block is due to begin.
    due: Option<Micros>,
    handed: Micros,
}

impl Continuity {
    /// Samples that were lost right before this block, 0 for few or none. `missed` more are known to be
    /// missing there. `handed` is when the device handed it over: a stamp that jumps while blocks go on
    /// coming is a stamp's error and no loss.
    pub fn lost(
        &mut self,
        samples: usize,
        missed: usize,
        captured: Micros,
        handed: Micros,
    ) -> usize {
        /// Shorter gaps cost less than a false one, microseconds.
        const GAP: i64 = 100_000;
        /// After more nobody waits at the old place anyway, microseconds.
        const HOUR: i64 = 3_600_000_000;
        let micros = |samples: usize| samples as i64 * 1_000_000 / i64::from(SAMPLE_RATE);
        let pause = handed.since(self.handed) - micros(samples + missed);
        self.handed = handed;
        let due = self.due.replace(captured + micros(samples));
        let gap = due.map_or(0, |due| captured.since(due) - micros(missed));
        if gap < GAP || pause < GAP / 2 {
            return 0;
        }
        (gap.min(HOUR) * i64::from(SAMPLE_RATE) / 1_000_000) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_that_a_device_has_lost_is_noticed_and_a_wrong_stamp_is_none() {
        let mut continuity = Continuity::default();
        let mut look = |missed, captured, handed| {
            continuity.lost(480, missed, Micros(captured), Micros(handed))
        };
        assert_eq!(look(0, 5_000_000, 5_012_000), 0, "the first one follows nothing");
        assert_eq!(look(0, 5_010_000, 5_022_000), 0);
        assert_eq!(look(0, 5_260_000, 5_272_000), 11_520, "240 ms");
        assert_eq!(look(0, 5_270_000, 5_282_000), 0);
        assert_eq!(look(9_600, 5_480_000, 5_492_000), 0, "200 ms that the ring has told of");
        assert_eq!(look(0, 5_690_000, 5_502_000), 0, "a stamp's error");
        assert_eq!(look(0, 5_510_000, 5_512_000), 0, "and back");
        assert_eq!(look(0, 5_540_000, 5_552_000), 0, "too little");
    }

    #[test]
    fn frames_carry_every_sample_in_order_for_any_block_length() {
        for block in [1, 7, 60, 64, 120, 128, 240, 256, 480, 1024, 4096] {
            let mut framer = Framer::new();
            let mut expected = 0u32;
            let mut number = 0;
            let mut position = 0u32;
            while position < 20_000 {
                let samples: Vec<f32> = (0..block).map(|i| (position + i) as f32).collect();
                let captured = Micros(i64::from(position) * 1_000_000 / 48_000);
                framer.push(&samples, captured);
                position += block;
                while let Some((n, frame, captured)) = framer.pop() {
                    assert_eq!(n, number);
                    number += 1;
                    let truth = i64::from(expected) * 1_000_000 / 48_000;
                    assert!((captured.0 - truth).abs() <= 2, "block {block}: {captured:?}");
                    for sample in frame {
                        assert_eq!(*sample, expected as f32);
                        expected += 1;
                    }
                }
                assert!(framer.pending() < FRAME, "a whole frame never waits");
            }
            assert_eq!(framer.skipped(), 0);
        }
    }

    #[test]
    fn what_is_left_out_moves_the_numbers_on() {
        let mut framer = Framer::new();
        framer.push(&[0.5; 100], Micros(0));
        for _ in 0..75 {
            framer.skip(64);
        }
        framer.push(&[1.0; 240], Micros(102_083));
        let (number, frame, captured) = framer.pop().unwrap();
        assert_eq!(number, 20);
        assert!(frame[..100].iter().all(|&s| s == 0.0) && frame[100..].iter().all(|&s| s == 1.0));
        assert_eq!(captured, Micros(100_000));
        assert_eq!(framer.skipped(), 20);
    }

    #[test]
    fn who_falls_behind_skips_whole_frames_and_numbers_stay_positions() {
        let mut framer = Framer::new();
        let samples: Vec<f32> = (0..24_000).map(|i| i as f32).collect();
        framer.push(&samples, Micros(0));
        let (number, frame, captured) = framer.pop().unwrap();
        assert!(number > 0);
        assert_eq!(frame[0], (number * FRAME as u64) as f32);
        assert_eq!(captured, Micros(number as i64 * 5_000));
        assert_eq!(framer.skipped(), number);
    }
}
