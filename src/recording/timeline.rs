//! Places the microphone's samples on the session clock's sample grid.
//!
//! File sample 0 is the file's start instant. Samples are contiguous: a block's stamp jitters by
//! milliseconds and never moves its samples. Only a real gap becomes silence, and every sample
//! received after the start is written. Pure; belongs to the record thread.
//!
//! Card and session clock differ by some ppm. [`AudioTimeline::offset_micros`] tells how far they
//! have come apart; an asynchronous resampler driven by it has its place between the incoming
//! block and the samples appended to the file.

use std::collections::VecDeque;

use crate::units::{MediaTime, SAMPLE_RATE, SessionMicros};

#[cfg(test)]
mod tests;

/// How much later than its neighbours a block must claim to be before that can be a gap, in
/// samples: 50 ms, beyond what stamps of sound servers jitter.
pub const GAP_SAMPLES: i64 = (SAMPLE_RATE / 20) as i64;

/// How much sound is held back until a suspected gap is believed, in samples: 200 ms. After a
/// stall without loss the late blocks come in a burst and catch up sooner than that.
const DOUBT_SAMPLES: usize = (SAMPLE_RATE / 5) as usize;

/// Silence for a missing device is written this far behind the present, in microseconds: what a
/// returning device had still buffered then finds its place.
pub const SILENCE_DELAY_MICROS: i64 = 500_000;

/// Offsets of the latest blocks that the median is taken of: 0.3 s of 5 ms blocks.
const RECENT_BLOCKS: usize = 63;

/// A range that the device did not deliver, filled with silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// File sample at which the silence begins.
    pub at: u64,
    /// Its length in samples.
    pub samples: u64,
}

/// The accounting, in samples. `written = (received - before_start) + silence_filled - trimmed - held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimelineCounts {
    /// Samples that the device delivered.
    pub received: u64,
    /// The part of them that was captured before the file's start.
    pub before_start: u64,
    /// Samples given to the file, silence included.
    pub written: u64,
    /// Silence among them.
    pub silence_filled: u64,
    /// Received samples that are held back until a suspected gap is decided.
    pub held: u64,
    /// Samples behind the file's end (captured later, or pushed out by a fast card's drift).
    pub trimmed: u64,
    /// Gaps within the recording.
    pub gaps: u64,
}

/// See the module.
pub struct AudioTimeline {
    start: SessionMicros,
    counts: TimelineCounts,
    /// A received sample was written.
    started: bool,
    /// The next block stands where its stamp says: after a device's absence.
    realign: bool,
    /// An absence is being filled.
    absent: Option<Gap>,
    /// By how many samples the stamps of recent blocks were later than their places.
    recent: VecDeque<i64>,
    /// Before the start: place of the device's sample 0 by each recent stamp.
    anchors: VecDeque<i64>,
    /// Blocks that seem to come after a gap, and how long each says that it is.
    held: Vec<f32>,
    doubts: Vec<i64>,
    gaps: VecDeque<Gap>,
    /// Median of `recent`, in samples.
    offset: i64,
}

fn median(values: impl IntoIterator<Item = i64>) -> Option<i64> {
    let mut sorted: Vec<i64> = values.into_iter().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

fn remember(values: &mut VecDeque<i64>, value: i64) {
    if values.len() == RECENT_BLOCKS {
        values.pop_front();
    }
    values.push_back(value);
}

impl AudioTimeline {
    /// A timeline whose sample 0 is at `start`.
    pub fn new(start: SessionMicros) -> Self {
        Self {
            start,
            counts: TimelineCounts::default(),
            started: false,
            realign: false,
            absent: None,
            recent: VecDeque::with_capacity(RECENT_BLOCKS),
            anchors: VecDeque::with_capacity(RECENT_BLOCKS),
            held: Vec::new(),
            doubts: Vec::new(),
            gaps: VecDeque::new(),
            offset: 0,
        }
    }

    /// The accounting so far.
    pub fn counts(&self) -> TimelineCounts {
        TimelineCounts { held: self.held.len() as u64, ..self.counts }
    }

    /// The next gap that was filled and not yet told.
    pub fn next_gap(&mut self) -> Option<Gap> {
        self.gaps.pop_front()
    }

    /// How much later than their place in the file the latest samples were captured, in
    /// microseconds: the drift between card and session clock since the start.
    pub fn offset_micros(&self) -> i64 {
        MediaTime::samples(self.offset).to_micros()
    }

    /// Where in the file an instant lies, in samples.
    fn place(&self, at: SessionMicros) -> i64 {
        MediaTime::from_micros(at.since(self.start), SAMPLE_RATE).ticks
    }

    /// Takes a block whose first sample was captured at `captured`; appends to `out` what the
    /// file gets next.
    pub fn push(&mut self, samples: &[f32], captured: SessionMicros, out: &mut Vec<f32>) {
        if samples.is_empty() {
            return;
        }
        let place = self.place(captured);
        let before = self.counts.received;
        self.counts.received += samples.len() as u64;
        if !self.started {
            return self.begin(samples, place, before, out);
        }
        if self.realign {
            self.realign = false;
            self.recent.clear();
            self.fill(place - self.counts.written as i64, out);
            self.end_absence();
        }
        let late = place - (self.counts.written as i64 + self.held.len() as i64);
        let usual = median(self.recent.iter().copied()).unwrap_or(0);
        if late - usual > GAP_SAMPLES {
            self.doubts.push(late - usual);
            self.held.extend_from_slice(samples);
            if self.held.len() >= DOUBT_SAMPLES {
                self.believe_gap(out);
            }
            return;
        }
        // The stamps have come back to where they were: the held blocks were only late.
        self.release_held(out);
        remember(&mut self.recent, late);
        self.offset = median(self.recent.iter().copied()).unwrap_or(0);
        self.append(samples, out);
    }

    /// Before the start stamps are only collected, so that file sample 0 stands on the median of
    /// many and not on one block's jitter.
    fn begin(&mut self, samples: &[f32], place: i64, before: u64, out: &mut Vec<f32>) {
        remember(&mut self.anchors, place - before as i64);
        let anchor = median(self.anchors.iter().copied()).unwrap_or(0);
        // A gap before the start moves the stamps for good: the old ones say nothing then.
        let first = if (place - before as i64 - anchor).abs() > GAP_SAMPLES {
            self.anchors.clear();
            self.anchors.push_back(place - before as i64);
            place
        } else {
            before as i64 + anchor
        };
        let skip = first.min(0).unsigned_abs().min(samples.len() as u64) as usize;
        self.counts.before_start += skip as u64;
        let samples = &samples[skip..];
        if samples.is_empty() {
            return;
        }
        self.started = true;
        self.anchors = VecDeque::new();
        self.fill(first - self.counts.written as i64, out);
        self.end_absence();
        self.append(samples, out);
    }

    fn append(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        out.extend_from_slice(samples);
        self.counts.written += samples.len() as u64;
    }

    fn fill(&mut self, samples: i64, out: &mut Vec<f32>) {
        let samples = samples.max(0) as u64;
        out.resize(out.len() + samples as usize, 0.0);
        self.counts.written += samples;
        self.counts.silence_filled += samples;
    }

    fn release_held(&mut self, out: &mut Vec<f32>) {
        self.doubts.clear();
        let held = std::mem::take(&mut self.held);
        self.append(&held, out);
    }

    fn believe_gap(&mut self, out: &mut Vec<f32>) {
        if let Some(samples) = median(self.doubts.iter().copied()).filter(|&s| s > 0) {
            let at = self.counts.written;
            self.fill(samples, out);
            self.counts.gaps += 1;
            self.gaps.push_back(Gap { at, samples: samples as u64 });
        }
        self.release_held(out);
    }

    fn end_absence(&mut self) {
        if let Some(mut gap) = self.absent.take() {
            gap.samples = self.counts.written - gap.at;
            if gap.samples > 0 {
                self.counts.gaps += 1;
                self.gaps.push_back(gap);
            }
        }
    }

    /// There is no device: writes silence up to [`SILENCE_DELAY_MICROS`] before `now`. The next
    /// block then stands where its stamp says.
    pub fn silence_until(&mut self, now: SessionMicros, out: &mut Vec<f32>) {
        if self.started && !self.realign {
            if !self.held.is_empty() {
                self.believe_gap(out);
            }
            self.absent = Some(Gap { at: self.counts.written, samples: 0 });
            self.realign = true;
        }
        let until = self.place(now - SILENCE_DELAY_MICROS);
        self.fill(until - self.counts.written as i64, out);
    }

    /// Ends the file at exactly `end_sample` samples: pads it with silence, or takes back from
    /// `out` what lies behind (as far as `out` still holds it; give it the block that is not yet
    /// encoded). Gives the number of samples that the file is still too long by.
    pub fn finish(&mut self, end_sample: u64, out: &mut Vec<f32>) -> u64 {
        if !self.held.is_empty() {
            self.believe_gap(out);
        }
        if self.counts.written < end_sample {
            self.fill((end_sample - self.counts.written) as i64, out);
        }
        self.end_absence();
        let excess = self.counts.written - end_sample;
        let take = excess.min(out.len() as u64);
        out.truncate(out.len() - take as usize);
        self.counts.written -= take;
        self.counts.trimmed += take;
        excess - take
    }
}
