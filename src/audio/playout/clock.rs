//! Where the speaker's callbacks and the peer's frames lie in time: which callback a frame is in
//! time for, jitter, and how long sound is held in all.
//!
//! Pure arithmetic. Instants wrap like the microseconds that they are.

use crate::audio::delay::Least;
use crate::units::{Micros, SAMPLE_RATE};

/// A packet that comes less than this before a callback would miss it next time, microseconds: the
/// receiving thread takes 0.1 to 0.3 ms. With two clocks the time left shrinks by up to 0.2 ms a
/// second, while getting deeper by a period takes the longer the longer the period is: a tenth of
/// it comes on top; and twice what packets are more uneven than this, up to ...
const GUARD: i64 = 200;
/// ... so much in all, microseconds.
const MOST_GUARD: i64 = 500;
/// Packets over which unevenness is learned and forgotten: one stall is not forgotten at once.
const LEARN: f32 = 16.0;
const FORGET: f32 = 512.0;
/// Callbacks may be late but not early: the earliest of the last 0.25 to 0.5 s, in samples.
const CALLBACKS: i64 = 12_000;
/// The fastest packet of the last 2 to 4 s, in samples.
const PACKETS: i64 = 96_000;
/// Most that a packet counts as having come after its callback, microseconds: 30 ms.
const MOST_MICROS: i64 = 30_000;
/// From this period on a packet counts as if it had just missed a callback, in samples: 10 ms. What
/// packets gain by the callback that they happen to meet would take up the whole depth.
const LONG: i64 = 480;

pub struct Clock {
    /// Instant of the output's sample 0, as the callbacks show it.
    callbacks: Least,
    /// Least (arrival - the frame's position in time).
    packets: Least,
    last: Option<i64>,
    jitter: f32,
    /// As jitter, but slow to fall; microseconds.
    uneven: f32,
}

/// Duration of samples, microseconds.
pub fn micros(samples: i64) -> i64 {
    samples.wrapping_mul(1_000_000) / i64::from(SAMPLE_RATE)
}

impl Clock {
    pub fn new() -> Self {
        Self {
            callbacks: Least::over(CALLBACKS),
            packets: Least::over(PACKETS),
            last: None,
            jitter: 0.0,
            uneven: 0.0,
        }
    }

    /// The stream was interrupted.
    pub fn forget_packets(&mut self) {
        self.packets.forget();
        self.last = None;
    }

    /// A callback began at `now`, before the output's sample `at`.
    pub fn callback(&mut self, now: Micros, at: i64) {
        self.callbacks.push(at, now.0.wrapping_sub(micros(at)));
    }

    /// A packet came whose newest frame begins at `position` of the sound; it is looked at before
    /// the output's sample `at`.
    pub fn packet(&mut self, arrival: Micros, position: i64, at: i64) {
        let offset = arrival.0.wrapping_sub(micros(position));
        self.packets.push(at, offset);
        // RFC 3550, 6.4.1: the mean difference of neighbours' delays, smoothed over 16.
        if let Some(last) = self.last.replace(offset) {
            let difference = offset.wrapping_sub(last).unsigned_abs() as f32 / 1_000.0;
            self.jitter += (difference.min(1_000.0) - self.jitter) / 16.0;
            let change = (difference * 1_000.0).min(MOST_MICROS as f32) - self.uneven;
            self.uneven += change / if change > 0.0 { LEARN } else { FORGET };
        }
    }

    /// How many samples after `at`, where the callback began that had a packet first, the packet may
    /// be relied upon: nothing, if it was there with something to spare; else so many whole
    /// periods.
    pub fn put_off(&self, arrival: Micros, at: i64, period: usize) -> i64 {
        let (Some(zero), Ok(period @ 1..)) = (self.callbacks.get(), i64::try_from(period)) else {
            return 0;
        };
        let left = zero.wrapping_add(micros(at)).wrapping_sub(arrival.0);
        if period > LONG {
            // Sooner than the callback's due time is what counts, later is as late as it is.
            let left = left.clamp(-MOST_MICROS, micros(period));
            return period - left * i64::from(SAMPLE_RATE) / 1_000_000;
        }
        let uneven = (self.uneven as i64 - GUARD).max(0);
        let guard = (GUARD + micros(period) / 10 + 2 * uneven).min(MOST_GUARD);
        let short = guard.saturating_sub(left).clamp(0, MOST_MICROS) * i64::from(SAMPLE_RATE);
        let samples = (short + 999_999) / 1_000_000;
        (samples + period - 1) / period * period
    }

    /// The output's sample whose turn it was when the packet could be had, for an output that asks
    /// for each when its turn comes. `at`: where the output is now.
    pub fn place(&self, ready: Micros, at: i64) -> i64 {
        let Some(zero) = self.callbacks.get() else { return at };
        let ago = zero.wrapping_add(micros(at)).wrapping_sub(ready.0);
        // Who asks late has what came meanwhile.
        let ago = ago.clamp(0, MOST_MICROS) * i64::from(SAMPLE_RATE) / 1_000_000;
        at.wrapping_sub(ago)
    }

    /// Interarrival jitter, milliseconds.
    pub fn jitter_ms(&self) -> f32 {
        self.jitter
    }

    /// From the fastest packet's arrival to the callback that gives its first sample out, when
    /// sample 0 of the sound is given out as sample `level` of the output; milliseconds.
    pub fn held_ms(&self, level: i64) -> f32 {
        match (self.callbacks.get(), self.packets.get()) {
            (Some(zero), Some(packets)) => {
                zero.wrapping_add(micros(level)).wrapping_sub(packets) as f32 / 1_000.0
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_just_before_a_callback_counts_for_the_next_one() {
        let mut clock = Clock::new();
        for callback in 0..50i64 {
            // Every third callback is late, which does not count.
            let late = if callback % 3 == 1 { 3_000 } else { 0 };
            clock.callback(Micros(7_000 + callback * 10_000 + late), callback * 480);
        }
        let off = |arrival: i64| clock.put_off(Micros(arrival), 49 * 480, 480);
        assert_eq!([off(497_000 - 501), off(497_000 - 400)], [0, 480]);
        assert_eq!([off(497_000 + 2_000), off(497_000 + 11_000)], [480, 960]);
        assert_eq!(clock.put_off(Micros(i64::MAX), 0, 64), 1_472, "no farther than 30 ms");
        // Long periods: the place within the period counts.
        let long = |arrival: i64| clock.put_off(Micros(arrival), 49 * 480, 4_800);
        assert_eq!([long(497_000), long(487_000), long(300_000)], [4_800, 4_320, 0]);
        assert_eq!(clock.put_off(Micros(0), 0, 0), 0);
    }

    #[test]
    fn without_a_period_a_packet_counts_from_when_it_could_be_had() {
        let mut clock = Clock::new();
        assert_eq!(clock.place(Micros(9), 77), 77);
        clock.callback(Micros(7_000), 0);
        clock.callback(Micros(12_500), 240);
        assert_eq!(clock.place(Micros(9_000), 240), 96);
        // While the output was late nothing else had been asked for.
        assert_eq!(clock.place(Micros(12_300), 240), 240);
        assert_eq!(clock.place(Micros(-1_000_000), 240), 240 - 1_440);
    }

    #[test]
    fn what_is_held_is_the_time_from_arrival_to_the_speaker() {
        let mut clock = Clock::new();
        clock.callback(Micros(1_000_000), 48_000);
        // Frame 0 came 2 ms before that callback and its first sample is output 48,000 + 96.
        clock.packet(Micros(998_000), 0, 48_000);
        assert_eq!(clock.held_ms(48_096), 4.0);
    }
}
