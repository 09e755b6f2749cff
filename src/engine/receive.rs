//! The receive thread: takes datagrams off the socket, opens them, hands them on.
//!
//! Audio goes into the playout rings of the speaker callback, video fragments into a ring a peer,
//! everything else to the control thread. It allocates only for control, and waits for nobody: a
//! full ring drops what came, as a late network would have. It runs at real-time priority, so a
//! flood of datagrams must not keep it running: beyond what a call can send it pauses.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread::Thread;
use std::time::Duration;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::carry::CarryIn;
use super::safety::SafetyTap;
use super::shared::Shared;
use super::talk::IP_UDP_HEADERS;
use crate::audio::codec::FRAME_MICROS;
use crate::audio::mixer::PeerFeed;
use crate::net::socket::CallSocket;
use crate::platform::clock;
use crate::protocol::congestion::{PathMeter, PathReport, RelayPolice};
use crate::protocol::demux::{Demux, Demuxed, DropCounters};
use crate::protocol::fragment::MAX_FRAGMENT;
use crate::protocol::header::{Header, PacketType};
use crate::protocol::mesh::LeaveReason;
use crate::protocol::seal::PairKeys;
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId, SessionMicros};

/// Fragments that wait for a peer's decoder: two keyframes at the highest bitrate.
const FRAGMENTS: usize = 256;
/// How long a receive waits before it looks at its commands and the end.
const PATIENCE: Duration = Duration::from_millis(100);
/// A peer heard from another address is told of this often, microseconds: a flood of copies from
/// everywhere must not fill the queue.
const MOVED: i64 = 50_000;
/// For so long it is told again and again, microseconds, unless the peer is reached there.
const MOVING: i64 = 1_000_000;
/// How often the counters of what was dropped are shown, microseconds.
const SHOW_DROPS: i64 = 250_000;
/// Datagrams in a [`WINDOW`] that no call sends, and no stranger with a line of a gigabit: 100,000 a
/// second. Up to there all are looked at, some microseconds each, so that the call's own are found
/// among them.
const FLOOD: u32 = 1_000;
/// Where they are counted, microseconds.
const WINDOW: i64 = 10_000;
/// The thread has not waited for a datagram for so long, microseconds: each costs more than is left of
/// a flood's time, and their number alone would never tell. A quarter of what the system allows.
const BUSY: i64 = 50_000;
/// A receive that took so long, microseconds, has waited.
const WAITED: i64 = 200;
/// So long others may run then: a thread of real-time priority that never pauses is ended by the
/// system. Short, because what comes meanwhile waits, and the system's buffer is full soon.
const BREATH: Duration = Duration::from_millis(2);
/// Largest datagram worth reading: anything longer is not ours.
const BUFFER: usize = 2_048;

/// One video fragment between the receive thread and a decoder.
pub struct Fragment {
    /// From a keyframe.
    pub keyframe: bool,
    /// The picture's number.
    pub sequence: u64,
    /// Which part.
    pub fragment: u8,
    /// Of how many; 0 when there is one.
    pub fragments: u8,
    /// When it came.
    pub arrival: Micros,
    len: u16,
    data: [u8; MAX_FRAGMENT],
}

impl Fragment {
    /// The fragment's bytes.
    pub fn data(&self) -> &[u8] {
        &self.data[..usize::from(self.len)]
    }
}

/// Where a peer's pictures go.
pub struct VideoFeed {
    ring: HeapProd<Fragment>,
    decoder: Thread,
}

/// A ring for one peer's fragments.
pub fn video_ring() -> (HeapProd<Fragment>, HeapCons<Fragment>) {
    HeapRb::new(FRAGMENTS).split()
}

impl VideoFeed {
    /// Fragments go into `ring`, and `decoder` is woken.
    pub fn new(ring: HeapProd<Fragment>, decoder: Thread) -> Self {
        Self { ring, decoder }
    }
}

/// What the control thread tells the receive thread.
pub enum ReceiveCommand {
    /// Packets of this peer can be opened from now on.
    Keys(ParticipantId, PairKeys),
    /// Its pictures go there.
    Video(ParticipantId, VideoFeed),
    /// A new stream of this peer begins, in audio frames of so many microseconds; its number among
    /// the safety tracks' streams, 0 for none.
    Listen(ParticipantId, i64, u32),
    /// What others send through us to this peer goes there; `None` for a peer that is itself only
    /// reached through another member.
    Address(ParticipantId, Option<SocketAddr>),
    /// It is gone, and so it went.
    Remove(ParticipantId, LeaveReason),
}

/// Places for what is not sealed yet, on its way to the control thread. Few: what waits longer than
/// a question takes to be repeated is of no use, and a storm fills any number.
pub const UNSEALED: usize = 64;

/// A handshake datagram, whoever sent it: it waits in a queue of its own, so that no stranger takes the
/// places of what members say.
pub struct Unsealed {
    /// Whole.
    pub datagram: Vec<u8>,
    /// Sender.
    pub from: SocketAddr,
    /// Arrival.
    pub at: Micros,
}

/// What the receive thread passes to the control thread, opened.
pub enum Incoming {
    /// An opened control message.
    Control {
        /// Who.
        peer: ParticipantId,
        /// Plain text.
        payload: Vec<u8>,
        /// Sender's address.
        from: SocketAddr,
        /// Arrival.
        at: Micros,
    },
    /// How a peer's packets come through.
    Path {
        /// Who.
        peer: ParticipantId,
        /// What to tell it.
        report: PathReport,
    },
    /// Media of a peer came from another address than the last of it.
    Moved {
        /// Who.
        peer: ParticipantId,
        /// Sender's address.
        from: SocketAddr,
        /// Arrival.
        at: Micros,
    },
    /// An opened BYE.
    Bye {
        /// Who.
        peer: ParticipantId,
        /// Arrival.
        at: Micros,
    },
}

/// Where each peer is, as the receive thread needs it.
#[derive(Clone, Default)]
struct Place {
    /// What is relayed to it goes there.
    relay_to: Option<SocketAddr>,
    /// Where its last media came from, since when, and when that was told.
    from: Option<SocketAddr>,
    since: Option<Micros>,
    told: Option<Micros>,
    /// What it sends through us, to each.
    police: [RelayPolice; MAX_PARTICIPANTS],
}

impl Place {
    /// Whether we pass on a datagram of it, of that size with all headers.
    fn passes(&mut self, to: ParticipantId, audio: bool, size: usize, at: Micros) -> bool {
        self.police.get_mut(usize::from(to.0)).is_some_and(|p| p.pass(audio, size, at))
    }
}

/// Nothing is known of a member any more, nor of what was carried to it.
fn forget(places: &mut [Place; MAX_PARTICIPANTS], gone: ParticipantId) {
    for place in places.iter_mut() {
        if let Some(police) = place.police.get_mut(usize::from(gone.0)) {
            *police = RelayPolice::default();
        }
    }
    if let Some(place) = places.get_mut(usize::from(gone.0)) {
        *place = Place::default();
    }
}

/// What the thread alone has.
struct Sorting {
    demux: Demux,
    video: [Option<VideoFeed>; MAX_PARTICIPANTS],
    places: [Place; MAX_PARTICIPANTS],
    meters: [PathMeter; MAX_PARTICIPANTS],
}

impl Default for Sorting {
    fn default() -> Self {
        Self {
            demux: Demux::default(),
            video: Default::default(),
            places: Default::default(),
            meters: std::array::from_fn(|_| PathMeter::new(FRAME_MICROS)),
        }
    }
}

/// Whether the thread has to pause so that others can run.
struct Load {
    /// When the window began, and the datagrams in it.
    window: (Micros, u32),
    /// When it last waited for a datagram, or paused.
    waited: Micros,
}

impl Load {
    fn new(now: Micros) -> Self {
        Self { window: (now, 0), waited: now }
    }

    /// A receive that began and ended then.
    fn received(&mut self, began: Micros, ended: Micros) {
        if ended.since(began) >= WAITED {
            self.waited = ended;
        }
    }

    /// Looks once for each datagram, after it was handled.
    fn is_flood(&mut self, now: Micros) -> bool {
        self.window.1 += 1;
        if now.since(self.window.0) >= WINDOW {
            self.window = (now, 0);
        }
        self.window.1 >= FLOOD || now.since(self.waited) >= BUSY
    }
}

/// The receive thread's state.
pub struct Receive {
    /// Shared switches and counters.
    pub shared: Arc<Shared>,
    /// The call's socket.
    pub socket: Arc<CallSocket>,
    /// Commands from the control thread.
    pub commands: mpsc::Receiver<ReceiveCommand>,
    /// To the control thread; when it is full, control packets are dropped like any others.
    pub control: tokio::sync::mpsc::Sender<Incoming>,
    /// The same for what is not sealed.
    pub unsealed: tokio::sync::mpsc::Sender<Unsealed>,
    /// What others send through us.
    pub carry: CarryIn,
    /// By participant id.
    pub feeds: Vec<PeerFeed>,
    /// Audio is kept, too.
    pub safety: Option<SafetyTap>,
    /// What was dropped and why, for the statistics.
    pub drops: Arc<std::sync::Mutex<DropCounters>>,
}

impl Receive {
    /// Runs until the call stops.
    pub fn run(mut self) {
        let mut sorting = Sorting::default();
        let mut buffer = [0u8; BUFFER];
        let mut shown = clock::now();
        let mut load = Load::new(shown);
        let mut asked = shown;
        while !self.shared.stopping() {
            let got = self.socket.recv(&mut buffer, PATIENCE);
            load.received(asked, clock::now());
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command, &mut sorting);
            }
            match got {
                Ok(Some(r)) => {
                    let datagram = &mut buffer[..r.len];
                    self.hand_on(datagram, r.from, r.arrival, &mut sorting);
                }
                Ok(None) => {}
                // An interface that went away comes back; a socket that always fails must not spin.
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            // In a call no receive ever times out, so time decides; a reader is never waited for.
            let now = clock::now();
            asked = now;
            if load.is_flood(now) {
                std::thread::sleep(BREATH);
                asked = clock::now();
                load = Load::new(asked);
            }
            if now.since(shown) >= SHOW_DROPS
                && let Ok(mut drops) = self.drops.try_lock()
            {
                *drops = sorting.demux.drops();
                shown = now;
            }
        }
        if let Ok(mut drops) = self.drops.lock() {
            *drops = sorting.demux.drops();
        }
    }

    fn obey(&mut self, command: ReceiveCommand, sorting: &mut Sorting) {
        let Sorting { demux, video, places, meters } = sorting;
        match command {
            ReceiveCommand::Keys(peer, keys) => demux.add_peer(peer, &keys),
            ReceiveCommand::Video(peer, feed) => {
                if let Some(slot) = video.get_mut(usize::from(peer.0)) {
                    *slot = Some(feed);
                }
            }
            ReceiveCommand::Listen(peer, frame_micros, stream) => {
                if let Some(tap) = &mut self.safety {
                    tap.listen(peer, stream);
                }
                if let Some(meter) = meters.get_mut(usize::from(peer.0)) {
                    *meter = PathMeter::new(frame_micros);
                }
                if let Some(feed) = self.feeds.get_mut(usize::from(peer.0)) {
                    feed.restart();
                }
            }
            ReceiveCommand::Address(peer, address) => {
                if let Some(place) = places.get_mut(usize::from(peer.0)) {
                    place.relay_to = address;
                }
            }
            ReceiveCommand::Remove(peer, reason) => {
                match reason {
                    LeaveReason::Bye => demux.peer_left(peer),
                    LeaveReason::Timeout | LeaveReason::Removed => demux.remove_peer(peer),
                }
                forget(places, peer);
                if let Some(tap) = &mut self.safety {
                    tap.listen(peer, 0);
                }
                if let Some(feed) = self.feeds.get_mut(usize::from(peer.0)) {
                    feed.stop();
                }
                if let Some(slot) = video.get_mut(usize::from(peer.0)) {
                    *slot = None;
                }
            }
        }
    }

    /// How long ago a packet's first sample was captured, by the stamp that it carries.
    fn time(&self, peer: ParticipantId, timestamp_ms: u32, now: SessionMicros) {
        /// Stamps are cut to milliseconds: on average half of one is missing.
        const CUT: i64 = 500;
        // In the stamp's own width, so that its overflow does not matter.
        let age = ((now.0 / 1_000) as u32).wrapping_sub(timestamp_ms) as i32;
        if let Some(counters) = self.shared.peers.get(usize::from(peer.0)) {
            counters.transit.add(i64::from(age) * 1_000 + now.0.rem_euclid(1_000) - CUT);
        }
    }

    fn hand_on(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        at: Micros,
        sorting: &mut Sorting,
    ) {
        let Sorting { demux, video, places, meters } = sorting;
        let size = datagram.len() as u64 + IP_UDP_HEADERS;
        let mut report = None;
        let heard = match demux.handle(datagram) {
            Demuxed::Audio { peer, sequence, timestamp_ms, payload } => {
                if let Some(now) = self.shared.session_at(at) {
                    self.time(peer, timestamp_ms, now);
                    if let Some(tap) = &mut self.safety {
                        tap.push(peer, sequence, timestamp_ms, now, payload);
                    }
                }
                if let Some(feed) = self.feeds.get_mut(usize::from(peer.0)) {
                    feed.push_ready(sequence, at, clock::now(), payload);
                }
                let meter = meters.get_mut(usize::from(peer.0));
                if self.note_place(peer, from, at, places) {
                    meter.map(PathMeter::moved);
                } else {
                    report = meter.and_then(|m| m.audio(sequence, at, size as usize));
                }
                peer
            }
            Demuxed::Video { peer, keyframe, sequence, fragment, fragments, payload, .. } => {
                if let Some(Some(feed)) = video.get_mut(usize::from(peer.0))
                    && payload.len() <= MAX_FRAGMENT
                {
                    let mut item = Fragment {
                        keyframe,
                        sequence,
                        fragment,
                        fragments,
                        arrival: at,
                        len: payload.len() as u16,
                        data: [0; MAX_FRAGMENT],
                    };
                    item.data[..payload.len()].copy_from_slice(payload);
                    let _ = feed.ring.try_push(item);
                    feed.decoder.unpark();
                }
                let meter = meters.get_mut(usize::from(peer.0));
                report = meter.and_then(|m| m.other(true, at, size as usize));
                peer
            }
            Demuxed::Padding { peer } => {
                // Told of as often as a picture is, because it is tried whether there is room for one.
                let meter = meters.get_mut(usize::from(peer.0));
                report = meter.and_then(|m| m.other(true, at, size as usize));
                peer
            }
            Demuxed::Control { peer, payload } => {
                let payload = payload.to_vec();
                let _ = self.control.try_send(Incoming::Control { peer, payload, from, at });
                // Whoever has neither microphone nor camera hears of its path even so.
                let meter = meters.get_mut(usize::from(peer.0));
                report = meter.and_then(|m| m.other(false, at, size as usize));
                peer
            }
            Demuxed::Bye { peer } => {
                let _ = self.control.try_send(Incoming::Bye { peer, at });
                peer
            }
            Demuxed::Relay { peer, to, datagram } => {
                let address = places.get(usize::from(to.0)).and_then(|p| p.relay_to);
                let audio = Header::decode(datagram)
                    .is_ok_and(|(header, _)| header.kind == PacketType::Audio);
                let place = places.get_mut(usize::from(peer.0));
                let passes = place.is_some_and(|p| p.passes(to, audio, size as usize, at));
                if let Some(address) = address.filter(|_| passes) {
                    self.carry.pass(&self.socket, address, datagram, audio);
                }
                return;
            }
            Demuxed::Handshake(datagram) => {
                // Copied only where there is room.
                if let Ok(place) = self.unsealed.try_reserve() {
                    place.send(Unsealed { datagram: datagram.to_vec(), from, at });
                }
                return;
            }
            Demuxed::Dropped(_) => return,
        };
        if let Some(report) = report {
            let _ = self.control.try_send(Incoming::Path { peer: heard, report });
        }
        if let Some(counters) = self.shared.peers.get(usize::from(heard.0)) {
            counters.received_bytes.fetch_add(size, Relaxed);
            counters.heard.store(at.0, Relaxed);
        }
    }
}

impl Receive {
    /// Media that comes from elsewhere is the first sign that a peer has moved. Whether it has.
    fn note_place(
        &self,
        peer: ParticipantId,
        from: SocketAddr,
        at: Micros,
        places: &mut [Place; MAX_PARTICIPANTS],
    ) -> bool {
        let Some(place) = places.get_mut(usize::from(peer.0)) else { return false };
        let lately = place.told.is_some_and(|told| at.since(told) < MOVED);
        let news = place.from != Some(from);
        // The way in use is given up when it has not answered for a while: it is said until then.
        let follows = place.relay_to.is_none_or(|to| to == from);
        let again = !follows && place.since.is_some_and(|since| at.since(since) < MOVING);
        if lately || !(news || again) {
            return false;
        }
        let moved = news && place.from.replace(from).is_some();
        if news {
            place.since = Some(at);
        }
        place.told = Some(at);
        let _ = self.control.try_send(Incoming::Moved { peer, from, at });
        moved
    }
}

/// The decoder's end of a ring.
pub fn pop_fragment(ring: &mut HeapCons<Fragment>) -> Option<Fragment> {
    ring.try_pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses in a second of datagrams that come every `apart` and cost `each`, microseconds.
    fn pauses(apart: i64, each: i64) -> u32 {
        let mut load = Load::new(Micros(0));
        let (mut now, mut next, mut pauses) = (0, 0, 0);
        while now < 1_000_000 {
            let began = Micros(now);
            now = now.max(next);
            next += apart;
            load.received(began, Micros(now));
            now += each;
            if load.is_flood(Micros(now)) {
                pauses += 1;
                now += 2_000;
                load = Load::new(Micros(now));
            }
        }
        pauses
    }

    #[test]
    fn a_flood_makes_the_thread_pause_whatever_a_datagram_costs_and_a_call_does_not() {
        for cost in [5, 9, 20, 60, 400, 3_000] {
            assert!(pauses(1, cost) >= 15, "{cost} us each: {}", pauses(1, cost));
        }
        for (apart, cost) in [(1_000, 20), (1_000, 700), (500, 100), (300, 50)] {
            assert_eq!(pauses(apart, cost), 0, "{apart} us apart, {cost} us each");
        }
    }

    #[test]
    fn what_is_carried_to_one_takes_nothing_from_another_and_a_newcomer_begins_with_all_of_it() {
        let mut places: [Place; MAX_PARTICIPANTS] = Default::default();
        let carried = |places: &mut [Place; MAX_PARTICIPANTS], to: u8| {
            let all = 0..100;
            all.filter(|_| places[1].passes(ParticipantId(to), false, 1_178, Micros(0))).count()
        };
        let one = carried(&mut places, 2);
        assert!(one > 0 && one < 100, "{one}");
        assert_eq!(carried(&mut places, 3), one);
        assert_eq!(carried(&mut places, 200), 0, "nobody has that number");
        forget(&mut places, ParticipantId(3));
        assert_eq!([2, 3].map(|to| carried(&mut places, to)), [0, one]);
    }
}
