//! The playout buffer of one peer: puts packets in order, decides how long they wait, decodes or
//! conceals, and gives exactly as many samples as are asked for.
//!
//! Lives in the speaker callback: after `new` nothing here allocates, locks, logs, waits or panics.
//! Pure: instants come in as parameters.
//!
//! Depth is the margin over the fastest recent packet. It grows by concealing until a late frame
//! comes, which is then played; it shrinks by playing up to 0.5 % faster, or at once in silence.
//! A lost frame leaves the depth as it is: its place is concealed and counted.

mod control;
mod store;
#[cfg(test)]
mod tests;

use self::control::Control;
use self::store::{Fate, SLOTS, Store};
use super::codec::{CodecError, FRAME, FRAME_MICROS, TalkDecoder};
use super::delay::{CEILING, DelayTracker, offset};
use super::fraction::FractionalReader;
use super::meter::{FLOOR_DB, decibels};
use super::packet::parse_payload;
use crate::units::{Micros, SAMPLE_RATE};

/// Taps of the fractional reader: 16 give -60 dB at 3 kHz and better below, for 0.17 ms of delay.
const TAPS: usize = 16;
/// Concealed frames after which the made-up sound begins to fade: 60 ms.
const FADE_AFTER: u32 = 12;
/// Frames that the fade takes: 60 ms.
const FADE_FRAMES: f32 = 12.0;
/// Concealed frames after which the stream counts as interrupted: 500 ms.
const INTERRUPTED: u32 = 100;
/// A number so far off is another stream's: 1 s.
const ANOTHER_STREAM: u64 = 200;
/// So many packets of an older stream in a row are believed.
const OLDER_STREAM: u32 = 3;
/// Sequence numbers are 48 bits on the wire's nonce; none is higher.
const MOST_FRAMES: u64 = 1 << 48;
/// How far a first packet may have overtaken earlier ones, in frames.
const OVERTAKEN: u64 = 8;
/// A frame whose samples all lie below this (-60 dBFS) can be left out unheard.
const SILENCE: f32 = 1e-3;
/// Most frames that one gap makes the buffer deeper, beyond the wait for what is late.
const MOST_GROWTH: u32 = 4;
/// Samples over which the level is averaged: 50 ms.
const LEVEL_WINDOW: f32 = 2_400.0;

/// One audio packet as it came out of the seal.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedAudio<'a> {
    /// Its sequence number, extended: the number of its newest frame.
    pub sequence: u64,
    /// What was inside the seal.
    pub payload: &'a [u8],
}

/// What a playout buffer has done. Counters count from `new` on, also over a `reset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlayoutStats {
    /// Least margin over the fastest recent packet, milliseconds.
    pub depth_ms: f32,
    /// Depth that is aimed at, milliseconds.
    pub target_ms: f32,
    /// Interarrival jitter (RFC 3550), milliseconds.
    pub jitter_ms: f32,
    /// Packets, duplicates left out.
    pub received: u64,
    /// Frames that never came, counted 320 ms after their turn.
    pub lost: u64,
    /// Frames that came after their turn or were passed over to get less deep.
    pub late: u64,
    /// Packets that came more than once.
    pub duplicates: u64,
    /// Payloads or frames that could not be read.
    pub rejected: u64,
    /// Samples made up by concealment.
    pub concealed_samples: u64,
    /// Samples given out while there was a stream, concealed ones included.
    pub played_samples: u64,
    /// Level of the last 50 ms, dBFS, -120 for silence.
    pub level_db: f32,
    /// How much faster than recorded it plays, parts per million.
    pub rate_ppm: f32,
}

impl Default for PlayoutStats {
    fn default() -> Self {
        Self {
            depth_ms: 0.0,
            target_ms: 0.0,
            jitter_ms: 0.0,
            received: 0,
            lost: 0,
            late: 0,
            duplicates: 0,
            rejected: 0,
            concealed_samples: 0,
            played_samples: 0,
            level_db: FLOOR_DB,
            rate_ppm: 0.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No stream, or none any more.
    Idle,
    /// Packets are here, none was played yet.
    Starting,
    Playing,
}

/// One peer's playout buffer.
pub struct PlayoutBuffer {
    decoder: TalkDecoder,
    store: Store,
    delay: DelayTracker,
    control: Control,
    reader: FractionalReader,
    state: State,
    /// Number of the frame whose turn is next.
    next: u64,
    /// Frames concealed since the last decoded one.
    pending: u32,
    /// How many of them are to make the buffer deeper rather than to stand for a lost frame.
    growth: u32,
    /// Samples of the first frame that lie before the place to start from.
    discard: usize,
    /// Loudness of what is made up, 1 until it fades.
    gain: f32,
    silent_before: bool,
    older_stream: u32,
    power: f32,
    pcm: [f32; FRAME],
    received: u64,
    lost_in_pauses: u64,
    late: u64,
    duplicates: u64,
    rejected: u64,
    concealed_samples: u64,
    played_samples: u64,
}

impl PlayoutBuffer {
    /// An empty buffer; all memory it will ever use.
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: TalkDecoder::new()?,
            store: Store::new(),
            delay: DelayTracker::new(),
            control: Control::new(),
            reader: FractionalReader::new(TAPS, 1.0, FRAME),
            state: State::Idle,
            next: 0,
            pending: 0,
            growth: 0,
            discard: 0,
            gain: 1.0,
            silent_before: false,
            older_stream: 0,
            power: 0.0,
            pcm: [0.0; FRAME],
            received: 0,
            lost_in_pauses: 0,
            late: 0,
            duplicates: 0,
            rejected: 0,
            concealed_samples: 0,
            played_samples: 0,
        })
    }

    /// Forgets the stream and its path: another peer comes. Counters go on.
    pub fn reset(&mut self) {
        self.interrupt();
        self.delay = DelayTracker::new();
        self.next = 0;
        self.power = 0.0;
    }

    /// Takes a packet that arrived at `arrival`, in whatever order, any number of times.
    pub fn push(&mut self, packet: &ReceivedAudio<'_>, arrival: Micros) {
        let Ok(payload) = parse_payload(packet.payload) else {
            self.rejected += 1;
            return;
        };
        if payload.half_frames || packet.sequence >= MOST_FRAMES {
            self.rejected += 1;
            return;
        }
        if !self.find_stream(packet.sequence) {
            return;
        }
        match self.store.fate(packet.sequence) {
            Fate::Held | Fate::Done => self.duplicates += 1,
            Fate::Unknown | Fate::Missed => {
                self.received += 1;
                self.delay.push(packet.sequence, arrival);
            }
        }
        for frame in payload.frames() {
            if let Some(number) = packet.sequence.checked_sub(u64::from(frame.back)) {
                self.accept(number, frame.data);
            }
        }
    }

    /// Fills `out` with what is to be heard from `now` on; silence when there is no stream.
    pub fn pull(&mut self, out: &mut [f32], now: Micros) {
        let lead = match self.state {
            State::Idle => out.len(),
            State::Starting => self.start(out.len(), now),
            State::Playing => 0,
        };
        out[..lead].fill(0.0);
        let heard = &mut out[lead..];
        let len = heard.len();
        for (i, sample) in heard.iter_mut().enumerate() {
            while !self.reader.ready() {
                // Every sample but the last is used before its time: when it would be pulled one
                // by one, it would be that much earlier.
                let ahead = (len - i) as i64 * 1_000_000 / i64::from(SAMPLE_RATE);
                self.step(Micros(now.0.wrapping_sub(ahead)));
            }
            *sample = self.reader.next(1.0 + self.control.rate());
        }
        self.played_samples += len as u64;
        self.measure(out);
    }

    /// What it has done so far.
    pub fn stats(&self) -> PlayoutStats {
        let depth = match self.delay.base() {
            Some(base) if self.state == State::Playing => self.control.margin(base).max(0.0),
            _ => 0.0,
        };
        PlayoutStats {
            depth_ms: depth as f32 / 1_000.0,
            target_ms: self.delay.target() as f32 / 1_000.0,
            jitter_ms: self.delay.jitter_ms(),
            received: self.received,
            lost: self.store.lost() + self.lost_in_pauses,
            late: self.late,
            duplicates: self.duplicates,
            rejected: self.rejected,
            concealed_samples: self.concealed_samples,
            played_samples: self.played_samples,
            level_db: decibels(self.power.sqrt()),
            rate_ppm: (self.control.rate() * 1e6) as f32,
        }
    }

    /// Whether a stream is being played or about to be.
    pub fn is_active(&self) -> bool {
        self.state != State::Idle
    }

    /// Begins a stream or notices that another one has begun; false when the packet is to be left.
    fn find_stream(&mut self, sequence: u64) -> bool {
        if self.state == State::Idle {
            // What went by in the pause was lost, unless the numbers began anew.
            let gap = sequence.wrapping_sub(self.next);
            if self.next > 0 && gap < 10 * ANOTHER_STREAM {
                self.lost_in_pauses += gap;
            }
            self.begin(sequence);
        } else if sequence >= self.next.saturating_add(ANOTHER_STREAM) {
            self.begin(sequence);
        } else if sequence.saturating_add(ANOTHER_STREAM) <= self.next {
            self.older_stream += 1;
            if self.older_stream < OLDER_STREAM {
                return false;
            }
            self.begin(sequence);
        } else if sequence >= self.next.saturating_add(SLOTS) {
            // Nobody pulled for longer than frames are kept: only the newest matter.
            self.pass_until(sequence - SLOTS / 2);
        }
        self.older_stream = 0;
        true
    }

    fn begin(&mut self, sequence: u64) {
        self.interrupt();
        self.delay.forget_base();
        self.state = State::Starting;
        self.next = sequence;
    }

    fn interrupt(&mut self) {
        self.state = State::Idle;
        self.store.clear();
        self.control.reset();
        self.reader.clear();
        self.decoder.reset();
        self.pending = 0;
        self.growth = 0;
        self.discard = 0;
        self.gain = 0.0;
        self.silent_before = false;
        self.older_stream = 0;
    }

    fn accept(&mut self, number: u64, data: &[u8]) {
        if number < self.next {
            if self.state == State::Starting && self.next - number <= OVERTAKEN {
                self.next = number;
            } else {
                if self.store.fate(number) == Fate::Missed {
                    self.store.came_late(number);
                    self.late += 1;
                }
                return;
            }
        }
        if number - self.next < SLOTS && self.store.fate(number) == Fate::Unknown {
            self.store.hold(number, data);
        }
    }

    /// Moves the next frame's number forward, whatever is held before it.
    fn pass_until(&mut self, number: u64) {
        for n in self.next..number {
            // Before the first pull nothing was due yet.
            if self.store.pass(n) && self.state == State::Playing {
                self.late += 1;
            }
        }
        self.next = number;
    }

    /// Finds the place to start from so that the depth is right at once; returns how many samples
    /// of silence come before it in a block of `len`.
    fn start(&mut self, len: usize, now: Micros) -> usize {
        let Some(base) = self.delay.base() else { return len };
        let due = offset(now, self.next).wrapping_sub(base).wrapping_sub(self.delay.target());
        // Samples of the stream, from the next frame on, that may have been heard by the end of
        // this block.
        let samples = due.clamp(-1_000_000, 1_000_000) * i64::from(SAMPLE_RATE) / 1_000_000
            - self.reader.look_ahead() as i64;
        if samples <= 0 {
            return len;
        }
        let samples = samples as usize;
        if samples < len {
            self.state = State::Playing;
            return len - samples;
        }
        let excess = samples - len;
        let last = self.store.newest().max(self.next);
        let number = (self.next + (excess / FRAME) as u64).min(last);
        if number - self.next == (excess / FRAME) as u64 {
            self.discard = excess % FRAME;
        }
        self.pass_until(number);
        self.state = State::Playing;
        0
    }

    /// Gives the reader the next 5 ms, used at `at`.
    fn step(&mut self, at: Micros) {
        let base = self.delay.base().unwrap_or(0);
        let Some(oldest) = self.store.oldest_from(self.next) else {
            self.conceal();
            return;
        };
        let number = self.not_too_deep(oldest, offset(at, oldest).wrapping_sub(base));
        let missing = number - self.next;
        if missing > 0 && self.pending == 0 {
            // A gap is where the buffer gets deeper without a gap more.
            let wanted = self.delay.target() as f64 - self.control.margin(base);
            let frames = (wanted / FRAME_MICROS as f64).max(0.0) as u32;
            self.growth = frames.min(MOST_GROWTH);
        }
        if missing + u64::from(self.growth) > u64::from(self.pending) && missing > 0 {
            self.conceal();
            return;
        }
        self.control.moved((i64::from(self.pending) - missing as i64) as f64 * FRAME_MICROS as f64);
        self.pass_until(number);
        self.play(number, at, base);
    }

    /// The frame to go on with when `oldest`, used now, would be `margin` behind the fastest.
    fn not_too_deep(&self, oldest: u64, margin: i64) -> u64 {
        if margin <= CEILING + FRAME_MICROS / 2 {
            return oldest;
        }
        let skip = (margin - CEILING) as u64 / FRAME_MICROS as u64 + 1;
        let number = oldest.saturating_add(skip).min(self.store.newest().max(oldest));
        self.store.oldest_from(number).unwrap_or(oldest)
    }

    fn play(&mut self, number: u64, at: Micros, base: i64) {
        let decoded = match self.store.take(number) {
            Some(data) => self.decoder.decode(data, &mut self.pcm).is_ok(),
            None => false,
        };
        if decoded {
            self.next = number + 1;
            self.pending = 0;
            self.growth = 0;
            if self.gain < 1.0 {
                ramp(&mut self.pcm, self.gain, 1.0);
                self.gain = 1.0;
            }
        } else {
            self.rejected += 1;
            self.conceal();
            self.next = number + 1;
            self.pending = 0;
            self.growth = 0;
            return;
        }
        self.control.frame(offset(at, number), base, self.delay.target());
        if self.may_leave_out(base) {
            self.control.moved(-(FRAME_MICROS as f64));
            return;
        }
        let from = std::mem::take(&mut self.discard).min(FRAME);
        self.reader.push(&self.pcm[from..]);
    }

    /// Whether this frame is silence that only makes the way longer.
    fn may_leave_out(&mut self, base: i64) -> bool {
        let silent = self.pcm.iter().all(|s| s.abs() < SILENCE);
        let before = std::mem::replace(&mut self.silent_before, silent);
        let excess = self.control.margin(base) - self.delay.target() as f64;
        silent
            && before
            && excess >= FRAME_MICROS as f64
            && self.store.fate(self.next) == Fate::Held
    }

    /// Makes up 5 ms and waits with the next frame.
    fn conceal(&mut self) {
        self.pending += 1;
        self.control.disturbed();
        if self.pending > INTERRUPTED {
            self.interrupt();
        }
        let before = self.gain;
        if self.pending > FADE_AFTER {
            self.gain = (self.gain - 1.0 / FADE_FRAMES).max(0.0);
        }
        if before > 0.0 {
            self.decoder.conceal(&mut self.pcm);
            ramp(&mut self.pcm, before, self.gain);
        } else {
            self.pcm.fill(0.0);
        }
        if self.state == State::Playing {
            self.concealed_samples += FRAME as u64;
        }
        self.reader.push(&self.pcm);
    }

    fn measure(&mut self, out: &[f32]) {
        if out.is_empty() {
            return;
        }
        let power = out.iter().map(|s| s * s).sum::<f32>() / out.len() as f32;
        let share = 1.0 - (-(out.len() as f32) / LEVEL_WINDOW).exp();
        self.power += (power - self.power) * share;
    }
}

/// Multiplies by a gain that goes evenly from `from` to `to`.
fn ramp(samples: &mut [f32], from: f32, to: f32) {
    if from == 1.0 && to == 1.0 {
        return;
    }
    let slope = (to - from) / samples.len().max(1) as f32;
    for (i, sample) in samples.iter_mut().enumerate() {
        *sample *= from + slope * i as f32;
    }
}
