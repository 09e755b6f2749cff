//! Places of packets against the truth of a simulated sender.

use super::*;
use crate::audio::packet::{MAX_AUDIO_PAYLOAD, PacketFlags, write_packet};
use proptest::prelude::*;

const T0: SessionMicros = SessionMicros(5_000_000);
/// One byte that says CELT, 5 ms, mono (RFC 6716, 3.1: configuration 29), and some more.
const OPUS: [u8; 4] = [29 << 3, 1, 2, 3];

/// A sender whose card runs faster by `ppm` and whose stamps jitter.
struct Sender {
    began: f64,
    ppm: f64,
    jitter: Box<dyn FnMut() -> f64>,
}

impl Sender {
    /// When frame `number` was captured, microseconds of the session clock.
    fn captured(&self, number: u64) -> f64 {
        self.began + number as f64 * 5_000.0 / (1.0 + self.ppm / 1e6)
    }

    fn send(&mut self, stream: &mut Stream, number: u64, data: &[u8], flags: PacketFlags) {
        let stamp = self.captured(number) + (self.jitter)();
        let mut out = [0; MAX_AUDIO_PAYLOAD];
        let len = write_packet(flags, &[], &[data], &mut out);
        stream.push(&Heard {
            sequence: number,
            timestamp_ms: (stamp / 1e3) as u32,
            arrival: SessionMicros(stamp as i64 + 30_000),
            payload: &out[..len],
        });
    }
}

fn sender(began: f64, ppm: f64, seed: u64, jitter: f64) -> Sender {
    let mut state = seed | 1;
    let jitter = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64 * jitter
    };
    Sender { began, ppm, jitter: Box::new(jitter) }
}

/// Takes what has its turn; (number, place).
fn take(stream: &mut Stream, track: &mut Track, all: bool) -> Vec<(u64, u64)> {
    let mut placed = Vec::new();
    while let Some(sound) = stream.pop(all) {
        let samples = stream.frame();
        if let Some(time) = track.place(&sound, samples) {
            track.add(&sound, time, samples);
            placed.push((sound.number, time));
        }
    }
    placed
}

/// How far a place is from where the packet was captured, milliseconds.
fn off(sender: &Sender, (number, time): (u64, u64)) -> f64 {
    time as f64 / 48.0 - (sender.captured(number) - T0.0 as f64) / 1e3
}

#[test]
fn twenty_minutes_of_a_card_that_runs_fast_stays_in_its_place_and_has_no_gap() {
    for ppm in [-120.0, 80.0] {
        let mut sender = sender(4_300_123.0, ppm, 7, 2_000.0);
        let (mut stream, mut track) = (Stream::new(false), Track::new(T0));
        let mut worst: f64 = 0.0;
        for number in 0..240_000 {
            sender.send(&mut stream, number, &OPUS, PacketFlags::default());
            for placed in take(&mut stream, &mut track, false) {
                // Half of the jitter is what stamps like these are late by.
                worst = worst.max((off(&sender, placed) - 1.0).abs());
            }
        }
        let counts = track.counts();
        println!("{ppm} ppm: off by {worst:.2} ms at most, {counts:?}");
        assert!(worst < 2.0, "{worst} ms");
        assert_eq!((counts.gaps, counts.lost), (0, 0));
        // Captured before T0, it is no part of the recording.
        assert!((counts.first.unwrap() as f64) < 480.0 && counts.packets > 239_800);
    }
}

#[test]
fn loss_silence_and_absence_are_gaps_of_their_true_length() {
    let mut sender = sender(5_000_000.0, 0.0, 1, 0.0);
    let (mut stream, mut track) = (Stream::new(false), Track::new(T0));
    let follows = PacketFlags { silence_follows: true, ..PacketFlags::default() };
    let silence = PacketFlags { silence_before: true, ..follows };
    let speech = PacketFlags { silence_before: true, ..PacketFlags::default() };
    let mut placed = Vec::new();
    for number in 0..400u64 {
        match number {
            100 | 101 | 150 => continue,
            // Silence: a byte each 20 ms says no more than that.
            200 => sender.send(&mut stream, number, &OPUS[..1], follows),
            201..300 if number % 4 == 0 => sender.send(&mut stream, number, &OPUS[..1], silence),
            201..300 => continue,
            300 => sender.send(&mut stream, number, &OPUS, speech),
            _ => sender.send(&mut stream, number, &OPUS, PacketFlags::default()),
        }
        placed.extend(take(&mut stream, &mut track, false));
    }
    placed.extend(take(&mut stream, &mut track, true));
    // Away for ten seconds, and back with numbers of its own.
    track.begin_stream();
    sender.began += 12_000_000.0;
    let mut stream = Stream::new(false);
    for number in 0..100 {
        sender.send(&mut stream, number, &OPUS, PacketFlags::default());
    }
    let again = take(&mut stream, &mut track, true);
    let counts = track.counts();
    assert_eq!((counts.packets, counts.lost, counts.gaps), (297 + 100, 3, 4));
    let expected = 3 * 240 + 100 * 240 + 10 * 48_000;
    assert!(counts.gap_samples.abs_diff(expected) <= 48, "{counts:?}");
    // The stamps are whole milliseconds here: half of one is made up for that is not missing.
    for packet in &placed {
        assert!((off(&sender, *packet) + 12_000.0 - 0.5).abs() < 0.3, "{packet:?}");
    }
    assert!(again.iter().all(|packet| (off(&sender, *packet) - 0.5).abs() < 0.3));
}

#[test]
fn a_sender_whose_clock_is_not_set_yet_is_placed_once_it_is() {
    let mut sender = sender(6_000_000.0, 0.0, 1, 0.0);
    let (mut stream, mut track) = (Stream::new(false), Track::new(T0));
    for number in 0..300u64 {
        if number < 150 {
            let mut out = [0; MAX_AUDIO_PAYLOAD];
            let len = write_packet(PacketFlags::default(), &[], &[&OPUS], &mut out);
            let arrival = SessionMicros(sender.captured(number) as i64 + 900_000);
            let payload = &out[..len];
            // Nothing stands for "not known": 0.
            stream.push(&Heard {
                sequence: number,
                timestamp_ms: 0,
                arrival: arrival + 20_000_000,
                payload,
            });
        } else {
            sender.send(&mut stream, number, &OPUS, PacketFlags::default());
        }
    }
    let placed = take(&mut stream, &mut track, true);
    assert_eq!(placed.len(), 300, "what came before is placed by its numbers");
    assert!(placed.iter().all(|packet| (off(&sender, *packet) - 0.5).abs() < 0.3), "{placed:?}");
}

#[test]
fn tracks_are_named_for_their_people_and_never_for_two() {
    let mut taken = Vec::new();
    for name in ["Ben", "Ben", "a/b: c", "...", "..."] {
        let name = file_name(name, |candidate| taken.iter().any(|t| t == candidate));
        taken.push(name);
    }
    let expected = ["Ben", "Ben-2", "a-b-c", "guest", "guest-2"];
    assert_eq!(taken, expected.map(|name| format!("remote_audio_{name}.mp4")));
}

proptest! {
    #[test]
    fn packets_never_overlap_and_are_never_far_from_their_instants(
        seed: u64, ppm in -200.0..200.0f64, jitter in 0.0..3_000.0f64,
        lost in proptest::collection::vec(0..1_500u64, 0..300),
        away in proptest::option::of(300..1_200u64)
    ) {
        let mut sender = sender(4_990_000.0, ppm, seed, jitter);
        let (mut stream, mut track) = (Stream::new(false), Track::new(T0));
        let mut placed = Vec::new();
        for number in (0..1_500u64).filter(|n| !lost.contains(n)) {
            if away.is_some_and(|from| (from..from + 250).contains(&number)) {
                continue;
            }
            sender.send(&mut stream, number, &OPUS, PacketFlags::default());
            placed.extend(take(&mut stream, &mut track, false));
        }
        placed.extend(take(&mut stream, &mut track, true));
        for pair in placed.windows(2) {
            prop_assert!(pair[1].1 + 1 >= pair[0].1 + 240, "{pair:?}");
        }
        for packet in &placed {
            let off = off(&sender, *packet);
            prop_assert!((-2.0..jitter / 1e3 + 2.0).contains(&off), "{packet:?} is off by {off} ms");
        }
        let counts = track.counts();
        let inside = placed.iter().map(|(_, time)| time + 240).max().unwrap_or(0);
        let first = placed.first().map_or(0, |(_, time)| *time);
        let sound = placed.len() as u64 * 240;
        // All that is between first and last is a packet's or a gap's, but for the card's own drift.
        let rest = (inside - first).abs_diff(sound + counts.gap_samples);
        prop_assert!(rest <= placed.len() as u64 / 2, "{rest} samples are nobody's");
    }
}
