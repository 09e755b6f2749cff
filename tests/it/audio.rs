//! Live audio from a microphone's samples to a speaker's, in virtual time.

use hyperzoom::audio::test_sound::chirp;
use hyperzoom::audio::{Framer, MAX_AUDIO_PAYLOAD, TalkEncoder, TestSound, mixer, write_payload};
use hyperzoom::units::Micros;

use crate::support::correlate::best_match;

/// Same numbers in each run, evenly spread from 0 to 1.
fn noise(n: u64) -> f64 {
    let x = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((x ^ (x >> 29)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Voices speak for `seconds` into microphones with blocks of 128, over a path; what is heard
/// at a speaker with blocks of 441. All clocks begin at 0.
fn call(voices: &[u8], seconds: u64, path: impl Fn(u64) -> Option<i64>) -> Vec<f32> {
    let mut arrivals: Vec<(i64, usize, u64, Vec<u8>)> = Vec::new();
    for (peer, voice) in voices.iter().enumerate() {
        let sound = TestSound::new(*voice);
        let mut framer = Framer::new();
        let mut encoder = TalkEncoder::new(32_000).unwrap();
        for block in 0..seconds * 48_000 / 128 {
            let mut samples = [0.0; 128];
            sound.fill(block * 128, &mut samples);
            let captured = block as i64 * 128 * 1_000_000 / 48_000;
            let delivered = captured + 2_667;
            framer.push(&samples, Micros(captured));
            while let Some((number, frame, _)) = framer.pop() {
                let (mut bytes, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
                let len = encoder.encode(frame, &mut bytes).unwrap();
                let len = write_payload(&bytes[..len], &mut payload);
                if let Some(delay) = path(number * 2 + peer as u64) {
                    arrivals.push((delivered + delay, peer, number, payload[..len].to_vec()));
                }
            }
        }
    }
    arrivals.sort();

    let (mut mixer, mut feeds) = mixer(voices.len()).unwrap();
    feeds.iter_mut().for_each(|feed| feed.restart());
    let mut arrivals = arrivals.into_iter().peekable();
    let mut heard = vec![0.0; seconds as usize * 48_000];
    for (i, block) in heard.chunks_mut(441).enumerate() {
        let now = i as i64 * 441 * 1_000_000 / 48_000;
        while let Some((at, peer, number, payload)) = arrivals.next_if(|a| a.0 <= now) {
            assert!(feeds[peer].push(number, Micros(at), &payload));
        }
        mixer.render(block, Micros(now));
    }
    heard
}

/// Delay of each second's chirp of `voice`, in milliseconds, and its likeness.
fn delays(heard: &[f32], voice: u8, from_second: u64) -> Vec<(f64, f64)> {
    let seconds = heard.len() as u64 / 48_000;
    (from_second..seconds - 1)
        .map(|second| {
            let from = (second * 48_000) as usize;
            let found = best_match(&heard[from..from + 12_000], &chirp(voice, second)).unwrap();
            (found.offset / 48.0, found.score)
        })
        .collect()
}

#[test]
fn on_a_clean_path_every_voice_is_heard_whole_and_soon() {
    for voice in 0..4 {
        let heard = call(&[voice], 12, |_| Some(10_000));
        for (delay, score) in delays(&heard, voice, 6) {
            // A frame of 5, 10 on the way, up to 2.7 for the block that completes it, which is
            // jitter to the receiver, 2.5 of look-ahead, the speaker's block of 9.2, and the depth
            // above what is needed: up to 1.1.
            assert!((28.0..31.5).contains(&delay), "voice {voice}: {delay} ms");
            assert!(score > 0.7, "voice {voice}: {score}");
        }
    }
}

#[test]
fn two_who_speak_at_once_are_both_heard() {
    let heard = call(&[0, 1], 10, |_| Some(10_000));
    for voice in 0..2 {
        for (delay, score) in delays(&heard, voice, 6) {
            assert!((28.0..31.5).contains(&delay), "voice {voice}: {delay} ms");
            // Of two equal powers the likeness of the sum to either is 0.71.
            assert!(score > 0.6, "voice {voice}: {score}");
        }
    }
}

#[test]
fn with_10_ms_of_jitter_and_5_percent_loss_every_second_is_still_found_in_its_place() {
    let path =
        |n: u64| (noise(n) > 0.05).then(|| 10_000 + (noise(n.wrapping_mul(31)) * 10_000.0) as i64);
    let heard = call(&[0], 20, path);
    for (delay, score) in delays(&heard, 0, 3) {
        assert!((34.0..48.0).contains(&delay), "{delay} ms");
        assert!(score > 0.5, "{score}");
    }
}
