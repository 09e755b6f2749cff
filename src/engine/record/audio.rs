//! The recorder's audio thread: captured samples onto the session's timeline, into AAC, to the
//! writer. It polls its ring (which holds ten seconds) and drops nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::mux::{MuxInput, MuxItem};
use super::{RecordShared, Start};
use crate::clock::ClockMap;
use crate::engine::capture::Captured;
use crate::engine::error::EngineError;
use crate::engine::events::Events;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::aac::{AacEncoder, AacError, AacPacket};
use crate::recording::gate::Gate;
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
/// How far the timeline trails the clock before a microphone that says nothing counts as missing.
const MISSING: i64 = 1_000_000;
/// A longer pause between two looks means that the whole program stood still ...
const STALL: i64 = 200_000;
/// ... and the microphone's callback gets this long to hand over what piled up meanwhile, before
/// silence takes its place.
const RECOVERY: i64 = 300_000;

pub struct AudioRecorder {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
    captured: Captured,
    mux: MuxInput,
    encoder: AacEncoder,
    keep_muted: bool,
    gate: Gate,
    waiting: VecDeque<(Micros, Vec<f32>)>,
    block: Vec<f32>,
    placed: Vec<f32>,
    packets: Vec<AacPacket>,
    /// The last look at the ring, and until when nobody is taken for missing.
    looked: Micros,
    hold: Micros,
}

impl AudioRecorder {
    pub fn new(
        shared: Arc<Shared>,
        record: Arc<RecordShared>,
        events: Events,
        captured: Captured,
        mux: MuxInput,
        keep_muted: bool,
    ) -> Result<Self, EngineError> {
        let encoder = AacEncoder::new().map_err(|e| EngineError::Codec {
            what: "cannot open the AAC encoder",
            reason: e.to_string(),
            remedy: "please report this",
        })?;
        let gate = Gate::new(shared.muted.load(Relaxed) && !keep_muted);
        Ok(Self {
            shared,
            record,
            events,
            captured,
            mux,
            encoder,
            keep_muted,
            gate,
            waiting: VecDeque::new(),
            block: Vec::new(),
            placed: Vec::new(),
            packets: Vec::new(),
            looked: Micros(i64::MAX),
            hold: Micros(i64::MIN),
        })
    }

    pub fn run(mut self) {
        let Some((start, map)) = self.wait_for_start() else { return };
        let asc = self.encoder.asc();
        let priming = self.encoder.priming_samples();
        if !self.mux.send(MuxItem::AudioFormat { asc, priming }) {
            return;
        }
        let mut timeline = AudioTimeline::new(start.file());
        for (at, block) in std::mem::take(&mut self.waiting) {
            self.block = block;
            self.place(&mut timeline, map.to_session(at), u64::MAX);
        }
        loop {
            std::thread::sleep(POLL);
            let map = self.shared.clock_map().unwrap_or(map);
            if self.look(&mut timeline, &start, clock::now(), &map)
                || self.shared.abort.load(Relaxed)
            {
                return;
            }
        }
    }

    /// Takes what has come until `local`; `true` when the file is whole.
    fn look(
        &mut self,
        timeline: &mut AudioTimeline,
        start: &Start,
        local: Micros,
        map: &ClockMap,
    ) -> bool {
        let ending = self.record.end_slot.get().is_some();
        let last = self.record.last_slot.get().copied();
        let samples = last.map_or(u64::MAX, |last| {
            last.saturating_sub(start.first_slot) * u64::from(SAMPLES_PER_FRAME)
        });
        let owed = |timeline: &AudioTimeline| timeline.counts().written < samples;
        while last.is_some()
            && owed(timeline)
            && let Some((at, block)) = self.waiting.pop_front()
        {
            self.block = block;
            self.place(timeline, map.to_session(at), samples);
        }
        while owed(timeline)
            && let Some(at) = self.captured.pop(&mut self.block)
        {
            if ending && last.is_none() {
                // Nothing that is encoded can be taken back: first the pictures' end.
                self.waiting.push_back((at, self.block.clone()));
            } else {
                self.place(timeline, map.to_session(at), samples);
            }
        }
        if local.since(self.looked) > STALL {
            self.hold = local + RECOVERY;
        }
        self.looked = local;
        let patient = local < self.hold;
        let now = map.to_session(local);
        if let Some(last) = last {
            if owed(timeline) && (patient || now.since(start.slot(last)) <= PATIENCE) {
                return false;
            }
            self.finish(timeline, samples);
            return true;
        }
        // Only when nothing comes at all: silence ends the row of contiguous samples.
        if !ending && !patient && trail(timeline, start, now) > MISSING {
            self.placed.clear();
            timeline.silence_until(now - (MISSING - SILENCE_DELAY_MICROS), &mut self.placed);
            self.encode(timeline);
        }
        false
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self) -> Option<(Start, ClockMap)> {
        loop {
            while let Some(at) = self.captured.pop(&mut self.block) {
                self.waiting.push_back((at, self.block.clone()));
                let kept = self.record.keep_from.get().copied().unwrap_or(at);
                while self.waiting.front().is_some_and(|(first, _)| {
                    at.since(*first) > KEEP && (*first < kept || at.since(*first) > KEEP_MOST)
                }) {
                    self.waiting.pop_front();
                }
            }
            if let (Some(start), Some(map)) = (self.record.start.get(), self.shared.clock_map()) {
                return Some((*start, map));
            }
            if self.record.end_slot.get().is_some() || self.shared.abort.load(Relaxed) {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Encodes the block in its place, but nothing from sample `end` of the file on.
    fn place(&mut self, timeline: &mut AudioTimeline, captured: SessionMicros, end: u64) {
        self.gate.set(self.shared.muted.load(Relaxed) && !self.keep_muted);
        self.gate.apply(&mut self.block);
        if self.gate.muted() {
            self.record.samples_muted.fetch_add(self.block.len() as u64, Relaxed);
        }
        self.placed.clear();
        timeline.push(&self.block, captured, &mut self.placed);
        if timeline.counts().written > end {
            timeline.finish(end, &mut self.placed);
        }
        self.encode(timeline);
    }

    fn encode(&mut self, timeline: &AudioTimeline) {
        if !self.placed.is_empty() {
            let result = self.encoder.push(&self.placed, &mut self.packets);
            self.hand_over(result);
        }
        let counts = timeline.counts();
        self.record.samples.store(timeline.counts().written, Relaxed);
        self.record.samples_captured.store(counts.received, Relaxed);
        self.record.samples_filled.store(counts.silence_filled, Relaxed);
    }

    fn finish(&mut self, timeline: &mut AudioTimeline, samples: u64) {
        self.placed.clear();
        timeline.finish(samples, &mut self.placed);
        self.encode(timeline);
        let result = self.encoder.finish(samples, &mut self.packets);
        self.hand_over(result);
        self.mux.send(MuxItem::AudioEnd { samples });
    }

    fn hand_over(&mut self, result: Result<(), AacError>) {
        for packet in self.packets.drain(..) {
            self.mux.send(MuxItem::Audio(packet));
        }
        if let Err(e) = result {
            self.record.fail(&self.events, e.to_string());
        }
    }
}

/// How far the newest sample lies behind `now`, microseconds; the card's drift is no delay.
fn trail(timeline: &AudioTimeline, start: &Start, now: SessionMicros) -> i64 {
    let counts = timeline.counts();
    let samples = MediaTime::samples((counts.written + counts.held) as i64);
    now.since(start.file() + samples.to_micros()) - timeline.offset_micros()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::devices::microphone::MicSink;
    use crate::engine::capture::MicTap;

    const SECOND: i64 = 1_000_000;

    /// A recorder of a session whose clock is the local one, from one second on.
    struct Bench {
        tap: MicTap,
        recorder: AudioRecorder,
        timeline: AudioTimeline,
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
        let recorder = AudioRecorder::new(shared, record, events, ends.record, mux, false).unwrap();
        let start = Start {
            t0: SessionMicros(SECOND),
            first_slot: 0,
            epoch_utc_micros: 0,
            utc_offset_seconds: 0,
        };
        let timeline = AudioTimeline::new(start.file());
        Bench { tap, recorder, timeline, start, packets }
    }

    impl Bench {
        /// Ten milliseconds: two blocks, stamped late by `late` microseconds each, and a look.
        fn ten_ms(&mut self, at: i64, late: [i64; 2]) -> bool {
            for (i, late) in (0..).zip(late) {
                self.tap.samples(&[0.25; 240], Micros(at + i * 5_000 + late));
            }
            self.look(at + 10_000)
        }

        fn look(&mut self, at: i64) -> bool {
            let map = ClockMap::exact(Micros(0));
            self.recorder.look(&mut self.timeline, &self.start, Micros(at), &map)
        }
    }

    #[test]
    fn stamps_that_jitter_put_no_silence_between_samples() {
        let mut b = bench(false);
        let mut at_start = 0;
        for i in 0..500i64 {
            let late = [(i * 7_919) % 9_000, (i * 104_729) % 9_000];
            assert!(!b.ten_ms(SECOND / 2 + i * 10_000, late));
            if i == 60 {
                at_start = b.timeline.counts().silence_filled;
            }
        }
        let counts = b.timeline.counts();
        assert_eq!((counts.silence_filled - at_start, counts.gaps), (0, 0));
        assert_eq!(counts.received, 500 * 480);
        assert_eq!(counts.written + counts.before_start, counts.received + at_start);
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
            b.tap.samples(&[0.25; 480], Micros(at));
            at += 10_000;
        }
        b.look(resumed + 10_000);
        assert_eq!(b.timeline.counts().silence_filled, 0);
        assert_eq!(b.timeline.counts().written, 3 * 48_000);
        // Now the microphone alone is silent for three seconds.
        for i in 1..=300 {
            b.look(at + i * 10_000);
        }
        let counts = b.timeline.counts();
        assert_eq!(counts.written, 5 * 48_000, "silence trails the clock by a second");
        assert_eq!(counts.silence_filled, 2 * 48_000);
        at += 3 * SECOND;
        b.ten_ms(at, [0, 0]);
        assert_eq!(b.timeline.counts().written, 6 * 48_000 + 480, "and it stands where it belongs");
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
        assert_eq!(b.timeline.counts().written, 48_000);
        let items: Vec<MuxItem> = b.packets.try_iter().collect();
        assert!(matches!(items.last(), Some(MuxItem::AudioEnd { samples: 48_000 })));
        assert_eq!(items.len(), 47 + 1);
    }

    #[test]
    fn who_starts_muted_lets_not_a_sample_through() {
        let mut b = bench(true);
        b.recorder.block = vec![0.5; 480];
        b.recorder.place(&mut b.timeline, SessionMicros(SECOND), u64::MAX);
        assert!(b.recorder.placed.iter().all(|&s| s == 0.0));
        assert_eq!(b.recorder.placed.len(), 480);
    }
}
