//! The recorder's audio thread: captured samples onto the session's timeline, into AAC or FLAC, to
//! the writer. It polls its ring (which holds ten seconds) and drops nothing.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::mux::{MuxInput, MuxItem};
use super::part::Part;
use super::raw::RawBlock;
use super::tones::Tones;
use super::{RecordShared, Start};
use crate::clock::Slept;
use crate::engine::capture::Captured;
use crate::engine::error::EngineError;
use crate::engine::events::Events;
use crate::engine::playback::ToneCue;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::gate::Gate;
use crate::recording::metadata::Kind;
use crate::recording::sound::{SoundEncoder, SoundError, SoundFormat, SoundPacket};
use crate::recording::timeline::{AudioTimeline, SILENCE_DELAY_MICROS, TimelineCounts};
use crate::units::{MediaTime, Micros, SAMPLES_PER_FRAME, SessionMicros};

#[cfg(test)]
mod sleep_tests;
#[cfg(test)]
mod tests;

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
    gate: Gate,
    /// Changes of the mute switch that the gate has followed.
    mutes: usize,
    /// What has come and has no place yet.
    waiting: VecDeque<Block>,
    /// Sleeps of the computer that were seen to.
    sleeps: usize,
    /// Of the files before.
    before: TimelineCounts,
    block: Vec<f32>,
}

impl Sound {
    /// A microphone whose sound is recorded as `options` say.
    pub fn new(captured: Captured, shared: &Shared, options: &SoundOptions) -> Self {
        let (mutes, muted) = shared.mutes();
        Self {
            captured,
            timeline: AudioTimeline::new(),
            gate: Gate::new(muted && !options.keep_muted),
            mutes,
            waiting: VecDeque::new(),
            sleeps: 0,
            before: TimelineCounts::default(),
            block: Vec::new(),
        }
    }

    /// The next block of the ring.
    fn pop(&mut self) -> Option<Block> {
        let mut samples = std::mem::take(&mut self.block);
        let Some(at) = self.captured.pop(&mut samples) else {
            self.block = samples;
            return None;
        };
        let (rate, missed) = (self.captured.rate(), self.captured.missed());
        Some(Block { at, rate, missed, samples })
    }
}

/// Captured samples that wait.
struct Block {
    at: Micros,
    rate: u32,
    missed: usize,
    samples: Vec<f32>,
}

impl Block {
    /// Samples that were captured before an instant.
    fn before(&self, at: Micros) -> usize {
        let index = (at.since(self.at).max(0) * i64::from(self.rate) + 999_999) / 1_000_000;
        (index as usize).min(self.samples.len())
    }

    /// Takes what was captured from an instant on away from it.
    fn split(&mut self, at: Micros) -> Option<Self> {
        let index = self.before(at);
        let samples = self.samples.split_off(index);
        let at = self.at + index as i64 * 1_000_000 / i64::from(self.rate);
        let behind = Self { at, samples, missed: 0, ..*self };
        (!behind.samples.is_empty()).then_some(behind)
    }
}

/// Records one file.
pub struct AudioRecorder {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
    part: Arc<Part>,
    sound: Sound,
    mux: MuxInput,
    raw: Option<mpsc::Sender<RawBlock>>,
    encoder: SoundEncoder,
    tones: Tones,
    keep_muted: bool,
    placed: Vec<f32>,
    packets: Vec<SoundPacket>,
    /// The last look at the ring, the last block in it, and until when nobody is taken for missing.
    looked: Micros,
    heard: Micros,
    hold: Micros,
    /// Sleeps that were heard of.
    known_sleeps: usize,
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
        let encoder = encoder(options)?;
        let part = record.parts.first();
        let mut recorder = Self {
            shared,
            record,
            events,
            part,
            sound,
            mux,
            raw,
            encoder,
            tones: Tones::new(options),
            keep_muted: options.keep_muted,
            placed: Vec::new(),
            packets: Vec::new(),
            looked: Micros(i64::MAX),
            heard: Micros(i64::MAX),
            hold: Micros(i64::MIN),
            known_sleeps: 0,
        };
        recorder.sound.sleeps = recorder.part.sleeps;
        Ok(recorder)
    }

    /// Records all files, one after the other.
    pub fn run_all(mut self, record: &RecordShared, options: &SoundOptions) {
        loop {
            self.run();
            let Some(next) = record.parts.get(self.part.number + 1) else { return };
            if self.shared.abort.load(Relaxed) {
                return;
            }
            if let Err(e) = self.turn_to(next, options) {
                self.record.fail(&self.events, e.to_string());
                return;
            }
        }
    }

    /// Makes everything ready for another file.
    fn turn_to(&mut self, part: Arc<Part>, options: &SoundOptions) -> Result<(), EngineError> {
        let sound = &mut self.sound;
        sound.before = sum(sound.before, sound.timeline.counts());
        sound.timeline.rewind();
        sound.timeline.slept(&|at| at, &mut self.placed);
        sound.sleeps = part.sleeps;
        self.encoder = encoder(options)?;
        self.tones = Tones::new(options);
        self.mux.turn_to(part.number);
        self.part = part;
        // What was written meanwhile says nothing about who is missing.
        (self.looked, self.heard) = (Micros(i64::MAX), Micros(i64::MAX));
        Ok(())
    }

    /// Records one file.
    fn run(&mut self) {
        if let Some(start) = self.wait_for_start() {
            let track = self.encoder.track();
            if self.mux.send(MuxItem::AudioFormat(track)) {
                self.begin(&start);
                loop {
                    std::thread::sleep(POLL);
                    self.gather();
                    // Read behind the last block: what is in it was captured before.
                    let (local, _, asleep) = clock::sleep_reading();
                    if self.look(&start, local, asleep) || self.shared.abort.load(Relaxed) {
                        break;
                    }
                }
            }
        }
    }

    fn begin(&mut self, start: &Start) {
        self.sound.timeline.begin(start.file());
        // The duration counts from the recording's start.
        let first = self.record.start.get().unwrap_or(start);
        self.tones.begin(start, first, self.part.number);
    }

    /// Takes what has come out of the ring.
    fn gather(&mut self) {
        while let Some(block) = self.sound.pop() {
            self.sound.waiting.push_back(block);
            self.heard = Micros(i64::MAX);
        }
    }

    /// Places what has come until `local`; `asleep`: the system's count of time slept by then. `true`
    /// when the file is whole.
    fn look(&mut self, start: &Start, local: Micros, asleep: i64) -> bool {
        if !self.shared.knows_sleep(asleep) {
            // Nobody has said yet which of the blocks are of before.
            (self.looked, self.hold) = (local, local + RECOVERY);
            return false;
        }
        let sleeps = self.shared.sleeps();
        if sleeps > std::mem::replace(&mut self.known_sleeps, sleeps) {
            self.hold = local + RECOVERY;
        }
        let last = self.part.last_slot.get().copied();
        let samples = last.map_or(u64::MAX, |last| {
            last.saturating_sub(start.first_slot) * u64::from(SAMPLES_PER_FRAME)
        });
        // Nothing that is encoded can be taken back: first the pictures' end. Asked for each block:
        // who is slow would otherwise run past the end in this loop.
        while self.owed(samples)
            && (last.is_some() || self.part.end_slot.get().is_none())
            && let Some(block) = self.next_block(local)
        {
            self.place(start, block, samples);
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
        let ending = self.part.end_slot.get().is_some();
        let known = self.shared.settled() && self.next_sleep().is_none();
        if !ending && !patient && known && local.since(self.heard) > MISSING {
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

    /// A sleep that was not seen to.
    fn next_sleep(&self) -> Option<Slept> {
        self.shared.sleep(self.sound.sleeps)
    }

    /// The next block that has its place in this file, up to the next sleep at most.
    fn next_block(&mut self, local: Micros) -> Option<Block> {
        while let Some(slept) = self.next_sleep() {
            if let Some(mut block) = self.sound.waiting.pop_front() {
                if block.before(slept.woke) > 0 {
                    let behind = block.split(slept.woke);
                    if let Some(behind) = behind {
                        self.sound.waiting.push_front(behind);
                    }
                    return Some(block);
                }
                self.sound.waiting.push_front(block);
            } else if local < self.hold {
                // The callback may still have some of before in hand.
                return None;
            }
            // All of before is placed. What came behind a long sleep is the next file's.
            if slept.is_long() && self.part.until.get().is_some() || !self.shared.settled() {
                return None;
            }
            self.placed.clear();
            let session = self.session_clock();
            self.sound.timeline.slept(&session, &mut self.placed);
            if let Some(start) = self.part.start.get().copied() {
                self.encode(&start);
            }
            self.sound.sleeps += 1;
        }
        self.sound.waiting.pop_front()
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self) -> Option<Start> {
        loop {
            self.gather();
            let (_, _, asleep) = clock::sleep_reading();
            // Behind a sleep nothing is too old: the next part begins with it.
            if self.part.since.is_none() {
                self.forget_the_oldest();
            }
            if let (Some(start), Some(_)) = (self.part.start.get(), self.shared.clock_map()) {
                return Some(*start);
            }
            if self.part.end_slot.get().is_some() || self.shared.abort.load(Relaxed) {
                return None;
            }
            if self.part.number == 0 && self.shared.knows_sleep(asleep) {
                self.pass_sleeps();
            }
            std::thread::sleep(POLL);
        }
    }

    fn forget_the_oldest(&mut self) {
        let Some(newest) = self.sound.waiting.back().map(|block| block.at) else { return };
        let kept = self.record.keep_from.get().copied().unwrap_or(newest);
        while self.sound.waiting.front().is_some_and(|first| {
            let age = newest.since(first.at);
            age > KEEP && (first.at < kept || age > KEEP_MOST)
        }) {
            self.leave_out();
        }
    }

    /// Sleeps before the recording are of no matter, but for the card's place.
    fn pass_sleeps(&mut self) {
        if self.record.keep_from.get().is_some() {
            return;
        }
        while let Some(slept) = self.next_sleep() {
            while self.sound.waiting.front().is_some_and(|block| block.at < slept.woke) {
                self.leave_out();
            }
            self.sound.timeline.slept(&|at| at, &mut self.placed);
            self.sound.sleeps += 1;
        }
    }

    /// The oldest block is too old for any start; its stamp still tells of the card's clock.
    fn leave_out(&mut self) {
        if let Some(Block { at, rate, samples, .. }) = self.sound.waiting.pop_front() {
            self.sound.timeline.skip(samples.len(), rate, at);
            self.sound.block = samples;
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
        if timeline.counts().written > end || timeline.silence_reaches(end) {
            timeline.finish(end, &session, &mut self.placed);
        }
        self.sound.block = block.samples;
        self.encode(start);
    }

    /// Silences what was captured while muted, by the switch's own instants: being behind lets
    /// nothing through, nor does it swallow what was said before.
    fn follow_mute(&mut self, block: &mut Block) {
        let per_second = i64::from(block.rate);
        let until = block.at + block.samples.len() as i64 * 1_000_000 / per_second;
        let mut from = 0;
        while let Some((at, muted)) = self.shared.next_mute(self.sound.mutes, until) {
            let index = block.before(at).max(from);
            self.gate_part(&mut block.samples[from..index]);
            self.sound.gate.set(muted && !self.keep_muted);
            self.sound.mutes += 1;
            from = index;
        }
        self.gate_part(&mut block.samples[from..]);
    }

    fn gate_part(&mut self, samples: &mut [f32]) {
        self.sound.gate.apply(samples);
        if self.sound.gate.muted() {
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

    /// Encodes what was placed, and what waits behind a long silence.
    fn encode(&mut self, start: &Start) {
        loop {
            self.encode_piece();
            self.placed.clear();
            if !self.sound.timeline.more(&mut self.placed) {
                break;
            }
        }
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

    fn encode_piece(&mut self) {
        let counts = self.sound.timeline.counts();
        if !self.placed.is_empty() {
            let at = counts.written - self.placed.len() as u64;
            self.tones.mix(&self.record, &mut self.placed, at);
            let result = self.encoder.push(&self.placed, &mut self.packets);
            self.hand_over(result);
        }
        let all = sum(self.sound.before, counts);
        self.record.samples.store(all.written, Relaxed);
        self.record.samples_captured.store(all.received, Relaxed);
        self.record.samples_filled.store(all.silence_filled, Relaxed);
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
    /// Up to the next sleep that was not seen to, it is the clock as it ran before.
    fn session_clock(&self) -> impl Fn(f64) -> f64 + use<> {
        let map = self.shared.clock_map();
        let map = match self.next_sleep() {
            Some(slept) => map.map(|map| map.before(slept.woke)),
            None => map,
        };
        move |local| {
            let whole = local.floor();
            let session = map.map_or(0, |map| map.to_session(Micros(whole as i64)).0);
            session as f64 + (local - whole)
        }
    }
}

fn encoder(options: &SoundOptions) -> Result<SoundEncoder, EngineError> {
    SoundEncoder::new(options.format).map_err(|e| EngineError::Codec {
        what: "cannot open the recording's audio encoder",
        reason: e.to_string(),
        remedy: "please report this",
    })
}

/// The accounting of two files.
fn sum(a: TimelineCounts, b: TimelineCounts) -> TimelineCounts {
    TimelineCounts {
        received: a.received + b.received,
        before_start: a.before_start + b.before_start,
        held: b.held,
        left_out: a.left_out + b.left_out,
        written: a.written + b.written,
        silence_filled: a.silence_filled + b.silence_filled,
        trimmed: a.trimmed + b.trimmed,
        gaps: a.gaps + b.gaps,
    }
}
