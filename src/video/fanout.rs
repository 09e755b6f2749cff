//! One stream of pictures to several peers, each at its own path's pace.
//!
//! Pictures of the two encoders wait in two short rows; every peer has its own place in one of them,
//! so that a slow path delays nobody else. A peer that falls behind is given fewer pictures: first
//! those that no other refers to, then none until the next keyframe. What leaves is one fragment at a
//! time, when the peer's path and the own uplink are free of the last one: audio waits behind at most
//! one video packet ([`Line`]).
//!
//! Belongs to the talk thread: no allocation, no clock. Frames are boxes that come from the encoder
//! and go back to it ([`Fanout::spent`]).

use super::filler::Filler;
use super::pacer::{self, Line, Pacer};
use crate::units::{MAX_PEERS, Micros};

/// Pictures that wait at most, for each encoder: half a second of them.
pub const DEPTH: usize = 12;
/// Whoever is so many pictures behind gets only those that others refer to.
const BEHIND: u64 = 2;
/// Rate of a path until somebody says otherwise, kbit/s: audio and a small picture.
const UNKNOWN_KBPS: u32 = 300;
/// What is carried for others is measured over so long, microseconds.
const CARRIED_OVER: i64 = 200_000;
/// A packet of video with all headers, at most: what its time on a line is planned with.
const PACKET: usize = 1_178;

/// Which encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// For all whose paths are as good as the best.
    Main,
    /// For all others.
    Low,
}

/// Packets of padding that go under one picture's number, at most.
pub const PADDINGS: u8 = 127;

/// What one peer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Whose pictures.
    pub source: Source,
    /// 1: only those that others refer to; 2: all.
    pub layers: u8,
}

/// An encoded picture on its way from the encoder to the socket and back for reuse.
#[derive(Default)]
pub struct OutFrame {
    /// Keyframe.
    pub keyframe: bool,
    /// No later picture refers to it.
    pub disposable: bool,
    /// Payload header and VP8 data.
    pub data: Vec<u8>,
}

/// The next packet of video.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// To the peer in that place.
    pub place: usize,
    /// The fragment of a keyframe that was asked for again: send the very bytes that were sent.
    pub again: bool,
    /// Of a keyframe.
    pub keyframe: bool,
    /// Counts the pictures that this peer is sent.
    pub sequence: u64,
    /// Which part.
    pub fragment: u8,
    /// Of how many.
    pub fragments: u8,
    /// Bytes of the picture in each of them but the last.
    pub size: usize,
    /// The picture; empty where `again`.
    pub data: &'a [u8],
}

/// How pictures are cut into packets: the protocol's business.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Most bytes of a picture in a packet on a path of so many kbit/s.
    pub size: fn(u32) -> usize,
    /// Into how many packets of such a size a picture of so many bytes is cut; `None` for one that
    /// cannot be sent.
    pub count: fn(usize, usize) -> Option<u8>,
}

impl Cut {
    /// The size of the packets of a picture of `len` bytes on that path, and how many they are.
    fn of(&self, len: usize, kbps: u32) -> Option<(usize, u8)> {
        // One that is long for so thin a path is cut as on any other.
        [kbps, u32::MAX].into_iter().find_map(|kbps| {
            let size = (self.size)(kbps);
            Some((size, (self.count)(len, size)?))
        })
    }
}

/// A packet that carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    /// To the peer in that place.
    pub place: usize,
    /// Number of the picture under way, or of the next one.
    pub sequence: u64,
    /// Which of that number's, below [`PADDINGS`].
    pub part: u8,
    /// Bytes, all headers counted.
    pub bytes: usize,
}

#[derive(Default)]
struct Row {
    frames: [Option<Box<OutFrame>>; DEPTH],
    first: u64,
    next: u64,
}

impl Row {
    fn get(&self, at: u64) -> Option<&OutFrame> {
        if (self.first..self.next).contains(&at) {
            self.frames[(at % DEPTH as u64) as usize].as_deref()
        } else {
            None
        }
    }

    /// Position of the newest keyframe, not before `from`.
    fn newest_keyframe(&self, from: u64) -> Option<u64> {
        (from.max(self.first)..self.next).rev().find(|&at| self.get(at).is_some_and(|f| f.keyframe))
    }

    fn drop_first(&mut self) -> Option<Box<OutFrame>> {
        let at = (self.first % DEPTH as u64) as usize;
        self.first += 1;
        self.frames[at].take()
    }
}

/// A keyframe that may be asked for again.
#[derive(Clone, Copy, Default)]
struct Kept {
    sequence: u64,
    fragments: u8,
    wanted: u32,
}

struct Cursor {
    feed: Option<Feed>,
    /// In whose row it reads.
    source: Source,
    at: u64,
    /// Of the picture under way: the next one of its packets, their size and number.
    fragment: u8,
    size: usize,
    count: u8,
    /// Of the picture under way, or of the next one.
    sequence: u64,
    /// What comes refers to something that was not sent.
    broken: bool,
    held: bool,
    pacer: Pacer,
    line: Line,
    kbps: u32,
    /// What of it is for video.
    video_kbps: u32,
    kept: Option<Kept>,
    filler: Filler,
    /// The number that padding was last sent under, and how many such packets.
    padded: (u64, u8),
}

/// Decides what of the pictures leaves next, and to whom.
pub struct Fanout {
    rows: [Row; 2],
    peers: [Option<Cursor>; MAX_PEERS],
    uplink: Line,
    /// Of others' sound, kbit/s, as measured; in the window since then, bytes.
    carried_kbps: u32,
    carried: (Micros, usize),
    turn: usize,
    cut: Cut,
}

impl Fanout {
    /// Nobody is there yet.
    pub fn new(cut: Cut) -> Self {
        Self {
            rows: Default::default(),
            peers: Default::default(),
            uplink: Line::new(UNKNOWN_KBPS),
            carried_kbps: 0,
            carried: (Micros(0), 0),
            turn: 0,
            cut,
        }
    }

    /// A peer takes that place. It begins with the next keyframe.
    pub fn join(&mut self, place: usize, video_kbps: u32) {
        if let Some(slot) = self.peers.get_mut(place) {
            *slot = Some(Cursor {
                feed: Some(Feed { source: Source::Main, layers: 2 }),
                source: Source::Main,
                at: self.rows[0].next,
                fragment: 0,
                size: 1,
                count: 0,
                sequence: 0,
                broken: true,
                held: false,
                pacer: Pacer::new(video_kbps),
                line: Line::new(UNKNOWN_KBPS),
                kbps: UNKNOWN_KBPS,
                video_kbps: UNKNOWN_KBPS,
                kept: None,
                filler: Filler::default(),
                padded: (0, 0),
            });
        }
        self.set_uplink();
    }

    /// The peer is gone.
    pub fn leave(&mut self, place: usize) {
        if let Some(slot) = self.peers.get_mut(place) {
            *slot = None;
        }
        self.set_uplink();
    }

    /// What the peer gets from now on, and what its path carries: in all, and of that the picture.
    /// `pace_kbps` is its encoder's target.
    pub fn set(&mut self, place: usize, feed: Option<Feed>, kbps: [u32; 2], pace_kbps: u32) {
        if let Some(Some(peer)) = self.peers.get_mut(place) {
            peer.feed = feed;
            [peer.kbps, peer.video_kbps] = kbps.map(|k| k.max(1));
            peer.line.set_rate(peer.kbps);
            peer.pacer.set_rate(pace_kbps.max(1));
        }
        self.set_uplink();
    }

    /// Nothing of the picture goes to the peer for now; what waits, waits.
    pub fn hold(&mut self, place: usize, held: bool) {
        if let Some(Some(peer)) = self.peers.get_mut(place) {
            peer.held = held;
        }
    }

    /// What was sent to the peer lately has not arrived: it goes on with the next keyframe.
    pub fn cut_off(&mut self, place: usize) {
        if let Some(Some(peer)) = self.peers.get_mut(place) {
            peer.abandon();
            peer.broken = true;
        }
    }

    /// What is sent to the peer is filled up to that rate with padding, kbit/s with all headers; 0 for
    /// none.
    pub fn fill(&mut self, place: usize, kbps: u32) {
        if let Some(Some(peer)) = self.peers.get_mut(place) {
            peer.filler.set_rate(kbps);
        }
    }

    /// The next packet of padding, to be sent behind audio. It counts as sent.
    pub fn padding(&mut self, now: Micros) -> Option<Padding> {
        self.peers.iter_mut().enumerate().find_map(|(place, slot)| {
            let peer = slot.as_mut().filter(|p| !p.held)?;
            let bytes = peer.filler.due(now)?;
            let (sequence, part) = peer.next_padding()?;
            peer.filler.sent(bytes);
            Some(Padding { place, sequence, part, bytes })
        })
    }

    /// The peer misses these fragments (bits) of a keyframe.
    pub fn again(&mut self, place: usize, sequence: u64, wanted: u32) {
        if let Some(Some(peer)) = self.peers.get_mut(place)
            && let Some(kept) = &mut peer.kept
            && kept.sequence == sequence
        {
            // Those of the picture under way that have not left yet need no repetition.
            let sent = if peer.sequence == sequence { peer.fragment } else { kept.fragments };
            let mask = if sent >= 32 { u32::MAX } else { (1 << sent) - 1 };
            kept.wanted |= wanted & mask;
        }
    }

    fn set_uplink(&mut self) {
        let sum: u32 = self.peers.iter().flatten().map(|p| p.kbps).sum();
        self.uplink.set_rate((sum + self.carried_kbps).max(1));
    }

    /// Takes a picture in.
    pub fn push(&mut self, source: Source, frame: Box<OutFrame>) -> Option<Box<OutFrame>> {
        let row = &mut self.rows[source as usize];
        let evicted = if row.next - row.first == DEPTH as u64 { row.drop_first() } else { None };
        row.frames[(row.next % DEPTH as u64) as usize] = Some(frame);
        row.next += 1;
        evicted
    }

    /// Room for one more without losing any.
    pub fn has_room(&self, source: Source) -> bool {
        let row = &self.rows[source as usize];
        row.next - row.first < DEPTH as u64
    }

    /// A picture that nobody needs any more.
    pub fn spent(&mut self) -> Option<Box<OutFrame>> {
        for source in [Source::Main, Source::Low] {
            let row = &self.rows[source as usize];
            let needed = self.peers.iter().flatten().filter_map(|p| match p.feed {
                _ if p.source == source => Some(p.at),
                // On its way over, in the middle of a picture: it will begin there.
                Some(feed) if feed.source == source => row.newest_keyframe(row.first),
                _ => None,
            });
            let needed = needed.min().unwrap_or(row.next);
            let row = &mut self.rows[source as usize];
            if row.first < needed.min(row.next) {
                return row.drop_first();
            }
        }
        None
    }

    /// Audio or anything else that does not wait was sent to the peer in that place.
    pub fn audio_sent(&mut self, place: usize, bytes: usize, now: Micros) {
        self.uplink.sent(bytes, now);
        if let Some(Some(peer)) = self.peers.get_mut(place) {
            peer.line.sent(bytes, now);
            peer.filler.sent(bytes);
        }
    }

    /// Something of others that we carry was sent: bytes with all headers, 0 where nothing was. A
    /// picture's packet counts as one of our own, all else as audio.
    pub fn carried(&mut self, bytes: usize, picture: bool, now: Micros) {
        if picture {
            return self.uplink.sent_video(bytes, now);
        }
        self.uplink.sent(bytes, now);
        // What is known of the paths is known of what they carry of ours: the line carries this, too.
        let (since, before) = self.carried;
        let (elapsed, all) = (now.since(since), before + bytes);
        self.carried = (since, all);
        if elapsed >= CARRIED_OVER {
            let kbps = all as i64 * 8_000 / elapsed;
            self.carried_kbps = (i64::from(self.carried_kbps) + kbps).unsigned_abs() as u32 / 2;
            self.carried = (now, 0);
            self.set_uplink();
        }
    }

    /// Whether a packet of a picture that we carry may be sent now.
    pub fn is_free(&self, now: Micros) -> bool {
        self.uplink.free_at() <= now
    }

    /// Whether pictures are held back from all peers: what stands in front of everybody is the own
    /// uplink's queue.
    pub fn is_held(&self) -> bool {
        let mut peers = self.peers.iter().flatten().peekable();
        peers.peek().is_some() && peers.all(|p| p.held)
    }

    /// The next packet that may leave now; tell [`Fanout::sent`] of it.
    pub fn next(&mut self, now: Micros) -> Option<Outgoing<'_>> {
        self.settle();
        if self.uplink.free_at() > now {
            return None;
        }
        let place = (0..MAX_PEERS).map(|n| (self.turn + n) % MAX_PEERS).find(|&place| {
            let Some(peer) = &mut self.peers[place] else { return false };
            if peer.held || peer.line.free_at() > now {
                return false;
            }
            let wanted = peer.kept.is_some_and(|k| k.wanted != 0);
            let waits = self.rows[peer.source as usize].get(peer.at).is_some();
            (wanted || waits) && peer.pacer.budget(now) >= pacer::PACKET
        })?;
        let peer = self.peers[place].as_ref()?;
        if let Some(kept) = peer.kept.filter(|k| k.wanted != 0) {
            return Some(Outgoing {
                place,
                again: true,
                keyframe: true,
                sequence: kept.sequence,
                fragment: kept.wanted.trailing_zeros() as u8,
                fragments: kept.fragments,
                size: peer.size,
                data: &[],
            });
        }
        let frame = self.rows[peer.source as usize].get(peer.at)?;
        Some(Outgoing {
            place,
            again: false,
            keyframe: frame.keyframe,
            sequence: peer.sequence,
            fragment: peer.fragment,
            fragments: peer.count,
            size: peer.size,
            data: &frame.data,
        })
    }

    /// That packet has left, with so many bytes, all headers counted.
    pub fn sent(&mut self, place: usize, again: bool, bytes: usize, now: Micros) {
        self.turn = (place + 1) % MAX_PEERS;
        self.uplink.sent_video(bytes, now);
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        peer.line.sent_video(bytes, now);
        peer.pacer.sent(bytes);
        peer.filler.sent(bytes);
        if again {
            if let Some(kept) = &mut peer.kept {
                kept.wanted &= kept.wanted.wrapping_sub(1);
            }
            return;
        }
        let Some(frame) = self.rows[peer.source as usize].get(peer.at) else { return };
        if frame.keyframe && peer.fragment == 0 {
            peer.broken = false;
            let fragments = peer.count;
            peer.kept = Some(Kept { sequence: peer.sequence, fragments, wanted: 0 });
        }
        peer.fragment += 1;
        if peer.fragment >= peer.count {
            peer.fragment = 0;
            peer.at += 1;
            peer.sequence += 1;
        }
    }

    /// Moves everybody past what is not for them.
    fn settle(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            peer.settle(&self.rows, &self.cut);
        }
    }

    /// How long the pictures of an encoder wait for the least loaded of those who get them,
    /// microseconds: what decides whether another one is worth encoding. `None` when nobody gets
    /// any.
    pub fn delay(&self, source: Source) -> Option<u64> {
        let readers = self.peers.iter().flatten();
        readers
            .filter(|p| p.feed.is_some_and(|f| f.source == source))
            .map(|p| if p.held { u64::MAX } else { p.delay(&self.rows) })
            .min()
    }

    /// Microseconds until something may leave, when anything waits.
    pub fn wait(&self, now: Micros) -> Option<i64> {
        let uplink = self.uplink.free_at().since(now);
        self.peers
            .iter()
            .flatten()
            .filter(|p| {
                !p.held && (p.is_behind(&self.rows) || p.kept.is_some_and(|k| k.wanted != 0))
            })
            .map(|p| p.line.free_at().since(now).max(p.pacer.wait(pacer::PACKET)).max(uplink))
            .min()
    }

    /// Whether the peer in that place waits for a keyframe, and of which encoder.
    pub fn wants_keyframe(&self, place: usize) -> Option<Source> {
        let peer = self.peers.get(place)?.as_ref().filter(|p| !p.held)?;
        let source = peer.feed?.source;
        (peer.source != source || peer.broken).then_some(source)
    }
}

impl Cursor {
    /// Number and part of a packet of padding; `None` while the picture under way has no more.
    fn next_padding(&mut self) -> Option<(u64, u8)> {
        if self.padded.0 != self.sequence {
            self.padded = (self.sequence, 0);
        }
        if self.padded.1 == PADDINGS {
            if self.fragment > 0 {
                return None;
            }
            // The number is given up: a reader sees from the next picture that none was missed.
            self.sequence += 1;
            self.padded = (self.sequence, 0);
        }
        self.padded.1 += 1;
        Some((self.sequence, self.padded.1 - 1))
    }

    fn is_behind(&self, rows: &[Row; 2]) -> bool {
        self.at < rows[self.source as usize].next
    }

    fn delay(&self, rows: &[Row; 2]) -> u64 {
        if self.feed.is_none_or(|f| f.source != self.source) {
            return 0;
        }
        let row = &rows[self.source as usize];
        let bytes: usize = (self.at..row.next)
            .filter_map(|at| row.get(at))
            .map(|f| f.data.len() + PACKET - pacer::PACKET)
            .sum();
        let begun = usize::from(self.fragment) * self.size;
        bytes.saturating_sub(begun) as u64 * 8_000 / u64::from(self.video_kbps)
    }

    /// Leaves the picture that is under way.
    fn abandon(&mut self) {
        if self.fragment > 0 {
            self.fragment = 0;
            self.sequence += 1;
            self.broken = true;
        }
    }

    fn settle(&mut self, rows: &[Row; 2], cut: &Cut) {
        let Some(feed) = self.feed else {
            self.abandon();
            self.broken = true;
            self.at = rows[self.source as usize].next;
            return;
        };
        if feed.source != self.source && self.fragment == 0 {
            // Over to the other row where that has a keyframe; until then the old one goes on.
            let row = &rows[feed.source as usize];
            if let Some(key) = row.newest_keyframe(row.first) {
                self.source = feed.source;
                self.at = key;
                self.broken = false;
            }
        }
        let row = &rows[self.source as usize];
        if self.at < row.first {
            // What was not sent is gone.
            self.abandon();
            self.broken = true;
            self.at = row.first;
        }
        if self.fragment > 0 {
            return;
        }
        // Late by more than a few pictures, and here is a newer beginning.
        if let Some(key) = row.newest_keyframe(self.at + BEHIND) {
            self.at = key;
        }
        while let Some(frame) = row.get(self.at) {
            let behind = row.next - self.at > BEHIND;
            let unwanted = frame.disposable && (feed.layers < 2 || behind);
            let useless = self.broken && !frame.keyframe;
            match cut.of(frame.data.len(), self.kbps) {
                None => self.broken |= !frame.disposable,
                Some((size, count)) if !unwanted && !useless => {
                    (self.size, self.count) = (size, count);
                    break;
                }
                Some(_) => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
