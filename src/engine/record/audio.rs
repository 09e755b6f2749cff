//! The recorder's audio thread: captured samples onto the session's timeline, into AAC, to the
//! writer. It polls its ring (which holds ten seconds) and drops nothing.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::mux::MuxItem;
use super::{RecordShared, Start};
use crate::engine::capture::Captured;
use crate::engine::error::EngineError;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::aac::{AacEncoder, AacError, AacPacket};
use crate::recording::gate::Gate;
use crate::recording::timeline::{AudioTimeline, SILENCE_DELAY_MICROS};
use crate::units::{Micros, SAMPLES_PER_FRAME, SessionMicros};

/// How often the ring is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Samples from before the start that are kept, because the start is told late: microseconds.
const KEEP: i64 = 1_500_000;
/// How long the end waits for samples that the device still owes, before silence takes their place.
const PATIENCE: i64 = 500_000;
/// How far the timeline trails the clock before a microphone that says nothing counts as missing.
const MISSING: i64 = 1_000_000;

pub struct AudioRecorder {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    captured: Captured,
    mux: mpsc::Sender<MuxItem>,
    encoder: AacEncoder,
    keep_muted: bool,
    gate: Gate,
    waiting: VecDeque<(Micros, Vec<f32>)>,
    block: Vec<f32>,
    placed: Vec<f32>,
    packets: Vec<AacPacket>,
}

impl AudioRecorder {
    pub fn new(
        shared: Arc<Shared>,
        record: Arc<RecordShared>,
        captured: Captured,
        mux: mpsc::Sender<MuxItem>,
        keep_muted: bool,
    ) -> Result<Self, EngineError> {
        let encoder = AacEncoder::new().map_err(|e| EngineError::Codec {
            what: "cannot open the AAC encoder",
            reason: e.to_string(),
            remedy: "please report this",
        })?;
        Ok(Self {
            shared,
            record,
            captured,
            mux,
            encoder,
            keep_muted,
            gate: Gate::new(false),
            waiting: VecDeque::new(),
            block: Vec::new(),
            placed: Vec::new(),
            packets: Vec::new(),
        })
    }

    pub fn run(mut self) {
        let Some((start, offset)) = self.wait_for_start() else { return };
        let asc = self.encoder.asc();
        let priming = self.encoder.priming_samples();
        if self.mux.send(MuxItem::AudioFormat { asc, priming }).is_err() {
            return;
        }
        let mut timeline = AudioTimeline::new(start.file());
        for (at, block) in std::mem::take(&mut self.waiting) {
            self.block = block;
            self.place(&mut timeline, SessionMicros(at.0 + offset), u64::MAX);
        }
        loop {
            std::thread::sleep(POLL);
            let offset = self.shared.clock_offset().unwrap_or(offset);
            let ending = self.record.end_slot.get().is_some();
            let last = self.record.last_slot.get().copied();
            let samples = last.map_or(u64::MAX, |last| {
                last.saturating_sub(start.first_slot) * u64::from(SAMPLES_PER_FRAME)
            });
            let missing = |timeline: &AudioTimeline| timeline.counts().written < samples;
            while last.is_some()
                && missing(&timeline)
                && let Some((at, block)) = self.waiting.pop_front()
            {
                self.block = block;
                self.place(&mut timeline, SessionMicros(at.0 + offset), samples);
            }
            while missing(&timeline)
                && let Some(at) = self.captured.pop(&mut self.block)
            {
                if ending && last.is_none() {
                    // Nothing that is encoded can be taken back: first the pictures' end.
                    self.waiting.push_back((at, self.block.clone()));
                } else {
                    self.place(&mut timeline, SessionMicros(at.0 + offset), samples);
                }
            }
            let now = SessionMicros(clock::now().0 + offset);
            if let Some(last) = last {
                if !missing(&timeline) || now.since(start.slot(last)) > PATIENCE {
                    self.finish(&mut timeline, samples);
                    return;
                }
            } else if !ending {
                self.placed.clear();
                timeline.silence_until(now - (MISSING - SILENCE_DELAY_MICROS), &mut self.placed);
                self.encode(&timeline);
            }
            if self.shared.abort.load(Relaxed) {
                return;
            }
        }
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self) -> Option<(Start, i64)> {
        loop {
            while let Some(at) = self.captured.pop(&mut self.block) {
                self.waiting.push_back((at, self.block.clone()));
                while self.waiting.front().is_some_and(|(first, _)| at.since(*first) > KEEP) {
                    self.waiting.pop_front();
                }
            }
            if let (Some(start), Some(offset)) =
                (self.record.start.get(), self.shared.clock_offset())
            {
                return Some((*start, offset));
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
        let _ = self.mux.send(MuxItem::AudioEnd { samples });
    }

    fn hand_over(&mut self, result: Result<(), AacError>) {
        for packet in self.packets.drain(..) {
            let _ = self.mux.send(MuxItem::Audio(packet));
        }
        if let Err(e) = result {
            self.record.fail(e.to_string());
        }
    }
}
