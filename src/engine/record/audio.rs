//! The recorder's audio thread: captured samples onto the session's timeline, into AAC or FLAC, to
//! the writer. It polls its ring (which holds ten seconds) and drops nothing.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::mux::{MuxInput, MuxItem};
use super::raw::RawBlock;
use super::tones::Tones;
use super::{RecordShared, Start};
use crate::engine::capture::Captured;
use crate::engine::error::EngineError;
use crate::engine::events::Events;
use crate::engine::playback::ToneCue;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::gate::Gate;
use crate::recording::metadata::Kind;
use crate::recording::sound::{SoundEncoder, SoundError, SoundFormat, SoundPacket};
use crate::recording::timeline::{AudioTimeline, SILENCE_DELAY_MICROS};
use crate::units::{MediaTime, Micros, SAMPLES_PER_FRAME, SessionMicros};

/// How often the ring is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Samples from before the start that are kept, because the start is told late: microseconds.
const KEEP: i64 = 1_500_000;
/// A guest's samples since WELCOME wait for its clock so long at most.
const KEEP_MOST: i64 = 10_000_000;
/// How long the end waits for samples that the device still owes, before silence takes their place.
const PATIENCE: i64 = 500_000;
/// How long a microphone says nothing before it counts as missing.
const MISSING: i64 = 1_000_000;
/// A longer pause between two looks means that the whole program stood still ...
const STALL: i64 = 200_000;
/// ... and the microphone's callback gets this long to hand over what piled up meanwhile, before
/// silence takes its place.
const RECOVERY: i64 = 300_000;
/// A card's rate is told once its standard error is below this, parts per million.
const TELLABLE_PPM: f64 = 5.0;

/// How the sound is recorded.
#[derive(Clone, Default)]
pub struct SoundOptions {
    /// AAC or FLAC.
    pub format: SoundFormat,
    /// The card's own samples are kept beside it.
    pub raw: bool,
    /// What is said while muted is in the file too.
    pub keep_muted: bool,
    /// The sync tone is mixed in.
    pub tone: bool,
    /// The recording ends by itself after so long.
    pub duration: Option<Duration>,
    /// Where the headphones learn of the tone.
    pub cue: Arc<ToneCue>,
}

/// The microphone's end of the recorder: it outlives a file, and what is known of the card's clock
/// goes along.
pub struct Sound {
    captured: Captured,
    timeline: AudioTimeline,
}

impl From<Captured> for Sound {
    fn from(captured: Captured) -> Self {
        Self { captured, timeline: AudioTimeline::new() }
    }
}

/// Captured samples that wait.
struct Block {
    at: Micros,
    rate: u32,
    missed: usize,
    samples: Vec<f32>,
}

pub struct AudioRecorder {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
    sound: Sound,
    mux: MuxInput,
    raw: Option<mpsc::Sender<RawBlock>>,
    encoder: SoundEncoder,
    tones: Tones,
    keep_muted: bool,
    gate: Gate,
    /// Changes of the mute switch that the gate has followed.
    mutes: usize,
    waiting: VecDeque<Block>,
    block: Vec<f32>,
    placed: Vec<f32>,
    packets: Vec<SoundPacket>,
    /// The last look at the ring, the last block in it, and until when nobody is taken for missing.
    looked: Micros,
    heard: Micros,
    hold: Micros,
}

impl AudioRecorder {
    pub fn new(
        shared: Arc<Shared>,
        record: Arc<RecordShared>,
        events: Events,
        sound: Sound,
        mux: MuxInput,
        raw: Option<mpsc::Sender<RawBlock>>,
        options: &SoundOptions,
    ) -> Result<Self, EngineError> {
        let encoder = SoundEncoder::new(options.format).map_err(|e| EngineError::Codec {
            what: "cannot open the recording's audio encoder",
            reason: e.to_string(),
            remedy: "please report this",
        })?;
        let (mutes, muted) = shared.mutes();
        Ok(Self {
            shared,
            record,
            events,
            sound,
            mux,
            raw,
            encoder,
            tones: Tones::new(options),
            keep_muted: options.keep_muted,
            gate: Gate::new(muted && !options.keep_muted),
            mutes,
            waiting: VecDeque::new(),
            block: Vec::new(),
            placed: Vec::new(),
            packets: Vec::new(),
            looked: Micros(i64::MAX),
            heard: Micros(i64::MAX),
            hold: Micros(i64::MIN),
        })
    }

    /// Records one file; gives the microphone's end back, ready for another.
    pub fn run(mut self) -> Sound {
        if let Some(start) = self.wait_for_start() {
            let track = self.encoder.track();
            if self.mux.send(MuxItem::AudioFormat(track)) {
                self.begin(&start);
                loop {
                    std::thread::sleep(POLL);
                    if self.look(&start, clock::now()) || self.shared.abort.load(Relaxed) {
                        break;
                    }
                }
            }
        }
        self.sound.timeline.rewind();
        self.sound
    }

    fn begin(&mut self, start: &Start) {
        self.sound.timeline.begin(start.file());
        self.tones.begin(start);
        for block in std::mem::take(&mut self.waiting) {
            self.place(start, block, u64::MAX);
        }
    }

    /// Takes what has come until `local`; `true` when the file is whole.
    fn look(&mut self, start: &Start, local: Micros) -> bool {
        let last = self.record.last_slot.get().copied();
        let samples = last.map_or(u64::MAX, |last| {
            last.saturating_sub(start.first_slot) * u64::from(SAMPLES_PER_FRAME)
        });
        while last.is_some()
            && self.owed(samples)
            && let Some(block) = self.waiting.pop_front()
        {
            self.place(start, block, samples);
        }
        while self.owed(samples)
            && let Some(block) = self.pop()
        {
            self.heard = local;
            // Asked for each block: who is slow would otherwise run past the end in this loop.
            if self.record.end_slot.get().is_some() && last.is_none() {
                // Nothing that is encoded can be taken back: first the pictures' end.
                self.waiting.push_back(block);
            } else {
                self.place(start, block, samples);
            }
        }
        if local.since(self.looked) > STALL {
            self.hold = local + RECOVERY;
        }
        if self.heard == Micros(i64::MAX) {
            self.heard = local;
        }
        self.looked = local;
        let patient = local < self.hold;
        let Some(now) = self.shared.session_at(local) else { return false };
        self.tones.look(&self.record, now, local);
        if let Some(last) = last {
            if self.owed(samples) && (patient || now.since(start.slot(last)) <= PATIENCE) {
                return false;
            }
            self.finish(start, samples);
            return true;
        }
        // Only when nothing comes at all: silence ends the row of contiguous samples.
        let ending = self.record.end_slot.get().is_some();
        if !ending && !patient && local.since(self.heard) > MISSING {
            self.placed.clear();
            let until = now - (MISSING - SILENCE_DELAY_MICROS);
            let session = self.session_clock();
            self.sound.timeline.silence_until(until, &session, &mut self.placed);
            self.encode(start);
        }
        false
    }

    /// Samples of the file are missing.
    fn owed(&self, samples: u64) -> bool {
        self.sound.timeline.counts().written < samples
    }

    fn pop(&mut self) -> Option<Block> {
        let captured = &mut self.sound.captured;
        let mut samples = std::mem::take(&mut self.block);
        let Some(at) = captured.pop(&mut samples) else {
            self.block = samples;
            return None;
        };
        Some(Block { at, rate: captured.rate(), missed: captured.missed(), samples })
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self) -> Option<Start> {
        loop {
            while let Some(block) = self.pop() {
                let at = block.at;
                self.waiting.push_back(block);
                let kept = self.record.keep_from.get().copied().unwrap_or(at);
                while self.waiting.front().is_some_and(|first| {
                    let age = at.since(first.at);
                    age > KEEP && (first.at < kept || age > KEEP_MOST)
                }) {
                    self.leave_out();
                }
            }
            if let (Some(start), Some(_)) = (self.record.start.get(), self.shared.clock_map()) {
                return Some(*start);
            }
            if self.record.end_slot.get().is_some() || self.shared.abort.load(Relaxed) {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// The oldest block is too old for any start; its stamp still tells of the card's clock.
    fn leave_out(&mut self) {
        if let Some(Block { at, rate, samples, .. }) = self.waiting.pop_front() {
            self.sound.timeline.skip(samples.len(), rate, at);
            self.block = samples;
        }
    }

    /// Encodes the block in its place, but nothing from sample `end` of the file on.
    fn place(&mut self, start: &Start, mut block: Block, end: u64) {
        self.follow_mute(&mut block);
        let session = self.session_clock();
        self.keep_raw(start, &block, &session);
        self.placed.clear();
        let timeline = &mut self.sound.timeline;
        timeline.lost(block.missed as u64, &session, &mut self.placed);
        timeline.push(&block.samples, block.rate, block.at, &session, &mut self.placed);
        if timeline.counts().written > end {
            timeline.finish(end, &session, &mut self.placed);
        }
        self.block = block.samples;
        self.encode(start);
    }

    /// Silences what was captured while muted, by the switch's own instants: being behind lets
    /// nothing through, nor does it swallow what was said before.
    fn follow_mute(&mut self, block: &mut Block) {
        let per_second = i64::from(block.rate);
        let until = block.at + block.samples.len() as i64 * 1_000_000 / per_second;
        let mut from = 0;
        while let Some((at, muted)) = self.shared.next_mute(self.mutes, until) {
            let index = (at.since(block.at).max(0) * per_second + 999_999) / 1_000_000;
            let index = index as usize;
            let index = index.clamp(from, block.samples.len());
            self.gate_part(&mut block.samples[from..index]);
            self.gate.set(muted && !self.keep_muted);
            self.mutes += 1;
            from = index;
        }
        self.gate_part(&mut block.samples[from..]);
    }

    fn gate_part(&mut self, samples: &mut [f32]) {
        self.gate.apply(samples);
        if self.gate.muted() {
            self.record.samples_muted.fetch_add(samples.len() as u64, Relaxed);
        }
    }

    fn keep_raw(&mut self, start: &Start, block: &Block, session: &dyn Fn(f64) -> f64) {
        let Some(raw) = &self.raw else { return };
        let captured = session(block.at.0 as f64);
        let length = block.samples.len() as f64 * 1e6 / f64::from(block.rate);
        if captured + length > start.file().0 as f64 {
            let _ = raw.send(RawBlock {
                samples: block.samples.clone(),
                rate: block.rate,
                captured: block.at,
                session: SessionMicros(captured.round() as i64),
            });
        }
    }

    fn encode(&mut self, start: &Start) {
        let counts = self.sound.timeline.counts();
        if !self.placed.is_empty() {
            let at = counts.written - self.placed.len() as u64;
            self.tones.mix(&self.record, &mut self.placed, at);
            let result = self.encoder.push(&self.placed, &mut self.packets);
            self.hand_over(result);
        }
        self.record.samples.store(counts.written, Relaxed);
        self.record.samples_captured.store(counts.received, Relaxed);
        self.record.samples_filled.store(counts.silence_filled, Relaxed);
        if let Some(rate) = self.sound.timeline.card_rate()
            && rate.uncertainty < TELLABLE_PPM
        {
            self.record.microphone_rate.set_ppm(rate.ppm);
        }
        while let Some(gap) = self.sound.timeline.next_gap() {
            let at = start.file() + MediaTime::samples(gap.at as i64).to_micros();
            let seconds = gap.samples as f64 / 48_000.0;
            let last = gap.at + gap.samples - 1;
            self.record.note_kind(
                Kind::Gap,
                at,
                format!(
                    "no sound from the microphone for {seconds:.3} s: samples {} to {last} are silence",
                    gap.at
                ),
            );
        }
    }

    fn finish(&mut self, start: &Start, samples: u64) {
        self.placed.clear();
        let session = self.session_clock();
        self.sound.timeline.finish(samples, &session, &mut self.placed);
        self.encode(start);
        let result = self.encoder.finish(samples, &mut self.packets);
        self.hand_over(result);
        self.mux.send(MuxItem::AudioEnd { samples });
    }

    fn hand_over(&mut self, result: Result<(), SoundError>) {
        for packet in self.packets.drain(..) {
            self.mux.send(MuxItem::Audio(packet));
        }
        if let Err(e) = result {
            self.record.fail(&self.events, e.to_string());
        }
    }

    /// The session's time at a local instant, as it is known now; microseconds, and parts of them.
    fn session_clock(&self) -> impl Fn(f64) -> f64 + use<> {
        let map = self.shared.clock_map();
        move |local| {
            let whole = local.floor();
            let session = map.map_or(0, |map| map.to_session(Micros(whole as i64)).0);
            session as f64 + (local - whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::microphone::MicSink;
    use crate::engine::capture::MicTap;
    use crate::recording::timeline::TimelineCounts;

    const SECOND: i64 = 1_000_000;

    /// A recorder of a session whose clock is the local one, from one second on.
    struct Bench {
        tap: MicTap,
        recorder: AudioRecorder,
        start: Start,
        packets: mpsc::Receiver<MuxItem>,
    }

    fn bench(muted: bool) -> Bench {
        let shared = Arc::new(Shared::default());
        shared.set_clock_offset(0);
        shared.muted.store(muted, Relaxed);
        let (events, _) = Events::new(shared.clone());
        let (tap, ends) = MicTap::new(false);
        let (mux, packets) = MuxInput::new();
        let record = Arc::default();
        let sound = ends.record.into();
        let options = SoundOptions::default();
        let mut recorder =
            AudioRecorder::new(shared, record, events, sound, mux, None, &options).unwrap();
        let start = Start {
            t0: SessionMicros(SECOND),
            first_slot: 0,
            epoch_utc_micros: 0,
            utc_offset_seconds: 0,
        };
        recorder.begin(&start);
        Bench { tap, recorder, start, packets }
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
            self.recorder.look(&self.start, Micros(at))
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
        let _ = b.recorder.record.end_slot.set(30);
        let _ = b.recorder.record.last_slot.set(30);
        for i in 50..=150 {
            assert!(!b.look(SECOND + i * 10_000));
        }
        assert!(b.look(2 * SECOND + PATIENCE + 10_000));
        assert_eq!(b.counts().written, 48_000);
        let items: Vec<MuxItem> = b.packets.try_iter().collect();
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
}
