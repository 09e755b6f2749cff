//! The timeline's promises: contiguous under jitter, silence only for what was really missing.

use proptest::prelude::*;

use super::*;

const START: SessionMicros = SessionMicros(5_000_000);

/// A device whose sample n (counted from its own start) has the value n + 1.
struct Device {
    next: u64,
    started: SessionMicros,
}

impl Device {
    fn new(started: SessionMicros) -> Self {
        Self { next: 0, started }
    }

    /// The next block and its true stamp.
    fn block(&mut self, samples: u64) -> (Vec<f32>, SessionMicros) {
        let stamp = self.started + MediaTime::samples(self.next as i64).to_micros();
        let block = (self.next..self.next + samples).map(|n| (n + 1) as f32).collect();
        self.next += samples;
        (block, stamp)
    }

    /// Samples that are lost in the device.
    fn lose(&mut self, samples: u64) {
        self.next += samples;
    }
}

fn assert_balanced(timeline: &AudioTimeline, out: &[f32]) {
    let c = timeline.counts();
    assert_eq!(
        c.written + c.trimmed + c.held,
        c.received - c.before_start + c.silence_filled,
        "{c:?}"
    );
    assert_eq!(c.written, out.len() as u64);
}

#[test]
fn a_device_that_runs_before_the_start_gives_its_sample_of_that_instant_first() {
    let mut device = Device::new(START - 1_000_000);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    for _ in 0..500 {
        let (block, stamp) = device.block(240);
        timeline.push(&block, stamp, &mut out);
        assert_balanced(&timeline, &out);
    }
    assert_eq!(out[0], 48_001.0);
    assert!(out.windows(2).all(|w| w[1] - w[0] == 1.0));
    assert_eq!(timeline.counts().before_start, 48_000);
    assert_eq!(timeline.counts().silence_filled, 0);
}

#[test]
fn stamps_before_the_start_average_out_their_jitter() {
    let mut device = Device::new(START - 1_000_000);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    for i in 0..400 {
        let (block, stamp) = device.block(240);
        // Most callbacks are on time, each fifth is 4 ms late.
        let late = if i % 5 == 0 { 4_000 } else { 0 };
        timeline.push(&block, stamp + late, &mut out);
    }
    assert_eq!(out[0], 48_001.0);
}

#[test]
fn a_device_that_starts_late_is_preceded_by_silence() {
    let mut device = Device::new(START + 250_000);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    let (block, stamp) = device.block(480);
    timeline.push(&block, stamp, &mut out);
    assert!(out[..12_000].iter().all(|&s| s == 0.0));
    assert_eq!(out[12_000..], block);
    assert_eq!(timeline.counts().gaps, 0);
}

#[test]
fn a_gap_is_filled_where_it_was_with_as_much_as_is_missing() {
    let mut device = Device::new(START);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    for i in 0..300u64 {
        if i == 100 {
            device.lose(24_000);
        }
        let (block, stamp) = device.block(240);
        timeline.push(&block, stamp + (i as i64 * 7_919) % 3_000, &mut out);
        assert_balanced(&timeline, &out);
    }
    let gap = timeline.next_gap().expect("the gap is told");
    assert_eq!(timeline.next_gap(), None);
    assert_eq!(gap.at, 24_000);
    // As exact as the stamps, which jitter by 3 ms here.
    assert!(gap.samples.abs_diff(24_000) < 144, "{gap:?}");
    let end = (gap.at + gap.samples) as usize;
    assert!(out[24_000..end].iter().all(|&s| s == 0.0));
    assert_eq!((out[23_999], out[end]), (24_000.0, 48_001.0));
    assert_eq!(timeline.counts().gaps, 1);
}

#[test]
fn a_stall_that_is_caught_up_by_a_burst_is_no_gap() {
    let mut device = Device::new(START);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    for i in 0..400 {
        let (block, stamp) = device.block(240);
        // Callbacks 100 to 130 all happen when number 130 is due: up to 150 ms late.
        let late = if (100..130).contains(&i) { (130 - i) * 5_000 } else { 0 };
        timeline.push(&block, stamp + late, &mut out);
        assert_balanced(&timeline, &out);
    }
    assert_eq!((timeline.counts().gaps, timeline.counts().silence_filled), (0, 0));
    assert!(out.windows(2).all(|w| w[1] - w[0] == 1.0));
    assert_eq!(out.len(), 400 * 240);
}

#[test]
fn drift_between_card_and_session_clock_is_reported_and_is_no_gap() {
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    // An hour of a card 100 ppm slow, in blocks of 10 ms.
    let block = [0.5f32; 480];
    for i in 0..360_000i64 {
        timeline.push(&block, START + i * 10_000 + i, &mut out);
        out.clear();
    }
    assert_eq!(timeline.counts().gaps, 0);
    let offset = timeline.offset_micros();
    assert!((offset - 360_000).abs() < 1_000, "{offset} us after an hour");
}

#[test]
fn a_device_that_vanishes_leaves_silence_and_comes_back_in_its_place() {
    let mut device = Device::new(START);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    for _ in 0..100 {
        let (block, stamp) = device.block(480);
        timeline.push(&block, stamp, &mut out);
    }
    for ms in (1_000..3_000).step_by(50) {
        timeline.silence_until(START + ms * 1_000, &mut out);
        assert_balanced(&timeline, &out);
        assert!(out.len() as i64 <= ms * 48);
    }
    let mut device = Device::new(START + 2_900_000);
    for _ in 0..100 {
        let (block, stamp) = device.block(480);
        timeline.push(&block, stamp, &mut out);
    }
    assert_balanced(&timeline, &out);
    assert_eq!(out[2_900 * 48], 1.0);
    assert!(out[48_000..2_900 * 48].iter().all(|&s| s == 0.0));
    let gap = Gap { at: 48_000, samples: 1_900 * 48 };
    assert_eq!((timeline.next_gap(), timeline.next_gap()), (Some(gap), None));
}

#[test]
fn without_any_device_the_file_is_silence_of_the_right_length() {
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    timeline.silence_until(START, &mut out);
    assert!(out.is_empty());
    timeline.silence_until(START + 10_000_000, &mut out);
    assert_eq!(timeline.finish(480_000, &mut out), 0);
    assert_eq!(out, vec![0.0; 480_000]);
    assert_eq!(timeline.counts().gaps, 0);
}

#[test]
fn the_end_is_exact_also_where_the_file_is_too_long() {
    let mut device = Device::new(START);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    let (block, stamp) = device.block(10_000);
    timeline.push(&block, stamp, &mut out);
    assert_eq!(timeline.finish(9_000, &mut out), 0);
    assert_eq!((out.len(), timeline.counts().trimmed), (9_000, 1_000));
    assert_balanced(&timeline, &out);
    out.clear();
    assert_eq!(timeline.finish(8_000, &mut out), 1_000, "the caller has passed it on already");
}

#[test]
fn what_is_held_in_doubt_is_written_at_the_end() {
    let mut device = Device::new(START);
    let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
    let (block, stamp) = device.block(4_800);
    timeline.push(&block, stamp, &mut out);
    device.lose(9_600);
    let (block, stamp) = device.block(480);
    timeline.push(&block, stamp, &mut out);
    assert_eq!(timeline.counts().held, 480);
    timeline.finish(20_000, &mut out);
    assert_eq!(out[14_400..14_880], block);
    assert_eq!(out.len(), 20_000);
}

proptest! {
    #[test]
    fn jitter_never_tears_the_sound_apart(
        block in 1u64..2_000,
        lateness in proptest::collection::vec(0i64..40_000, 50..200),
        before in 0i64..500_000,
    ) {
        let mut device = Device::new(START - before);
        let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
        for late in lateness {
            let (samples, stamp) = device.block(block);
            timeline.push(&samples, stamp + late, &mut out);
            assert_balanced(&timeline, &out);
        }
        let sound: Vec<f32> = out.iter().copied().skip_while(|&s| s == 0.0).collect();
        prop_assert!(sound.windows(2).all(|w| w[1] - w[0] == 1.0));
        prop_assert_eq!(timeline.counts().gaps, 0);
    }

    #[test]
    fn every_sample_after_the_start_is_written_in_order_whatever_the_stamps(
        blocks in proptest::collection::vec((1u64..3_000, -300_000i64..300_000, 0u8..12), 1..120),
        end in 0u64..400_000,
    ) {
        let mut device = Device::new(START - 50_000);
        let (mut timeline, mut out) = (AudioTimeline::new(START), Vec::new());
        for &(n, off, what) in &blocks {
            let (samples, stamp) = device.block(n);
            if what == 0 {
                timeline.silence_until(stamp, &mut out);
            }
            timeline.push(&samples, stamp + off, &mut out);
            assert_balanced(&timeline, &out);
        }
        let mut whole = out.clone();
        timeline.finish(out.len() as u64 + 100_000, &mut whole);
        let sound: Vec<f32> = whole.iter().copied().filter(|&s| s != 0.0).collect();
        prop_assert!(sound.windows(2).all(|w| w[1] - w[0] == 1.0), "none lost, none twice");
        prop_assert_eq!(sound.len() as u64, device.next - timeline.counts().before_start);

        let excess = timeline.finish(end, &mut whole);
        prop_assert_eq!(whole.len() as u64, end + excess);
    }
}
