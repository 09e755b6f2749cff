//! Units shared by every room: instants, media time, sequence numbers, identities.
//!
//! Three kinds of time exist (see the crate's page) and each has a type of its own here, so that
//! adding a local instant to a session instant does not compile. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};

/// Sample rate of all audio inside the program and in the files, in hertz (PRD 4.2.1, 4.3.2).
pub const SAMPLE_RATE: u32 = 48_000;
/// Frame rate of the recording's grid, in frames per second (PRD 4.3.1).
pub const RECORDING_FPS: u32 = 30;
/// Audio samples in one recorded frame: exactly 1,600.
pub const SAMPLES_PER_FRAME: u32 = SAMPLE_RATE / RECORDING_FPS;
/// Most people in one call (PRD 4.1).
pub const MAX_PARTICIPANTS: usize = 4;
/// Most others that one participant hears and sees.
pub const MAX_PEERS: usize = MAX_PARTICIPANTS - 1;

/// An instant of the local monotonic clock, in microseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

/// An instant of the session clock, in microseconds since the host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionMicros(pub i64);

macro_rules! instant {
    ($name:ident) => {
        impl $name {
            /// The same instant in seconds.
            pub fn as_secs_f64(self) -> f64 {
                self.0 as f64 / 1e6
            }

            /// Microseconds from `earlier` to `self`; negative when `earlier` is the later one.
            pub fn since(self, earlier: Self) -> i64 {
                self.0 - earlier.0
            }
        }

        /// Later by that many microseconds.
        impl Add<i64> for $name {
            type Output = Self;
            fn add(self, micros: i64) -> Self {
                Self(self.0 + micros)
            }
        }

        /// Earlier by that many microseconds.
        impl Sub<i64> for $name {
            type Output = Self;
            fn sub(self, micros: i64) -> Self {
                Self(self.0 - micros)
            }
        }
    };
}
instant!(Micros);
instant!(SessionMicros);

/// Time counted in ticks of a media rate: samples at 48,000, frames at 30, MP4 timescales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaTime {
    /// Number of ticks.
    pub ticks: i64,
    /// Ticks per second, never 0.
    pub rate: u32,
}

impl MediaTime {
    /// Samples at [`SAMPLE_RATE`].
    pub const fn samples(ticks: i64) -> Self {
        Self { ticks, rate: SAMPLE_RATE }
    }

    /// Frames at [`RECORDING_FPS`].
    pub const fn frames(ticks: i64) -> Self {
        Self { ticks, rate: RECORDING_FPS }
    }

    /// Microseconds, rounded to the nearest.
    pub fn to_micros(self) -> i64 {
        let n = i128::from(self.ticks) * 1_000_000;
        let d = i128::from(self.rate);
        ((n * 2 + d).div_euclid(d * 2)) as i64
    }

    /// The tick nearest to a duration in microseconds.
    pub fn from_micros(micros: i64, rate: u32) -> Self {
        let n = i128::from(micros) * i128::from(rate);
        Self { ticks: ((n * 2 + 1_000_000).div_euclid(2_000_000)) as i64, rate }
    }
}

/// A participant's id in the session, 0 to 3; the host is 0 (PRD 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(pub u8);

impl ParticipantId {
    /// The participant that began the session.
    pub const HOST: Self = Self(0);
    /// In a header sent before WELCOME has assigned an id.
    pub const UNASSIGNED: Self = Self(0xFF);
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Extends a 16-bit wire sequence number to the 64-bit one nearest to `newest` (RFC 3711, 3.3.1).
pub fn extend_sequence(newest: u64, wire: u16) -> u64 {
    let distance = wire.wrapping_sub(newest as u16) as i16;
    newest.checked_add_signed(i64::from(distance)).unwrap_or(u64::from(wire))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_extends_across_its_wrap_both_ways() {
        assert_eq!(extend_sequence(0, 0), 0);
        assert_eq!(extend_sequence(0xFFFE, 3), 0x1_0003);
        assert_eq!(extend_sequence(0x1_0003, 0xFFFE), 0xFFFE);
        assert_eq!(extend_sequence(5, 0xFFFF), 0xFFFF, "nothing lies before zero");
    }

    #[test]
    fn media_time_rounds_to_the_nearest_tick_also_before_zero() {
        assert_eq!(MediaTime::frames(1).to_micros(), 33_333);
        assert_eq!(MediaTime::frames(-1).to_micros(), -33_333);
        assert_eq!(MediaTime::from_micros(33_333, 30).ticks, 1);
        assert_eq!(MediaTime::from_micros(-16_667, 30).ticks, -1);
        // 12 hours of samples fit with room.
        assert_eq!(MediaTime::samples(48_000 * 43_200).to_micros(), 43_200_000_000);
    }
}
