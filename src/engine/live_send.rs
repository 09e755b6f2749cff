//! Live video's way out, the talk thread's second task: pictures from the encoders' ring, fragment by
//! fragment to every peer as its path allows ([`Fanout`] decides), and the fragments of keyframes
//! that somebody asks for again.
//!
//! Real-time: it allocates nothing, waits for nothing. Audio has left before any of it is called.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::carry::CarryOut;
use super::shared::{LiveEncoder, Shared};
use super::talk::{IP_UDP_HEADERS, Peers, Wire};
use crate::net::socket::Class;
use crate::protocol::fragment;
use crate::protocol::header::MAX_DATAGRAM;
use crate::protocol::seal::{self, MAX_ENVELOPE};
use crate::units::Micros;
use crate::video::fanout::{self, Cut, DEPTH, Fanout, Feed, OutFrame, Source};

/// Pictures are cut as the protocol does.
pub const CUT: Cut = Cut { size: fragment::fragment_len, count: fragment::fragments };

/// Pictures between the encoders and the talk thread: one tick's worth and some more.
const RING: usize = 8;
/// Every frame that can exist: in the ring, in both rows, in the encoders' hands.
const SPENT: usize = RING + 2 * DEPTH + 4;
/// Fragments of a keyframe that are kept, to be sent again as they were.
const KEPT: usize = 32;
/// So often at most, each.
const REPEATS: u8 = 3;

const _: () = assert!(fanout::PADDINGS <= seal::PADDINGS);

/// The live encoders' end: pictures out, spent ones back (so that the talk thread frees nothing).
pub struct VideoOut {
    shared: Arc<Shared>,
    frames: HeapProd<(Source, Box<OutFrame>)>,
    spent: HeapCons<Box<OutFrame>>,
}

impl VideoOut {
    /// An empty frame to fill.
    pub fn take(&mut self) -> Box<OutFrame> {
        self.spent.try_pop().unwrap_or_default()
    }

    /// Hands a frame over; when the talk thread is behind, the frame is dropped and `false` says
    /// that the next one must be a keyframe.
    pub fn send(&mut self, source: Source, frame: Box<OutFrame>) -> bool {
        self.frames.try_push((source, frame)).is_ok()
    }

    /// How long a picture would wait for the peer that gets it first, microseconds; `None` when
    /// nobody gets any.
    pub fn delay(&self, source: Source) -> Option<u64> {
        self.shared.live[source as usize].delay()
    }
}

/// What the control thread has decided for one peer's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoPlan {
    /// What it gets.
    pub feed: Option<Feed>,
    /// What its path carries in all and of that for the picture, kbit/s.
    pub kbps: [u32; 2],
    /// Target of its encoder, kbit/s.
    pub pace_kbps: u32,
    /// Nothing for now.
    pub held: bool,
    /// What it was sent lately is lost: it needs a keyframe.
    pub cut_off: bool,
    /// All that it is sent is filled up to this with padding, kbit/s; 0 for none.
    pub fill_kbps: u32,
}

/// The newest keyframe that a peer was sent, as it was sent.
pub struct KeptKeyframe {
    sequence: u64,
    lengths: [u16; KEPT],
    repeated: [u8; KEPT],
    datagrams: Box<[[u8; MAX_DATAGRAM]; KEPT]>,
}

impl KeptKeyframe {
    /// None yet.
    pub fn new() -> Self {
        Self {
            sequence: u64::MAX,
            lengths: [0; KEPT],
            repeated: [0; KEPT],
            datagrams: Box::new([[0; MAX_DATAGRAM]; KEPT]),
        }
    }

    fn keep(&mut self, sequence: u64, fragment: u8, datagram: &[u8]) {
        if self.sequence != sequence {
            self.sequence = sequence;
            self.lengths = [0; KEPT];
            self.repeated = [0; KEPT];
        }
        let at = usize::from(fragment);
        if let (Some(slot), Some(len)) = (self.datagrams.get_mut(at), self.lengths.get_mut(at)) {
            slot[..datagram.len()].copy_from_slice(datagram);
            *len = datagram.len() as u16;
        }
    }

    /// Its bytes, as often as they may be sent.
    fn again(&mut self, sequence: u64, fragment: u8) -> Option<&[u8]> {
        let at = usize::from(fragment);
        let repeated = self.repeated.get_mut(at).filter(|n| **n < REPEATS)?;
        if self.sequence != sequence || self.lengths[at] == 0 {
            return None;
        }
        *repeated += 1;
        Some(&self.datagrams[at][..usize::from(self.lengths[at])])
    }
}

/// The talk thread's state for video.
pub struct VideoSend {
    shared: Arc<Shared>,
    frames: HeapCons<(Source, Box<OutFrame>)>,
    spent: HeapProd<Box<OutFrame>>,
    /// Who gets what, and when.
    pub fan: Fanout,
    /// Pictures of others that we carry.
    pub carry: Option<CarryOut>,
    /// The last packet that left was one of theirs.
    carried: bool,
    video_kbps: u32,
    datagram: [u8; MAX_DATAGRAM],
}

impl VideoSend {
    /// The thread's state and the encoders' end. `video_kbps` is the main encoder's first target.
    pub fn new(shared: Arc<Shared>, video_kbps: u32) -> (Self, VideoOut) {
        let (frames, frame_end) = HeapRb::new(RING).split();
        let (spent, spent_end) = HeapRb::new(SPENT).split();
        let send = Self {
            shared: shared.clone(),
            frames: frame_end,
            spent,
            fan: Fanout::new(CUT),
            carry: None,
            carried: false,
            video_kbps,
            datagram: [0; MAX_DATAGRAM],
        };
        (send, VideoOut { shared, frames, spent: spent_end })
    }

    /// A peer is in.
    pub fn join(&mut self, place: usize) {
        self.fan.join(place, self.video_kbps);
    }

    /// The control thread has decided.
    pub fn plan(&mut self, place: usize, plan: &VideoPlan) {
        self.fan.set(place, plan.feed, plan.kbps, plan.pace_kbps);
        self.fan.hold(place, plan.held);
        if plan.cut_off {
            self.fan.cut_off(place);
            if let Some(source) = self.fan.wants_keyframe(place) {
                let live = &self.shared.live[source as usize];
                live.wanted.fetch_or(LiveEncoder::CUT_OFF, Relaxed);
            }
        }
        self.fan.fill(place, plan.fill_kbps);
    }

    /// Sends the padding that is due, right behind audio.
    pub fn fill(
        &mut self,
        peers: &mut Peers,
        wire: &Wire<'_>,
        envelope: &mut [u8; MAX_ENVELOPE],
        now: Micros,
    ) {
        let timestamp = self.shared.timestamp_ms(now);
        while let Some(padding) = self.fan.padding(now) {
            let Some(Some(peer)) = peers.get_mut(padding.place) else { continue };
            let (sequence, part) = (padding.sequence, padding.part);
            let len = padding.bytes.saturating_sub(IP_UDP_HEADERS as usize);
            let len = peer.sealer.padding(sequence, part, timestamp, len, &mut self.datagram);
            let datagram = &self.datagram[..len];
            wire.send(peers, padding.place, timestamp, datagram, envelope, Class::Other);
        }
    }

    /// Microseconds until something may leave; `None` while nothing waits.
    pub fn wait(&self, now: Micros) -> Option<i64> {
        self.fan.wait(now)
    }

    /// What was passed on at once takes its time on the own uplink, too.
    pub fn count_carried(&mut self, now: Micros) {
        if let Some(carry) = &mut self.carry {
            let bytes = carry.gone_on();
            self.fan.carried(bytes, false, now);
        }
    }

    /// Lets a packet out that we carry, if one waits and the line is free: in turn with the own ones.
    fn carry_one(&mut self, wire: &Wire<'_>, now: Micros) {
        let Some(carry) = self.carry.as_mut().filter(|c| c.waits()) else { return };
        if self.fan.is_held() {
            // A queue stands in front of everybody: it is ours, and this would lengthen it.
            carry.drop_all();
            return;
        }
        let own_turn = std::mem::take(&mut self.carried) && self.fan.next(now).is_some();
        if !own_turn
            && self.fan.is_free(now)
            && let Some(bytes) = carry.send(wire.socket)
        {
            self.fan.carried(bytes, true, now);
            self.carried = true;
        }
    }

    /// Lets out what may leave now.
    pub fn show(
        &mut self,
        peers: &mut Peers,
        wire: &Wire<'_>,
        envelope: &mut [u8; MAX_ENVELOPE],
        now: Micros,
    ) {
        while let Some((source, frame)) = self.frames.try_pop() {
            if let Some(evicted) = self.fan.push(source, frame) {
                let _ = self.spent.try_push(evicted);
            }
        }
        let timestamp = self.shared.timestamp_ms(now);
        self.carry_one(wire, now);
        while let Some(out) = self.fan.next(now) {
            let (place, again) = (out.place, out.again);
            let Some(Some(peer)) = peers.get_mut(place) else { break };
            let (sequence, part) = (out.sequence, out.fragment);
            let len = if again {
                let kept = peer.kept.again(sequence, part).unwrap_or_default();
                self.datagram[..kept.len()].copy_from_slice(kept);
                kept.len()
            } else {
                let (key, total) = (out.keyframe, out.fragments);
                // 0/0 = not fragmented (PRD 5.4).
                let (id, total) = if total == 1 { (0, 0) } else { (part, total) };
                let data = fragment::fragment(out.data, out.size, part);
                let buffer = &mut self.datagram;
                let len = peer.sealer.video(key, sequence, id, total, timestamp, data, buffer);
                if key {
                    peer.kept.keep(sequence, part, &self.datagram[..len]);
                }
                len
            };
            wire.send(peers, place, timestamp, &self.datagram[..len], envelope, Class::Other);
            // What was not sent again takes no time on the line.
            let bytes = if len == 0 { 0 } else { len + IP_UDP_HEADERS as usize };
            self.fan.sent(place, again, bytes, now);
        }
        while let Some(frame) = self.fan.spent() {
            let _ = self.spent.try_push(frame);
        }
        for source in [Source::Main, Source::Low] {
            self.shared.live[source as usize].set_delay(self.fan.delay(source));
        }
        for (place, peer) in peers.iter().enumerate() {
            if let (Some(peer), Some(source)) = (peer, self.fan.wants_keyframe(place)) {
                self.shared.live[source as usize].wanted.fetch_or(peer.bit(), Relaxed);
            }
        }
    }
}
