//! Safety tracks: what was received of a peer's live sound, kept as it came, in case the peer's own
//! recording is lost.
//!
//! A track's packets are the peer's Opus packets, untouched, each at its place on the session's grid
//! of samples, counted from T0. [`order`] takes them out of the network's packets, once each and in
//! order; a [`Stream`] finds when each was captured; [`Track`] puts them into one line. What did not
//! come, what silence kept back and the time that a peer was away are true gaps: the packet before
//! lasts until the next one's place, and nothing is made up.
//!
//! Pure: packets and stamps come in, packets and places go out. Belongs to the thread that writes.

pub mod order;

use std::collections::VecDeque;

use self::order::{Order, Released};
use super::card::CardClock;
use crate::audio::codec::{FRAME, HALF_FRAME, LOOK_AHEAD, TalkEncoder, packet_samples};
use crate::audio::packet::parse_payload;
use crate::units::{MediaTime, Micros, SAMPLE_RATE, SessionMicros};

/// What a decoder gives out before a packet's own first sample, for `dOps` and the edit list.
pub const PRE_SKIP: u16 = LOOK_AHEAD as u16;
/// A hole up to this long, samples, is loss or a breath: what follows keeps its distance by the
/// packets' numbers, and a decoder may conceal it. 60 ms, as in the live call.
pub const SHORT_GAP: u64 = 2_880;
/// What a packet may last less or more than its own sound without that being a gap, samples: the
/// sender's card runs a little faster or slower than the session's clock.
pub const SLACK: u64 = 2;

/// Milliseconds in a stamp are cut off: on average half of one is missing, microseconds.
const CUT: i64 = 500;
/// A stamp that says that a packet travelled longer, or into the past by more, is none: the sender's
/// clock is not set yet. Microseconds.
const OLDEST: i64 = 10_000_000;
const NEWEST: i64 = -1_000_000;
/// So much sound is looked at before its first packet gets its place, microseconds; the recorder's
/// own timeline takes as long.
const SETTLE: i64 = 200_000;
/// A sender whose stamps are of no use for so long is placed by when its packets come, microseconds.
const NO_STAMPS: i64 = 2_000_000;
/// A place that is wrong by less, samples, is right: a quarter of a millisecond.
const RIGHT: f64 = 12.0;
/// Wrong by more, samples, it is put right with every packet, and not with every fourth. 5 ms.
const WRONG: f64 = 240.0;
/// Wrong by more, samples, the packet simply comes later. 50 ms.
const ELSEWHERE: f64 = 2_400.0;
/// A packet in so many is a sample longer or shorter where the place is nearly right: 0.1 %, which
/// nobody hears.
const GENTLY: u64 = 4;
/// Packets that may wait for the recording's start: half a minute.
const MOST_WAITING: usize = 6_000;

/// A network packet of sound, opened.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Number of its newest frame.
    pub sequence: u64,
    /// The header's stamp: when that frame's first sample was captured, milliseconds of the session
    /// clock, cut, in 32 bits.
    pub timestamp_ms: u32,
    /// When it came, session clock as it is known here.
    pub arrival: SessionMicros,
    /// What lay inside the seal.
    pub payload: &'a [u8],
}

/// When the packets of one stream were captured: the sender's stamps are on the session clock but
/// jitter and are cut, its numbers count its card's samples exactly.
struct Place {
    clock: CardClock,
    /// By stamps; else by arrival.
    stamped: bool,
    /// First arrival, and the first and last of what the clock was told of.
    first_arrival: Option<SessionMicros>,
    told: Option<(SessionMicros, SessionMicros)>,
}

impl Place {
    fn new() -> Self {
        Self { clock: CardClock::new(SAMPLE_RATE), stamped: false, first_arrival: None, told: None }
    }

    /// The packet's frame begins with sample `index` of the sender's.
    fn observe(&mut self, index: f64, heard: &Heard<'_>) {
        let arrival = heard.arrival;
        let first = *self.first_arrival.get_or_insert(arrival);
        // In the stamp's own width, so that its overflow does not matter.
        let age = ((arrival.0.div_euclid(1_000)) as u32).wrapping_sub(heard.timestamp_ms) as i32;
        let captured = (arrival.0.div_euclid(1_000) - i64::from(age)) * 1_000 + CUT;
        let usable = (NEWEST..OLDEST).contains(&arrival.since(SessionMicros(captured)));
        let at = match (usable, self.stamped) {
            (true, stamped) => {
                if !stamped {
                    // What was gone by until now was only the next best.
                    *self = Self { stamped: true, first_arrival: Some(first), ..Self::new() };
                }
                captured
            }
            (false, true) => return,
            (false, false) if arrival.since(first) < NO_STAMPS => return,
            (false, false) => arrival.0,
        };
        self.clock.observe(index, Micros(at));
        let begun = self.told.map_or(arrival, |(begun, _)| begun);
        self.told = Some((begun, arrival));
    }

    /// Enough was seen to place anything.
    fn settled(&self) -> bool {
        self.told.is_some_and(|(begun, last)| last.since(begun) >= SETTLE)
    }

    /// The session's instant of sample `index`.
    fn at(&self, index: f64) -> Option<f64> {
        self.clock.local(index)
    }
}

/// What one member sends from its coming to its leaving.
pub struct Stream {
    order: Order,
    place: Place,
    /// Samples of its frames; those of another length are not its own.
    frame: u32,
    ready: VecDeque<Released>,
}

/// A packet with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Its frame's number.
    pub number: u64,
    /// The Opus packet; empty for a frame of which only its silence is known.
    pub data: Vec<u8>,
    /// When its first sample was captured, microseconds of the session clock.
    pub captured: f64,
    /// Frames before it that were sent and never came.
    pub lost: u64,
}

impl Stream {
    /// A stream of frames of 5 ms, or of 2.5.
    pub fn new(half_frames: bool) -> Self {
        let frame = if half_frames { HALF_FRAME } else { FRAME } as u32;
        Self { order: Order::default(), place: Place::new(), frame, ready: VecDeque::new() }
    }

    /// Samples of one frame.
    pub fn frame(&self) -> u32 {
        self.frame
    }

    /// Takes a network packet; what is none of ours changes nothing.
    pub fn push(&mut self, heard: &Heard<'_>) {
        let Ok(payload) = parse_payload(heard.payload) else { return };
        let frame = if payload.half_frames { HALF_FRAME } else { FRAME } as u32;
        if frame != self.frame {
            return;
        }
        self.place.observe(heard.sequence as f64 * f64::from(frame), heard);
        let whole = |data: &[u8]| {
            TalkEncoder::is_silence(data) || packet_samples(data) == Some(frame as usize)
        };
        self.order.push(heard.sequence, &payload, whole);
        self.release(false);
    }

    fn release(&mut self, all: bool) {
        while let Some(released) = self.order.pop(all) {
            if self.ready.len() == MOST_WAITING {
                self.ready.pop_front();
            }
            self.ready.push_back(released);
        }
    }

    /// The next packet, once it has its turn. `all`: nothing more is waited for.
    pub fn pop(&mut self, all: bool) -> Option<Sound> {
        if all {
            self.release(true);
        }
        if !all && !self.place.settled() {
            return None;
        }
        let first = self.ready.front()?;
        let captured = self.place.at(first.number as f64 * f64::from(self.frame))?;
        let Released { number, data, lost } = self.ready.pop_front()?;
        let data = if TalkEncoder::is_silence(&data) { Vec::new() } else { data };
        Some(Sound { number, data, captured, lost })
    }
}

/// What is in a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Frames that were sent and never came, not even as a copy.
    pub lost: u64,
    /// Gaps between packets, of whatever cause.
    pub gaps: u64,
    /// Their length in all, samples.
    pub gap_samples: u64,
    /// Where the first packet begins, samples from T0; `None` before there is one.
    pub first: Option<u64>,
    /// Where the newest packet ends, samples from T0.
    pub end: u64,
}

impl Counts {
    /// Notes a packet that begins and ends there.
    pub fn add(&mut self, time: u64, samples: u32) {
        let hole = time.saturating_sub(self.end);
        if self.first.is_some() && hole > SLACK {
            self.gaps += 1;
            self.gap_samples += hole;
        }
        self.first.get_or_insert(time);
        self.packets += 1;
        self.end = time + u64::from(samples);
    }
}

/// One member's track: the line of all that it sent, however often it came and went.
pub struct Track {
    t0: SessionMicros,
    /// The newest packet: its frame's number, its beginning, its length.
    newest: Option<(u64, u64, u32)>,
    /// A new stream has begun: its numbers say nothing of what was before.
    anew: bool,
    counts: Counts,
}

impl Track {
    /// A track that begins at T0.
    pub fn new(t0: SessionMicros) -> Self {
        Self { t0, newest: None, anew: true, counts: Counts::default() }
    }

    /// What is in it.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The member has come back.
    pub fn begin_stream(&mut self) {
        self.anew = true;
    }

    /// Where a packet of `samples` belongs, samples from T0; `None` when it is not part of the
    /// recording. Nothing has changed until [`Self::add`].
    pub fn place(&mut self, sound: &Sound, samples: u32) -> Option<u64> {
        let since = sound.captured - self.t0.0 as f64;
        let wanted = since * f64::from(SAMPLE_RATE) / 1e6;
        if sound.data.is_empty() || !wanted.is_finite() || wanted < 0.0 {
            self.counts.lost += if wanted >= 0.0 { sound.lost } else { 0 };
            return None;
        }
        self.counts.lost += sound.lost;
        let exact = wanted.round() as u64;
        let Some((number, begins, long)) = self.newest else { return Some(exact) };
        let ends = begins + u64::from(long);
        let apart = sound.number.checked_sub(number).filter(|apart| !self.anew && *apart > 0);
        let hole = apart.map(|apart| (apart - 1).saturating_mul(u64::from(samples)));
        let Some(hole) = hole.filter(|hole| *hole <= SHORT_GAP) else {
            return Some(exact.max(ends));
        };
        let due = ends + hole;
        let wrong = wanted - due as f64;
        let turn = wrong.abs() > WRONG || sound.number.is_multiple_of(GENTLY);
        Some(match wrong {
            _ if wrong > ELSEWHERE => exact,
            _ if wrong.abs() <= RIGHT || !turn => due,
            _ if wrong > 0.0 => due + 1,
            // The packet before cannot be cut by more than that.
            _ => due - 1,
        })
    }

    /// The packet was put there.
    pub fn add(&mut self, sound: &Sound, time: u64, samples: u32) {
        self.newest = Some((sound.number, time, samples));
        self.anew = false;
        self.counts.add(time, samples);
    }

    /// The session's instant of a sample of the track.
    pub fn session(&self, sample: u64) -> SessionMicros {
        self.t0 + MediaTime::samples(i64::try_from(sample).unwrap_or(i64::MAX)).to_micros()
    }
}

/// A track's file in the session's folder: `remote_audio_NAME.mp4`, `taken` or not. The number tells
/// several of one name, or of no name that a file can have, apart.
pub fn file_name(name: &str, mut taken: impl FnMut(&str) -> bool) -> String {
    let name = super::folder::sanitise(name);
    let name = if name.is_empty() { "guest".to_owned() } else { name };
    let plain = format!("{PREFIX}{name}.mp4");
    if !taken(&plain) {
        return plain;
    }
    let numbered = |n: u64| format!("{PREFIX}{name}-{n}.mp4");
    (2..).map(numbered).find(|candidate| !taken(candidate)).unwrap_or(plain)
}

/// What the names of all tracks begin with.
pub const PREFIX: &str = "remote_audio_";

#[cfg(test)]
mod tests;
