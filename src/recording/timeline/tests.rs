//! The timeline's promises: every sample stands at its instant whatever the clocks do, the sound
//! stays pure, and silence is only for what was really missing.

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;
use crate::recording::tone;

const START: SessionMicros = SessionMicros(5_000_000);
/// Local clock's lead over the session's at local time 0, microseconds.
const OFFSET: f64 = 123_456.0;

/// A sound in the air, by true session time in seconds since the file's start.
type Sound = fn(f64) -> f64;

/// A card and a local clock that each run at their own rate; session time is the truth.
struct World {
    /// How much faster than the session clock the local one runs, parts per million.
    local_ppm: f64,
    /// How much faster than its nominal rate, by the local clock, the card runs.
    card_ppm: f64,
    rate: u32,
    /// Local time of the card's sample 0.
    began: f64,
    next: u64,
    sound: Sound,
    timeline: AudioTimeline,
    out: Vec<f32>,
}

impl World {
    /// A card that starts `before` seconds before the file.
    fn new(rate: u32, card_ppm: f64, local_ppm: f64, before: f64, sound: Sound) -> Self {
        let mut timeline = AudioTimeline::new();
        timeline.begin(START);
        let mut world = Self {
            local_ppm,
            card_ppm,
            rate,
            began: 0.0,
            next: 0,
            sound,
            timeline,
            out: Vec::new(),
        };
        world.began = world.local_of(START.0 as f64 - before * 1e6);
        world
    }

    fn session_of(&self, local: f64) -> f64 {
        session_of(self.local_ppm, local)
    }

    fn local_of(&self, session: f64) -> f64 {
        (session - OFFSET) * (1.0 + self.local_ppm * 1e-6)
    }

    /// Local time of the card's sample.
    fn local(&self, index: f64) -> f64 {
        self.began + index * 1e6 / (f64::from(self.rate) * (1.0 + self.card_ppm * 1e-6))
    }

    /// The next block, stamped `late` microseconds late.
    fn block(&mut self, samples: u64, late: i64) {
        let block: Vec<f32> = (self.next..self.next + samples)
            .map(|i| {
                let at = self.session_of(self.local(i as f64)) - START.0 as f64;
                (self.sound)(at / 1e6) as f32
            })
            .collect();
        let stamp = Micros(self.local(self.next as f64).round() as i64 + late);
        let ppm = self.local_ppm;
        self.timeline.push(&block, self.rate, stamp, &|l| session_of(ppm, l), &mut self.out);
        while self.timeline.more(&mut self.out) {}
        self.next += samples;
        self.check();
    }

    fn blocks(&mut self, count: u64, samples: u64, late: impl Fn(u64) -> i64) {
        for n in 0..count {
            self.block(samples, late(n));
        }
    }

    fn silence_until(&mut self, now: SessionMicros) {
        let ppm = self.local_ppm;
        self.timeline.silence_until(now, &|l| session_of(ppm, l), &mut self.out);
        while self.timeline.more(&mut self.out) {}
        self.check();
    }

    fn finish(&mut self, end: u64) -> u64 {
        let ppm = self.local_ppm;
        let excess = self.timeline.finish(end, &|l| session_of(ppm, l), &mut self.out);
        while self.timeline.more(&mut self.out) {}
        excess
    }

    fn check(&self) {
        assert_eq!(self.timeline.counts().written, self.out.len() as u64);
    }

    /// Largest difference between what was written from `from` on and what was in the air then.
    fn worst(&self, from: usize) -> f64 {
        let expected = |n: usize| (self.sound)(n as f64 / 48_000.0);
        (from..self.out.len())
            .map(|n| (f64::from(self.out[n]) - expected(n)).abs())
            .fold(0.0, f64::max)
    }
}

fn session_of(local_ppm: f64, local: f64) -> f64 {
    local / (1.0 + local_ppm * 1e-6) + OFFSET
}

fn kilohertz(t: f64) -> f64 {
    0.5 * (TAU * 997.0 * t).sin()
}

fn steady(_: f64) -> f64 {
    0.25
}

/// A repeatable number from 0 up to `below`.
fn dice(n: u64, below: i64) -> i64 {
    let mut x = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 31;
    (x.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as i64 % below
}

#[test]
fn every_sample_stands_at_its_instant_whatever_both_clocks_do() {
    for (rate, card, local) in [
        (48_000, 0.0, 0.0),
        (48_000, 200.0, -150.0),
        (48_000, -200.0, 200.0),
        (44_100, 120.0, 30.0),
        (96_000, -90.0, -200.0),
    ] {
        let mut world = World::new(rate, card, local, 2.0, kilohertz);
        world.blocks(1_500, u64::from(rate) / 200, |_| 0);
        let worst = world.worst(48_000);
        // A microsecond of this tone is 0.003: stamps are whole microseconds.
        assert!(worst < 0.005, "{rate} Hz {card} ppm, local {local} ppm: {worst}");
    }
}

#[test]
fn a_click_is_found_at_its_instant_to_a_sample_while_stamps_jitter() {
    // The sync tone is the click: its place can be told to a hundredth of a sample.
    fn chirps(t: f64) -> f64 {
        let (from, to, length) = (2_000.0, 10_000.0, 0.25);
        let t = t.rem_euclid(5.0) - 2.0;
        if !(0.0..length).contains(&t) {
            return 0.0;
        }
        0.1 * (TAU * (from * t + (to - from) * t * t / (2.0 * length))).sin()
    }
    let mut world = World::new(48_000, 200.0, -120.0, 2.0, chirps);
    // The usual callback is on time to 30 us, each ninth is up to 4 ms late.
    let late = |n| dice(n, 60) - 30 + if dice(n, 9) == 0 { dice(n, 4_000) } else { 0 };
    world.blocks(14_000, 240, late);
    for second in (2..65).step_by(5) {
        let at = second * 48_000;
        let found = tone::locate(&world.out, at).expect("it is there");
        let error = found.position - at as f64;
        let bound = if second < 15 { 1.0 } else { 0.5 };
        assert!(error.abs() < bound, "at {second} s: {error} samples");
    }
}

#[test]
fn a_pure_tone_stays_pure_while_estimates_waver() {
    let mut world = World::new(48_000, 170.0, 60.0, 2.0, kilohertz);
    world.blocks(6_000, 240, |n| dice(n, 3_000) - 1_500);
    // In each 25 ms the best sine of the tone's frequency is taken away whose level and
    // phase may drift slowly: what is left is distortion, noise and clicks.
    let worst = world.out[96_000..].chunks_exact(1_200).map(impurity).fold(f64::MIN, f64::max);
    println!("THD+N with stamps that jitter by 1.5 ms: {worst:.1} dB");
    assert!(worst < -105.0, "{worst:.1} dB");
}

/// What is left of a window of [`kilohertz`] without it, relative to it, in dB.
fn impurity(window: &[f32]) -> f64 {
    const N: usize = 6;
    let turn = TAU * 997.0 / 48_000.0;
    let basis = |i: usize| -> [f64; N] {
        let (s, c) = (turn * i as f64).sin_cos();
        let t = i as f64 / window.len() as f64 - 0.5;
        [s, c, t * s, t * c, t * t * s, t * t * c]
    };
    // Least squares: normal equations, eliminated in place.
    let mut m = [[0.0; N + 1]; N];
    for (i, y) in window.iter().enumerate() {
        let b = basis(i);
        for r in 0..N {
            (0..N).for_each(|c| m[r][c] += b[r] * b[c]);
            m[r][N] += b[r] * f64::from(*y);
        }
    }
    for p in 0..N {
        let pivot = m[p];
        for (r, row) in m.iter_mut().enumerate() {
            let factor = row[p] / pivot[p];
            if r != p {
                (p..=N).for_each(|c| row[c] -= factor * pivot[c]);
            }
        }
    }
    let rest: f64 = window
        .iter()
        .enumerate()
        .map(|(i, y)| {
            let fitted: f64 =
                basis(i).iter().zip(&m).enumerate().map(|(r, (b, m))| b * m[N] / m[r]).sum();
            (f64::from(*y) - fitted).powi(2)
        })
        .sum();
    10.0 * (2.0 * rest / window.len() as f64 / 0.25).log10()
}

/// An hour; gives the largest error in microseconds against the session clock.
fn hour(card_ppm: f64, local_ppm: f64, late: impl Fn(u64) -> i64) -> f64 {
    let mut timeline = AudioTimeline::new();
    timeline.kernel = Kernel::none();
    timeline.begin(START);
    let world = World::new(48_000, card_ppm, local_ppm, 1.0, steady);
    let session = |local: f64| session_of(local_ppm, local);
    let (mut out, mut worst) = (Vec::new(), 0.0f64);
    let block = [0.0f32; 480];
    for n in 0..360_000u64 {
        let index = n as f64 * 480.0;
        let stamp = Micros(world.local(index).round() as i64 + late(n));
        timeline.push(&block, 48_000, stamp, &session, &mut out);
        out.clear();
        if timeline.running {
            // By the truth, not by the timeline's own estimate.
            let captured = session(world.local(timeline.place));
            worst = worst.max((captured - timeline.instant(timeline.made)).abs());
        }
    }
    assert_eq!((timeline.counts().gaps, timeline.counts().silence_filled), (0, 0));
    let ppm = timeline.card_rate().unwrap().ppm;
    assert!((ppm - card_ppm).abs() < 2.0, "{ppm} for {card_ppm}");
    worst
}

#[test]
fn for_an_hour_at_200_ppm_the_sound_stays_within_2_ms_of_the_session_clock() {
    let soak = std::env::var_os("HYPERZOOM_SOAK").is_some();
    for (card, local, jitter) in
        [(200.0, -200.0, 2_000), (-200.0, -200.0, 2_000), (-200.0, 200.0, 0), (200.0, 200.0, 0)]
    {
        let worst = hour(card, local, |n| dice(n, 2 * jitter + 1) - jitter);
        println!("card {card} ppm, local {local} ppm, stamps +-{jitter} us: {worst:.1} us");
        assert!(worst < if jitter > 0 { 1_500.0 } else { 100.0 }, "{worst}");
        if !soak {
            break;
        }
    }
}

#[test]
fn a_session_clock_that_bends_is_followed_smoothly() {
    // After 20 s the session clock turns out to run 300 ppm faster, for 5 s.
    let session = |local: f64| {
        let t = (local - 20e6).clamp(0.0, 5e6);
        local + OFFSET + t * 300e-6
    };
    let mut timeline = AudioTimeline::new();
    timeline.kernel = Kernel::none();
    timeline.begin(SessionMicros(OFFSET as i64 + 1_000_000));
    let (mut out, mut worst, mut bend, mut step) = (Vec::new(), 0.0f64, 0.0f64, 1.0);
    for n in 0..12_000 {
        timeline.push(&[0.0; 240], 48_000, Micros(n * 5_000), &session, &mut out);
        worst = worst.max(timeline.error_micros(&session).unwrap_or(0.0).abs());
        if n > 400 {
            bend = bend.max((timeline.step - step).abs());
        }
        step = timeline.step;
    }
    assert!(worst < 500.0, "{worst} us");
    assert!(timeline.error_micros(&session).unwrap().abs() < 1.0);
    // The speed changes by less than 10 ppm in 5 ms: no ear follows that.
    assert!(bend < 10e-6, "{bend}");
    assert_eq!(timeline.counts().gaps, 0);
}

#[test]
fn a_device_that_runs_before_the_start_gives_its_sound_of_that_instant_first() {
    let mut world = World::new(48_000, 0.0, 0.0, 1.0, kilohertz);
    world.blocks(500, 240, |_| 0);
    assert!(world.worst(0) < 0.002, "{}", world.worst(0));
    let counts = world.timeline.counts();
    assert_eq!((counts.silence_filled, counts.gaps, counts.left_out), (0, 0, 0));
    assert!(counts.before_start.abs_diff(48_000) <= 1, "{counts:?}");
    let made = counts.received - counts.before_start;
    // The kernel's half and the fade's length wait.
    assert!(made - counts.written < 64 + 240 + 4, "{counts:?}");
}

#[test]
fn samples_told_to_be_too_old_only_lend_their_stamps() {
    let mut timeline = AudioTimeline::new();
    for n in 0..400 {
        timeline.skip(240, 48_000, Micros(n * 5_000 + i64::from(n % 3 == 0) * 2_000));
    }
    timeline.begin(SessionMicros(2_050_000));
    let mut out = Vec::new();
    for n in 400..420 {
        timeline.push(&[0.5; 240], 48_000, Micros(n * 5_000), &|l| l, &mut out);
    }
    let counts = timeline.counts();
    assert_eq!((counts.received, counts.silence_filled), (420 * 240, 0));
    assert!(counts.before_start.abs_diff(410 * 240) <= 1, "{counts:?}");
}

#[test]
fn a_device_that_starts_late_is_preceded_by_silence_and_fades_in() {
    let mut world = World::new(48_000, 0.0, 0.0, -0.25, steady);
    world.blocks(100, 240, |_| 0);
    assert!(world.out[..12_000].iter().all(|&s| s == 0.0));
    assert!(world.out[12_000..12_240].windows(2).all(|w| w[1] - w[0] < 0.01));
    assert!(world.out[12_300..].iter().all(|s| (s - 0.25).abs() < 1e-5));
    assert_eq!(world.timeline.counts().gaps, 0);
}

/// No two neighbours differ by more than a fade's slope: no click.
fn no_click(out: &[f32]) {
    let worst = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(worst < 0.005, "{worst}");
}

#[test]
fn a_gap_is_filled_where_it_was_with_as_much_as_is_missing_and_does_not_click() {
    let mut world = World::new(48_000, 100.0, 0.0, 1.0, steady);
    world.blocks(400, 240, |n| dice(n, 3_000));
    let lost_from = world.next;
    world.next += 24_000;
    world.blocks(200, 240, |n| dice(n, 3_000));
    let gap = world.timeline.next_gap().expect("the gap is told");
    assert_eq!(world.timeline.next_gap(), None);
    // As exact as the stamps, which jitter by 3 ms here.
    let at = lost_from - 48_000;
    assert!(gap.at.abs_diff(at) < 200 && gap.samples.abs_diff(24_000) < 144, "{gap:?}");
    let (from, to) = (gap.at as usize, (gap.at + gap.samples) as usize);
    assert!(world.out[from..to].iter().all(|&s| s == 0.0));
    assert!((world.out[from - 300] - 0.25).abs() < 1e-4);
    assert!((world.out[to + 300] - 0.25).abs() < 1e-4);
    no_click(&world.out[1_000..]);
    assert_eq!(world.timeline.counts().gaps, 1);
}

#[test]
fn samples_that_found_no_room_become_silence_of_their_length() {
    let mut world = World::new(48_000, 0.0, 0.0, 1.0, steady);
    world.blocks(400, 240, |_| 0);
    world.timeline.lost(777, &|l| session_of(0.0, l), &mut world.out);
    world.next += 777;
    world.blocks(200, 240, |_| 0);
    let gap = world.timeline.next_gap().expect("the gap is told");
    assert!(gap.samples.abs_diff(777) <= 1, "{gap:?}");
    no_click(&world.out[1_000..]);
}

#[test]
fn a_stall_that_is_caught_up_by_a_burst_is_no_gap() {
    let mut world = World::new(48_000, 0.0, 0.0, 1.0, kilohertz);
    world.blocks(200, 240, |_| 0);
    // These callbacks all happen when the last of them is due: up to 150 ms late.
    world.blocks(30, 240, |n| (30 - n as i64) * 5_000);
    world.blocks(200, 240, |_| 0);
    let counts = world.timeline.counts();
    assert_eq!((counts.gaps, counts.silence_filled), (0, 0));
    assert!(world.worst(1_000) < 0.01, "{}", world.worst(1_000));
}

#[test]
fn a_device_that_vanishes_leaves_silence_and_comes_back_in_its_place_without_a_click() {
    let mut world = World::new(48_000, 0.0, 0.0, 0.5, steady);
    world.blocks(150, 480, |_| 0);
    for ms in (1_000..3_000).step_by(50) {
        world.silence_until(START + ms * 1_000);
        assert!(world.out.len() as i64 <= ms * 48);
    }
    // Back 2.9 s after the start, with another phase and a card that is a little faster.
    let (mut back, here) = (World::new(48_000, 30.0, 0.0, -2.9, steady), world.timeline);
    (back.timeline, back.out) = (here, world.out);
    back.blocks(100, 480, |_| 0);
    let gap = back.timeline.next_gap().expect("the gap is told");
    assert!(gap.at.abs_diff(48_000) <= 1, "{gap:?}");
    assert!((gap.at + gap.samples).abs_diff(2_900 * 48) <= 1, "{gap:?}");
    let silent = gap.at as usize..(gap.at + gap.samples) as usize;
    assert!(back.out[silent].iter().all(|&s| s == 0.0));
    no_click(&back.out[1_000..]);
    assert_eq!(back.timeline.next_gap(), None);
}

#[test]
fn another_rate_is_another_stretch_on_the_same_timeline() {
    let mut world = World::new(48_000, 0.0, 0.0, 0.5, kilohertz);
    world.blocks(300, 240, |_| 0);
    let mut other = World::new(44_100, 0.0, 0.0, -1.0, kilohertz);
    (other.timeline, other.out) = (world.timeline, world.out);
    other.blocks(300, 441, |_| 0);
    assert!(other.out.len() > 3 * 48_000);
    let faded = |n: &usize| (47_700..48_300).contains(n);
    let worst = (0..other.out.len())
        .filter(|n| !faded(n))
        .map(|n| (f64::from(other.out[n]) - kilohertz(n as f64 / 48_000.0)).abs())
        .fold(0.0, f64::max);
    assert!(worst < 0.005, "{worst}");
}

#[test]
fn without_any_device_the_file_is_silence_of_the_right_length() {
    let mut world = World::new(48_000, 0.0, 0.0, 0.0, steady);
    world.silence_until(START);
    assert!(world.out.is_empty());
    world.silence_until(START + 10_000_000);
    assert_eq!(world.finish(480_000), 0);
    assert_eq!(world.out, vec![0.0; 480_000]);
    assert_eq!(world.timeline.counts().gaps, 0);
}

#[test]
fn the_end_is_exact_also_where_the_file_is_too_long() {
    let mut world = World::new(48_000, 0.0, 0.0, 0.0, steady);
    world.block(20_000, 0);
    assert_eq!(world.finish(19_000), 0);
    assert_eq!(world.out.len(), 19_000);
    // Nothing of the device is missing before the end, so nothing is faded there.
    assert!(world.out[300..].iter().all(|s| (s - 0.25).abs() < 1e-4));
    world.check();
    world.out.clear();
    assert_eq!(world.finish(8_000), 11_000, "the caller has passed it on already");
}

#[test]
fn a_file_shorter_than_the_settling_time_still_gets_its_sound() {
    let mut world = World::new(48_000, 0.0, 0.0, 0.0, steady);
    world.blocks(10, 240, |_| 0);
    assert!(world.out.is_empty(), "a place is not told from 50 ms");
    world.finish(4_800);
    assert_eq!(world.out.len(), 4_800);
    assert!(world.out[300..2_100].iter().all(|s| (s - 0.25).abs() < 1e-4));
    assert!(world.out[2_400..].iter().all(|&s| s == 0.0));
}

#[test]
fn what_is_held_in_doubt_is_written_at_the_end() {
    let mut world = World::new(48_000, 0.0, 0.0, 0.0, steady);
    world.blocks(100, 480, |_| 0);
    world.next += 9_600;
    world.block(480, 0);
    assert_eq!(world.timeline.counts().held, 480);
    world.finish(70_000);
    assert_eq!(world.out.len(), 70_000);
    assert!(world.out[57_600 + 240..57_600 + 400].iter().any(|&s| s > 0.1));
    assert_eq!(world.timeline.counts().gaps, 1);
}

#[test]
fn a_second_file_begins_on_its_own_grid_with_the_card_already_known() {
    let mut world = World::new(48_000, 150.0, 0.0, 1.0, kilohertz);
    world.blocks(3_000, 240, |_| 0);
    world.finish(48_000 * 13);
    world.timeline.rewind();
    assert_eq!(world.timeline.counts(), TimelineCounts::default());
    assert!(world.timeline.card_rate().is_some());
    world.out.clear();
    world.timeline.begin(START + 16_000_000);
    world.blocks(800, 240, |_| 0);
    let worst = (0..world.out.len())
        .map(|n| (f64::from(world.out[n]) - kilohertz(n as f64 / 48_000.0 + 16.0)).abs())
        .fold(0.0, f64::max);
    assert!(world.out.len() > 48_000 && worst < 0.01, "{worst}");
}

#[test]
fn once_its_buffers_have_grown_nothing_is_allocated() {
    let mut timeline = AudioTimeline::new();
    timeline.begin(SessionMicros(0));
    let (block, mut out) = ([0.1f32; 240], Vec::with_capacity(4_800));
    let mut push = |timeline: &mut AudioTimeline, n: i64| {
        out.clear();
        timeline.push(&block, 48_000, Micros(n * 5_000), &|l| l, &mut out);
    };
    (0..1_000).for_each(|n| push(&mut timeline, n));
    assert_no_alloc::assert_no_alloc(|| (1_000..2_000).for_each(|n| push(&mut timeline, n)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn jitter_never_tears_the_sound_apart(
        block in 32u64..2_000,
        lateness in proptest::collection::vec(0i64..40_000, 50..200),
        before in 0u32..500,
    ) {
        let mut world = World::new(48_000, 0.0, 0.0, f64::from(before) / 1e3, steady);
        for late in lateness {
            world.block(block, late);
        }
        let sound: Vec<f32> = world.out.iter().copied().skip_while(|&s| s == 0.0).collect();
        prop_assert!(sound.iter().skip(400).all(|s| (s - 0.25).abs() < 1e-4));
        prop_assert_eq!(world.timeline.counts().gaps, 0);
    }

    #[test]
    fn every_sample_is_accounted_for_and_the_end_is_exact_whatever_the_stamps(
        blocks in proptest::collection::vec((1u64..3_000, -300_000i64..300_000, 0u8..12), 1..80),
        end in 0u64..400_000,
    ) {
        let mut world = World::new(48_000, 0.0, 0.0, 0.05, steady);
        world.timeline.kernel = Kernel::none();
        for &(n, off, what) in &blocks {
            if what == 0 {
                let at = world.session_of(world.local(world.next as f64)) as i64;
                world.silence_until(SessionMicros(at));
            }
            world.block(n, off);
        }
        let before = world.timeline.counts();
        prop_assert_eq!(before.received, world.next);
        world.finish(world.out.len() as u64 + 100_000);
        let c = world.timeline.counts();
        prop_assert_eq!(c.held, 0);
        // Sound in the file is what came, less what had no place; steering may stretch a little.
        let sound = (c.written - c.silence_filled) as f64;
        let came = (c.received - c.before_start - c.left_out) as f64;
        prop_assert!((sound - came).abs() < 3.0 * c.gaps as f64 + 30.0 + came * 0.001, "{c:?}");
        prop_assert_eq!(world.finish(end), 0);
        prop_assert_eq!(world.out.len() as u64, end);
    }
}

#[test]
fn a_session_clock_that_jumped_over_a_sleep_leaves_silence_and_the_sound_stands_right_again() {
    const SLEPT: f64 = 10e6;
    let mut timeline = AudioTimeline::new();
    timeline.begin(SessionMicros(0));
    let mut out = Vec::new();
    let block = |index: i64| (0..480).map(|i| ((index * 480 + i) as f32 * 0.01).sin()).collect();
    let push = |timeline: &mut AudioTimeline, index: i64, ahead: f64, out: &mut Vec<f32>| {
        let block: Vec<f32> = block(index);
        timeline.push(&block, 48_000, Micros(index * 10_000), &|local| local + ahead, out);
    };
    (0..300).for_each(|i| push(&mut timeline, i, 0.0, &mut out));
    (300..600).for_each(|i| push(&mut timeline, i, SLEPT, &mut out));
    while timeline.more(&mut out) {}
    timeline.finish(16 * 48_000, &|local| local + SLEPT, &mut out);
    assert_eq!(out.len(), 16 * 48_000);
    let gap = timeline.next_gap().expect("the sleep is told");
    assert!(gap.at.abs_diff(3 * 48_000) < 100 && gap.samples.abs_diff(480_000) < 100, "{gap:?}");
    // Sample 4 s of the card was captured at 14 s of the session.
    let (at, from) = (14 * 48_000, 4 * 48_000);
    let apart = (0..1_000).map(|i| (out[at + i] - ((from + i) as f32 * 0.01).sin()).abs());
    let worst = apart.fold(0.0, f32::max);
    assert!(worst < 0.02, "{worst}");
}

#[test]
fn a_sleep_over_the_end_is_silence_up_to_it_and_no_further() {
    const SLEPT: f64 = 8.0 * 3_600e6;
    let mut timeline = AudioTimeline::new();
    timeline.begin(SessionMicros(0));
    let (mut out, end) = (Vec::new(), 60 * 48_000);
    let mut written = 0;
    for index in 0..600 {
        let ahead = if index < 300 { 0.0 } else { SLEPT };
        let session = |local: f64| local + ahead;
        timeline.push(&[0.25; 480], 48_000, Micros(index * 10_000), &session, &mut out);
        if timeline.silence_reaches(end) {
            timeline.finish(end, &session, &mut out);
        }
        loop {
            assert!(out.len() <= 250_000, "{} samples at once", out.len());
            written += out.len() as u64;
            out.clear();
            if !timeline.more(&mut out) {
                break;
            }
        }
        if written == end {
            break;
        }
    }
    assert_eq!((written, timeline.counts().written), (end, end));
    assert_eq!(timeline.finish(end, &|local| local + SLEPT, &mut out), 0);
    assert!(out.is_empty());
    let gap = timeline.next_gap().expect("it is told");
    assert!(gap.at.abs_diff(3 * 48_000) < 100 && gap.at + gap.samples == end, "{gap:?}");
    assert_eq!(timeline.counts().silence_filled, gap.samples);
}
