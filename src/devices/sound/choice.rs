//! Which of a device's configurations to use, and which periods to try.

use cpal::{SampleFormat, SupportedBufferSize, SupportedStreamConfigRange};

use super::convert::FORMATS;
use crate::units::SAMPLE_RATE;

/// Periods to try, frames at 48 kHz, smallest first. Those that divide or are an Opus frame of 5 ms
/// (240) come before powers of two of about the same size: they save up to 2 ms of waiting for the
/// frame's end; the others are for systems that only do those.
pub const PERIODS: [u32; 10] = [60, 64, 120, 128, 240, 256, 480, 512, 960, 1024];

/// One usable configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Channels to open.
    pub channels: u16,
    /// Rate to open.
    pub rate: u32,
    /// Format to open.
    pub format: SampleFormat,
    /// Smallest and largest period, where the system tells.
    pub periods: Option<(u32, u32)>,
}

impl Choice {
    /// Periods at the device's rate to try in this order; `None` at the end leaves it to the system.
    /// A pinned period is the only one.
    pub fn periods(&self, pinned: Option<u32>) -> Vec<Option<u32>> {
        let scaled = |frames: u32| {
            (u64::from(frames) * u64::from(self.rate)).div_ceil(u64::from(SAMPLE_RATE)) as u32
        };
        if let Some(frames) = pinned {
            return vec![Some(scaled(frames))];
        }
        let fits =
            |frames: &u32| self.periods.is_none_or(|(min, max)| (min..=max).contains(frames));
        let mut list: Vec<_> = PERIODS.iter().map(|p| scaled(*p)).filter(fits).map(Some).collect();
        list.push(None);
        list
    }
}

/// The best configuration: 48 kHz before other rates, then few channels for a microphone (one
/// channel is used) and two for a speaker, then the widest format.
///
/// `channels_needed` is the number of the channel that was asked for.
pub fn choose(
    ranges: &[SupportedStreamConfigRange],
    channels_needed: u16,
    input: bool,
) -> Option<Choice> {
    let mut best: Option<((u32, u32, usize), Choice)> = None;
    for range in ranges {
        let Some(format) = FORMATS.iter().position(|f| *f == range.sample_format()) else {
            continue;
        };
        if range.channels() < channels_needed.max(1) {
            continue;
        }
        let rate = nearest_rate(range.min_sample_rate(), range.max_sample_rate());
        let rate_rank = match rate {
            SAMPLE_RATE => 0,
            // Whole multiples lose nothing, then the usual rate, then all that keep speech whole.
            r if r % SAMPLE_RATE == 0 => 1,
            44_100 => 2,
            r if r > 32_000 => 3,
            r => 1_000_000 - r.min(999_000),
        };
        let channels_rank = if input {
            u32::from(range.channels())
        } else {
            match range.channels() {
                2 => 0,
                1 => 1,
                n => u32::from(n),
            }
        };
        let choice = Choice {
            channels: range.channels(),
            rate,
            format: range.sample_format(),
            periods: match *range.buffer_size() {
                SupportedBufferSize::Range { min, max } => Some((min, max)),
                SupportedBufferSize::Unknown => None,
            },
        };
        let rank = (rate_rank, channels_rank, format);
        if best.as_ref().is_none_or(|(b, _)| rank < *b) {
            best = Some((rank, choice));
        }
    }
    best.map(|(_, choice)| choice)
}

fn nearest_rate(min: u32, max: u32) -> u32 {
    [SAMPLE_RATE, 96_000, 44_100, 192_000, 88_200]
        .into_iter()
        .find(|r| (min..=max).contains(r))
        .unwrap_or(max.min(384_000).max(min))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let size = SupportedBufferSize::Range { min: 64, max: 600 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, size, format)
    }

    #[test]
    fn a_microphone_takes_48_khz_then_the_fewest_channels_then_the_widest_format() {
        let ranges = [
            range(2, (44_100, 48_000), SampleFormat::F32),
            range(1, (44_100, 44_100), SampleFormat::F32),
            range(1, (8_000, 48_000), SampleFormat::I16),
            range(1, (8_000, 48_000), SampleFormat::I32),
            range(1, (8_000, 48_000), SampleFormat::DsdU8),
        ];
        let got = choose(&ranges, 1, true).expect("some fit");
        assert_eq!((got.channels, got.rate, got.format), (1, 48_000, SampleFormat::I32));
        let second = choose(&ranges, 2, true).expect("one has two channels");
        assert_eq!(second.channels, 2);
        assert_eq!(choose(&ranges, 3, true), None);
        assert_eq!(choose(&ranges, 1, false).map(|c| c.channels), Some(2));
    }

    #[test]
    fn other_rates_are_taken_when_there_is_nothing_better() {
        let only = |rates| choose(&[range(1, rates, SampleFormat::F32)], 1, true).map(|c| c.rate);
        assert_eq!(only((44_100, 44_100)), Some(44_100));
        assert_eq!(only((96_000, 192_000)), Some(96_000));
        assert_eq!(only((16_000, 16_000)), Some(16_000));
        let ranges = [
            range(1, (16_000, 16_000), SampleFormat::F32),
            range(4, (44_100, 44_100), SampleFormat::I16),
        ];
        assert_eq!(choose(&ranges, 1, true).map(|c| c.rate), Some(44_100));
    }

    #[test]
    fn periods_stay_within_what_the_device_takes_and_scale_with_its_rate() {
        let mut choice = Choice {
            channels: 1,
            rate: 48_000,
            format: SampleFormat::F32,
            periods: Some((128, 500)),
        };
        let some = |list: &[u32]| list.iter().map(|p| Some(*p)).collect::<Vec<_>>();
        assert_eq!(choice.periods(None)[..4], some(&[128, 240, 256, 480]));
        assert_eq!(choice.periods(None).last(), Some(&None));
        assert_eq!(choice.periods(Some(100)), some(&[100]));
        choice.rate = 96_000;
        choice.periods = None;
        assert_eq!(choice.periods(None)[..2], some(&[120, 128]));
    }
}
