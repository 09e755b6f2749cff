//! The playout buffer of one peer: puts packets in order, decides how long they wait, decodes or
//! conceals, and gives exactly as many samples as are asked for.
//!
//! Lives in the speaker callback: after `new` nothing here allocates, locks, logs, waits or panics.
//! Pure: instants come in as parameters.
//!
//! Everything is counted in samples of the output: a stream's *level* is the output sample at which
//! a sample of the sound is given out less that sample's position in the sound, and
//! [`super::delay`] says which level each frame needed. Depth is the level over the least recent
//! need. It grows when the newest frame is late as well (then the path has become slower, and what
//! is late is played after a gap), a frame at a gap and by playing slower when more is wanted; it
//! shrinks by playing up to 0.5 % faster after half a second of calm, or at once in silence. One
//! stall whose frames then come all together, or a lost frame, leaves the level as it is: positions
//! come from the sequence.

mod clock;
mod control;
#[cfg(test)]
mod onset_tests;
mod play;
mod pull;
#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod seam_tests;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trace_tests;

use self::clock::Clock;
use self::control::Control;
use self::play::SEAM;
use self::store::{Fate, SLOTS, Store};
use super::codec::{CodecError, FRAME, FrameLength};
use super::decoder::TalkDecoder;
use super::delay::DelayTracker;
use super::fraction::FractionalReader;
use super::meter::{FLOOR_DB, decibels};
use super::packet::{AudioPayload, parse_payload};
use crate::units::Micros;

/// Taps of the fractional reader: 16 give -60 dB at 3 kHz and better below, for 0.17 ms of delay.
const TAPS: usize = 16;
/// A number so far off is another stream's: 1 s.
const ANOTHER_STREAM: u64 = 200;
/// So many packets of an older stream in a row are believed.
const OLDER_STREAM: u32 = 3;
/// Sequence numbers are 48 bits on the wire's nonce; none is higher.
const MOST_FRAMES: u64 = 1 << 48;
/// How far a first packet may have overtaken earlier ones, in frames.
const OVERTAKEN: u64 = 8;
/// Packets between two pulls whose arrival is looked at; more are beyond any callback's period.
const ARRIVALS: usize = 64;
/// So long after the last packet with such copies room is kept for them, samples: 2 s.
const COPIES: i64 = 96_000;
/// Kept beyond what the frames need, so that the controller's reach never makes one late, samples:
/// 0.17 ms.
const MARGIN: i64 = 8;
/// Share of the frames whose jitter has room beside a copy's offset.
const BESIDE_COPIES: f32 = 0.75;

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
    /// Level over the least recent need: what is waited for the others, milliseconds.
    pub depth_ms: f32,
    /// Depth that is aimed at, milliseconds.
    pub target_ms: f32,
    /// From the fastest packet's arrival to the callback that gives its first sample out: depth and
    /// the wait for that callback, milliseconds.
    pub held_ms: f32,
    /// Interarrival jitter (RFC 3550), milliseconds.
    pub jitter_ms: f32,
    /// Packets, duplicates left out.
    pub received: u64,
    /// Frames that never came, counted 320 ms after their turn or later.
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
            held_ms: 0.0,
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

/// A frame that has come since the last pull.
#[derive(Clone, Copy, Default)]
struct Arrival {
    number: u64,
    at: Micros,
    /// When it could be had.
    ready: Micros,
    /// It was the newest of its packet.
    newest: bool,
}

/// One peer's playout buffer.
pub struct PlayoutBuffer {
    decoder: TalkDecoder,
    store: Store,
    delay: DelayTracker,
    clock: Clock,
    control: Control,
    reader: FractionalReader<TAPS>,
    state: State,
    length: FrameLength,
    /// Samples given out, silence included: the output's position.
    output: i64,
    /// Frames that have come since, and how many.
    arrivals: [Arrival; ARRIVALS],
    arrived: usize,
    /// Where the output was when a packet came last.
    heard: i64,
    /// Highest number that has come, and the level that it needed.
    newest: u64,
    newest_need: i64,
    /// Number of the frame whose turn is next.
    next: u64,
    /// Frames concealed since the last one that was played.
    pending: u32,
    /// Of the last of these so many samples were given out, and not yet the rest.
    made: Option<usize>,
    /// The level before them.
    level_before: i64,
    /// Frames until the last one that came late is forgotten.
    late_lately: u8,
    /// Frames until it is forgotten that the buffer was made deeper by what was short.
    deeper_lately: u8,
    /// From this number on silence was announced, and nothing has come since.
    silent_from: Option<u64>,
    /// First number that went by because of that.
    assumed: Option<u64>,
    /// For this number so many samples of the room's noise are given out, of which the first piece was:
    /// it may be a word's first frame that comes late.
    hushed: Option<(u64, usize)>,
    /// Farthest offset of a copy, in frames, and where the output was when one came last.
    reach: u8,
    reached: i64,
    /// Samples of the first frame that lie before the place to start from.
    discard: usize,
    /// Loudness of what is made up, 1 until it fades.
    gain: f32,
    silent_before: bool,
    older_stream: u32,
    power: f32,
    pcm: [f32; FRAME],
    /// What would have followed the last sample that was given out, and how much of it is left out.
    cut: [f32; SEAM],
    left_out: usize,
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
            clock: Clock::new(),
            control: Control::new(),
            reader: FractionalReader::new(1.0, FRAME),
            state: State::Idle,
            length: FrameLength::Full,
            output: 0,
            arrivals: [Arrival::default(); ARRIVALS],
            arrived: 0,
            heard: 0,
            newest: 0,
            newest_need: 0,
            next: 0,
            pending: 0,
            made: None,
            late_lately: 0,
            deeper_lately: 0,
            level_before: 0,
            silent_from: None,
            assumed: None,
            hushed: None,
            reach: 0,
            reached: 0,
            discard: 0,
            gain: 1.0,
            silent_before: false,
            older_stream: 0,
            power: 0.0,
            pcm: [0.0; FRAME],
            cut: [0.0; SEAM],
            left_out: 0,
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
        self.reach = 0;
    }

    /// Takes a packet that arrived at `arrival`, in whatever order, any number of times.
    pub fn push(&mut self, packet: &ReceivedAudio<'_>, arrival: Micros) {
        self.push_ready(packet, arrival, arrival);
    }

    /// The same of one that could be had a little later than it arrived, at `ready`.
    pub fn push_ready(&mut self, packet: &ReceivedAudio<'_>, arrival: Micros, ready: Micros) {
        let Ok(payload) = parse_payload(packet.payload) else {
            self.rejected += 1;
            return;
        };
        let sequence = packet.sequence;
        if sequence >= MOST_FRAMES {
            self.rejected += 1;
            return;
        }
        let length = if payload.half_frames { FrameLength::Half } else { FrameLength::Full };
        if length != self.length {
            self.reset();
            self.length = length;
        }
        let Some(first) = sequence.checked_sub(u64::from(payload.fresh()) - 1) else { return };
        if !self.find_stream(sequence, payload.silence_before) {
            return;
        }
        let fresh =
            matches!(self.store.fate(sequence), Fate::Unknown | Fate::Missed | Fate::Silent);
        if fresh {
            self.received += 1;
        } else {
            self.duplicates += 1;
        }
        self.note_silence(sequence, first, &payload);
        for frame in payload.frames() {
            if let Some(number) = sequence.checked_sub(u64::from(frame.back)) {
                let says_silence = payload.silence_follows && frame.back == 0;
                self.accept(number, frame.data, says_silence, (arrival, ready));
            }
        }
        // The first packets after silence have little to copy: what they lack comes with the next.
        let shorter = payload.reach() < self.reach && self.output - self.reached < COPIES;
        if payload.reach() > 0 && !shorter {
            self.reach = payload.reach();
            self.reached = self.output;
        }
    }

    /// What it has done so far.
    pub fn stats(&self) -> PlayoutStats {
        let (depth, held) = match self.delay.base() {
            Some(base) if self.state == State::Playing => {
                // What is concealed so far may as well be lost as late.
                let ahead = self.made.map_or(0, |given| self.samples() - given as i64);
                let concealed = i64::from(self.pending) * self.samples() - ahead;
                let level = self.level().saturating_sub(concealed);
                (level.saturating_sub(base).max(0), self.clock.held_ms(level))
            }
            _ => (0, 0.0),
        };
        PlayoutStats {
            depth_ms: depth as f32 / 48.0,
            target_ms: self.depth_wanted() as f32 / 48.0,
            held_ms: held,
            jitter_ms: self.clock.jitter_ms(),
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

    fn samples(&self) -> i64 {
        self.length.samples() as i64
    }

    /// A frame's position in the sound, in samples.
    fn position(&self, number: u64) -> i64 {
        (number as i64).wrapping_mul(self.samples())
    }

    /// Where the output is, less where the sound is.
    fn level(&self) -> i64 {
        let ahead = self.reader.ahead() as i64 - self.reader.look_ahead() as i64;
        // Of a frame of silence that has gone by the end is still to be given out.
        let gone_by = self.hushed.filter(|(number, _)| *number != self.next);
        let to_come = gone_by.map_or(0, |(_, len)| len.saturating_sub(play::PIECE) as i64);
        self.output.wrapping_sub(self.position(self.next)).wrapping_add(ahead + to_come)
    }

    /// The depth that the path and the copies need, in samples.
    fn depth_wanted(&self) -> i64 {
        let depth = (self.delay.depth() + MARGIN).min(super::delay::CEILING);
        if self.reach == 0 || self.output - self.reached >= COPIES {
            return depth;
        }
        // A copy is worth its room only if it is awaited.
        let reach = i64::from(self.reach) * self.samples();
        let copies = reach + self.delay.quantile(BESIDE_COPIES) + MARGIN;
        depth.max(copies).min(super::delay::CEILING)
    }

    /// Begins a stream or notices that another one has begun; false when the packet is to be left.
    fn find_stream(&mut self, sequence: u64, after_silence: bool) -> bool {
        if self.state == State::Idle {
            // What went by in the pause was lost, unless it was silence or the numbers began anew.
            let gap = sequence.wrapping_sub(self.next);
            if self.next > 0 && !after_silence && gap < 10 * ANOTHER_STREAM {
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
        self.clock.forget_packets();
        self.arrived = 0;
        self.state = State::Starting;
        self.next = sequence;
        self.newest = 0;
        self.heard = self.output;
    }

    fn interrupt(&mut self) {
        self.state = State::Idle;
        self.store.clear();
        self.control.reset();
        self.reader.clear();
        self.decoder.reset();
        self.pending = 0;
        self.made = None;
        self.late_lately = 0;
        self.deeper_lately = 0;
        self.silent_from = None;
        self.assumed = None;
        self.hushed = None;
        self.discard = 0;
        self.gain = 0.0;
        self.silent_before = false;
        self.left_out = 0;
        self.older_stream = 0;
    }

    /// What the packet with fresh frames `first..=sequence` says of frames that were not sent.
    fn note_silence(&mut self, sequence: u64, first: u64, payload: &AudioPayload<'_>) {
        let lowest = self.next.max(first.saturating_sub(SLOTS / 2));
        let kept_back = match self.silent_from {
            _ if payload.silence_before => lowest..first,
            // The frame before the first one was sent, or the packet would say so.
            Some(from) => lowest.max(from)..first.saturating_sub(1),
            None => first..first,
        };
        for number in kept_back.rev() {
            if payload.silence_before && self.store.fate(number) != Fate::Unknown {
                break;
            }
            self.store.silent(number);
        }
        if self.silent_from.is_none_or(|from| sequence >= from) && sequence >= self.newest_known() {
            self.silent_from = payload.silence_follows.then_some(sequence + 1);
        }
    }

    /// Highest number that has come, also since the last pull.
    fn newest_known(&self) -> u64 {
        let arrived = self.arrivals[..self.arrived].iter().map(|a| a.number).max();
        self.newest.max(arrived.unwrap_or(0))
    }

    fn accept(
        &mut self,
        number: u64,
        data: &[u8],
        says_silence: bool,
        (at, ready): (Micros, Micros),
    ) {
        let first_copy =
            matches!(self.store.fate(number), Fate::Unknown | Fate::Missed | Fate::Silent);
        if first_copy && self.arrived < ARRIVALS && number.saturating_add(SLOTS) > self.next {
            let newest = number >= self.newest_known();
            self.arrivals[self.arrived] = Arrival { number, at, ready, newest };
            self.arrived += 1;
        }
        if number < self.next {
            if self.state == State::Starting && self.next - number <= OVERTAKEN {
                self.next = number;
            } else if !says_silence && self.assumed.is_some_and(|from| number >= from) {
                // The first syllable is late, and what went by in its place was silence.
                self.next = number;
                self.assumed = None;
            } else {
                if self.store.fate(number) == Fate::Missed {
                    self.store.came_late(number);
                    self.late += 1;
                }
                return;
            }
        }
        if number - self.next < SLOTS
            && matches!(self.store.fate(number), Fate::Unknown | Fate::Silent)
        {
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
}
