//! The talk thread: encodes the microphone and is the only sender of media.
//!
//! Real-time. It sleeps until the capture callback wakes it, encodes each frame the moment it
//! is whole, sends it to every peer, and only then lets video fragments out, as many as the pacer
//! allows: so audio goes first by construction (PRD invariant 3). It never allocates, locks, logs,
//! or waits on anything but that wake-up; the socket is non-blocking.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::capture::Captured;
use super::carry::{self, CarryIn};
use super::live_send::{KeptKeyframe, VideoSend};
pub use super::live_send::{VideoOut, VideoPlan};
use super::shared::Shared;
use crate::audio::codec::{FrameLength, TalkEncoder};
use crate::audio::framer::{Continuity, Framer};
use crate::audio::packet::MAX_AUDIO_PAYLOAD;
use crate::audio::redundancy::{Packer, Plan, Said};
use crate::net::socket::{CallSocket, Class};
use crate::platform::clock;
use crate::protocol::header::MAX_DATAGRAM;
use crate::protocol::seal::{MAX_ENVELOPE, MediaSealer};
use crate::recording::gate::Gate;
use crate::units::{MAX_PEERS, Micros, ParticipantId};

/// Bytes of IPv4 and UDP headers in front of each datagram.
pub const IP_UDP_HEADERS: u64 = 28;
/// Largest block a sound device hands over; the scratch buffer starts with it.
const LARGEST_BLOCK: usize = 8_192;
/// More sound than this behind a block and the block is left out (PRD 5.3: skip to the latest): the
/// thread stood still for 100 ms, and what would arrive that late is only in the way. A device that
/// hands over large blocks never has so much behind the one in hand.
const STALE_SAMPLES: usize = 4_800;
/// Wake-up without samples (a lost microphone): video must still be paced.
const TICK: Duration = Duration::from_millis(5);

/// What the control thread tells the talk thread.
pub enum TalkCommand {
    /// Start sending to a peer.
    Add(Box<TalkPeer>),
    /// Stop sending to it.
    Remove(ParticipantId),
    /// It moved, or is now reached through that member.
    Address(ParticipantId, SocketAddr, Option<ParticipantId>),
    /// Its audio packets are made up like this from now on.
    Plan(ParticipantId, Plan),
    /// The codec's bitrate from now on, kbit/s; the same for all.
    Bitrate(u32),
    /// A peer's picture from now on.
    Video(ParticipantId, VideoPlan),
    /// A peer misses these fragments (bits) of a keyframe.
    Again(ParticipantId, u64, u32),
}

/// The peers, each in its place.
pub(super) type Peers = [Option<Box<TalkPeer>>; MAX_PEERS];

/// One peer as the talk thread sees it.
pub struct TalkPeer {
    id: ParticipantId,
    address: SocketAddr,
    /// The member that passes on what we send; `address` is then not used.
    relay: Option<ParticipantId>,
    pub(super) sealer: MediaSealer,
    /// Own frame number of this peer's audio sequence 0: counters begin with the keys.
    audio_base: Option<u64>,
    packer: Packer,
    /// What it may ask for again.
    pub(super) kept: KeptKeyframe,
}

impl TalkPeer {
    /// A peer whose handshake is done.
    pub fn new(
        id: ParticipantId,
        address: SocketAddr,
        relay: Option<ParticipantId>,
        sealer: MediaSealer,
    ) -> Self {
        let packer = Packer::new();
        let kept = KeptKeyframe::new();
        Self { id, address, relay, sealer, audio_base: None, packer, kept }
    }

    /// Its bit among the members.
    pub(super) fn bit(&self) -> u32 {
        1 << u32::from(self.id.0 % 4)
    }
}

/// The control thread's end.
pub struct TalkControl {
    commands: HeapProd<TalkCommand>,
    spent: HeapCons<Box<TalkPeer>>,
    /// What must not be lost and found no room.
    late: VecDeque<TalkCommand>,
}

impl TalkControl {
    /// Passes a command on. Who is in, and where, is said only once: that waits for room if there is
    /// none. Of all else `false` says that it is to be sent again or was not worth it.
    pub fn send(&mut self, command: TalkCommand) -> bool {
        self.retry();
        let command = if self.late.is_empty() {
            match self.commands.try_push(command) {
                Ok(()) => return true,
                Err(command) => command,
            }
        } else {
            command
        };
        use TalkCommand::{Add, Address, Remove};
        let kept = matches!(command, Add(..) | Remove(..) | Address(..));
        if kept {
            self.late.push_back(command);
        }
        kept
    }

    /// Passes on what found no room before, in order.
    pub fn retry(&mut self) {
        while self.spent.try_pop().is_some() {}
        while let Some(command) = self.late.pop_front() {
            if let Err(command) = self.commands.try_push(command) {
                self.late.push_front(command);
                return;
            }
        }
    }
}

/// The talk thread's state.
pub struct Talk {
    shared: Arc<Shared>,
    socket: Arc<CallSocket>,
    captured: Captured,
    block: Vec<f32>,
    framer: Framer,
    continuity: Continuity,
    /// The next frame follows sound that was never captured, or left out here: no loss on the way,
    /// which copies would be sent against.
    skipped: bool,
    frame: FrameLength,
    encoder: TalkEncoder,
    said: Said,
    mute: Gate,
    payload: [u8; MAX_AUDIO_PAYLOAD],
    opus: [u8; MAX_AUDIO_PAYLOAD],
    datagram: [u8; MAX_DATAGRAM],
    envelope: [u8; MAX_ENVELOPE],
    peers: Peers,
    commands: HeapCons<TalkCommand>,
    spent_peers: HeapProd<Box<TalkPeer>>,
    video: VideoSend,
}

/// Whether the others are to hear nothing of the microphone.
fn unheard(shared: &Shared) -> bool {
    shared.muted.load(Relaxed) || shared.hushed.load(Relaxed)
}

impl Talk {
    /// The thread's state and the ends for control and live encoder. `video_kbps` sets the pace.
    pub fn new(
        shared: Arc<Shared>,
        socket: Arc<CallSocket>,
        captured: Captured,
        (encoder, frame): (TalkEncoder, FrameLength),
        video_kbps: u32,
    ) -> (Self, TalkControl, VideoOut) {
        let muted = unheard(&shared);
        let (commands, command_end) = HeapRb::new(64).split();
        let (spent_peers, spent_peer_end) = HeapRb::new(64).split();
        let (video, video_out) = VideoSend::new(shared.clone(), video_kbps);
        let talk = Self {
            shared,
            socket,
            captured,
            block: Vec::with_capacity(LARGEST_BLOCK),
            framer: Framer::with_frame(frame.samples()),
            continuity: Continuity::default(),
            skipped: false,
            frame,
            encoder,
            said: Said::new(frame),
            mute: Gate::new(muted),
            payload: [0; MAX_AUDIO_PAYLOAD],
            opus: [0; MAX_AUDIO_PAYLOAD],
            datagram: [0; MAX_DATAGRAM],
            envelope: [0; MAX_ENVELOPE],
            peers: Default::default(),
            commands: command_end,
            spent_peers,
            video,
        };
        let control = TalkControl { commands, spent: spent_peer_end, late: VecDeque::new() };
        (talk, control, video_out)
    }

    /// The receive thread's end of what this one carries for others.
    pub fn carry(&mut self) -> CarryIn {
        let (carry, out) = carry::lane();
        self.video.carry = Some(out);
        carry
    }

    /// Runs until the call stops.
    pub fn run(mut self) {
        while !self.shared.stopping() {
            std::thread::park_timeout(self.patience());
            self.tick();
        }
    }

    /// How long there is nothing to do unless sound comes.
    fn patience(&self) -> Duration {
        /// A shorter sleep is not worth its wake-up.
        const NAP: i64 = 500;
        let Some(wait) = self.video.wait(clock::now()) else { return TICK };
        Duration::from_micros(wait.max(NAP) as u64).min(TICK)
    }

    /// Everything that one wake-up does.
    pub fn tick(&mut self) {
        while let Some(command) = self.commands.try_pop() {
            self.obey(command);
        }
        self.mute.set(unheard(&self.shared));
        while let Some(captured) = self.captured.pop(&mut self.block) {
            self.mute.apply(&mut self.block);
            let (missed, handed) = (self.captured.missed(), self.captured.handed());
            let lost = self.continuity.lost(self.block.len(), missed, captured, handed);
            if missed + lost > 0 {
                self.framer.skip(missed + lost);
                self.skipped = true;
            }
            if self.captured.waiting() > STALE_SAMPLES {
                self.framer.skip(self.block.len());
                self.skipped = true;
                continue;
            }
            self.shared.wake_up.add(clock::now().since(handed));
            self.framer.push(&self.block, captured);
            self.talk(handed);
        }
        self.show();
    }

    fn obey(&mut self, command: TalkCommand) {
        match command {
            TalkCommand::Add(peer) => {
                self.remove(peer.id);
                if let Some(place) = self.peers.iter().position(|s| s.is_none()) {
                    self.peers[place] = Some(peer);
                    self.video.join(place);
                } else {
                    let _ = self.spent_peers.try_push(peer);
                }
            }
            TalkCommand::Remove(id) => self.remove(id),
            TalkCommand::Address(id, address, relay) => {
                for peer in self.peers.iter_mut().flatten().filter(|p| p.id == id) {
                    peer.address = address;
                    peer.relay = relay;
                }
            }
            TalkCommand::Plan(id, plan) => {
                for peer in self.peers.iter_mut().flatten().filter(|p| p.id == id) {
                    peer.packer.set_plan(plan);
                }
            }
            TalkCommand::Video(id, plan) => {
                if let Some(place) = self.place(id) {
                    self.video.plan(place, &plan);
                }
            }
            TalkCommand::Again(id, sequence, fragments) => {
                if let Some(place) = self.place(id) {
                    self.video.fan.again(place, sequence, fragments);
                }
            }
            // Whoever commands has checked the range.
            TalkCommand::Bitrate(kbps) => drop(self.encoder.set_bitrate(kbps as i32 * 1_000)),
        }
    }

    fn place(&self, id: ParticipantId) -> Option<usize> {
        self.peers.iter().position(|p| p.as_ref().is_some_and(|p| p.id == id))
    }

    fn remove(&mut self, id: ParticipantId) {
        while let Some(place) = self.place(id) {
            self.video.fan.leave(place);
            if let Some(peer) = self.peers[place].take() {
                let _ = self.spent_peers.try_push(peer);
            }
        }
    }

    /// Encodes and sends every frame that is whole since the block that was `handed` over then.
    fn talk(&mut self, handed: Micros) {
        let Self { framer, frame, encoder, said, opus, payload, datagram, peers, .. } = self;
        let (shared, fan) = (&self.shared, &mut self.video.fan);
        let wire = Wire { socket: &self.socket, shared };
        let envelope = &mut self.envelope;
        let mut spoken = false;
        while let Some((number, pcm, captured)) = framer.pop() {
            spoken = true;
            let ready = clock::now();
            if std::mem::take(&mut self.skipped) {
                said.skip_to(number);
            }
            let Ok(n) = encoder.encode(pcm, opus) else { continue };
            let silent = TalkEncoder::is_silence(&opus[..n]);
            if !said.say(number, &opus[..n], silent) {
                continue;
            }
            let timestamp = shared.timestamp_ms(captured);
            for at in 0..peers.len() {
                while let Some(peer) = &mut peers[at] {
                    let base = *peer.audio_base.get_or_insert(number);
                    let Some((to, n)) = peer.packer.next(said, number, payload) else { break };
                    let len = peer.sealer.audio(to - base, timestamp, &payload[..n], datagram);
                    wire.send(peers, at, timestamp, &datagram[..len], envelope, Class::Audio);
                    fan.audio_sent(at, len + IP_UDP_HEADERS as usize, ready);
                }
            }
            let sent = clock::now();
            let whole = captured + frame.micros();
            shared.encode_and_send.add(sent.since(ready));
            shared.handed_to_send.add(sent.since(handed));
            shared.capture_to_send.add(sent.since(whole));
            shared.input.add(sent.since(whole));
        }
        if spoken {
            self.video.fill(peers, &wire, envelope, clock::now());
        }
    }

    /// Lets video out, behind audio.
    fn show(&mut self) {
        let wire = Wire { socket: &self.socket, shared: &self.shared };
        self.video.count_carried(clock::now());
        self.video.show(&mut self.peers, &wire, &mut self.envelope, clock::now());
    }
}

/// Where datagrams leave.
pub(super) struct Wire<'a> {
    pub(super) socket: &'a CallSocket,
    shared: &'a Shared,
}

impl Wire<'_> {
    /// Sends a sealed datagram to the peer in that place: directly, or sealed once more to the
    /// member that passes it on.
    pub(super) fn send(
        &self,
        peers: &mut Peers,
        at: usize,
        timestamp: u32,
        datagram: &[u8],
        envelope: &mut [u8; MAX_ENVELOPE],
        class: Class,
    ) {
        let Some(peer) = &peers[at] else { return };
        if datagram.is_empty() {
            return;
        }
        let (id, relay, direct) = (peer.id, peer.relay, peer.address);
        let (address, packet) = match relay {
            None => (direct, datagram),
            Some(relay) => {
                // Nothing is relayed twice.
                let carries = |p: &&mut Box<TalkPeer>| p.id == relay && p.relay.is_none();
                let Some(relay) = peers.iter_mut().flatten().find(carries) else { return };
                let len = relay.sealer.relay(id, timestamp, datagram, envelope);
                (relay.address, &envelope[..len])
            }
        };
        let Some(counters) = self.shared.peers.get(usize::from(id.0)) else { return };
        match self.socket.send(address, packet, class) {
            Ok(true) => {
                counters.sent_bytes.fetch_add(packet.len() as u64 + IP_UDP_HEADERS, Relaxed);
            }
            Ok(false) | Err(_) => {
                counters.send_blocked.fetch_add(1, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::parse_payload;
    use crate::audio::reception::{Reception, ReceptionReport};
    use crate::devices::microphone::MicSink;
    use crate::engine::capture::MicTap;
    use crate::protocol::demux::{Demux, Demuxed};
    use crate::protocol::seal::PairKeys;
    use crate::video::fanout::Source;

    /// A talk thread's state without the thread, and who hears it.
    struct Bench {
        tap: MicTap,
        talk: Talk,
        video: VideoOut,
        control: TalkControl,
        heard: CallSocket,
        demux: Demux,
    }

    const PEER: ParticipantId = ParticipantId(1);

    fn bench() -> Bench {
        let shared = Arc::new(Shared::default());
        let local = Some("127.0.0.1:0".parse().unwrap());
        let socket = Arc::new(CallSocket::bind(local, 0).unwrap());
        let heard = CallSocket::bind(local, 0).unwrap();
        let (tap, ends) = MicTap::new(true);
        let encoder = TalkEncoder::new(32_000).unwrap();
        let (talk, control, video) =
            Talk::new(shared, socket, ends.live.unwrap(), (encoder, FrameLength::Full), 400);
        let mut b = Bench { tap, talk, video, control, heard, demux: Demux::new() };
        b.join([1; 32]);
        b
    }

    impl Bench {
        fn join(&mut self, key: [u8; 32]) {
            let keys = PairKeys { send: key, receive: [9; 32] };
            let sealer = MediaSealer::new(ParticipantId::HOST, &keys);
            let peer = Box::new(TalkPeer::new(PEER, self.heard.local_addr(), None, sealer));
            assert!(self.control.send(TalkCommand::Add(peer)));
            let theirs = PairKeys { send: [9; 32], receive: key };
            self.demux.add_peer(ParticipantId::HOST, &theirs);
        }

        fn say(&mut self, blocks: i64) {
            for i in 0..blocks {
                self.tap.samples(&[0.1; 240], Micros(i * 5_000));
            }
            self.talk.tick();
        }

        /// What has arrived: stream and number.
        fn hear(&mut self) -> Vec<(char, u64)> {
            let mut all = Vec::new();
            let mut buffer = [0; 2_048];
            while let Ok(Some(got)) = self.heard.recv(&mut buffer, Duration::from_millis(100)) {
                match self.demux.handle(&mut buffer[..got.len]) {
                    Demuxed::Audio { sequence, .. } => all.push(('a', sequence)),
                    Demuxed::Video { sequence, .. } => all.push(('v', sequence)),
                    Demuxed::Padding { .. } => all.push(('p', 0)),
                    other => panic!("{other:?}"),
                }
            }
            all
        }
    }

    #[test]
    fn carried_sound_goes_on_at_once_and_carried_pictures_behind_the_own_sound() {
        let mut b = bench();
        let mut carry = b.talk.carry();
        let (socket, to) = (b.talk.socket.clone(), b.heard.local_addr());
        // As two others have sealed it for each other: told apart by what it begins with.
        for (datagram, audio) in [([b'p'; 1_100], false), ([b's'; 1_100], true)] {
            carry.pass(&socket, to, &datagram, audio);
        }
        carry.pass(&socket, to, &[b'h'; 90], false);
        let first = |len: usize| {
            let mut buffer = [0; 2_048];
            let mut all = Vec::new();
            while let Ok(Some(got)) = b.heard.recv(&mut buffer, Duration::from_millis(100)) {
                all.push(if got.len == len { buffer[0] } else { b'-' });
            }
            all
        };
        assert_eq!(first(1_100), [b's', b'-'], "sound, and a heartbeat");
        for i in 0..2 {
            b.tap.samples(&[0.1; 240], Micros(i * 5_000));
        }
        b.talk.tick();
        assert_eq!(first(1_100), [b'-', b'-', b'p'], "own sound, then the picture");
    }

    #[test]
    fn audio_leaves_before_the_video_that_was_ready_first() {
        let mut b = bench();
        let mut frame = b.video.take();
        frame.keyframe = true;
        frame.data = vec![1; 600];
        assert!(b.video.send(Source::Main, frame));
        b.say(2);
        assert_eq!(b.hear(), [('a', 0), ('a', 1), ('v', 0)]);
    }

    #[test]
    fn padding_leaves_behind_audio_and_is_none_without_a_wish_for_it() {
        let mut b = bench();
        b.say(2);
        assert_eq!(b.hear(), [('a', 0), ('a', 1)]);
        let plan = VideoPlan {
            feed: None,
            kbps: [203, 72],
            pace_kbps: 1,
            held: false,
            cut_off: false,
            fill_kbps: 100_000,
        };
        assert!(b.control.send(TalkCommand::Video(PEER, plan)));
        b.say(1);
        b.say(1);
        let heard = b.hear();
        let padding = heard.iter().filter(|h| h.0 == 'p').count();
        assert!(heard[0] == ('a', 2) && heard[1] == ('a', 3), "{heard:?}");
        assert!(padding > 0 && padding + 2 == heard.len(), "{heard:?}");
        assert!(b.control.send(TalkCommand::Video(PEER, VideoPlan { fill_kbps: 0, ..plan })));
        b.say(1);
        assert_eq!(b.hear(), [('a', 4)]);
    }

    #[test]
    fn a_peer_that_comes_back_under_new_keys_hears_both_streams_from_zero() {
        let mut b = bench();
        b.say(3);
        assert_eq!(b.hear(), [('a', 0), ('a', 1), ('a', 2)]);
        b.join([2; 32]);
        let mut frame = b.video.take();
        frame.keyframe = true;
        frame.data = vec![1; 600];
        assert!(b.video.send(Source::Main, frame));
        b.say(1);
        assert_eq!(b.hear(), [('a', 0), ('v', 0)]);
    }

    #[test]
    fn who_comes_and_goes_is_told_even_where_the_queue_was_full_and_in_order() {
        let mut b = bench();
        b.say(1);
        assert_eq!(b.hear(), [('a', 0)]);
        while b.control.send(TalkCommand::Bitrate(32)) {}
        assert!(b.control.send(TalkCommand::Remove(PEER)));
        b.join([2; 32]);
        b.talk.tick();
        b.control.retry();
        b.say(1);
        assert_eq!(b.hear(), [('a', 0)], "under the new keys");
        assert!(b.control.late.is_empty() && b.control.send(TalkCommand::Bitrate(32)));
    }

    #[test]
    fn after_a_stall_the_latest_sound_is_sent_under_its_own_number() {
        let mut b = bench();
        b.say(1);
        assert_eq!(b.hear(), [('a', 0)]);
        // Half a second without the talk thread: the ring takes 200 ms of it.
        b.say(100);
        let burst = b.hear();
        assert!(burst.len() <= 21 && !burst.is_empty(), "{burst:?}");
        b.say(1);
        // The numbers count what was lost, too: nothing is late for good.
        assert_eq!(b.hear(), [('a', 101)]);
    }

    #[test]
    fn what_a_stall_of_our_own_left_out_is_no_loss_on_the_way() {
        let mut b = bench();
        let mut reception = Reception::new();
        for stall in [1, 100, 30, 1, 1, 1, 1, 1] {
            b.say(stall);
            for _ in 0..10 {
                b.say(1);
            }
            let mut buffer = [0; 2_048];
            while let Ok(Some(got)) = b.heard.recv(&mut buffer, Duration::from_millis(100)) {
                let Demuxed::Audio { sequence, payload, .. } =
                    b.demux.handle(&mut buffer[..got.len])
                else {
                    panic!("only audio is sent");
                };
                reception.push(sequence, &parse_payload(payload).unwrap(), Micros(0));
            }
        }
        assert_eq!(reception.report(), ReceptionReport::default());
    }

    #[test]
    fn silence_is_kept_back_but_for_a_packet_every_20_ms_and_a_plan_brings_copies() {
        let mut b = bench();
        b.talk.encoder = TalkEncoder::with_dtx(32_000).unwrap();
        for _ in 0..12 {
            for i in 0..20 {
                b.tap.samples(&[0.0; 240], Micros(i * 5_000));
            }
            b.talk.tick();
        }
        let heard = b.hear();
        let gaps: Vec<u64> = heard.windows(2).map(|w| w[1].1 - w[0].1).collect();
        // A frame more and a frame less by turns, so that all places against the cards' blocks come.
        assert!(gaps.iter().filter(|g| [3, 5].contains(*g)).count() > 30, "{gaps:?}");
        assert!(b.control.send(TalkCommand::Plan(PEER, Plan::copies(&[1, 3]))));
        assert!(b.control.send(TalkCommand::Bitrate(64)));
        b.say(1);
        b.say(4);
        let peer = b.talk.peers[0].as_ref().unwrap();
        assert_eq!(peer.packer.plan().count(), 2);
        assert_eq!(b.hear().len(), 5);
        assert!(b.talk.payload[0] >> 6 == 2, "two copies in the last packet");
    }

    #[test]
    fn a_tick_allocates_nothing() {
        let mut b = bench();
        b.say(1);
        let mut frame = b.video.take();
        frame.keyframe = true;
        frame.data = vec![1; 5_000];
        assert!(b.video.send(Source::Main, frame));
        for i in 0..8 {
            b.tap.samples(&[0.1; 480], Micros(i * 10_000));
        }
        assert_no_alloc::assert_no_alloc(|| {
            b.talk.tick();
            b.tap.samples(&[0.1; 480], Micros(90_000));
            b.talk.tick();
        });
    }
}
