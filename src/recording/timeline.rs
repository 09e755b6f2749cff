//! Places the microphone's samples on the session clock's sample grid.
//!
//! File sample n stands for the session's instant start + n / 48,000 s, exactly: the card's samples
//! are read between each other ([`super::resample`]) at the place that belongs to that instant. The
//! place is steered by two clocks that know nothing of each other, [`super::card`]'s (card against
//! local) and the session's (local against session, a function that comes in as a parameter), and
//! moves so slowly to where they want it that nobody hears it. A block's stamp jitters by
//! milliseconds and never tears the sound; only a real gap becomes silence, with a fade at both
//! edges, and every sample received after the start is in the file. Pure; belongs to the record
//! thread. Allocates only while its buffers grow to their size.

use std::collections::VecDeque;

use super::card::{CardClock, CardRate};
use super::resample::Kernel;
use crate::units::{MediaTime, Micros, SAMPLE_RATE, SessionMicros};

#[cfg(test)]
mod tests;

/// How much later than expected a block must claim to be before that can be a gap, microseconds:
/// beyond what stamps of sound servers jitter.
pub const GAP_MICROS: i64 = 50_000;

/// How much sound is held back until a suspected gap is believed: 200 ms, as a share of a second.
/// After a stall without loss the late blocks come in a burst and catch up sooner than that.
const DOUBT: u32 = 5;

/// How much sound a place is found from when a device begins, as a share of a second: 200 ms.
const SETTLE: u32 = 5;

/// Silence for a missing device is written this far behind the present, in microseconds: what a
/// returning device had still buffered then finds its place.
pub const SILENCE_DELAY_MICROS: i64 = 500_000;

/// Fade at the edges of a gap, in samples: 5 ms. So much of what was made waits, so that it can
/// still be faded when a gap shows.
const FADE_SAMPLES: usize = (SAMPLE_RATE / 200) as usize;

/// Samples between two looks at the clocks: 5 ms.
const STEER_EVERY: u32 = 240;
/// Errors are worked off with a time constant between these, seconds: fast while the card's rate is
/// only being found, slow once it is known, so that a jittery estimate wavers unheard.
const STEER_SECONDS: std::ops::RangeInclusive<f64> = 0.5..=4.0;
/// The time constant as a share of the time that the card has been watched.
const STEER_SHARE: f64 = 0.25;
/// The speed itself follows with a quarter of the time constant: so it neither rings nor lags.
const SMOOTH_SHARE: f64 = 0.25;
/// Fastest correction of a place, beyond what the clocks' rates ask for. A fifth of what trained
/// ears notice in a steady tone (some 0.25 %), and enough for the session clock's own slewing.
const MOST_CORRECTION: f64 = 500e-6;

/// Silence is given out in pieces of five seconds: a megabyte at once, however long it is.
const PIECE: u64 = 5 * SAMPLE_RATE as u64;

/// A returning device may overlap silence already written by this much, microseconds, and is then
/// put behind it and steered back; more is left out, or it would stay behind for minutes.
const OVERLAP_MICROS: f64 = 50_000.0;

/// The session's time at a local instant, both in microseconds.
pub type SessionAt<'a> = &'a dyn Fn(f64) -> f64;

/// A range that the device did not deliver, filled with silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// File sample at which the silence begins.
    pub at: u64,
    /// Its length in samples.
    pub samples: u64,
}

/// The accounting: `received`, `before_start`, `held` and `left_out` in the card's samples, the
/// others in the file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimelineCounts {
    /// Samples that the device delivered.
    pub received: u64,
    /// The part of them that was captured before the file's start.
    pub before_start: u64,
    /// Received samples that wait: for a place, or until a suspected gap is decided.
    pub held: u64,
    /// Received samples for whose time silence had already been written: a device that came back
    /// with sound older than half a second. 0 but for stalled machines.
    pub left_out: u64,
    /// Samples given to the file, silence included.
    pub written: u64,
    /// Silence among them.
    pub silence_filled: u64,
    /// Made samples behind the file's end.
    pub trimmed: u64,
    /// Gaps within the recording.
    pub gaps: u64,
}

/// See the module.
pub struct AudioTimeline {
    start: Option<SessionMicros>,
    rate: u32,
    kernel: Kernel,
    card: CardClock,
    counts: TimelineCounts,
    /// Number of the card's next sample; counts what gaps lost too.
    next: u64,
    /// The card's samples from number `base` on, led by zeros for the kernel where a stretch begins.
    buffer: Vec<f32>,
    base: i64,
    /// Number of the stretch's first sample.
    first: u64,
    /// The stretch has its place; before that samples gather.
    running: bool,
    /// Number that stamps are trusted from: the card's clock began anew there.
    settle_from: u64,
    /// Place of the next sample made, in the card's samples, and the distance to the one after.
    place: f64,
    step: f64,
    until_steering: u32,
    /// Samples made so far; those that wait for being handed on are in `tail`.
    made: u64,
    tail: Vec<f32>,
    /// Silence before `tail` that is not handed on yet.
    silence: u64,
    fading_in: usize,
    /// Something of the device is in the file.
    started: bool,
    absent: Option<u64>,
    /// Blocks that seem to come after a gap, and how long each says that it is.
    held: Vec<f32>,
    doubts: Vec<f64>,
    gaps: VecDeque<Gap>,
}

impl AudioTimeline {
    /// A timeline that waits for [`AudioTimeline::begin`].
    pub fn new() -> Self {
        let kernel = Kernel::new(SAMPLE_RATE);
        let mut timeline = Self {
            start: None,
            rate: SAMPLE_RATE,
            card: CardClock::new(SAMPLE_RATE),
            kernel,
            counts: TimelineCounts::default(),
            next: 0,
            buffer: Vec::new(),
            base: 0,
            first: 0,
            running: false,
            settle_from: 0,
            place: 0.0,
            step: 1.0,
            until_steering: 0,
            made: 0,
            tail: Vec::new(),
            silence: 0,
            fading_in: 0,
            started: false,
            absent: None,
            held: Vec::new(),
            doubts: Vec::new(),
            gaps: VecDeque::new(),
        };
        timeline.open_stretch();
        timeline
    }

    /// File sample 0 is at `start`; pushes follow.
    pub fn begin(&mut self, start: SessionMicros) {
        self.start = Some(start);
    }

    /// Makes it ready for another file; what is known of the card's clock stays.
    pub fn rewind(&mut self) {
        self.start = None;
        self.counts = TimelineCounts::default();
        (self.made, self.started, self.absent) = (0, false, None);
        (self.held, self.doubts) = (Vec::new(), Vec::new());
        self.tail.clear();
        self.silence = 0;
        self.gaps.clear();
        self.open_stretch();
    }

    /// The computer was asleep: all that was taken is of before that, and ends here; what comes
    /// stands where its stamps say, and the card's place is found anew. `session` is the clock as it
    /// ran before the sleep.
    pub fn slept(&mut self, session: SessionAt<'_>, out: &mut Vec<f32>) {
        if self.start.is_some() {
            if !self.held.is_empty() {
                self.release_held();
                self.go_on(session, out);
            }
            self.close_stretch(session, out);
            if self.started {
                self.absent = self.absent.or(Some(self.made));
            }
        }
        self.card.restart();
        self.settle_from = self.next;
        self.open_stretch();
    }

    /// Gives out the next piece of a long silence, and what was made behind it; `false` when nothing
    /// waits. To be called after all that fills `out`, until it is.
    pub fn more(&mut self, out: &mut Vec<f32>) -> bool {
        let waits = self.silence > 0;
        if waits {
            self.hand_on(FADE_SAMPLES, out);
        }
        waits
    }

    /// The accounting so far.
    pub fn counts(&self) -> TimelineCounts {
        let gathering = if self.running { 0 } else { self.next - self.first };
        TimelineCounts { held: self.held.len() as u64 + gathering, ..self.counts }
    }

    /// The next gap that was filled and not yet told.
    pub fn next_gap(&mut self) -> Option<Gap> {
        self.gaps.pop_front()
    }

    /// The card's rate against the local clock, once it is known.
    pub fn card_rate(&self) -> Option<CardRate> {
        self.card.rate()
    }

    /// How far the sample made next lies from its instant, microseconds (positive: its sound was
    /// captured later than that), as the clocks are known now. `None` while nothing has a place.
    pub fn error_micros(&self, session: SessionAt<'_>) -> Option<f64> {
        if !self.running {
            return None;
        }
        Some(session(self.card.local(self.place)?) - self.instant(self.made))
    }

    /// Session time of a file sample, microseconds.
    fn instant(&self, sample: u64) -> f64 {
        let start = self.start.map_or(0, |s| s.0);
        start as f64 + sample as f64 * (1e6 / f64::from(SAMPLE_RATE))
    }

    /// Before the start: samples so old that no start can need them; only their stamp is used.
    pub fn skip(&mut self, samples: usize, rate: u32, captured: Micros) {
        self.follow_rate(rate);
        let next = self.next as f64;
        let off = self.card.local(next).map_or(0.0, |at| captured.0 as f64 - at);
        if off.abs() > GAP_MICROS as f64 {
            self.card.restart();
            self.settle_from = self.next;
        }
        self.card.observe(next, captured);
        self.counts.received += samples as u64;
        self.counts.before_start += samples as u64;
        self.next += samples as u64;
        self.open_stretch();
    }

    /// Takes a block at the card's rate whose first sample was captured at `captured`; appends to
    /// `out` what the file gets next.
    pub fn push(
        &mut self,
        samples: &[f32],
        rate: u32,
        captured: Micros,
        session: SessionAt<'_>,
        out: &mut Vec<f32>,
    ) {
        if samples.is_empty() || self.start.is_none() {
            return;
        }
        if rate != self.rate {
            self.close_stretch(session, out);
            self.follow_rate(rate);
        }
        self.counts.received += samples.len() as u64;
        let index = self.next + self.held.len() as u64;
        let late = self.card.local(index as f64).map_or(0.0, |at| captured.0 as f64 - at);
        if late > GAP_MICROS as f64 {
            self.doubts.push(late);
            self.held.extend_from_slice(samples);
            if self.held.len() >= (self.rate / DOUBT) as usize {
                self.believe_gap(session, out);
            }
            return;
        }
        // The stamps have come back to where they were: the held blocks were only late.
        self.release_held();
        self.card.observe(self.next as f64, captured);
        if self.error_micros(session).is_some_and(|error| error > GAP_MICROS as f64) {
            // The session clock went on while the card and the local clock stood still (sleep).
            self.close_stretch(session, out);
            self.absent = self.absent.or(Some(self.made));
            self.open_stretch();
        }
        self.take(samples);
        self.go_on(session, out);
    }

    /// That many samples of the card, right before the block pushed next, found no room on their
    /// way here: silence stands for them.
    pub fn lost(&mut self, samples: u64, session: SessionAt<'_>, out: &mut Vec<f32>) {
        if samples == 0 {
            return;
        }
        if self.start.is_some() {
            if !self.held.is_empty() {
                self.believe_gap(session, out);
            }
            self.close_stretch(session, out);
            if self.started {
                self.absent = self.absent.or(Some(self.made));
            }
        }
        self.next += samples;
        self.open_stretch();
    }

    fn take(&mut self, samples: &[f32]) {
        self.buffer.extend_from_slice(samples);
        self.next += samples.len() as u64;
    }

    /// Finds the stretch's place when it has none and enough stamps, and makes what can be made.
    fn go_on(&mut self, session: SessionAt<'_>, out: &mut Vec<f32>) {
        if !self.running && self.next - self.settle_from >= u64::from(self.rate / SETTLE) {
            self.settle(session);
        }
        if self.running {
            let last = self.next as f64 - self.kernel.behind() as f64 - 1.0;
            self.make(last, session);
        }
        self.hand_on(FADE_SAMPLES, out);
    }

    /// A new rate is a new clock.
    fn follow_rate(&mut self, rate: u32) {
        if rate != self.rate {
            self.rate = rate;
            self.kernel = Kernel::new(rate);
            self.card = CardClock::new(rate);
            self.settle_from = self.next;
            self.open_stretch();
        }
    }

    /// The next sample to come begins a stretch of contiguous ones.
    fn open_stretch(&mut self) {
        let before = self.kernel.before();
        self.buffer.clear();
        self.buffer.resize(before, 0.0);
        self.base = self.next as i64 - before as i64;
        self.first = self.next;
        self.running = false;
    }

    /// Gives the stretch its place in the file; leaves it waiting when all of it lies before the
    /// start.
    fn settle(&mut self, session: SessionAt<'_>) {
        let first = self.first as f64;
        let Some(local) = self.card.local(first) else { return };
        let captured = session(local);
        let rate = f64::from(self.rate);
        let per_sample = (session(local + rate * self.card.micros_per_sample()) - captured) / rate;
        if per_sample.is_nan() || per_sample <= 0.0 {
            return;
        }
        let early = self.instant(self.made) - captured;
        if early < 0.0 {
            // It begins later than what is made: silence up to the first sample behind its begin.
            let until = ((captured - self.instant(0)) * f64::from(SAMPLE_RATE) / 1e6).ceil();
            self.fill((until as u64).saturating_sub(self.made));
            self.place = first + ((self.instant(self.made) - captured) / per_sample).max(0.0);
            self.fading_in = if self.made > 0 { FADE_SAMPLES } else { 0 };
        } else {
            let mut skipped = early / per_sample;
            if self.made > 0 && early <= OVERLAP_MICROS {
                skipped = 0.0;
            }
            let have = (self.next - self.first) as f64;
            if skipped >= have {
                self.leave_out((self.next - self.first).saturating_sub(self.kernel.taps_kept()));
                return;
            }
            self.place = first + skipped;
            self.fading_in = if self.made > 0 { FADE_SAMPLES } else { 0 };
            let skipped = skipped as u64;
            *self.left_out_counter() += skipped;
        }
        self.end_absence();
        self.step = 1e6 / f64::from(SAMPLE_RATE) / per_sample;
        self.until_steering = 0;
        self.running = true;
        self.started = true;
    }

    fn left_out_counter(&mut self) -> &mut u64 {
        if self.made == 0 { &mut self.counts.before_start } else { &mut self.counts.left_out }
    }

    /// Forgets the stretch's first samples: their time is before the start, or gone.
    fn leave_out(&mut self, samples: u64) {
        *self.left_out_counter() += samples;
        self.first += samples;
        self.forget(self.first as i64 - self.kernel.before() as i64);
    }

    /// Drops buffered samples before number `from`.
    fn forget(&mut self, from: i64) {
        let drop = (from - self.base).clamp(0, self.buffer.len() as i64);
        self.buffer.drain(..drop as usize);
        self.base += drop;
    }

    /// Makes the samples whose place is not behind `last`.
    fn make(&mut self, last: f64, session: SessionAt<'_>) {
        while self.place <= last {
            if self.until_steering == 0 {
                self.steer(session);
                self.until_steering = STEER_EVERY;
            }
            self.until_steering -= 1;
            let mut value = self.kernel.read(&self.buffer, self.place - self.base as f64);
            if self.fading_in > 0 {
                value *= fade(FADE_SAMPLES - self.fading_in);
                self.fading_in -= 1;
            }
            self.tail.push(value);
            self.made += 1;
            self.place += self.step;
        }
        // Moving the rest to the front now and then costs less than a ring in every read.
        let needed = self.place as i64 - self.kernel.before() as i64;
        if needed - self.base > i64::from(self.rate / 10) {
            self.forget(needed);
        }
    }

    /// Speed for the next samples: what both clocks' rates ask for, and a little more or less to
    /// come to the right place.
    fn steer(&mut self, session: SessionAt<'_>) {
        let Some(local) = self.card.local(self.place) else { return };
        let here = session(local);
        let rate = f64::from(self.rate);
        let per_sample = (session(local + rate * self.card.micros_per_sample()) - here) / rate;
        if per_sample.is_nan() || per_sample <= 0.0 {
            return;
        }
        let error = here - self.instant(self.made);
        let watched = (self.next - self.settle_from) as f64 / rate;
        let seconds = (watched * STEER_SHARE).clamp(*STEER_SECONDS.start(), *STEER_SECONDS.end());
        let correction = (-error / (seconds * 1e6)).clamp(-MOST_CORRECTION, MOST_CORRECTION);
        let wanted = 1e6 / f64::from(SAMPLE_RATE) / per_sample * (1.0 + correction);
        let passed = f64::from(STEER_EVERY) / f64::from(SAMPLE_RATE);
        self.step += (wanted - self.step) * passed / (seconds * SMOOTH_SHARE);
    }

    /// Passes on what was made, but for the last `keep` samples.
    fn hand_on(&mut self, keep: usize, out: &mut Vec<f32>) {
        let piece = self.silence.min(PIECE);
        out.resize(out.len() + piece as usize, 0.0);
        self.silence -= piece;
        self.counts.written += piece;
        if self.silence > 0 {
            return;
        }
        let ready = self.tail.len().saturating_sub(keep);
        out.extend(self.tail.drain(..ready));
        self.counts.written += ready as u64;
    }

    /// Nothing that was made waits when this is called.
    fn fill(&mut self, samples: u64) {
        debug_assert!(self.tail.is_empty(), "silence stands before what is made next");
        self.silence += samples;
        self.made += samples;
        self.counts.silence_filled += samples;
    }

    fn release_held(&mut self) {
        self.doubts.clear();
        let held = std::mem::take(&mut self.held);
        self.take(&held);
        self.held = held;
        self.held.clear();
    }

    /// Ends the stretch: all of it is made, and its last moment faded out.
    fn close_stretch(&mut self, session: SessionAt<'_>, out: &mut Vec<f32>) {
        if !self.running && self.next > self.first {
            self.settle(session);
        }
        if self.running {
            self.buffer.resize(self.buffer.len() + self.kernel.behind() + 1, 0.0);
            self.make(self.next as f64 - 1.0, session);
            let fading = self.tail.len().min(FADE_SAMPLES);
            let from = self.tail.len() - fading;
            for (i, sample) in self.tail[from..].iter_mut().enumerate() {
                *sample *= fade(fading - 1 - i);
            }
        } else {
            *self.left_out_counter() += self.next - self.first;
        }
        self.hand_on(0, out);
        self.open_stretch();
    }

    fn believe_gap(&mut self, session: SessionAt<'_>, out: &mut Vec<f32>) {
        let middle = self.doubts.len() / 2;
        self.doubts.sort_unstable_by(f64::total_cmp);
        let lost = self.doubts.get(middle).copied().unwrap_or(0.0);
        self.close_stretch(session, out);
        if self.started {
            self.absent = self.absent.or(Some(self.made));
        }
        // The card went on counting while nobody took its samples.
        self.next += (lost / self.card.micros_per_sample()).round().max(0.0) as u64;
        self.open_stretch();
        self.release_held();
        self.settle(session);
        self.go_on(session, out);
    }

    fn end_absence(&mut self) {
        let Some(at) = self.absent.take() else { return };
        let samples = self.made.saturating_sub(at);
        if samples > 0 {
            self.counts.gaps += 1;
            self.gaps.push_back(Gap { at, samples });
        }
    }

    /// There is no device: writes silence up to [`SILENCE_DELAY_MICROS`] before `now`. The next
    /// block then stands where its stamp says.
    pub fn silence_until(
        &mut self,
        now: SessionMicros,
        session: SessionAt<'_>,
        out: &mut Vec<f32>,
    ) {
        let Some(start) = self.start else { return };
        if !self.held.is_empty() {
            self.believe_gap(session, out);
        }
        if self.running || self.next > self.first {
            self.close_stretch(session, out);
            self.card.restart();
            self.settle_from = self.next;
        }
        if self.started {
            self.absent = self.absent.or(Some(self.made));
        }
        let until = MediaTime::from_micros(now.since(start) - SILENCE_DELAY_MICROS, SAMPLE_RATE);
        self.fill((until.ticks.max(0) as u64).saturating_sub(self.made));
        self.hand_on(0, out);
    }

    /// Whether silence that waits reaches over the end (the computer slept through it, say): what is
    /// behind is not made, and the rest goes out with [`AudioTimeline::more`].
    fn cut_silence(&mut self, end_sample: u64) -> bool {
        let room = end_sample.saturating_sub(self.counts.written);
        if self.silence == 0 || self.silence < room || self.counts.written > end_sample {
            return false;
        }
        self.counts.silence_filled -= self.silence - room;
        self.silence = room;
        self.counts.trimmed += self.tail.len() as u64;
        self.tail.clear();
        self.made = end_sample;
        while let Some(gap) = self.gaps.back_mut().filter(|gap| gap.at + gap.samples > end_sample) {
            gap.samples = end_sample.saturating_sub(gap.at);
            if gap.samples > 0 {
                break;
            }
            self.gaps.pop_back();
            self.counts.gaps -= 1;
        }
        self.end_absence();
        self.open_stretch();
        true
    }

    /// Silence that waits reaches over sample `end_sample` of the file.
    pub fn silence_reaches(&self, end_sample: u64) -> bool {
        self.silence > 0 && self.counts.written + self.silence >= end_sample
    }

    /// Ends the file at exactly `end_sample` samples: pads it with silence, or takes back from
    /// `out` what lies behind (as far as `out` still holds it; give it the block that is not yet
    /// encoded). Gives the number of samples that the file is still too long by.
    pub fn finish(&mut self, end_sample: u64, session: SessionAt<'_>, out: &mut Vec<f32>) -> u64 {
        if !self.held.is_empty() {
            self.believe_gap(session, out);
        }
        if self.cut_silence(end_sample) {
            return 0;
        }
        if self.counts.written < end_sample {
            self.close_stretch(session, out);
        }
        // What was made behind the end waits in vain.
        self.hand_on(0, out);
        while self.silence > 0 {
            self.hand_on(0, out);
        }
        self.fill(end_sample.saturating_sub(self.made));
        self.hand_on(0, out);
        self.end_absence();
        let excess = self.counts.written.saturating_sub(end_sample);
        let take = excess.min(out.len() as u64);
        out.truncate(out.len() - take as usize);
        self.counts.written -= take;
        self.counts.trimmed += take;
        self.made = self.counts.written + self.silence;
        excess - take
    }
}

impl Default for AudioTimeline {
    fn default() -> Self {
        Self::new()
    }
}

/// Gain of step `at` of a fade, rising: no corner at either end.
fn fade(at: usize) -> f32 {
    let x = ((at as f32 + 0.5) / FADE_SAMPLES as f32).min(1.0);
    x * x * (3.0 - 2.0 * x)
}
