//! The audio thread's look at its ring, in time that the test makes.

use super::*;
use crate::devices::microphone::MicSink;
use crate::engine::capture::MicTap;
use crate::engine::record::Recorder;
use crate::engine::record::mux::ForPart;

const SECOND: i64 = 1_000_000;

/// A recorder of a session whose clock is the local one, from one second on.
struct Bench {
    tap: MicTap,
    recorder: AudioRecorder,
    start: Start,
    packets: mpsc::Receiver<ForPart>,
    asleep: i64,
}

fn bench(muted: bool) -> Bench {
    bench_with(SoundOptions::default(), muted)
}

fn bench_with(options: SoundOptions, muted: bool) -> Bench {
    let shared = Arc::new(Shared::default());
    shared.set_clock_offset(0);
    shared.muted.store(muted, Relaxed);
    let (events, _) = Events::new(shared.clone());
    let (tap, ends) = MicTap::new(false);
    let (mux, packets) = MuxInput::new();
    let record: Arc<RecordShared> = Arc::default();
    let sound = Sound::new(ends.record, &shared, &options);
    let start = Start {
        t0: SessionMicros(SECOND),
        first_slot: 0,
        epoch_utc_micros: 0,
        utc_offset_seconds: 0,
    };
    Recorder::begin(&record, start);
    let mut recorder =
        AudioRecorder::new(shared, record, events, sound, mux, None, &options).unwrap();
    recorder.begin(&start);
    Bench { tap, recorder, start, packets, asleep: 0 }
}

impl Bench {
    /// Ten milliseconds: two blocks, stamped late by `late` microseconds each, and a look.
    fn ten_ms(&mut self, at: i64, late: [i64; 2]) -> bool {
        for (i, late) in (0..).zip(late) {
            self.tap.card_samples(&[0.25; 240], 48_000, Micros(at + i * 5_000 + late));
        }
        self.look(at + 10_000)
    }

    fn look(&mut self, at: i64) -> bool {
        self.recorder.gather();
        self.recorder.look(&self.start, Micros(at), self.asleep)
    }

    fn counts(&self) -> TimelineCounts {
        self.recorder.sound.timeline.counts()
    }
}

/// What the kernel and the fade hold back.
const UNDER_WAY: u64 = 64 + 240 + 2;

#[test]
fn stamps_that_jitter_put_no_silence_between_samples() {
    let mut b = bench(false);
    let mut at_start = 0;
    for i in 0..500i64 {
        let late = [(i * 7_919) % 9_000, (i * 104_729) % 9_000];
        assert!(!b.ten_ms(SECOND / 2 + i * 10_000, late));
        if i == 60 {
            at_start = b.counts().silence_filled;
        }
    }
    let counts = b.counts();
    assert_eq!((counts.silence_filled - at_start, counts.gaps), (0, 0));
    assert_eq!(counts.received, 500 * 480);
    let made = counts.written + counts.before_start;
    // Half a jitter's length may be pulled out or in while the true place is found.
    assert!((counts.received + at_start - made).abs_diff(UNDER_WAY) < 100, "{counts:?}");
}

#[test]
fn a_stalled_program_loses_nothing_and_a_silent_microphone_becomes_silence() {
    let mut b = bench(false);
    let mut at = SECOND;
    for _ in 0..100 {
        b.ten_ms(at, [0, 0]);
        at += 10_000;
    }
    // Two seconds in which neither callback nor recorder ran; this thread wakes up first.
    let resumed = at + 2 * SECOND;
    assert!(!b.look(resumed));
    while at < resumed {
        b.tap.card_samples(&[0.25; 480], 48_000, Micros(at));
        at += 10_000;
    }
    b.look(resumed + 10_000);
    assert_eq!(b.counts().silence_filled, 0);
    assert!(b.counts().written.abs_diff(3 * 48_000 - UNDER_WAY) < 3, "{:?}", b.counts());
    // Now the microphone alone is silent for three seconds.
    for i in 1..=300 {
        b.look(at + i * 10_000);
    }
    let counts = b.counts();
    assert!(counts.written.abs_diff(5 * 48_000) <= 480, "silence trails the clock by a second");
    assert!(counts.silence_filled.abs_diff(2 * 48_000) <= 480, "{counts:?}");
    at += 3 * SECOND;
    for _ in 0..30 {
        b.ten_ms(at, [0, 0]);
        at += 10_000;
    }
    let wanted = 6 * 48_000 + 30 * 480 - UNDER_WAY;
    assert!(b.counts().written.abs_diff(wanted) < 3, "and it stands where it belongs");
    let told = b.recorder.record.notes();
    assert_eq!(told.len(), 1);
    assert!(told[0].what.contains("for 3.000 s"), "{}", told[0].what);
    assert!(told[0].session_us.abs_diff(4 * SECOND) < 100, "{told:?}");
}

#[test]
fn the_file_ends_at_its_last_slot_also_when_the_microphone_owes_samples() {
    let mut b = bench(false);
    for i in 0..50 {
        b.ten_ms(SECOND + i * 10_000, [0, 0]);
    }
    // Without a picture the sound ends where it is told to.
    b.recorder.record.parts.end(|_| 30);
    for i in 50..=150 {
        assert!(!b.look(SECOND + i * 10_000));
    }
    assert!(b.look(2 * SECOND + PATIENCE + 10_000));
    assert_eq!(b.counts().written, 48_000);
    let items: Vec<MuxItem> = b.packets.try_iter().map(|(_, item)| item).collect();
    assert!(matches!(items.last(), Some(MuxItem::AudioEnd { samples: 48_000 })));
    assert_eq!(items.len(), 47 + 1);
}

#[test]
fn who_starts_muted_lets_not_a_sample_through() {
    let mut b = bench(true);
    let mut block = Block { at: Micros(0), rate: 48_000, missed: 0, samples: vec![0.5; 480] };
    b.recorder.follow_mute(&mut block);
    assert!(block.samples.iter().all(|&s| s == 0.0));
}

#[test]
fn mute_and_unmute_count_from_their_instants_however_late_the_recorder_looks() {
    let mut b = bench(false);
    let shared = b.recorder.shared.clone();
    let (muted, opened) = (Micros(5_000_123), Micros(5_020_456));
    shared.mute(true, muted);
    shared.mute(false, opened);
    // Both have long passed when the sound of then is looked at, in two blocks.
    let from = muted - 10_000;
    let index = |at: Micros| ((at.since(from) * 48 + 999) / 1_000) as usize;
    let mut sound = vec![1.0f32; index(opened) + 960];
    let cut = index(muted) + 100;
    for (part, first) in [(0..cut, 0), (cut..sound.len(), cut)] {
        let mut block = Block {
            at: from + (first as i64 * 1_000).div_euclid(48),
            rate: 48_000,
            missed: 0,
            samples: sound[part.clone()].to_vec(),
        };
        b.recorder.follow_mute(&mut block);
        sound[part].copy_from_slice(&block.samples);
    }
    let fade = crate::recording::gate::FADE_SAMPLES as usize;
    assert!(sound[..index(muted)].iter().all(|&s| s == 1.0), "not a sample too early");
    assert!(sound[index(muted) + fade..index(opened) - 1].iter().all(|&s| s == 0.0));
    assert!(sound[index(opened) + fade + 1..].iter().all(|&s| s == 1.0));
}

/// Four seconds of a steady sound, muted from 2.0001 to 2.5002 s, with a sync tone in between: what
/// the file and the raw track get.
fn muted_in_between(keep: bool) -> (Vec<f32>, Vec<f32>) {
    let mut b = bench_with(
        SoundOptions {
            format: SoundFormat::Flac,
            keep_muted: keep,
            tone: true,
            ..SoundOptions::default()
        },
        false,
    );
    let (raw, blocks) = mpsc::channel();
    b.recorder.raw = Some(raw);
    // T0 is at one second; everybody's tone stands two seconds behind it.
    let (muted, opened) = (Micros(2_900_100), Micros(3_400_200));
    b.recorder.shared.mute(true, muted);
    b.recorder.shared.mute(false, opened);
    for i in 0..400 {
        b.ten_ms(SECOND + i * 10_000, [0, 0]);
    }
    b.recorder.record.parts.end(|_| 105);
    for i in 400..500 {
        if b.ten_ms(SECOND + i * 10_000, [0, 0]) {
            break;
        }
    }
    let info = b.recorder.encoder.track().configuration;
    let mut bytes = Vec::new();
    for (_, item) in b.packets.try_iter() {
        if let MuxItem::Audio(packet) = item {
            bytes.extend_from_slice(&packet.data);
        }
    }
    let file = crate::recording::flac::decode(&info, &bytes).expect("it decodes");
    b.recorder.raw = None;
    (file, blocks.try_iter().flat_map(|block| block.samples).collect())
}

/// The samples that are captured muted, counted from second one.
const MUTED: std::ops::Range<usize> = 91_205..115_210;

#[test]
fn mute_is_silence_in_file_and_raw_track_to_the_sample_and_the_sync_tone_stays() {
    let fade = crate::recording::gate::FADE_SAMPLES as usize;
    let (file, raw) = muted_in_between(false);
    let inner = MUTED.start + fade..MUTED.end - 1;
    assert!(raw[..MUTED.start].iter().all(|&s| s == 0.25), "not a sample too early");
    assert!(raw[inner.clone()].iter().all(|&s| s == 0.0), "not a sample too late");
    assert!(raw[MUTED.end + fade..].iter().all(|&s| s == 0.25));
    // In the file a steady sound is a steady sound, to the resampler's last bit, and the kernel reaches
    // over an edge by its half length.
    let (near, kernel) = (|s: f32, to: f32| (s - to).abs() < 1e-4, 40);
    let tone = crate::recording::tone::tone();
    let expected = |n: usize, level: f32| {
        level + n.checked_sub(96_000).and_then(|at| tone.get(at)).unwrap_or(&0.0)
    };
    let level = |n: &usize, level: f32| near(file[*n], expected(*n, level));
    assert_eq!((1_000..MUTED.start - kernel).find(|n| !level(n, 0.25)), None);
    assert_eq!((inner.start + kernel..inner.end - kernel).find(|n| !level(n, 0.0)), None);
    assert_eq!((MUTED.end + fade + kernel..150_000).find(|n| !level(n, 0.25)), None);
    let found = crate::recording::tone::locate(&file, 96_000).expect("the tone is in the file");
    assert!((found.position - 96_000.0).abs() < 0.5, "{}", found.position);
}

#[test]
fn what_is_said_while_muted_is_kept_in_file_and_raw_track_when_that_was_asked_for() {
    let (file, raw) = muted_in_between(true);
    assert!(raw.iter().all(|&s| s == 0.25));
    let quiet = (1_000..96_000).find(|&n| (file[n] - 0.25).abs() > 1e-4);
    assert_eq!(quiet, None);
}
