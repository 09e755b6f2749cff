//! Mouth to ear as people see it: what is known of each part of the way.

use crate::audio::codec;
use crate::ui::model::LatencyParts;

/// The least of the last four seconds' figures: as far back as the playout buffer looks for the
/// fastest packet, from which it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lately([Option<i64>; 4]);

impl Lately {
    /// Takes this second's, if there is one.
    pub fn push(&mut self, figure: Option<i64>) -> Option<i64> {
        self.0.rotate_right(1);
        self.0[0] = figure;
        self.0.iter().flatten().min().copied()
    }
}

/// What is known of the way from one mouth to the own ear; microseconds but for the depth.
pub struct Path {
    /// From the microphone's membrane to the packet's leaving.
    pub input: i64,
    /// What a frame lasts.
    pub frame: i64,
    /// The fastest packet's way by both clocks; less than nothing where they are that far off.
    pub way: Option<i64>,
    /// The own packets' to the other, as the other says.
    pub back: Option<i64>,
    /// How far both clocks may be off together.
    pub clocks: Option<i64>,
    /// Of the fastest heartbeat.
    pub round_trip: i64,
    /// Milliseconds.
    pub depth_ms: f64,
    /// From the mixer to the speaker's membrane.
    pub output: i64,
}

/// The parts of mouth to ear (DESIGN section 3). The way is what the clocks say or half the round
/// trip, whichever is surer: the first sees queues and unequal ways, and the fastest of hundreds of
/// packets where only few heartbeats go there and back; the second needs no clock.
pub fn latency(path: &Path) -> LatencyParts {
    /// The packets' stamps are cut to milliseconds.
    const STAMP: i64 = 500;
    /// A way of that length or less, microseconds, is known better by its round trip.
    const SHORT: i64 = 1_000;
    /// Samples that the playout's resampler looks ahead.
    const READER: f64 = 8.0;
    let half = (path.round_trip / 2, path.round_trip / 2);
    let by_clocks = path.way.zip(path.clocks).map(|(way, clocks)| match path.back {
        Some(back) => {
            // What the clocks are off is in both ways, once more and once less: not in their sum.
            let mean = (way + back) / 2;
            // Ways that are unequal by more than that are unequal.
            let lean = way - mean;
            let lean = lean - lean.clamp(-clocks, clocks);
            ((mean + lean).max(0), clocks.min(mean.max(0)) + STAMP)
        }
        None => (way.max(0), clocks + STAMP),
    });
    // On a long way the clocks' bound is half the round trip as well, for nobody knows how unequal its
    // ways are; what they mean is nearer to the truth than a heartbeat that met queues.
    let believed = if half.1 > SHORT { 3 * half.1 } else { half.1 };
    let (network, uncertainty) = by_clocks.filter(|c| c.1 < believed).unwrap_or(half);
    let ms = |micros: i64| round(micros as f64 / 1e3, 2);
    LatencyParts {
        input_ms: ms(path.input),
        frame_ms: ms(path.frame),
        network_ms: ms(network),
        uncertainty_ms: ms(uncertainty),
        playout_ms: round(path.depth_ms, 2),
        codec_ms: round((codec::LOOK_AHEAD as f64 + READER) / 48.0, 2),
        output_ms: ms(path.output),
    }
}

/// Cuts a figure to so many decimal places.
pub fn round(value: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        Path {
            input: 200,
            frame: 5_000,
            way: Some(20_000),
            back: None,
            clocks: Some(700),
            round_trip: 40_000,
            depth_ms: 1.0,
            output: 750,
        }
    }

    #[test]
    fn the_way_is_that_of_the_fastest_packet_of_four_seconds() {
        let mut lately = Lately::default();
        let told = [Some(9), Some(7), None, Some(8), Some(9), Some(9)].map(|f| lately.push(f));
        assert_eq!(told, [Some(9), Some(7), Some(7), Some(7), Some(7), Some(8)]);
        assert_eq!([None; 4].map(|f| lately.push(f)), [Some(8), Some(9), Some(9), None]);
    }

    #[test]
    fn the_parts_of_the_latency_add_up_and_the_surer_word_about_the_way_counts() {
        // 40 ms there and back, of which the way here takes 20: the clocks know.
        let parts = latency(&path());
        assert_eq!((parts.network_ms, parts.uncertainty_ms), (20.0, 1.2));
        assert!((parts.sum() - (0.2 + 5.0 + 20.0 + 1.0 + 2.67 + 0.75)).abs() < 0.01);
        // An uplink that queues shows in the clocks, not in half the round trip of a heartbeat.
        let queued = latency(&Path { way: Some(50_000), ..path() });
        assert_eq!(queued.network_ms, 50.0);
        // Where heartbeats meet jitter, the fastest packet is known by the clocks.
        let jitter =
            latency(&Path { round_trip: 8_000, way: Some(700), clocks: Some(5_000), ..path() });
        assert_eq!(jitter.network_ms, 0.7);
        // On a short way half the round trip is surer than any stamp.
        let near = latency(&Path { round_trip: 300, way: Some(900), ..path() });
        assert_eq!((near.network_ms, near.uncertainty_ms), (0.15, 0.15));
        // Without clocks there is nothing else.
        let alone = latency(&Path { clocks: None, ..path() });
        assert_eq!((alone.network_ms, alone.uncertainty_ms), (20.0, 20.0));
    }

    #[test]
    fn what_the_clocks_are_off_is_in_neither_way_when_both_ends_tell_theirs() {
        // 3 ms each way, and clocks that heartbeats under jitter left 2.7 ms apart.
        let path = Path { round_trip: 20_000, clocks: Some(9_000), ..path() };
        let here = latency(&Path { way: Some(5_700), back: Some(300), ..path });
        let there = latency(&Path { way: Some(300), back: Some(5_700), ..path });
        assert_eq!((here.network_ms, there.network_ms), (3.0, 3.0));
        assert_eq!(here.uncertainty_ms, 3.5, "the truth is between nothing and both");
        // Also where one of them is less than nothing.
        let near = latency(&Path { way: Some(2_800), back: Some(-2_400), ..path });
        assert_eq!(near.network_ms, 0.2);
        // 30 ms here and 10 back, by clocks that are good to 1 ms.
        let unequal = Path { way: Some(30_000), back: Some(10_000), clocks: Some(1_000), ..path };
        assert_eq!(latency(&unequal).network_ms, 29.0);
    }
}
