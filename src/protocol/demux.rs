//! From a datagram to what it carries: which peer, which stream, opened, seen for the first time.
//!
//! Owned by the receive thread. Opens in place and allocates nothing in [`Demux::handle`]. Whatever
//! does not parse, does not open or came before is counted and dropped; nothing moves any state
//! until it has opened. Says nothing of addresses: a key, not an address, tells who sent it.

use super::header::{HEADER_LEN, Header, HeaderError, PacketType, TAG_LEN};
use super::replay::{FragmentWindow, Window};
use super::seal::{CONTROL_HANDSHAKE, CONTROL_RELAY, CONTROL_SEALED, PairKeys, Seal, TALK_LANE};
use super::wire::padding;
use crate::units::{MAX_PARTICIPANTS, ParticipantId, extend_sequence};

/// What a datagram turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Demuxed<'a> {
    /// A handshake message: the whole datagram.
    Handshake(&'a [u8]),
    /// One audio packet.
    Audio {
        /// Who sent it.
        peer: ParticipantId,
        /// Counts the sender's audio frames.
        sequence: u64,
        /// Milliseconds of the session clock, as the sender told (informative).
        timestamp_ms: u32,
        /// Opened.
        payload: &'a [u8],
    },
    /// One fragment of a video frame.
    Video {
        /// Who sent it.
        peer: ParticipantId,
        /// Of a keyframe.
        keyframe: bool,
        /// Counts the sender's video frames.
        sequence: u64,
        /// From 0.
        fragment: u8,
        /// At least 1.
        fragments: u8,
        /// Milliseconds of the session clock, as the sender told (informative).
        timestamp_ms: u32,
        /// Opened.
        payload: &'a [u8],
    },
    /// Nothing: it was sent to see whether the path carries it. See
    /// [`super::MediaSealer::padding`].
    Padding {
        /// Who sent it.
        peer: ParticipantId,
    },
    /// Control messages.
    Control {
        /// Who sent them.
        peer: ParticipantId,
        /// Opened.
        payload: &'a [u8],
    },
    /// The peer leaves.
    Bye {
        /// Who.
        peer: ParticipantId,
    },
    /// A whole datagram of this peer for another member: send it there as it is, if the path to
    /// that member is a direct one (nothing is relayed twice).
    Relay {
        /// Who sent it; the datagram says so, too.
        peer: ParticipantId,
        /// For whom.
        to: ParticipantId,
        /// Sealed between the two ends, or a handshake message.
        datagram: &'a [u8],
    },
    /// Counted and dropped.
    Dropped(DropReason),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The header is not one of ours.
    Header(HeaderError),
    /// Too short for a tag, an unknown kind of control, impossible padding, or fragments where a
    /// stream has none.
    Malformed,
    /// Nobody with that id has keys.
    UnknownPeer,
    /// It came before, or is too old to tell.
    Replay,
    /// No key of that peer opens it.
    Unsealed,
    /// A packet to be passed on that must not be: in somebody else's name, to its sender, or relayed
    /// before.
    Relay,
}

/// How many datagrams were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounters {
    /// See [`DropReason::Header`].
    pub header: u64,
    /// See [`DropReason::Malformed`].
    pub malformed: u64,
    /// See [`DropReason::UnknownPeer`].
    pub unknown_peer: u64,
    /// See [`DropReason::Replay`].
    pub replay: u64,
    /// See [`DropReason::Unsealed`].
    pub unsealed: u64,
    /// See [`DropReason::Relay`].
    pub relay: u64,
}

impl DropCounters {
    /// All together.
    pub fn total(&self) -> u64 {
        self.header + self.malformed + self.unknown_peer + self.replay + self.unsealed + self.relay
    }
}

/// One handshake's key and what was opened with it.
struct Epoch {
    key: [u8; 32],
    seal: Seal,
    audio: Window,
    video: FragmentWindow,
    control: Window,
    /// Relay packets of the sender's talk thread.
    relay: Window,
    bye: Window,
}

impl Epoch {
    fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            seal: Seal::new(&key),
            audio: Window::default(),
            video: FragmentWindow::default(),
            control: Window::default(),
            relay: Window::default(),
            bye: Window::default(),
        }
    }

    fn newest(&self, header: &Header) -> u64 {
        match header.kind {
            PacketType::Control if header.fragments != 0 => self.relay.newest(),
            PacketType::Audio => self.audio.newest(),
            PacketType::VideoKey | PacketType::VideoDelta => self.video.newest(),
            PacketType::Control => self.control.newest(),
            PacketType::Bye => self.bye.newest(),
        }
    }

    fn is_new(&self, header: &Header, sequence: u64) -> bool {
        match header.kind {
            PacketType::Control if header.fragments != 0 => self.relay.is_new(sequence),
            PacketType::Audio => self.audio.is_new(sequence),
            PacketType::VideoKey | PacketType::VideoDelta => {
                self.video.is_new(sequence, header.fragment)
            }
            PacketType::Control => self.control.is_new(sequence),
            PacketType::Bye => self.bye.is_new(sequence),
        }
    }

    fn enter(&mut self, header: &Header, sequence: u64) {
        match header.kind {
            PacketType::Control if header.fragments != 0 => self.relay.enter(sequence),
            PacketType::Audio => self.audio.enter(sequence),
            PacketType::VideoKey | PacketType::VideoDelta => {
                self.video.enter(sequence, header.fragment);
            }
            PacketType::Control => self.control.enter(sequence),
            PacketType::Bye => self.bye.enter(sequence),
        }
    }

    /// Opens in place and enters the number, or says why not.
    fn open(
        &mut self,
        header: &Header,
        datagram: &mut [u8],
        clear: usize,
    ) -> Result<u64, DropReason> {
        let sequence = extend_sequence(self.newest(header), header.sequence);
        if !self.is_new(header, sequence) {
            return Err(DropReason::Replay);
        }
        if !self.seal.open(header, sequence, datagram, clear) {
            return Err(DropReason::Unsealed);
        }
        self.enter(header, sequence);
        Ok(sequence)
    }
}

/// The keys of one id: those in use, and those of a newer handshake that have opened nothing yet.
#[derive(Default)]
struct Slot {
    current: Option<Epoch>,
    next: Option<Epoch>,
    /// Of somebody who has said BYE: only what is to be passed on is opened with it.
    left: Option<Epoch>,
}

/// Opens and sorts what arrives. Owned by the receive thread.
#[derive(Default)]
pub struct Demux {
    slots: [Slot; MAX_PARTICIPANTS],
    drops: DropCounters,
}

impl Demux {
    /// With no peers: only handshakes pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the keys of a handshake. If the peer has keys already, both are tried until the
    /// new ones have opened a packet; the old ones are then forgotten.
    pub fn add_peer(&mut self, peer: ParticipantId, keys: &PairKeys) {
        let Some(slot) = self.slots.get_mut(usize::from(peer.0)) else { return };
        let known = |epoch: &Option<Epoch>| epoch.as_ref().is_some_and(|e| e.key == keys.receive);
        if known(&slot.current) || known(&slot.next) {
            // Their windows must not be forgotten.
            return;
        }
        let epoch = Some(Epoch::new(keys.receive));
        slot.left = None;
        if slot.current.is_none() {
            slot.current = epoch;
        } else {
            slot.next = epoch;
        }
    }

    /// A peer has said BYE to us. What it says to others through us, its BYE above all, may come after
    /// that and is still passed on, until somebody else has its id.
    pub fn peer_left(&mut self, peer: ParticipantId) {
        if let Some(slot) = self.slots.get_mut(usize::from(peer.0)) {
            *slot = Slot { left: slot.current.take(), ..Slot::default() };
        }
    }

    /// Forgets all keys of a peer.
    pub fn remove_peer(&mut self, peer: ParticipantId) {
        if let Some(slot) = self.slots.get_mut(usize::from(peer.0)) {
            *slot = Slot::default();
        }
    }

    /// How many datagrams were dropped.
    pub fn drops(&self) -> DropCounters {
        self.drops
    }

    /// Opens one datagram in place and says what it carries.
    pub fn handle<'a>(&mut self, datagram: &'a mut [u8]) -> Demuxed<'a> {
        match self.sort(datagram) {
            Ok(found) => found,
            Err(reason) => {
                let count = match reason {
                    DropReason::Header(_) => &mut self.drops.header,
                    DropReason::Malformed => &mut self.drops.malformed,
                    DropReason::UnknownPeer => &mut self.drops.unknown_peer,
                    DropReason::Replay => &mut self.drops.replay,
                    DropReason::Unsealed => &mut self.drops.unsealed,
                    DropReason::Relay => &mut self.drops.relay,
                };
                *count += 1;
                Demuxed::Dropped(reason)
            }
        }
    }

    fn sort<'a>(&mut self, datagram: &'a mut [u8]) -> Result<Demuxed<'a>, DropReason> {
        let (header, payload) = Header::decode(datagram).map_err(DropReason::Header)?;
        let clear = if header.kind == PacketType::Control {
            match payload.first() {
                Some(&CONTROL_HANDSHAKE) => return Ok(Demuxed::Handshake(datagram)),
                Some(&(CONTROL_SEALED | CONTROL_RELAY)) => HEADER_LEN + 1,
                _ => return Err(DropReason::Malformed),
            }
        } else {
            HEADER_LEN
        };
        let video = matches!(header.kind, PacketType::VideoKey | PacketType::VideoDelta);
        let relay = header.kind == PacketType::Control && payload[0] == CONTROL_RELAY;
        let talk_lane = relay && (header.fragment, header.fragments) == TALK_LANE;
        let whole = header.fragments == 0 || video || talk_lane;
        if datagram.len() < clear + TAG_LEN || !whole {
            return Err(DropReason::Malformed);
        }
        let peer = header.participant;
        let slot = self.slots.get_mut(usize::from(peer.0)).ok_or(DropReason::UnknownPeer)?;
        if let Some(left) = slot.left.as_mut().filter(|_| relay) {
            left.open(&header, datagram, clear)?;
            return passed_on(peer, &datagram[clear..datagram.len() - TAG_LEN]);
        }
        let current = slot.current.as_mut().ok_or(DropReason::UnknownPeer)?;
        let sequence = match (current.open(&header, datagram, clear), &mut slot.next) {
            (Ok(sequence), _) => sequence,
            (Err(reason), None) => return Err(reason),
            (Err(_), Some(next)) => {
                let sequence = next.open(&header, datagram, clear)?;
                slot.current = slot.next.take();
                sequence
            }
        };
        let mut payload = &datagram[clear..datagram.len() - TAG_LEN];
        if header.padding {
            payload = padding::strip(payload).ok_or(DropReason::Malformed)?;
        }
        Ok(match header.kind {
            PacketType::Audio => {
                Demuxed::Audio { peer, sequence, timestamp_ms: header.timestamp_ms, payload }
            }
            PacketType::VideoDelta if header.padding && payload.is_empty() => {
                Demuxed::Padding { peer }
            }
            PacketType::VideoKey | PacketType::VideoDelta => Demuxed::Video {
                peer,
                keyframe: header.kind == PacketType::VideoKey,
                sequence,
                fragment: header.fragment,
                fragments: header.fragments.max(1),
                timestamp_ms: header.timestamp_ms,
                payload,
            },
            PacketType::Control if relay => return passed_on(peer, payload),
            PacketType::Control => Demuxed::Control { peer, payload },
            PacketType::Bye => Demuxed::Bye { peer },
        })
    }
}

/// What a relay packet holds, if it may be passed on: nobody speaks for another id, and nothing is
/// relayed twice.
fn passed_on(peer: ParticipantId, payload: &[u8]) -> Result<Demuxed<'_>, DropReason> {
    let (to, datagram) = payload.split_first().ok_or(DropReason::Malformed)?;
    let to = ParticipantId(*to);
    let (inner, inside) = Header::decode(datagram).map_err(|_| DropReason::Relay)?;
    let again = inner.kind == PacketType::Control && inside.first() == Some(&CONTROL_RELAY);
    if inner.participant != peer || to == peer || again {
        return Err(DropReason::Relay);
    }
    Ok(Demuxed::Relay { peer, to, datagram })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::header::MAX_DATAGRAM;
    use crate::protocol::seal::{ControlSealer, MAX_ENVELOPE, MediaSealer};
    use proptest::prelude::*;

    const PEER: ParticipantId = ParticipantId(2);

    fn keys(seed: u8) -> PairKeys {
        PairKeys { send: [seed; 32], receive: [seed; 32] }
    }

    fn demux(seed: u8) -> Demux {
        let mut demux = Demux::new();
        demux.add_peer(PEER, &keys(seed));
        demux
    }

    fn audio(sealer: &mut MediaSealer, sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = [0; MAX_DATAGRAM];
        let len = sealer.audio(sequence, 77, payload, &mut out);
        assert_ne!(len, 0);
        out[..len].to_vec()
    }

    #[test]
    fn each_stream_comes_out_as_it_went_in() {
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut control = ControlSealer::new(PEER, &keys(1));
        let mut demux = demux(1);
        let mut datagram = audio(&mut media, 9, b"opus");
        assert_eq!(
            demux.handle(&mut datagram),
            Demuxed::Audio { peer: PEER, sequence: 9, timestamp_ms: 77, payload: b"opus" }
        );
        let mut out = [0; MAX_DATAGRAM];
        for (fragment, fragments) in [(0, 0), (2, 5)] {
            let sequence = u64::from(fragments);
            let len = media.video(true, sequence, fragment, fragments, 5, b"vp8", &mut out);
            let video = Demuxed::Video {
                peer: PEER,
                keyframe: true,
                sequence,
                fragment,
                fragments: fragments.max(1),
                timestamp_ms: 5,
                payload: b"vp8",
            };
            assert_eq!(demux.handle(&mut out[..len]), video);
        }
        let mut out = Vec::new();
        assert!(control.control(0, b"messages", &mut out));
        assert_eq!(demux.handle(&mut out), Demuxed::Control { peer: PEER, payload: b"messages" });
        assert!(control.bye(0, &mut out));
        assert_eq!(demux.handle(&mut out), Demuxed::Bye { peer: PEER });
        assert_eq!(demux.drops().total(), 0);
    }

    #[test]
    fn a_sequence_goes_on_across_its_16_bit_wrap() {
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut demux = demux(1);
        for expected in (0..200_000).step_by(30_000) {
            let mut datagram = audio(&mut media, expected, b"x");
            let Demuxed::Audio { sequence, .. } = demux.handle(&mut datagram) else {
                panic!("frame {expected} was not opened");
            };
            assert_eq!(sequence, expected);
        }
    }

    #[test]
    fn a_flip_of_any_bit_does_not_open() {
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut control = ControlSealer::new(PEER, &keys(1));
        let mut sealed_control = Vec::new();
        control.control(3, b"hello", &mut sealed_control);
        for good in [audio(&mut media, 0, b"secret"), sealed_control] {
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let mut demux = demux(1);
                let found = demux.handle(&mut bad);
                // A control packet whose kind byte says handshake is not sealed at all.
                let handshake = matches!(found, Demuxed::Handshake(_));
                assert!(handshake || matches!(found, Demuxed::Dropped(_)), "bit {bit}: {found:?}");
            }
        }
    }

    // DESIGN section 5: type 4, kind relay, sealed to the relay: destination, whole inner datagram.
    #[test]
    fn a_relay_packet_has_the_written_layout_and_gives_back_the_whole_datagram() {
        let inner = audio(&mut MediaSealer::new(PEER, &keys(9)), 0, b"opus");
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut control = ControlSealer::new(PEER, &keys(1));
        let mut demux = demux(1);
        let mut talk = [0; MAX_ENVELOPE];
        for n in 0..3u8 {
            let len = media.relay(ParticipantId(3), 5, &inner, &mut talk);
            assert_eq!(len, inner.len() + 30);
            // V=1, type 4; the sender; its number; time; length; lane 1 of 2; relay.
            assert_eq!(talk[..8], [0x44, 2, 0, n, 0, 0, 0, 5]);
            assert_eq!(talk[10..13], [1, 2, CONTROL_RELAY]);
            let relay = Demuxed::Relay { peer: PEER, to: ParticipantId(3), datagram: &inner };
            let mut again = talk;
            assert_eq!(demux.handle(&mut talk[..len]), relay);
            let again = demux.handle(&mut again[..len]) == Demuxed::Dropped(DropReason::Replay);
            assert!(again);
            let mut out = Vec::new();
            assert!(control.relay(ParticipantId(3), 5, &inner, &mut out));
            assert_eq!(out[10..13], [0, 0, CONTROL_RELAY]);
            let relay = Demuxed::Relay { peer: PEER, to: ParticipantId(3), datagram: &inner };
            assert_eq!(demux.handle(&mut out), relay);
        }
        let full = [0x41; MAX_DATAGRAM];
        assert_eq!(media.relay(ParticipantId(3), 0, &full, &mut talk), MAX_ENVELOPE);
    }

    #[test]
    fn nothing_is_relayed_twice_or_in_another_name_or_back() {
        let mut control = ControlSealer::new(PEER, &keys(1));
        let mut demux = demux(1);
        let mut refused = |to: u8, inner: &[u8]| {
            let mut out = Vec::new();
            assert!(control.relay(ParticipantId(to), 0, inner, &mut out));
            demux.handle(&mut out) == Demuxed::Dropped(DropReason::Relay)
        };
        let own = audio(&mut MediaSealer::new(PEER, &keys(9)), 0, b"opus");
        let another = audio(&mut MediaSealer::new(ParticipantId(1), &keys(9)), 0, b"opus");
        let mut relayed = Vec::new();
        let mut once = ControlSealer::new(PEER, &keys(9));
        assert!(once.relay(ParticipantId(3), 0, &own, &mut relayed));
        relayed.truncate(MAX_DATAGRAM);
        assert!(!refused(3, &own));
        assert!(refused(2, &own));
        assert!(refused(3, &another));
        assert!(refused(3, &relayed));
        assert!(refused(3, b"no header"));
    }

    #[test]
    fn a_packet_passes_once() {
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut demux = demux(1);
        let datagram = audio(&mut media, 0, b"x");
        assert!(matches!(demux.handle(&mut datagram.clone()), Demuxed::Audio { .. }));
        let again = demux.handle(&mut datagram.clone()) == Demuxed::Dropped(DropReason::Replay);
        assert!(again);
        assert_eq!(demux.drops().replay, 1);
    }

    #[test]
    fn padding_passes_once_beside_the_pictures_and_is_neither_one_nor_a_gap() {
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut demux = demux(1);
        let mut out = [0; MAX_DATAGRAM];
        // Before any picture, and far into a stream of padding alone.
        for (sequence, part) in [(0, 0), (0, 126), (1, 0), (20_000, 5)] {
            let len = media.padding(sequence, part, 5, 90, &mut out);
            let mut again = out;
            assert_eq!(demux.handle(&mut out[..len]), Demuxed::Padding { peer: PEER });
            let replay = Demuxed::Dropped(DropReason::Replay);
            assert_eq!(demux.handle(&mut again[..len]), replay, "{sequence} {part}");
        }
        // The picture of that number is not taken for one that came before.
        let len = media.video(false, 20_000, 0, 1, 5, b"vp8", &mut out);
        let found = demux.handle(&mut out[..len]);
        assert!(matches!(found, Demuxed::Video { sequence: 20_000, .. }), "{found:?}");
        assert_eq!(demux.drops().malformed, 0);
    }

    #[test]
    fn who_has_said_bye_is_heard_no_more_but_its_bye_to_others_is_passed_on() {
        let mut demux = demux(1);
        let mut media = MediaSealer::new(PEER, &keys(1));
        let mut control = ControlSealer::new(PEER, &keys(1));
        let inner = audio(&mut MediaSealer::new(PEER, &keys(9)), 0, b"opus");
        let mut relayed = || {
            let mut out = Vec::new();
            assert!(control.relay(ParticipantId(3), 0, &inner, &mut out));
            out
        };
        demux.peer_left(PEER);
        let unknown = Demuxed::Dropped(DropReason::UnknownPeer);
        assert_eq!(demux.handle(&mut audio(&mut media, 0, b"x")), unknown);
        let (mut passes, mut again) = (relayed(), Vec::new());
        again.extend_from_slice(&passes);
        let relay = Demuxed::Relay { peer: PEER, to: ParticipantId(3), datagram: &inner };
        assert_eq!(demux.handle(&mut passes), relay);
        assert_eq!(demux.handle(&mut again), Demuxed::Dropped(DropReason::Replay));
        // Another has the id, or a person has removed it.
        demux.add_peer(PEER, &keys(2));
        assert_eq!(demux.handle(&mut relayed()), Demuxed::Dropped(DropReason::Unsealed));
        demux.peer_left(PEER);
        demux.remove_peer(PEER);
        assert_eq!(demux.handle(&mut relayed()), unknown);
    }

    #[test]
    fn strangers_are_counted_and_dropped() {
        let mut demux = Demux::new();
        let mut media = MediaSealer::new(PEER, &keys(1));
        let datagram = audio(&mut media, 0, b"x");
        let unknown = Demuxed::Dropped(DropReason::UnknownPeer);
        assert_eq!(demux.handle(&mut datagram.clone()), unknown);
        demux.add_peer(PEER, &keys(2));
        let unsealed = Demuxed::Dropped(DropReason::Unsealed);
        assert_eq!(demux.handle(&mut datagram.clone()), unsealed);
        demux.remove_peer(PEER);
        assert_eq!(demux.handle(&mut datagram.clone()), unknown);
        let mut relay = vec![0x44, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, CONTROL_RELAY];
        assert_eq!(demux.handle(&mut relay), Demuxed::Dropped(DropReason::Malformed));
        assert!(matches!(demux.handle(&mut [1, 2]), Demuxed::Dropped(DropReason::Header(_))));
        assert_eq!(demux.drops().total(), 5);
    }

    #[test]
    fn old_keys_work_until_the_new_ones_have_opened_a_packet() {
        let mut old = MediaSealer::new(PEER, &keys(1));
        let mut new = MediaSealer::new(PEER, &keys(2));
        let mut demux = demux(1);
        assert!(matches!(demux.handle(&mut audio(&mut old, 0, b"x")), Demuxed::Audio { .. }));
        demux.add_peer(PEER, &keys(2));
        assert!(matches!(demux.handle(&mut audio(&mut old, 1, b"x")), Demuxed::Audio { .. }));
        assert!(matches!(demux.handle(&mut audio(&mut new, 0, b"x")), Demuxed::Audio { .. }));
        let late =
            demux.handle(&mut audio(&mut old, 2, b"x")) == Demuxed::Dropped(DropReason::Unsealed);
        assert!(late);
        // Told again of the same keys, the windows stay.
        demux.add_peer(PEER, &keys(2));
        let mut same = MediaSealer::new(PEER, &keys(2));
        let again =
            demux.handle(&mut audio(&mut same, 0, b"x")) == Demuxed::Dropped(DropReason::Replay);
        assert!(again);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0u8..8) {
            let mut demux = demux(1);
            if bytes.len() >= 12 {
                bytes[0] = 0x40 | kind;
                bytes[1] &= 3;
                let len = (bytes.len() - 12) as u16;
                bytes[8..10].copy_from_slice(&len.to_be_bytes());
            }
            let opened = matches!(
                demux.handle(&mut bytes),
                Demuxed::Audio { .. } | Demuxed::Video { .. } | Demuxed::Control { .. } | Demuxed::Bye { .. }
            );
            prop_assert!(!opened);
        }
    }
}
