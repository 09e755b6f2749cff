//! Mixer and feeds together, as callback and receiving thread use them.

use super::feed::RING;
use super::*;
use crate::audio::reception::ReceptionReport;
use crate::audio::{FRAME, TalkEncoder, write_payload};

/// A mixer with a peer in each slot.
fn party(slots: usize) -> (Mixer, Vec<PeerFeed>) {
    let (mixer, mut feeds) = mixer(slots).unwrap();
    feeds.iter_mut().for_each(PeerFeed::restart);
    (mixer, feeds)
}

/// A peer that says a steady tone.
struct Talker {
    encoder: TalkEncoder,
    hertz: f32,
    amplitude: f32,
    sequence: u64,
}

impl Talker {
    fn new(hertz: f32, amplitude: f32) -> Self {
        let encoder = TalkEncoder::new(96_000).unwrap();
        Self { encoder, hertz, amplitude, sequence: 0 }
    }

    fn say(&mut self, feed: &mut PeerFeed, arrival: Micros) -> bool {
        let from = self.sequence as f32 * FRAME as f32;
        let pcm: [f32; FRAME] = std::array::from_fn(|i| {
            let phase = (from + i as f32) * self.hertz / 48_000.0;
            (phase.fract() * std::f32::consts::TAU).sin() * self.amplitude
        });
        let (mut frame, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
        let len = self.encoder.encode(&pcm, &mut frame).unwrap();
        let len = write_payload(&frame[..len], &mut payload);
        self.sequence += 1;
        feed.push(self.sequence - 1, arrival, &payload[..len])
    }
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
}

/// Runs `seconds` of call; what was heard.
fn call(
    mixer: &mut Mixer,
    feeds: &mut [PeerFeed],
    talkers: &mut [Talker],
    from: i64,
    frames: i64,
) -> Vec<f32> {
    let mut heard = Vec::new();
    for n in from..from + frames {
        let now = Micros(n * 5_000);
        for (talker, feed) in talkers.iter_mut().zip(feeds.iter_mut()) {
            talker.say(feed, now);
        }
        let mut block = [0.0; FRAME];
        mixer.render(&mut block, now + 1_000);
        heard.extend_from_slice(&block);
    }
    heard
}

#[test]
fn peers_add_up_and_four_loud_ones_stay_below_full_scale() {
    let (mut mixer, mut feeds) = party(3);
    let mut talkers: Vec<_> =
        [300.0, 500.0, 700.0].map(|f| Talker::new(f, 0.2)).into_iter().collect();
    let heard = call(&mut mixer, &mut feeds, &mut talkers, 0, 200);
    let expected = (3.0f32 * 0.5 * 0.2 * 0.2).sqrt();
    assert!((rms(&heard[24_000..]) / expected - 1.0).abs() < 0.05);
    assert!(feeds.iter().all(|f| f.stats().received == 200 && f.stats().lost == 0));
    assert!((feeds[0].stats().level_db + 17.0).abs() < 0.5, "{:?}", feeds[0].stats());

    for talker in &mut talkers {
        talker.amplitude = 0.9;
    }
    let heard = call(&mut mixer, &mut feeds, &mut talkers, 200, 200);
    let peak = heard.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    assert!(peak > 0.95 && peak <= 1.0, "{peak}");
}

#[test]
fn a_block_longer_than_is_rendered_at_a_time_is_heard_without_a_gap() {
    let (mut mixer, mut feeds) = party(1);
    let mut talker = Talker::new(400.0, 0.3);
    let (mut said, mut heard) = (0, Vec::new());
    for n in 1..20i64 {
        let now = Micros(n * 12_000 * 1_000_000 / 48_000);
        while said * 5_000 <= now.0 {
            talker.say(&mut feeds[0], Micros(said * 5_000));
            said += 1;
        }
        let mut block = [0.0; 12_000];
        mixer.render(&mut block, now);
        heard.extend_from_slice(&block);
    }
    assert_eq!(feeds[0].stats().concealed_samples, 0);
    assert!((rms(&heard[24_000..]) - 0.3 / 2f32.sqrt()).abs() < 0.02);
}

#[test]
fn both_sides_can_be_moved_to_their_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (mixer, feeds) = mixer(1).unwrap();
    is_send(&mixer);
    is_send(&feeds);
}

#[test]
fn four_talkers_are_never_clipped_and_loudness_does_not_pump() {
    let (mut mixer, mut feeds) = party(4);
    let mut talkers: Vec<_> =
        [300.0, 410.0, 530.0, 700.0].map(|f| Talker::new(f, 0.5)).into_iter().collect();
    // One alone, then all four, then that one alone again.
    let alone = call(&mut mixer, &mut feeds[..1], &mut talkers[..1], 0, 200);
    let all = call(&mut mixer, &mut feeds, &mut talkers, 200, 200);
    let again = call(&mut mixer, &mut feeds[..1], &mut talkers[..1], 400, 200);
    let peak = |heard: &[f32]| heard.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    assert!(peak(&all[9_600..]) > 0.95, "four of them do reach the limit: {}", peak(&all));
    assert!(peak(&all) <= 1.0);
    // Where the sum lies below the limit it is the sum: nothing turns the rest down. So the
    // loudness of one alone is the same before and right after, and untouched.
    let (before, after) = (rms(&alone[24_000..]), rms(&again[12_000..]));
    assert!((before / (0.5 / 2f32.sqrt()) - 1.0).abs() < 0.02, "{before}");
    assert!((after / before - 1.0).abs() < 0.005, "{before} before, {after} after");
    let tens = again[12_000..].chunks_exact(4_800).map(rms).collect::<Vec<_>>();
    assert!(tens.iter().all(|l| (l / before - 1.0).abs() < 0.01), "{tens:?}");
}

#[test]
fn a_card_that_is_written_when_it_must_be_is_woken_once_a_frame_for_each_voice_at_most() {
    // Frames come 1 ms before their turn; the voices' turns lie where they like.
    for (phases, most) in [
        (&[0][..], 201),
        (&[0, 200][..], 401),
        // One that is here already at another voice's turn needs no turn of its own.
        (&[0, 20, 44][..], 301),
        (&[0, 100, 110][..], 401),
    ] {
        let (mut mixer, mut feeds) = mixer(4).unwrap();
        let mut talkers: Vec<_> = phases.iter().map(|_| Talker::new(400.0, 0.1)).collect();
        feeds.iter_mut().take(phases.len()).for_each(PeerFeed::restart);
        let (mut place, mut asked) = (0i64, 0);
        let at = |sample: i64| Micros(sample * 1_000_000 / 48_000);
        while place < 5 * 48_000 {
            for ((talker, feed), phase) in talkers.iter_mut().zip(&mut feeds).zip(phases) {
                while talker.sequence as i64 * 240 + phase <= place {
                    talker.say(feed, at(talker.sequence as i64 * 240 + phase));
                }
            }
            let mut out = [0.0; 240];
            place += mixer.render_due(&mut out, 4, at(place)) as i64;
            asked += i32::from(place >= 4 * 48_000);
        }
        assert!(asked <= most, "{asked} for {phases:?}");
        assert!(feeds.iter().all(|f| f.stats().concealed_samples == 0));
    }
}

#[test]
fn the_limiter_is_transparent_below_minus_1_dbfs_and_monotonic_above() {
    for n in 0..=890 {
        let x = n as f32 / 1_000.0;
        assert_eq!(limit(x), x);
        assert_eq!(limit(-x), -x);
    }
    let mut last = 0.0;
    for n in 890..8_000 {
        let y = limit(n as f32 / 1_000.0);
        assert!(y >= last && y <= 1.0);
        last = y;
    }
}

#[test]
fn who_leaves_fades_within_5_ms_and_the_slot_serves_the_next() {
    let (mut mixer, mut feeds) = party(1);
    let mut first = [Talker::new(400.0, 0.3)];
    call(&mut mixer, &mut feeds, &mut first, 0, 100);
    feeds[0].stop();
    assert!(!first[0].say(&mut feeds[0], Micros(500_000)), "an empty slot takes nothing");
    let after = call(&mut mixer, &mut feeds, &mut [], 100, 10);
    assert!(rms(&after[..60]) > 0.05, "a fade, not a cut");
    assert_eq!(rms(&after[FRAME..]), 0.0);

    feeds[0].restart();
    let mut second = [Talker::new(600.0, 0.3)];
    let heard = call(&mut mixer, &mut feeds, &mut second, 110, 100);
    assert!((rms(&heard[12_000..]) - 0.3 / 2f32.sqrt()).abs() < 0.02);
}

#[test]
fn a_peer_is_heard_as_loud_as_the_listener_wants_and_muting_does_not_click() {
    let (mut mixer, mut feeds) = party(1);
    let gauge = feeds[0].gauge();
    let mut talker = [Talker::new(400.0, 0.1)];
    let heard = call(&mut mixer, &mut feeds, &mut talker, 0, 200);
    let full = rms(&heard[24_000..]);
    let mut at = 200;
    for (volume, expected) in [(0.5, 0.5), (0.0, 0.0), (2.0, 2.0), (f32::NAN, 1.0), (9.0, 4.0)] {
        gauge.set_volume(volume);
        let heard = call(&mut mixer, &mut feeds, &mut talker, at, 40);
        at += 40;
        let steepest = heard.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.1 * 0.0524 * 4.0 + 0.01, "{volume}: {steepest}");
        assert!((rms(&heard[4_800..]) - full * expected).abs() < 0.01, "{volume}");
    }
    gauge.set_volume(0.5);
    gauge.set_muted(true);
    let muted = call(&mut mixer, &mut feeds, &mut talker, at, 40);
    assert_eq!((rms(&muted[4_800..]), gauge.heard_volume()), (0.0, 0.0));
    gauge.set_muted(false);
    let again = call(&mut mixer, &mut feeds, &mut talker, at + 40, 40);
    assert!((rms(&again[4_800..]) - full * 0.5).abs() < 0.01, "as loud as before");
    feeds[0].restart();
    assert_eq!(gauge.heard_volume(), 0.5, "the same peer under new keys");
    feeds[0].stop();
    feeds[0].restart();
    assert_eq!(gauge.heard_volume(), 1.0, "the next peer has its own volume");
}

#[test]
fn a_feed_reports_what_its_peer_lost() {
    let (_, mut feeds) = party(1);
    let gauge = feeds[0].gauge();
    let mut talker = Talker::new(400.0, 0.1);
    for n in 0..2_000 {
        if n % 10 == 3 {
            talker.sequence += 1;
        } else {
            talker.say(&mut feeds[0], Micros(n * 5_000));
        }
    }
    assert!((95..=105).contains(&gauge.report().loss_10s), "{:?}", gauge.report());
    feeds[0].restart();
    assert_eq!(gauge.report(), ReceptionReport::default());
}

#[test]
fn packets_of_the_peer_before_are_not_played_to_the_next() {
    let (mut mixer, mut feeds) = party(1);
    let mut first = Talker::new(400.0, 0.3);
    for n in 0..20 {
        first.say(&mut feeds[0], Micros(n * 5_000));
    }
    feeds[0].restart();
    let heard = call(&mut mixer, &mut feeds, &mut [], 20, 20);
    assert_eq!(rms(&heard), 0.0);
    assert_eq!(feeds[0].stats().received, 0);
}

#[test]
fn a_full_ring_refuses_and_counts_and_playing_goes_on_later() {
    let (mut mixer, mut feeds) = party(1);
    let mut talker = [Talker::new(400.0, 0.3)];
    for n in 0..200 {
        assert_eq!(talker[0].say(&mut feeds[0], Micros(n * 5_000)), n < RING as i64);
    }
    assert_eq!(feeds[0].overflows(), 72);
    let heard = call(&mut mixer, &mut feeds, &mut talker, 200, 200);
    assert!((rms(&heard[24_000..]) - 0.3 / 2f32.sqrt()).abs() < 0.02);
    assert!(feeds[0].stats().depth_ms < 30.0);
}
