//! The receiving ends of the devices: what a capture callback does with samples and pictures.
//!
//! The microphone's side runs on the sound system's real-time thread: it copies into two rings,
//! wakes the talk thread, and does nothing else (PRD 5.3). The camera's side runs on a thread of
//! ours; it hands the same bytes to both consumers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::audio::meter::SharedMeter;
use crate::devices::microphone::MicSink;
use crate::platform::clock;
use crate::units::{Micros, SAMPLE_RATE};

/// Live samples that fit: 200 ms (PRD 5.3).
const LIVE_SAMPLES: usize = SAMPLE_RATE as usize / 5;
/// Samples for the recorder that fit: 10 s, so that no stall of this machine loses one. A card that
/// runs at more than 48 kHz has less: 2.5 s at 192 kHz.
const RECORD_SAMPLES: usize = SAMPLE_RATE as usize * 10;
/// Blocks that fit: as many as a ring of the smallest periods (32 frames) holds.
const SMALLEST_BLOCK: usize = 32;

/// When a block of samples was captured.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    samples: u32,
    /// Samples before it that found the ring full.
    missed: u32,
    captured: Micros,
    /// Samples a second.
    rate: u32,
    /// When the device handed it over.
    handed: Micros,
}

/// The consumer's end of one ring of captured samples.
pub struct Captured {
    samples: HeapCons<f32>,
    stamps: HeapCons<Stamp>,
    missed: usize,
    rate: u32,
    handed: Micros,
}

impl Captured {
    /// Takes the next block into `out` (cleared first) and tells when its first sample was
    /// captured. Allocates only while `out` is smaller than the device's largest block.
    pub fn pop(&mut self, out: &mut Vec<f32>) -> Option<Micros> {
        let stamp = self.stamps.try_pop()?;
        out.resize(stamp.samples as usize, 0.0);
        let got = self.samples.pop_slice(out);
        self.missed = stamp.missed as usize;
        self.rate = stamp.rate;
        self.handed = stamp.handed;
        debug_assert_eq!(got, out.len(), "a stamp follows its samples");
        Some(stamp.captured)
    }

    /// Samples that the ring had no room for, right before the block of the last [`Self::pop`].
    pub fn missed(&self) -> usize {
        self.missed
    }

    /// Samples a second of the block of the last [`Self::pop`].
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// When the device handed over the block of the last [`Self::pop`].
    pub fn handed(&self) -> Micros {
        self.handed
    }

    /// Samples that wait in the ring.
    pub fn waiting(&self) -> usize {
        self.samples.occupied_len()
    }
}

struct Ring {
    samples: HeapProd<f32>,
    stamps: HeapProd<Stamp>,
    missed: u32,
}

impl Ring {
    fn new(samples: usize) -> (Self, Captured) {
        let (p, c) = HeapRb::new(samples).split();
        let (ps, cs) = HeapRb::new(samples / SMALLEST_BLOCK).split();
        let ring = Self { samples: p, stamps: ps, missed: 0 };
        let captured =
            Captured { samples: c, stamps: cs, missed: 0, rate: SAMPLE_RATE, handed: Micros(0) };
        (ring, captured)
    }

    /// All or nothing, so that stamps and samples never part. `false` is a loss: whoever has ended
    /// (a recording that was closed while the call goes on) misses nothing.
    fn push(&mut self, block: &[f32], rate: u32, captured: Micros) -> bool {
        if !self.stamps.read_is_held() {
            return true;
        }
        if self.samples.vacant_len() < block.len() || self.stamps.is_full() {
            self.missed = self.missed.saturating_add(block.len() as u32);
            return false;
        }
        self.samples.push_slice(block);
        let missed = std::mem::take(&mut self.missed);
        let handed = clock::now();
        let stamp = Stamp { samples: block.len() as u32, missed, captured, rate, handed };
        self.stamps.try_push(stamp).is_ok()
    }
}

/// Samples that found a full ring.
#[derive(Debug, Default)]
pub struct CaptureLosses {
    /// In the ring to the talk thread: late, not lost to the file.
    pub live: AtomicU64,
    /// In the ring to the recorder: must be 0.
    pub record: AtomicU64,
}

/// What the capture callback holds.
pub struct MicTap {
    live: Option<Ring>,
    record: Ring,
    meter: Arc<SharedMeter>,
    losses: Arc<CaptureLosses>,
    talk: Arc<OnceLock<Thread>>,
}

/// The ends that [`MicTap::new`] gives out.
pub struct MicEnds {
    /// For the talk thread; `None` when there is no call.
    pub live: Option<Captured>,
    /// For the recorder.
    pub record: Captured,
    /// Level of what was captured.
    pub meter: Arc<SharedMeter>,
    /// Must stay 0.
    pub losses: Arc<CaptureLosses>,
    /// To be set to the thread that [`MicEnds::live`] goes to.
    pub talk: Arc<OnceLock<Thread>>,
}

impl MicTap {
    /// The tap and its other ends; `live` when there is a talk thread.
    pub fn new(live: bool) -> (Self, MicEnds) {
        let (live, live_end) = match live {
            true => {
                let (ring, end) = Ring::new(LIVE_SAMPLES);
                (Some(ring), Some(end))
            }
            false => (None, None),
        };
        let (record, record_end) = Ring::new(RECORD_SAMPLES);
        let meter = Arc::new(SharedMeter::default());
        let losses = Arc::new(CaptureLosses::default());
        let talk = Arc::new(OnceLock::new());
        let tap =
            Self { live, record, meter: meter.clone(), losses: losses.clone(), talk: talk.clone() };
        (tap, MicEnds { live: live_end, record: record_end, meter, losses, talk })
    }
}

impl MicSink for MicTap {
    fn card_samples(&mut self, mono: &[f32], rate: u32, captured: Micros) {
        if !self.record.push(mono, rate, captured) {
            self.losses.record.fetch_add(mono.len() as u64, Relaxed);
        }
    }

    fn samples(&mut self, mono: &[f32], captured: Micros) {
        if let Some(live) = &mut self.live {
            if !live.push(mono, SAMPLE_RATE, captured) {
                self.losses.live.fetch_add(mono.len() as u64, Relaxed);
            }
            if let Some(talk) = self.talk.get() {
                talk.unpark();
            }
        }
        self.meter.push(mono);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_out_whole_with_their_stamps_in_both_rings() {
        let (mut tap, mut ends) = MicTap::new(true);
        for (block, at) in [(&[0.1; 64][..], 10), (&[0.2; 480][..], 20)] {
            tap.card_samples(block, 96_000, Micros(at));
            tap.samples(block, Micros(at));
        }
        let mut block = Vec::new();
        for end in [ends.live.as_mut().unwrap(), &mut ends.record] {
            assert_eq!(end.pop(&mut block), Some(Micros(10)));
            assert_eq!(block, [0.1; 64]);
            assert_eq!(end.pop(&mut block), Some(Micros(20)));
            assert_eq!(block, [0.2; 480]);
            assert_eq!(end.pop(&mut block), None);
        }
        assert_eq!((ends.live.unwrap().rate(), ends.record.rate()), (48_000, 96_000));
    }

    #[test]
    fn a_stalled_talk_thread_costs_the_recorder_nothing() {
        let (mut tap, mut ends) = MicTap::new(true);
        for i in 0..900 {
            tap.card_samples(&[0.0; 480], 48_000, Micros(i * 10_000));
            tap.samples(&[0.0; 480], Micros(i * 10_000));
        }
        assert_eq!(ends.losses.record.load(Relaxed), 0);
        assert!(ends.losses.live.load(Relaxed) > 0);
        let mut block = Vec::new();
        let mut n = 0;
        while ends.record.pop(&mut block).is_some() {
            n += block.len();
        }
        assert_eq!(n, 900 * 480);
        // The talk thread learns how much it has missed, so that its frame numbers stay positions.
        let (mut heard, mut live) = (0, ends.live.unwrap());
        while live.pop(&mut block).is_some() {
            heard += live.missed() + block.len();
        }
        tap.samples(&[0.0; 480], Micros(9_000_000));
        assert_eq!(live.pop(&mut block), Some(Micros(9_000_000)));
        assert_eq!(heard + live.missed(), 900 * 480);
    }
}
