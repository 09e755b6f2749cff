//! Real-time code does not touch the allocator: neither the speaker callback's work, nor that of
//! the microphone callback and the talk thread.
//!
//! A binary of its own, because the guard is the whole binary's allocator. An allocation inside
//! `assert_no_alloc` aborts the test. Without debug assertions (`--release`) the guard does
//! nothing. It sees Rust's allocations; libopus keeps its scratch memory on the stack.

#[cfg(debug_assertions)]
use assert_no_alloc::AllocDisabler;
use assert_no_alloc::assert_no_alloc;
use hyperzoom::audio::{
    FRAME, Framer, MAX_AUDIO_PAYLOAD, Meter, Mixer, PeerFeed, SharedMeter, TalkEncoder, TestSound,
    mixer, write_payload,
};
use hyperzoom::units::Micros;

#[cfg(debug_assertions)]
#[global_allocator]
static GUARD: AllocDisabler = AllocDisabler;

/// One encoded second of the synthetic microphone, as payloads.
fn said() -> Vec<Vec<u8>> {
    let (sound, mut encoder) = (TestSound::new(0), TalkEncoder::new(32_000).unwrap());
    (0..200)
        .map(|n| {
            let (mut pcm, mut frame) = ([0.0; FRAME], [0; 128]);
            sound.fill(n * FRAME as u64, &mut pcm);
            let len = encoder.encode(&pcm, &mut frame).unwrap();
            let mut payload = vec![0; MAX_AUDIO_PAYLOAD];
            let len = write_payload(&frame[..len], &mut payload);
            payload.truncate(len);
            payload
        })
        .collect()
}

/// Feeds and renders `callbacks` blocks of `block` samples from `*now` on, all under the guard.
fn call(
    mixer: &mut Mixer,
    feeds: &mut [PeerFeed],
    said: &[Vec<u8>],
    now: &mut i64,
    (callbacks, block, on_time): (usize, usize, bool),
    arrives: impl Fn(u64, usize) -> bool,
) {
    let mut out = vec![0.0; block];
    assert_no_alloc(|| {
        for _ in 0..callbacks {
            let until = *now + block as i64 * 1_000_000 / 48_000;
            for sequence in (*now / 5_000)..(until / 5_000) {
                for (peer, feed) in feeds.iter_mut().enumerate() {
                    if arrives(sequence as u64, peer) {
                        let payload = &said[sequence as usize % said.len()];
                        feed.push(sequence as u64, Micros(sequence * 5_000), payload);
                    }
                }
            }
            *now = until;
            if on_time {
                let mut filled = 0;
                while filled < out.len() {
                    let due = Micros(*now) + filled as i64 * 1_000_000 / 48_000;
                    filled += mixer.render_due(&mut out[filled..], 4, due);
                }
            } else {
                mixer.render(&mut out, Micros(*now));
            }
            for feed in feeds.iter() {
                std::hint::black_box(feed.stats());
            }
        }
    });
}

#[test]
fn the_speaker_callback_and_the_feeds_do_not_allocate_whatever_the_network_does() {
    let said = said();
    let (mut mixer, mut feeds) = mixer(3).unwrap();
    feeds.iter_mut().for_each(|feed| feed.restart());
    let mut now = 0;
    for (block, on_time) in [
        (1usize, false),
        (64, false),
        (240, false),
        (441, false),
        (480, true),
        (4_096, false),
        (10_000, false),
    ] {
        let callbacks = 96_000usize.div_ceil(block).min(4_000);
        let size = (callbacks, block, on_time);
        call(&mut mixer, &mut feeds, &said, &mut now, size, |_, _| true);
        call(&mut mixer, &mut feeds, &said, &mut now, size, |n, peer| {
            !(n + peer as u64).is_multiple_of(7)
        });
        // Nothing at all: concealed, faded, interrupted, and back.
        call(&mut mixer, &mut feeds, &said, &mut now, size, |_, _| false);
        assert_no_alloc(|| feeds[1].restart());
        call(&mut mixer, &mut feeds, &said, &mut now, size, |_, _| true);
        assert_no_alloc(|| feeds[2].stop());
        call(&mut mixer, &mut feeds, &said, &mut now, size, |_, _| true);
        assert_no_alloc(|| {
            feeds[2].restart();
            // Damaged, too long, far away, again and again until the ring is full.
            for n in 0..100 {
                feeds[0].push(n, Micros(now), &[0xFF; 40]);
                feeds[0].push(u64::MAX - n, Micros(now), &[0; 2_000]);
                feeds[0].push(n * 1_000_000, Micros(now), &said[0]);
            }
        });
        call(&mut mixer, &mut feeds, &said, &mut now, size, |_, _| true);
    }
    let stats = feeds[0].stats();
    assert!(stats.concealed_samples > 0 && stats.rejected > 0 && stats.received > 1_000);
}

#[test]
fn from_the_microphone_to_the_payload_nothing_allocates() {
    let sound = TestSound::new(3);
    let mut framer = Framer::new();
    let mut encoder = TalkEncoder::new(32_000).unwrap();
    let (mut meter, shared) = (Meter::new(), SharedMeter::new());
    let mut mono = vec![0.0; 512];
    let mut payloads = 0;
    assert_no_alloc(|| {
        for block in 0..400u64 {
            sound.fill(block * 512, &mut mono);
            meter.push(&mono);
            shared.push(&mono);
            framer.push(&mono, Micros(block as i64 * 10_667));
            if block % 100 == 99 {
                framer.skip(1_000);
            }
            while let Some((_, frame, _)) = framer.pop() {
                let (mut bytes, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
                let len = encoder.encode(frame, &mut bytes).unwrap();
                payloads += usize::from(write_payload(&bytes[..len], &mut payload) > 0);
            }
            std::hint::black_box((meter.take(), shared.take()));
        }
    });
    assert!(payloads > 400);
}
