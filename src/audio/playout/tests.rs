//! The playout buffer in virtual time: a speaker that pulls blocks, a path that delays, loses,
//! repeats and reorders, and clocks that do not agree.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::play::SEAM;
use super::*;
use crate::audio::codec::FRAME_MICROS;
use crate::audio::{MAX_AUDIO_PAYLOAD, TalkEncoder, TestSound, write_payload};

/// Frames of sound that are encoded once and said over and over: 8 s.
const LOOP: u64 = 1_600;
/// Virtual time does not begin at 0, so that nothing relies on it.
const EPOCH: i64 = 1_000_000_000;

fn payload(sequence: u64) -> &'static [u8] {
    static SAID: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let said = SAID.get_or_init(|| {
        let (sound, mut encoder) = (TestSound::new(0), TalkEncoder::new(32_000).unwrap());
        let encode = |n: u64| {
            let (mut pcm, mut frame) = ([0.0; FRAME], [0; 128]);
            sound.fill(n * FRAME as u64, &mut pcm);
            let len = encoder.encode(&pcm, &mut frame).unwrap();
            let mut payload = [0; MAX_AUDIO_PAYLOAD];
            let len = write_payload(&frame[..len], &mut payload);
            payload[..len].to_vec()
        };
        (0..LOOP).map(encode).collect()
    });
    &said[(sequence % LOOP) as usize]
}

/// What a decoder gives that gets every frame, without any buffer.
fn decoded(frames: u64) -> Vec<f32> {
    let mut decoder = TalkDecoder::new().unwrap();
    let mut all = Vec::new();
    for n in 0..frames {
        let mut pcm = [0.0; FRAME];
        let frame = parse_payload(payload(n)).unwrap().newest().data;
        decoder.decode(frame, &mut pcm).unwrap();
        all.extend_from_slice(&pcm);
    }
    all
}

/// Numbers that look random and are the same in each run.
fn noise(n: u64) -> f64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 29;
    (x >> 11) as f64 / (1u64 << 53) as f64
}

struct Line {
    buffer: PlayoutBuffer,
    /// Packets on their way, in the order of arrival: when, which number, whose sound.
    arrivals: Vec<(i64, u64)>,
    arrived: usize,
    block: usize,
    /// The speaker asks for no more than `block` before it must, and takes along what is settled.
    on_time: bool,
    /// How much faster than the local clock the speaker's card runs, ppm.
    card_ppm: f64,
    pulled: u64,
    heard: Vec<f32>,
    /// After each block: its time in ms, and the figures then.
    trace: Vec<(f64, PlayoutStats)>,
}

impl Line {
    fn new(block: usize) -> Self {
        Self {
            buffer: PlayoutBuffer::new().unwrap(),
            arrivals: Vec::new(),
            arrived: 0,
            block,
            on_time: false,
            card_ppm: 0.0,
            pulled: 0,
            heard: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// A line to each of the two kinds of speaker: one that calls back for blocks of a length, one
    /// that asks when it must.
    fn both(block: usize) -> [Self; 2] {
        [Self::new(block), Self { on_time: true, ..Self::new(4) }]
    }

    /// Sends `frames` frames; `path` says after how many microseconds each arrives, if at all.
    fn send(&mut self, frames: std::ops::Range<u64>, path: impl Fn(u64) -> Option<i64>) {
        for n in frames {
            if let Some(delay) = path(n) {
                self.arrivals.push((n as i64 * FRAME_MICROS + delay, n));
            }
        }
        self.arrivals.sort();
    }

    /// Lets the speaker run until `micros`.
    fn run(&mut self, micros: i64) -> &mut Self {
        let mut out = Vec::new();
        loop {
            let seconds = self.pulled as f64 / 48_000.0 / (1.0 + self.card_ppm * 1e-6);
            let now = (seconds * 1e6).round() as i64;
            if now > micros {
                return self;
            }
            while let Some(&(at, n)) = self.arrivals.get(self.arrived).filter(|a| a.0 <= now) {
                let packet = ReceivedAudio { sequence: n, payload: payload(n) };
                self.buffer.push(&packet, Micros(EPOCH + at));
                self.arrived += 1;
            }
            out.resize(self.block, 0.0);
            if self.on_time {
                self.buffer.pull_on_time(&mut out, Micros(EPOCH + now));
                out.resize(self.block + self.buffer.settled().min(240), 0.0);
                self.buffer.go_on(&mut out[self.block..]);
            } else {
                self.buffer.pull(&mut out, Micros(EPOCH + now));
            }
            self.pulled += out.len() as u64;
            self.heard.extend_from_slice(&out);
            self.trace.push((now as f64 / 1e3, self.buffer.stats()));
        }
    }

    fn stats(&self) -> PlayoutStats {
        self.buffer.stats()
    }

    /// What was heard since the stream began.
    fn played(&self) -> &[f32] {
        &self.heard[self.heard.len() - self.stats().played_samples as usize..]
    }

    /// The figures between two times in ms.
    fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &PlayoutStats> {
        self.trace.iter().filter(move |(t, _)| (from..to).contains(t)).map(|(_, stats)| stats)
    }

    /// Milliseconds concealed between two times in ms.
    fn concealed_ms(&self, from: f64, to: f64) -> f64 {
        let mut samples = self.between(from, to).map(|s| s.concealed_samples);
        let first = samples.next().unwrap_or(0);
        (samples.last().unwrap_or(first) - first) as f64 / 48.0
    }
}

#[test]
fn silence_before_the_first_packet_and_a_start_at_5_ms() {
    for mut line in Line::both(48) {
        line.run(100_000);
        assert!(line.heard.iter().all(|s| *s == 0.0));
        assert_eq!(line.stats().played_samples, 0);
        line.send(30..400, |_| Some(7_000));
        line.run(1_000_000);
        let stats = line.stats();
        assert_eq!(stats.concealed_samples, 0);
        assert!((5.1..5.8).contains(&stats.depth_ms), "{stats:?}");
        assert!((stats.target_ms - 5.17).abs() < 0.03, "{stats:?}");
        // Frame 30 came at 157 ms and is heard 5 ms later, and the wait for its callback.
        let began = line.heard.len() - line.played().len();
        assert!((162.0..163.8).contains(&(began as f64 / 48.0)), "{began}");
        assert!((5.1..6.8).contains(&stats.held_ms), "{stats:?}");
    }
}

#[test]
fn on_a_clean_path_every_block_length_gives_the_decoders_samples_bit_for_bit() {
    let truth = decoded(600);
    for block in [1, 7, 64, 120, 240, 441, 480, 1024, 4096] {
        let mut line = Line::new(block);
        line.send(0..600, |_| Some(3_100));
        line.run(2_000_000);
        let stats = line.stats();
        assert_eq!((stats.concealed_samples, stats.late), (0, 0), "block {block}");
        let played = line.played();
        // The first frame fades in.
        assert!(played.len() > 90_000, "block {block}: {}", played.len());
        let same = played[FRAME..90_000] == truth[FRAME..90_000];
        assert!(same, "block {block}");
    }
}

#[test]
fn on_a_clean_path_the_depth_comes_down_to_what_the_path_needs_without_a_gap() {
    for block in [64, 240, 480, 1024] {
        let mut line = Line::new(block);
        line.send(0..4_000, |_| Some(40_000));
        line.run(20_000_000 - 100_000);
        let stats = line.stats();
        assert_eq!((stats.concealed_samples, stats.late, stats.lost), (0, 0, 0), "{block}");
        // Whatever the callbacks' phase: nothing is held beyond what they make it wait.
        let wait = block as f32 / 48.0;
        assert!(stats.held_ms <= wait + 1.0, "block {block}: {stats:?}");
        let level = |s: &[f32]| s.iter().map(|s| s * s).sum::<f32>() / s.len() as f32;
        let ratio = level(&line.played()[48_000..]) / level(&decoded(3_600)[48_000..]);
        assert!((10.0 * ratio.log10()).abs() < 0.5, "block {block}: {ratio}");
    }
}

#[test]
fn jitter_is_met_with_depth_and_few_concealments() {
    for (name, in_order) in [("in order", true), ("overtaking", false)] {
        for mut line in Line::both(240) {
            let mut last = 0;
            for n in 0..4_000 {
                let mut at = n as i64 * FRAME_MICROS + (noise(n) * 10_000.0) as i64;
                if in_order {
                    at = at.max(last);
                    last = at;
                }
                line.arrivals.push((at, n));
            }
            line.arrivals.sort();
            line.run(20_000_000 - 100_000);
            let concealed = line.concealed_ms(3_000.0, 20_000.0);
            assert!(concealed < 17_000.0 * 0.01, "{name}: {concealed} ms concealed");
            for stats in line.between(3_000.0, 20_000.0) {
                assert!((5.0..=16.0).contains(&stats.depth_ms), "{name}: {stats:?}");
            }
            assert!(line.stats().jitter_ms > 1.0);
        }
    }
}

#[test]
fn loss_is_concealed_counted_and_not_taken_for_jitter() {
    let lost = |n: u64| noise(n) < 0.05;
    for mut line in Line::both(240) {
        line.send(0..4_000, |n| (!lost(n)).then_some(3_000));
        line.run(20_000_000 - 400_000);
        let stats = line.stats();
        let truth = (0..3_900).filter(|n| lost(*n)).count() as i64;
        assert!((stats.lost as i64 - truth).abs() <= 8, "{} lost, {truth} in truth", stats.lost);
        let concealed = stats.concealed_samples as i64 / FRAME as i64;
        assert!((concealed - truth).abs() <= 8, "{concealed} concealed, {truth} lost");
        assert!(stats.depth_ms < 2.0, "{stats:?}");
        assert_eq!(stats.late, 0);
    }
}

#[test]
fn order_is_restored_and_duplicates_change_nothing() {
    let truth = decoded(600);
    for mut line in Line::both(240) {
        // Every third packet is 4 ms late, so that some overtake it closely; each comes three times.
        let path = |n: u64| Some(if n.is_multiple_of(3) { 4_500 } else { 0 });
        line.send(0..600, path);
        line.send(0..600, |n| path(n).map(|d| d + 300));
        line.send(0..600, |n| path(n).map(|d| d + 30_000));
        line.run(2_000_000);
        let stats = line.stats();
        assert_eq!((stats.concealed_samples, stats.lost, stats.late), (0, 0, 0), "{stats:?}");
        assert!(stats.duplicates >= 780, "{stats:?}");
        assert!(line.played()[FRAME..80_000] == truth[FRAME..80_000]);
    }
}

#[test]
fn a_late_burst_is_played_after_a_gap_and_the_depth_comes_back() {
    for mut line in Line::both(240) {
        // Between 8 and 8.2 s everything is 20 ms late, once.
        let path = |n: u64| Some(if (1_600..1_640).contains(&n) { 20_000 } else { 0 });
        line.send(0..4_000, path);
        line.run(19_000_000);
        assert_eq!(line.concealed_ms(6_000.0, 7_990.0), 0.0);
        let gap = line.concealed_ms(7_990.0, 8_040.0);
        let normal = line.between(12_900.0, 13_100.0).map(|s| s.depth_ms).fold(0.0, f32::max);
        assert!(normal < 2.0, "back to normal within 5 s of calm: {normal}");
        assert!((15.0..=25.0).contains(&gap), "{gap} ms");
        assert_eq!(line.concealed_ms(8_040.0, 19_000.0), 0.0, "glitch-free again within 40 ms");
        let stats = line.stats();
        assert_eq!((stats.lost, stats.late), (0, 0), "late is not lost");
        assert!(stats.depth_ms < 1.5, "{stats:?}");
        let highest = line.between(8_000.0, 19_000.0).map(|s| s.depth_ms).fold(0.0, f32::max);
        assert!((15.0..=30.5).contains(&highest), "{highest}");
    }
}

#[test]
fn a_frame_that_comes_late_is_heard_from_then_on_in_its_place_and_nothing_else_changes() {
    for late in [1_500, 3_000] {
        for (mut line, mut calm) in Line::both(48).into_iter().zip(Line::both(48)) {
            calm.send(0..1_600, |_| Some(3_000));
            calm.run(7_000_000);
            assert_eq!(calm.stats().concealed_samples, 0);
            line.send(0..1_600, |n| Some(if n == 1_200 { 3_000 + late } else { 3_000 }));
            line.run(7_000_000);
            let stats = line.stats();
            assert_eq!((stats.late, stats.lost), (0, 0), "{stats:?}");
            // What it was late, less the depth; and up to a piece and a callback until it is seen.
            let missing = stats.concealed_samples as i64 * 1_000 / 48;
            assert!((late - 1_300..late + 1_300).contains(&missing), "{late}: {missing} us");
            // Right behind it every sample is that of a line without a late frame; the depth may
            // move by a bin meanwhile, which takes the rate some ppm.
            let other = |i: &usize| (line.heard[*i] - calm.heard[*i]).abs() > 0.01;
            let first = (0..calm.heard.len()).find(other).expect("a gap");
            let after = first + stats.concealed_samples as usize + SEAM + 16;
            let wrong = (after..after + 480).filter(other).count();
            assert_eq!(wrong, 0, "{late}: {first}, {after}");
        }
    }
}

#[test]
fn frames_that_come_a_little_late_again_make_the_buffer_deeper_by_a_little_and_not_by_a_frame() {
    for mut line in Line::both(48) {
        let late = |n: u64| (1_200..1_320).contains(&n) && n.is_multiple_of(3);
        line.send(0..1_600, |n| Some(if late(n) { 4_500 } else { 3_000 }));
        line.run(7_900_000);
        let deepest = line.between(6_000.0, 6_700.0).map(|s| s.depth_ms).fold(0.0, f32::max);
        assert!((0.9..2.6).contains(&deepest), "{deepest}");
        // A few pieces until it is clear that it was no accident, and then nothing.
        assert!(
            line.concealed_ms(5_900.0, 6_700.0) < 20.0,
            "{}",
            line.concealed_ms(5_900.0, 6_700.0)
        );
        assert_eq!(line.concealed_ms(6_200.0, 7_800.0), 0.0);
        assert!(line.stats().depth_ms < 1.5, "{:?}", line.stats());
    }
}

#[test]
fn in_quiet_sound_without_silence_frames_the_depth_comes_back_at_once() {
    let mut encoder = TalkEncoder::new(32_000).unwrap();
    let mut quiet = || {
        let (mut frame, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
        let len = encoder.encode(&[0.0; FRAME], &mut frame).unwrap();
        let len = write_payload(&frame[..len], &mut payload);
        payload[..len].to_vec()
    };
    let mut buffer = PlayoutBuffer::new().unwrap();
    let mut depths = Vec::new();
    let mut said = 0;
    for now in 0..1_400u64 {
        let at = Micros(EPOCH + now as i64 * FRAME_MICROS);
        // From 1,000 on the path is 20 ms slower, until 1,050; from 1,250 on nobody speaks.
        let arrived = if (1_000..1_050).contains(&now) { now - 4 } else { now };
        while said <= arrived {
            let silence = quiet();
            let payload = if said < 1_250 { payload(said) } else { &silence };
            buffer.push(&ReceivedAudio { sequence: said, payload }, at);
            said += 1;
        }
        buffer.pull(&mut [0.0; FRAME], at + 600);
        depths.push(buffer.stats().depth_ms);
    }
    assert!(depths[1_049] > 20.0, "{}", depths[1_049]);
    assert!(depths[1_250] > 15.0, "speech is shrunk slowly: {}", depths[1_250]);
    // Held frames are played first; then the silence behind them is left out.
    assert!(depths[1_265] < 6.0, "{}", depths[1_265]);
    assert_eq!(buffer.stats().lost + buffer.stats().late, 0);
}

#[test]
fn a_stall_whose_frames_come_together_costs_its_gap_and_no_depth() {
    for stall in [10_000i64, 20_000, 60_000] {
        for mut line in Line::both(240) {
            // From 8 s on nothing comes for a while, then all of it.
            let path = |n: u64| {
                let sent = n as i64 * FRAME_MICROS + 1_000;
                let held = (8_000_000..8_000_000 + stall).contains(&sent);
                Some(if held { 8_000_000 + stall - sent + 1_000 } else { 1_000 })
            };
            line.send(0..3_000, path);
            line.run(14_000_000);
            let gap = line.concealed_ms(7_990.0, 14_000.0);
            assert!((gap - stall as f64 / 1e3).abs() <= 5.0, "{stall}: {gap} ms concealed");
            assert_eq!(line.concealed_ms(8_000.0 + stall as f64 / 1e3 + 20.0, 14_000.0), 0.0);
            let deepest = line.between(8_000.0, 14_000.0).map(|s| s.depth_ms).fold(0.0, f32::max);
            assert!(deepest < 2.0, "{stall}: {deepest}");
            assert!(line.between(8_000.0, 14_000.0).all(|s| s.rate_ppm.abs() <= 500.0));
        }
    }
}

#[test]
fn a_path_that_becomes_slower_by_more_than_the_ceiling_is_followed_within_100_ms() {
    for mut line in Line::both(240) {
        line.send(0..4_000, |n| Some(if n < 1_600 { 0 } else { 60_000 }));
        line.run(19_000_000);
        let gap = line.concealed_ms(7_990.0, 8_200.0);
        assert!((55.0..=75.0).contains(&gap), "{gap} ms");
        assert_eq!(line.concealed_ms(8_200.0, 19_000.0), 0.0);
        assert!(line.stats().depth_ms < 1.5, "{:?}", line.stats());
    }
}

#[test]
fn drift_of_200_ppm_either_way_is_held_within_a_millisecond_without_gaps() {
    for block in [64, 128] {
        for ppm in [-200.0, 200.0] {
            for mut line in Line::both(block) {
                line.card_ppm = ppm;
                line.send(0..9_000, |_| Some(20_000));
                line.run(44_000_000);
                assert_eq!(line.stats().concealed_samples, 0, "{ppm} ppm, block {block}");
                for stats in line.between(15_000.0, 44_000.0) {
                    let error = stats.depth_ms - stats.target_ms;
                    assert!(error.abs() < 1.0, "{ppm} ppm: {stats:?}");
                    assert!(stats.rate_ppm.abs() <= 500.0, "{ppm} ppm: {stats:?}");
                }
            }
        }
    }
}

#[test]
fn where_frames_fit_the_callbacks_drift_moves_them_from_one_to_the_next_without_a_gap() {
    for block in [240, 480] {
        for ppm in [-200.0, 200.0] {
            let mut line = Line::new(block);
            line.card_ppm = ppm;
            line.send(0..13_000, |_| Some(20_000));
            line.run(64_000_000);
            assert_eq!(line.stats().concealed_samples, 0, "{ppm} ppm, block {block}");
            // Every frame waits for its callback, up to a period; after it for nothing else.
            let period = block as f32 / 48.0;
            for stats in line.between(15_000.0, 64_000.0) {
                assert!(stats.held_ms <= period + 1.8, "{ppm} ppm: {stats:?}");
                assert!(stats.rate_ppm.abs() <= 5_000.0, "{ppm} ppm: {stats:?}");
            }
        }
    }
}

#[test]
fn a_peer_that_pauses_is_silent_after_120_ms_and_heals_within_100_ms() {
    for pause_frames in [60u64, 400, 1_000] {
        for mut line in Line::both(240) {
            let back = 800 + pause_frames;
            line.send(0..800, |_| Some(2_000));
            line.send(back..back + 800, |_| Some(2_000));
            let back_ms = back as f64 * 5.0;
            line.run((back_ms * 1e3) as i64 + 3_000_000);
            let power = |from: f64, to: f64| {
                let samples = &line.heard[(from * 48.0) as usize..(to * 48.0) as usize];
                samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32
            };
            assert_eq!(power(4_140.0, back_ms), 0.0, "faded out");
            assert!(
                power(back_ms + 100.0, back_ms + 1_100.0) > 1e-4,
                "{pause_frames}: heard again"
            );
            assert_eq!(line.concealed_ms(back_ms + 100.0, back_ms + 3_000.0), 0.0);
            let stats = line.stats();
            assert!(stats.depth_ms <= 6.0, "no lag is left: {stats:?}");
            assert!(stats.lost >= pause_frames - 5, "{stats:?}");
        }
    }
}

#[test]
fn a_stall_whose_packets_all_come_at_once_leaves_no_lag() {
    for mut line in Line::both(240) {
        // From 4 to 5 s nothing arrives, then all of it.
        let path = |n: u64| {
            let sent = n as i64 * FRAME_MICROS;
            Some(if (4_000_000..5_000_000).contains(&sent) { 5_000_000 - sent } else { 0 })
        };
        line.send(0..2_400, path);
        line.run(11_000_000);
        assert_eq!(line.concealed_ms(5_100.0, 11_000.0), 0.0);
        assert!(line.between(5_100.0, 11_000.0).all(|s| s.depth_ms < 30.5));
        assert!(line.stats().depth_ms < 6.0, "{:?}", line.stats());
    }
}

#[test]
fn numbers_that_begin_anew_are_a_new_stream() {
    for mut line in Line::both(240) {
        line.send(5_000..5_400, |_| Some(-25_000_000));
        line.run(2_000_000);
        // The same peer again, counting from 0, without a pause.
        line.send(0..600, |_| Some(2_000_000));
        line.run(4_900_000);
        let stats = line.stats();
        assert!(stats.received >= 970, "{stats:?}");
        assert_eq!(line.concealed_ms(2_100.0, 4_900.0), 0.0, "{stats:?}");
    }
}

#[test]
fn callbacks_at_uneven_times_do_not_make_gaps_once_the_depth_knows_them() {
    let mut buffer = PlayoutBuffer::new().unwrap();
    let mut next = 0;
    let mut concealed = 0;
    for callback in 0..10_000i64 {
        let late = if noise(callback as u64) < 0.3 { 1_500 } else { 0 };
        let now = callback * 128 * 1_000_000 / 48_000 + late;
        while next * 5_000 <= now {
            let packet = ReceivedAudio { sequence: next as u64, payload: payload(next as u64) };
            buffer.push(&packet, Micros(next * 5_000));
            next += 1;
        }
        buffer.pull(&mut [0.0; 128], Micros(now));
        if callback == 3_000 {
            concealed = buffer.stats().concealed_samples;
        }
    }
    assert_eq!(buffer.stats().concealed_samples, concealed);
    // 2.7 for the period; that some come late costs nothing.
    assert!(buffer.stats().held_ms < 3.5, "{:?}", buffer.stats());
}

#[test]
fn a_damaged_frame_is_concealed_and_counted() {
    let mut buffer = PlayoutBuffer::new().unwrap();
    for n in 0..200u64 {
        let now = Micros(EPOCH + n as i64 * FRAME_MICROS);
        // Two 20 ms frames in one Opus packet are no frame of ours; nor is an empty payload.
        let wrong: &[u8] = if n == 100 { &[0, 0xD9, 1, 2, 3, 4] } else { payload(n) };
        buffer.push(&ReceivedAudio { sequence: n, payload: wrong }, now);
        buffer.push(&ReceivedAudio { sequence: n, payload: &[] }, now);
        buffer.pull(&mut [0.0; FRAME], now + 500);
    }
    let stats = buffer.stats();
    assert_eq!(stats.rejected, 201);
    assert_eq!(stats.concealed_samples, FRAME as u64);
}

/// A four-party call's three voices, whose clocks are 200 ppm slower, right, and 200 ppm faster than
/// the speaker's. A minute; an hour with `HYPERZOOM_SOAK`.
#[test]
fn three_peers_with_clocks_of_their_own_are_held_without_a_gap_for_an_hour() {
    let seconds = if std::env::var_os("HYPERZOOM_SOAK").is_some() { 3_600 } else { 30 };
    let (mut mixer, mut feeds) = crate::audio::mixer(3).unwrap();
    feeds.iter_mut().for_each(|feed| feed.restart());
    let mut said = [0u64; 3];
    let mut out = [0.0; 128];
    for block in 0..seconds * 375u64 {
        let now = block as f64 * 128.0 / 0.048 + 700.0;
        for ((feed, said), ppm) in feeds.iter_mut().zip(&mut said).zip([-200.0, 0.0, 200.0]) {
            loop {
                let at = 20_000.0 + *said as f64 * 5_000.0 * (1.0 - ppm * 1e-6);
                if at > now {
                    break;
                }
                feed.push(*said, Micros(EPOCH + at as i64), payload(*said));
                *said += 1;
            }
        }
        mixer.render(&mut out, Micros(EPOCH + now as i64));
        if block % 75 == 0 && block > 375 * 15 {
            for feed in &feeds {
                let stats = feed.stats();
                assert!((stats.depth_ms - stats.target_ms).abs() < 1.0, "{block}: {stats:?}");
                assert!(stats.rate_ppm.abs() <= 500.0, "{block}: {stats:?}");
            }
        }
    }
    for feed in &feeds {
        let stats = feed.stats();
        assert_eq!((stats.concealed_samples, stats.late, stats.lost), (0, 0, 0), "{stats:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_packet_and_no_instant_can_break_it(
        events in proptest::collection::vec(
            (any::<u64>(), 0u64..400, -50_000i64..400_000, 1usize..5_000, 0u8..8), 1..200)
    ) {
        let mut buffer = PlayoutBuffer::new().unwrap();
        let mut now = EPOCH;
        for (wild, near, moved, len, kind) in events {
            let mut at = now;
            let sequence = match kind {
                0 => wild,
                1 => u64::MAX - near,
                2 => { at = wild as i64; near }
                _ => near,
            };
            let junk = wild.to_le_bytes();
            let bytes = if kind == 3 { &junk[..] } else { payload(near) };
            buffer.push(&ReceivedAudio { sequence, payload: bytes }, Micros(at));
            now += moved;
            let mut out = vec![f32::NAN; len];
            let at = Micros(if kind == 4 { wild as i64 } else { now });
            if near.is_multiple_of(2) {
                buffer.pull_on_time(&mut out, at);
                out.resize(len + buffer.settled().min(1_000), f32::NAN);
                buffer.go_on(&mut out[len..]);
            } else {
                buffer.pull(&mut out, at);
            }
            prop_assert!(out.iter().all(|s| s.is_finite() && s.abs() < 40.0), "{out:?}");
            prop_assert!(buffer.stats().target_ms <= 30.0);
        }
    }
}
