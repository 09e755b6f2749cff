//! The talk thread: encodes the microphone and is the only sender of media.
//!
//! Real-time. It sleeps until the capture callback wakes it, encodes each 5 ms frame the moment it
//! is whole, sends it to every peer, and only then lets video fragments out, as many as the pacer
//! allows: so audio goes first by construction (PRD invariant 3). It never allocates, locks, logs,
//! or waits on anything but that wake-up; the socket is non-blocking.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::capture::Captured;
use super::shared::Shared;
use crate::audio::codec::{FRAME, TalkEncoder};
use crate::audio::framer::Framer;
use crate::audio::packet::{MAX_AUDIO_PAYLOAD, write_payload};
use crate::net::socket::{CallSocket, Class};
use crate::platform::clock;
use crate::protocol::fragment;
use crate::protocol::header::MAX_DATAGRAM;
use crate::protocol::seal::MediaSealer;
use crate::recording::gate::Gate;
use crate::units::{MAX_PEERS, Micros, ParticipantId};
use crate::video::pacer::Pacer;

/// Bytes of IPv4 and UDP headers in front of each datagram.
pub const IP_UDP_HEADERS: u64 = 28;
/// Header and tag of a video packet.
const OVERHEAD: usize = MAX_DATAGRAM - fragment::MAX_FRAGMENT;
/// Largest block a sound device hands over; the scratch buffer starts with it.
const LARGEST_BLOCK: usize = 8_192;
/// Pictures that wait at most: the newest one counts, and a keyframe before it.
const VIDEO_FRAMES: usize = 8;
/// Wake-up without samples (a lost microphone): video must still be paced.
const TICK: Duration = Duration::from_millis(5);

/// What the control thread tells the talk thread.
pub enum TalkCommand {
    /// Start sending to a peer.
    Add(Box<TalkPeer>),
    /// Stop sending to it.
    Remove(ParticipantId),
    /// It moved.
    Address(ParticipantId, SocketAddr),
}

/// One peer as the talk thread sees it.
pub struct TalkPeer {
    id: ParticipantId,
    address: SocketAddr,
    sealer: MediaSealer,
    /// Own frame number of this peer's audio sequence 0: counters begin with the keys.
    audio_base: Option<u64>,
    /// Own picture number of this peer's video sequence 0.
    video_base: Option<u64>,
}

impl TalkPeer {
    /// A peer whose handshake is done.
    pub fn new(id: ParticipantId, address: SocketAddr, sealer: MediaSealer) -> Self {
        Self { id, address, sealer, audio_base: None, video_base: None }
    }
}

/// An encoded picture on its way through the talk thread and back for reuse.
#[derive(Default)]
pub struct OutFrame {
    /// Keyframe.
    pub keyframe: bool,
    /// Own number, one a picture, without holes.
    pub number: u64,
    /// Payload header and VP8 data.
    pub data: Vec<u8>,
}

/// The live encoder's end: pictures out, spent ones back (so that the talk thread frees nothing).
pub struct VideoOut {
    shared: Arc<Shared>,
    frames: HeapProd<Box<OutFrame>>,
    spent: HeapCons<Box<OutFrame>>,
    next: u64,
}

impl VideoOut {
    /// An empty frame to fill.
    pub fn take(&mut self) -> Box<OutFrame> {
        self.spent.try_pop().unwrap_or_default()
    }

    /// Hands a frame over; when the talk thread is behind, the frame is dropped and `false` says
    /// that the next one must be a keyframe.
    pub fn send(&mut self, mut frame: Box<OutFrame>) -> bool {
        frame.number = self.next;
        self.next += 1;
        let bytes = frame.data.len() as u64;
        self.shared.video_backlog.fetch_add(bytes, Relaxed);
        let taken = self.frames.try_push(frame).is_ok();
        if !taken {
            self.shared.video_backlog.fetch_sub(bytes, Relaxed);
        }
        taken
    }

    /// Bytes that have not left yet.
    pub fn backlog(&self) -> usize {
        self.shared.video_backlog.load(Relaxed) as usize
    }
}

/// The control thread's end.
pub struct TalkControl {
    commands: HeapProd<TalkCommand>,
    spent: HeapCons<Box<TalkPeer>>,
}

impl TalkControl {
    /// Passes a command on. The ring holds more than four people can cause in a tick.
    pub fn send(&mut self, command: TalkCommand) -> bool {
        while self.spent.try_pop().is_some() {}
        self.commands.try_push(command).is_ok()
    }
}

/// The talk thread's state.
pub struct Talk {
    shared: Arc<Shared>,
    socket: Arc<CallSocket>,
    captured: Captured,
    block: Vec<f32>,
    framer: Framer,
    encoder: TalkEncoder,
    mute: Gate,
    payload: [u8; MAX_AUDIO_PAYLOAD],
    opus: [u8; MAX_AUDIO_PAYLOAD],
    datagram: [u8; MAX_DATAGRAM],
    peers: [Option<Box<TalkPeer>>; MAX_PEERS],
    commands: HeapCons<TalkCommand>,
    spent_peers: HeapProd<Box<TalkPeer>>,
    frames: HeapCons<Box<OutFrame>>,
    spent_frames: HeapProd<Box<OutFrame>>,
    /// The picture that is leaving and its next fragment.
    leaving: Option<(Box<OutFrame>, u8)>,
    pacer: Pacer,
}

impl Talk {
    /// The thread's state and the ends for control and live encoder. `video_kbps` sets the pace.
    pub fn new(
        shared: Arc<Shared>,
        socket: Arc<CallSocket>,
        captured: Captured,
        encoder: TalkEncoder,
        video_kbps: u32,
    ) -> (Self, TalkControl, VideoOut) {
        let out_shared = shared.clone();
        let (commands, command_end) = HeapRb::new(64).split();
        let (spent_peers, spent_peer_end) = HeapRb::new(64).split();
        let (frames, frame_end) = HeapRb::new(VIDEO_FRAMES).split();
        // Room for every frame that can exist, so that giving one back never fails.
        let (spent_frames, spent_frame_end) = HeapRb::new(VIDEO_FRAMES * 2).split();
        let talk = Self {
            shared,
            socket,
            captured,
            block: Vec::with_capacity(LARGEST_BLOCK),
            framer: Framer::new(),
            encoder,
            mute: Gate::new(false),
            payload: [0; MAX_AUDIO_PAYLOAD],
            opus: [0; MAX_AUDIO_PAYLOAD],
            datagram: [0; MAX_DATAGRAM],
            peers: Default::default(),
            commands: command_end,
            spent_peers,
            frames: frame_end,
            spent_frames,
            leaving: None,
            pacer: Pacer::new(video_kbps),
        };
        let control = TalkControl { commands, spent: spent_peer_end };
        (talk, control, VideoOut { shared: out_shared, frames, spent: spent_frame_end, next: 0 })
    }

    /// Runs until the call stops.
    pub fn run(mut self) {
        while !self.shared.stopping() {
            std::thread::park_timeout(TICK);
            self.tick();
        }
    }

    /// Everything that one wake-up does.
    pub fn tick(&mut self) {
        while let Some(command) = self.commands.try_pop() {
            self.obey(command);
        }
        self.mute.set(self.shared.muted.load(Relaxed));
        while let Some(captured) = self.captured.pop(&mut self.block) {
            self.mute.apply(&mut self.block);
            self.framer.push(&self.block, captured);
            self.talk();
        }
        self.show();
    }

    fn obey(&mut self, command: TalkCommand) {
        match command {
            TalkCommand::Add(peer) => {
                self.remove(peer.id);
                if let Some(slot) = self.peers.iter_mut().find(|s| s.is_none()) {
                    *slot = Some(peer);
                } else {
                    let _ = self.spent_peers.try_push(peer);
                }
            }
            TalkCommand::Remove(id) => self.remove(id),
            TalkCommand::Address(id, address) => {
                for peer in self.peers.iter_mut().flatten().filter(|p| p.id == id) {
                    peer.address = address;
                }
            }
        }
    }

    fn remove(&mut self, id: ParticipantId) {
        for slot in &mut self.peers {
            if slot.as_ref().is_some_and(|p| p.id == id)
                && let Some(peer) = slot.take()
            {
                let _ = self.spent_peers.try_push(peer);
            }
        }
    }

    /// Encodes and sends every frame that is whole.
    fn talk(&mut self) {
        let Self { framer, encoder, opus, payload, datagram, peers, socket, shared, .. } = self;
        while let Some((number, pcm, captured)) = framer.pop() {
            let ready = clock::now();
            let Ok(n) = encoder.encode(pcm, opus) else { continue };
            let n = write_payload(&opus[..n], payload);
            let timestamp = shared.timestamp_ms(captured);
            for peer in peers.iter_mut().flatten() {
                let base = *peer.audio_base.get_or_insert(number);
                let len = peer.sealer.audio(number - base, timestamp, &payload[..n], datagram);
                send(socket, shared, peer, &datagram[..len], Class::Audio);
            }
            let sent = clock::now();
            let whole = captured + (FRAME as i64 * 1_000_000 / 48_000);
            shared.encode_and_send.add(sent.since(ready));
            shared.capture_to_send.add(sent.since(whole));
        }
    }

    /// Lets video out, as much as the pacer allows.
    fn show(&mut self) {
        let now: Micros = clock::now();
        loop {
            let next = self.leaving.take().or_else(|| Some((self.frames.try_pop()?, 0)));
            let Some((frame, next)) = next else { break };
            let Some(count) = fragment::fragments(frame.data.len()) else {
                self.shared.video_backlog.fetch_sub(frame.data.len() as u64, Relaxed);
                let _ = self.spent_frames.try_push(frame);
                continue;
            };
            let part = fragment::fragment(&frame.data, next);
            if part.len() + OVERHEAD > self.pacer.budget(now) {
                self.leaving = Some((frame, next));
                break;
            }
            self.pacer.sent(part.len() + OVERHEAD);
            self.shared.video_backlog.fetch_sub(part.len() as u64, Relaxed);
            let (id, total) = if count == 1 { (0, 0) } else { (next, count) };
            let timestamp = self.shared.timestamp_ms(now);
            for peer in self.peers.iter_mut().flatten() {
                // A newcomer begins with a keyframe, and with its first fragment.
                if peer.video_base.is_none() && frame.keyframe && next == 0 {
                    peer.video_base = Some(frame.number);
                }
                let Some(base) = peer.video_base else { continue };
                let sequence = frame.number - base;
                let key = frame.keyframe;
                let out = &mut self.datagram;
                let len = peer.sealer.video(key, sequence, id, total, timestamp, part, out);
                send(&self.socket, &self.shared, peer, &out[..len], Class::Other);
            }
            if next + 1 < count {
                self.leaving = Some((frame, next + 1));
            } else {
                let _ = self.spent_frames.try_push(frame);
            }
        }
    }
}

fn send(socket: &CallSocket, shared: &Shared, peer: &TalkPeer, datagram: &[u8], class: Class) {
    if datagram.is_empty() {
        return;
    }
    let Some(counters) = shared.peers.get(usize::from(peer.id.0)) else { return };
    match socket.send(peer.address, datagram, class) {
        Ok(true) => {
            counters.sent_bytes.fetch_add(datagram.len() as u64 + IP_UDP_HEADERS, Relaxed);
        }
        Ok(false) | Err(_) => {
            counters.send_blocked.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::devices::microphone::MicSink;
    use crate::engine::capture::MicTap;
    use crate::protocol::demux::{Demux, Demuxed};
    use crate::protocol::seal::PairKeys;

    /// A member at the other end of the loopback.
    struct Listener {
        socket: UdpSocket,
        demux: Demux,
        audio: Vec<u64>,
        video: Vec<(u64, u8)>,
    }

    impl Listener {
        fn new(keys: &PairKeys) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut demux = Demux::new();
            demux.add_peer(ParticipantId::HOST, keys);
            Self { socket, demux, audio: Vec::new(), video: Vec::new() }
        }

        fn listen(&mut self) {
            let mut buffer = [0; 2_048];
            while let Ok(len) = self.socket.recv(&mut buffer) {
                match self.demux.handle(&mut buffer[..len]) {
                    Demuxed::Audio { sequence, .. } => self.audio.push(sequence),
                    Demuxed::Video { sequence, fragment, .. } => {
                        self.video.push((sequence, fragment));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn from_the_microphone_callback_to_the_socket_nothing_allocates() {
        let shared = Arc::new(Shared::default());
        shared.set_clock_offset(0);
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let socket = Arc::new(CallSocket::bind(listen, 0).unwrap());
        let (mut tap, mut ends) = MicTap::new(true);
        ends.talk.set(std::thread::current()).unwrap();
        let encoder = TalkEncoder::new(32_000).unwrap();
        let live = ends.live.take().unwrap();
        let (mut talk, mut control, mut video) =
            Talk::new(shared.clone(), socket, live, encoder, 400);

        let mut listeners = Vec::new();
        for id in 1..=MAX_PEERS as u8 {
            let ours = PairKeys { send: [id; 32], receive: [100 + id; 32] };
            let theirs = PairKeys { send: ours.receive, receive: ours.send };
            let listener = Listener::new(&theirs);
            let address = listener.socket.local_addr().unwrap();
            let sealer = MediaSealer::new(ParticipantId::HOST, &ours);
            let peer = TalkPeer::new(ParticipantId(id), address, sealer);
            assert!(control.send(TalkCommand::Add(Box::new(peer))));
            listeners.push(listener);
        }

        let block: Vec<f32> = (0..480).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
        for round in 0..200i64 {
            if round % 4 == 0 {
                let mut picture = video.take();
                picture.keyframe = round == 0;
                picture.data.clear();
                picture.data.resize(if round == 0 { 5_000 } else { 1_800 }, 7);
                video.send(picture);
            }
            if round == 100 {
                assert!(control.send(TalkCommand::Remove(ParticipantId(3))));
            }
            shared.muted.store((120..140).contains(&round), Relaxed);
            let period = [128, 480][round as usize % 2];
            assert_no_alloc::assert_no_alloc(|| {
                tap.samples(&block[..period], clock::now());
                talk.tick();
            });
            listeners.iter_mut().for_each(Listener::listen);
            // The pacer goes by real time.
            std::thread::park_timeout(Duration::from_millis(1));
        }

        let frames = 100 * (128 + 480) / FRAME as u64;
        for listener in &listeners[..2] {
            assert_eq!(listener.audio, (0..frames).collect::<Vec<_>>());
            assert!(listener.video.starts_with(&[(0, 0), (0, 1)]), "{:?}", listener.video);
            assert!(listener.video.is_sorted());
        }
        assert!((1..frames as usize).contains(&listeners[2].audio.len()), "removed half way");
        assert_eq!(ends.losses.live.load(Relaxed) + ends.losses.record.load(Relaxed), 0);
    }
}
