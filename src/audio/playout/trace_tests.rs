//! Speech from an encoder to a speaker in virtual time, over lines that delay and lose: the goals
//! that the buffer, the copies and silence have to meet. Everything is seeded.
//!
//! `HYPERZOOM_TRACES=1 cargo test trace_tests -- --nocapture` prints what each line costs.

use std::rc::Rc;

use super::*;
use crate::audio::redundancy::{Packer, Plan, Said};
use crate::audio::{MAX_AUDIO_PAYLOAD, TalkEncoder};

/// Same numbers in each run, evenly spread from 0 to 1.
pub fn noise(seed: u64, n: u64) -> f64 {
    let mut x = (n ^ seed.wrapping_mul(0xA24B_AED4_963E_E407)).wrapping_add(1);
    x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 29;
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// A line as the laboratory's: loss in runs, then queueing delay that keeps the order.
#[derive(Clone)]
pub struct Line {
    pub seed: u64,
    pub loss: f64,
    /// Mean length of a run of lost packets.
    pub burst: f64,
    /// Up to so much on top, microseconds.
    pub jitter: f64,
    /// More delay at an instant of arrival, microseconds.
    pub more: fn(f64) -> f64,
    /// What became of a packet sent at so many times 5 ms: more delay in microseconds, or lost.
    pub recorded: Rc<[Option<f64>]>,
    pub bad: bool,
    pub last: f64,
    pub drawn: u64,
}

impl Line {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            loss: 0.0,
            burst: 1.0,
            jitter: 0.0,
            more: |_| 0.0,
            recorded: Rc::default(),
            bad: false,
            last: 0.0,
            drawn: 0,
        }
    }

    fn draw(&mut self) -> f64 {
        self.drawn += 1;
        noise(self.seed, self.drawn)
    }

    /// When what was sent at `at` arrives, if it does.
    fn carry(&mut self, at: f64) -> Option<f64> {
        if self.loss > 0.0 {
            let burst = self.burst.max(1.0 / (1.0 - self.loss));
            let u = self.draw();
            self.bad = if self.bad {
                u >= 1.0 / burst
            } else {
                u < self.loss / (burst * (1.0 - self.loss))
            };
            if self.bad {
                return None;
            }
        }
        let jitter = if self.jitter > 0.0 { self.draw() * self.jitter } else { 0.0 };
        let recorded = match self.recorded.get((at / 5_000.0) as usize) {
            Some(found) => (*found)?,
            None => 0.0,
        };
        let at = (at + 5_000.0 + jitter + recorded + (self.more)(at)).max(self.last);
        self.last = at;
        Some(at)
    }
}

/// A voice with syllables, words and pauses, and a little noise of a room; mono, 48 kHz.
pub fn speech(seconds: usize) -> Vec<f32> {
    let mut out = vec![0.0f32; seconds * 48_000];
    let (mut low, mut phase) = ([[0.0f64; 2]; 3], 0.0f64);
    for (i, sample) in out.iter_mut().enumerate() {
        let t = i as f64 / 48_000.0;
        // A phrase of 2.4 s, a pause of 1.1 s; a syllable each 0.24 s that comes up softly.
        let phrase = t % 3.5;
        let syllable = phrase % 0.24 / 0.24;
        let number = (t / 0.24) as u64;
        let loud =
            if phrase < 2.4 { (std::f64::consts::PI * syllable).sin().powf(1.5) } else { 0.0 };
        let pitch = 105.0 + 30.0 * noise(7, number) + 10.0 * (t * 5.0).sin();
        phase += pitch / 48_000.0;
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase %= 1.0;
        let hiss = if noise(8, number) < 0.25 { 0.06 } else { 0.004 };
        let source = pulse + hiss * (2.0 * noise(9, i as u64) - 1.0);
        let mut sum = 0.0;
        let vowel = noise(10, number);
        for (k, (hertz, width)) in
            [(300.0 + 500.0 * vowel, 70.0), (1_900.0 - 900.0 * vowel, 100.0), (2_700.0, 160.0)]
                .into_iter()
                .enumerate()
        {
            let r = (-std::f64::consts::PI * width / 48_000.0f64).exp();
            let turn = (std::f64::consts::TAU * hertz / 48_000.0f64).cos();
            let y = source + 2.0 * r * turn * low[k][0] - r * r * low[k][1];
            low[k] = [y, low[k][0]];
            sum += y * [1.0, 0.5, 0.25][k];
        }
        *sample = (0.04 * loud * sum + 0.000_3 * (2.0 * noise(11, i as u64) - 1.0)) as f32;
    }
    out
}

pub struct Call {
    pub plan: Plan,
    pub dtx: bool,
    pub length: FrameLength,
    pub kbps: i32,
    /// Samples in a callback of the microphone and of the speaker.
    pub captured: usize,
    pub played: usize,
    /// The speaker asks for no more than that before it must, and takes along what is settled.
    pub on_time: bool,
    /// How much faster than the sender's clock the speaker's runs, ppm.
    pub ppm: f64,
    /// When the speaker's first callback is due, microseconds.
    pub phase: f64,
    /// Sending, receiving and each callback are late by up to so much, microseconds.
    pub late: f64,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            dtx: false,
            length: FrameLength::Full,
            kbps: 32,
            captured: 64,
            played: 64,
            on_time: false,
            ppm: 0.0,
            phase: 700.0,
            late: 0.0,
        }
    }
}

pub struct Heard {
    pub samples: Vec<f32>,
    pub packets: usize,
    /// After each callback: its instant in ms, figures, and mouth to speaker in ms.
    pub trace: Vec<(f64, PlayoutStats, f64)>,
}

impl Call {
    pub fn run(&self, said: &[f32], lines: &mut [Line]) -> Heard {
        let samples = self.length.samples();
        let mut encoder =
            if self.dtx { TalkEncoder::with_dtx } else { TalkEncoder::new }(self.kbps * 1_000)
                .unwrap();
        let (mut talk, mut packer) = (Said::new(self.length), Packer::new());
        packer.set_plan(self.plan);
        let mut arrivals = Vec::new();
        let mut packets = 0;
        for (n, pcm) in said.chunks_exact(samples).enumerate() {
            let (mut frame, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
            let len = encoder.encode(pcm, &mut frame).unwrap();
            let silent = TalkEncoder::is_silence(&frame[..len]);
            if !talk.say(n as u64, &frame[..len], silent) {
                continue;
            }
            // The frame is whole with the block that has its last sample.
            let end = ((n + 1) * samples).next_multiple_of(self.captured);
            while let Some((number, len)) = packer.next(&talk, n as u64, &mut payload) {
                packets += 1;
                let sent = end as f64 / 0.048 + self.late * noise(51, number);
                let at = lines.iter_mut().try_fold(sent, |at, line| line.carry(at));
                arrivals.extend(at.map(|at| (at, number, payload[..len].to_vec())));
            }
        }
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut arrivals = arrivals.into_iter().peekable();
        let mut buffer = PlayoutBuffer::new().unwrap();
        let mut heard = Heard { samples: Vec::new(), packets, trace: Vec::new() };
        let mut block = vec![0.0; self.played];
        let seconds = said.len() as f64 / 48_000.0;
        loop {
            let place = heard.samples.len();
            let due = place as f64 / 48_000.0 / (1.0 + self.ppm * 1e-6) * 1e6 + self.phase;
            if due > seconds * 1e6 {
                return heard;
            }
            let now = due + self.late * noise(52, place as u64);
            while let Some((at, number, payload)) = arrivals.next_if(|a| a.0 <= now) {
                let packet = ReceivedAudio { sequence: number, payload: &payload };
                buffer.push(&packet, Micros(at as i64));
            }
            if self.on_time {
                block.resize(self.played, 0.0);
                buffer.pull_on_time(&mut block, Micros(now as i64));
                block.resize(self.played + buffer.settled(), 0.0);
                buffer.go_on(&mut block[self.played..]);
            } else {
                buffer.pull(&mut block, Micros(now as i64));
            }
            heard.samples.extend_from_slice(&block);
            // The sound's sample 0 was captured at 0: so late is it now.
            let level = buffer.level() as f64 / 48.0 + self.phase / 1e3;
            heard.trace.push((now / 1e3, buffer.stats(), level));
        }
    }
}

impl Heard {
    pub fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &(f64, PlayoutStats, f64)> {
        self.trace.iter().filter(move |(t, ..)| (from..to).contains(t))
    }

    /// Median of mouth to speaker, ms.
    pub fn delay(&self, from: f64, to: f64) -> f64 {
        let mut all: Vec<f64> = self.between(from, to).map(|t| t.2).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    /// Percent of the time that was made up.
    pub fn concealed(&self, from: f64, to: f64) -> f64 {
        let mut all = self.between(from, to).map(|t| (t.1.concealed_samples, t.1.played_samples));
        let first = all.next().unwrap();
        let last = all.last().unwrap();
        (last.0 - first.0) as f64 * 100.0 / (last.1 - first.1) as f64
    }

    /// Level of the second half in dB.
    pub fn level(&self) -> f64 {
        self.level_of(self.samples.len() / 2..self.samples.len())
    }

    /// Level of some samples in dB.
    pub fn level_of(&self, range: std::ops::Range<usize>) -> f64 {
        let part = &self.samples[range];
        10.0 * (part.iter().map(|s| f64::from(s * s)).sum::<f64>() / part.len() as f64).log10()
    }
}

fn print(name: &str, heard: &Heard, from: f64, to: f64) {
    if std::env::var_os("HYPERZOOM_TRACES").is_none() {
        return;
    }
    let depth = heard.between(from, to).map(|t| t.1.depth_ms).fold(0.0, f32::max);
    println!(
        "{name:28} delay {:5.1} ms, deepest {depth:4.1} ms, concealed {:5.2} %, level {:5.1} dB",
        heard.delay(from, to),
        heard.concealed(from, to),
        heard.level()
    );
}

fn jitter(seed: u64) -> Line {
    Line { jitter: 10_000.0, ..Line::new(seed) }
}

fn lossy(seed: u64, loss: f64) -> Line {
    Line { loss, ..Line::new(seed) }
}

const ALL: (f64, f64) = (8_000.0, 24_000.0);

#[test]
fn jitter_and_loss_cost_no_more_than_the_goals_say_and_no_goal_is_met_by_muting() {
    let said = speech(24);
    let none = Plan::default();
    let three = Plan::copies(&[1, 2, 3]);
    // A start meets any phase between packets and callbacks, and a period counts as a whole: what is
    // true is true on average. At 480, 10 ms, the callbacks alone leave the choice of 10, 15 or 20.
    // Who asks on time has a clean line 2 ms sooner than at 64, and jitter on both 1.3 ms sooner.
    for (block, on_time, one, both) in
        [(64, false, 10.0, 17.5), (480, false, 10.1, 18.5), (4, true, 10.0, 18.0)]
    {
        let mut more = [0.0; 3];
        const PHASES: usize = 3;
        for k in 0..PHASES {
            let seed = 10 * k as u64;
            let phase = (k as f64 + 0.5) / PHASES as f64 * block as f64 / 0.048;
            let call = |plan: Plan, lines: &mut [Line]| {
                Call { plan, captured: block, played: block, on_time, phase, ..Call::default() }
                    .run(&said, lines)
            };
            // Each line takes 5 ms without anything.
            let clean = call(none, &mut [Line::new(1), Line::new(2)]);
            print(&format!("{block}: clean"), &clean, ALL.0, ALL.1);
            assert_eq!(clean.concealed(ALL.0, ALL.1), 0.0);
            let base = clean.delay(ALL.0, ALL.1);
            let loss5 = |seed| lossy(seed, 0.05);
            for (i, (name, plan, mut lines, made_up)) in [
                ("jitter 10 on one line", none, vec![jitter(seed + 1), Line::new(2)], 1.0),
                ("jitter 10 on both lines", none, vec![jitter(seed + 1), jitter(seed + 2)], 2.5),
                ("5 % loss on both lines", three, vec![loss5(seed + 3), loss5(seed + 4)], 0.5),
            ]
            .into_iter()
            .enumerate()
            {
                let heard = call(plan, &mut lines);
                print(&format!("{block}: {name}"), &heard, ALL.0, ALL.1);
                more[i] += (heard.delay(ALL.0, ALL.1) - base) / PHASES as f64;
                let concealed = heard.concealed(ALL.0, ALL.1);
                assert!(concealed <= made_up, "{block}: {name}: {concealed} %");
                assert!((heard.level() - clean.level()).abs() < 0.5, "{name}: {}", heard.level());
            }
        }
        if std::env::var_os("HYPERZOOM_TRACES").is_some() {
            println!("{block}: more than clean on average {more:5.2?} ms");
        }
        for (i, most) in [one, both, 16.0].into_iter().enumerate() {
            // To the tenth: a phase between the sampled ones is worth some hundredths.
            assert!(more[i] < most + 0.05, "{block}: {} ms more, not {most}", more[i]);
        }
    }
}

#[test]
fn copies_that_switch_on_make_room_for_themselves_within_seconds_and_without_a_gap() {
    let said = speech(14);
    for offsets in [&[1][..], &[1, 3], &[1, 2, 3]] {
        let plan = Plan::copies(offsets);
        for (played, on_time) in [(64, false), (4, true)] {
            let call = Call { plan, played, on_time, ..Call::default() };
            // Nothing is lost: the depth rises all the same, by playing slower.
            let heard = call.run(&said, &mut [Line::new(1)]);
            assert_eq!(heard.concealed(1_000.0, 14_000.0), 0.0);
            let reach = f32::from(*offsets.last().unwrap()) * 5.0;
            let (_, stats, _) = heard.trace.last().unwrap();
            assert!((reach..reach + 2.0).contains(&stats.depth_ms), "{offsets:?}: {stats:?}");
            // At the offsets' price everything that copies can bring back is brought back.
            let heard = call.run(&said, &mut [lossy(5, 0.05)]);
            let concealed = heard.concealed(6_000.0, 14_000.0);
            assert!(concealed < [1.2, 0.4, 0.1][offsets.len() - 1], "{offsets:?}: {concealed} %");
        }
    }
}

#[test]
fn frames_that_share_a_packet_on_a_thin_path_cost_their_wait_and_no_gap() {
    let said = speech(9);
    let delay = |frames| {
        let call = Call { plan: Plan::several(frames), ..Call::default() };
        let heard = call.run(&said, &mut [Line::new(1)]);
        assert_eq!(heard.concealed(3_000.0, 9_000.0), 0.0, "{frames} frames a packet");
        heard.delay(6_000.0, 9_000.0)
    };
    let alone = delay(1);
    for (frames, wait) in [(2u8, 5.0), (4, 15.0)] {
        let more = delay(frames) - alone;
        assert!((wait - 1.0..=wait + 1.0).contains(&more), "{frames} frames a packet: {more} ms");
    }
}

#[test]
fn silence_is_kept_back_and_neither_an_onset_nor_a_level_is_lost() {
    let said = speech(21);
    for path in [Line::new(1), jitter(2)] {
        let all = Call::default().run(&said, &mut [path.clone()]);
        let dtx = Call { dtx: true, ..Call::default() }.run(&said, &mut [path]);
        assert!(dtx.packets * 100 < all.packets * 90, "{} of {}", dtx.packets, all.packets);
        assert!((dtx.level() - all.level()).abs() < 0.5, "{} {}", dtx.level(), all.level());
        let (_, stats, _) = dtx.trace.last().unwrap();
        assert_eq!(stats.lost, 0, "silence is not loss: {stats:?}");
        // Each phrase's first quarter of a second, and every 25 ms of it that can be heard, against the
        // same without silence kept back; the sound comes some 15 to 30 ms after its place in what
        // was said.
        for phrase in 2..6 {
            let energy = |heard: &Heard, part: usize, samples: usize| {
                let from = (f64::from(phrase) * 3.5 * 48_000.0) as usize + part * samples;
                heard.level_of(from..from + samples)
            };
            let (with, without) = (energy(&dtx, 0, 12_000), energy(&all, 0, 12_000));
            assert!((with - without).abs() < 0.5, "phrase {phrase}: {with} dB, {without} dB");
            for part in 0..10 {
                let (with, without) = (energy(&dtx, part, 1_200), energy(&all, part, 1_200));
                let same = without < -45.0 || (with - without).abs() < 1.2;
                assert!(same, "phrase {phrase}, part {part}: {with} dB, {without} dB");
            }
        }
    }
}

#[test]
fn loss_around_silence_is_concealed_and_silence_is_not() {
    let said = speech(21);
    let plan = Plan::copies(&[1, 3]);
    let mut lines = [lossy(3, 0.1)];
    let heard = Call { dtx: true, plan, ..Call::default() }.run(&said, &mut lines);
    // A third of the time is silence: were it taken for loss, a third would be concealed.
    let concealed = heard.concealed(4_000.0, 21_000.0);
    assert!(concealed < 1.5, "{concealed} %");
}

#[test]
fn frames_of_2_5_ms_come_sooner_by_what_they_are_shorter() {
    let said = speech(12);
    let full = Call { kbps: 64, ..Call::default() }.run(&said, &mut [Line::new(1)]);
    let half = Call { length: FrameLength::Half, kbps: 80, ..Call::default() };
    let half = half.run(&said, &mut [Line::new(1)]);
    let sooner = full.delay(6_000.0, 12_000.0) - half.delay(6_000.0, 12_000.0);
    assert!((1.5..=3.0).contains(&sooner), "{sooner} ms");
    assert_eq!(half.concealed(1_000.0, 12_000.0), 0.0);
    assert!((full.level() - half.level()).abs() < 0.5);
    let plan = Plan::copies(&[1, 3]);
    let half = Call { length: FrameLength::Half, kbps: 80, plan, ..Call::default() };
    let half = half.run(&said, &mut [lossy(5, 0.05)]);
    assert!(half.concealed(6_000.0, 12_000.0) < 0.5);
}

#[test]
fn lines_as_they_are_found_leave_no_lag_and_little_to_make_up() {
    let said = speech(60);
    let wifi: fn(f64) -> f64 = |at| {
        // Every 0.7 s the radio is away for 4 to 25 ms; what waited comes together.
        let (slot, phase) = ((at / 700_000.0) as u64, at % 700_000.0);
        (4_000.0 + 21_000.0 * noise(40, slot) - phase).max(0.0)
    };
    let lte: fn(f64) -> f64 = |at| 8_000.0 * (noise(41, (at / 3_000_000.0) as u64) * 4.0).floor();
    // Up by 200 ms in 8 s, then gone.
    let bloat: fn(f64) -> f64 =
        |at| if (20e6..28e6).contains(&at) { (at - 20e6) / 40.0 } else { 0.0 };
    let outage: fn(f64) -> f64 = |at| if (20e6..24.9e6).contains(&at) { 24.9e6 - at } else { 0.0 };
    for (name, more, ppm, made_up) in [
        ("Wi-Fi bursts", wifi, 0.0, 3.0),
        ("LTE staircase", lte, 0.0, 2.0),
        ("bufferbloat ramp", bloat, 0.0, 2.5),
        ("outage of 4.9 s", outage, 0.0, 12.0),
        ("200 ppm faster", |_: f64| 0.0, 200.0, 0.0),
        ("200 ppm slower", |_: f64| 0.0, -200.0, 0.0),
    ] {
        for (played, on_time) in [(64, false), (4, true)] {
            let mut lines = [Line { more, ..Line::new(1) }];
            let heard = Call { ppm, played, on_time, ..Call::default() }.run(&said, &mut lines);
            print(name, &heard, 4_000.0, 60_000.0);
            let concealed = heard.concealed(4_000.0, 60_000.0);
            assert!(concealed <= made_up, "{name}: {concealed} %");
            let (_, stats, _) = heard.trace.last().unwrap();
            assert!(stats.depth_ms <= 26.0, "{name}: {stats:?}");
            if name != "Wi-Fi bursts" && name != "LTE staircase" {
                assert!(stats.depth_ms <= 2.5, "{name}: {stats:?}");
            }
        }
    }
}
