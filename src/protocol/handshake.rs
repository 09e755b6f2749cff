//! HELLO and WELCOME: the two messages of `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s` (DESIGN section 5).
//!
//! A handshake datagram is a type-4 packet whose payload is in clear up to the Noise message:
//!
//! ```text
//! HELLO    0 | kind | revision | Noise message 1 (ephemeral key 32, sealed body) | padding
//! answers  0 | kind | revision | first 16 bytes of the HELLO's ephemeral key | …
//!          … WELCOME: Noise message 2 (its body begins 0: welcome, 1: refused and why)
//!          … REFUSED: one byte, why; in clear, for a HELLO that the host could not open
//! ```
//!
//! Kinds: 1 HELLO with the invite's key, 2 HELLO without one, 3 WELCOME, 4 REFUSED; 5 to 9 are kept
//! for the knock, the cookie and guest-to-guest handshakes. A HELLO without a key is the same
//! pattern with a psk that everybody knows. The prologue holds the HELLO's header and its three clear
//! bytes. A HELLO is padded to [`MAX_DATAGRAM`], so that no answer is longer than the question. The
//! ephemeral key's place is the same in every revision: an answer can always be matched.

use std::net::SocketAddr;

use blake2::{Blake2s256, Digest};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use super::control::{MAX_NAME, Roster, StreamParameters, sanitise_name};
use super::header::{HEADER_LEN, Header, MAX_DATAGRAM, PacketType};
use super::invite::InviteKey;
use super::seal::{CONTROL_HANDSHAKE, PairKeys};
use super::wire::{Malformed, Reader, Writer, padding};
use crate::units::{ParticipantId, SessionMicros};

/// Where all randomness comes from: fills a slice. The operating system's in the program, seeded
/// in a test.
pub type Randomness = Box<dyn FnMut(&mut [u8]) + Send>;

/// Revision of the handshake and of the control messages. Raised when an older program could not
/// follow; whatever only adds fields or kinds leaves it.
pub const REVISION: u8 = 1;
/// Bytes of the guest's ephemeral key that an answer repeats.
const ECHO_LEN: usize = 16;
const EPHEMERAL_LEN: usize = 32;
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

const HELLO_KEYED: u8 = 1;
const HELLO_OPEN: u8 = 2;
const WELCOME: u8 = 3;
const REFUSED: u8 = 4;

/// Bit of the codec list in HELLO and WELCOME: Opus for live audio.
pub const CODEC_OPUS: u16 = 1;
/// Bit of the codec list in HELLO and WELCOME: VP8 for live video.
pub const CODEC_VP8: u16 = 2;

/// Why a host does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The invite's key is not this call's.
    #[error("the invite's key is not the one of this call; ask the host for the current invite")]
    Key,
    /// The call wants a key and the invite had none.
    #[error("this call needs the key of its invite; join with ADDRESS:PORT#KEY")]
    KeyNeeded,
    /// Four are in, or an id is not free again yet.
    #[error("the call is full; it holds 4, and a place is free again 30 s after somebody left")]
    Full,
    /// The host speaks another revision.
    #[error("the host's program speaks another version of the protocol; update both to the same")]
    Version,
    /// No codec in common.
    #[error("the host's program has no codec in common with this one; update both to the same")]
    Codecs,
    /// The clocks are more than half a day apart.
    #[error("this computer's date or time is wrong, or the host's is; set it and join again")]
    Clock,
    /// The HELLO made no sense to the host.
    #[error("the host could not understand this program; update both to the same version")]
    Malformed,
    /// The session that was joined is over and another runs there.
    #[error("the host has begun another session; join it anew")]
    OtherSession,
}

impl Refusal {
    fn to_wire(self) -> u8 {
        match self {
            Self::Key => 1,
            Self::KeyNeeded => 2,
            Self::Full => 3,
            Self::Version => 4,
            Self::Codecs => 5,
            Self::Clock => 6,
            Self::Malformed => 7,
            Self::OtherSession => 8,
        }
    }

    /// A reason that a later version added is still a refusal.
    fn from_wire(value: u8) -> Self {
        match value {
            1 => Self::Key,
            2 => Self::KeyNeeded,
            3 => Self::Full,
            4 => Self::Version,
            5 => Self::Codecs,
            6 => Self::Clock,
            8 => Self::OtherSession,
            _ => Self::Malformed,
        }
    }
}

/// What a guest says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Display name.
    pub name: String,
    /// Program version.
    pub version: String,
    /// [`CODEC_OPUS`] and so on.
    pub codecs: u16,
    /// What it sends.
    pub streams: StreamParameters,
    /// Where it may be reached.
    pub addresses: Vec<SocketAddr>,
    /// X25519 public key of its session.
    pub static_key: [u8; 32],
    /// Minutes since 1970 UTC; 0 where it is not known.
    pub utc_minute: u32,
    /// From the WELCOME of an earlier handshake, to have the same id again.
    pub ticket: Option<[u8; 16]>,
}

/// The session as the host began it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStart {
    /// Random.
    pub session_id: [u8; 8],
    /// UTC at the session clock's zero, microseconds since 1970.
    pub epoch_utc_micros: i64,
    /// The host's time zone: seconds east of UTC.
    pub utc_offset_seconds: i32,
    /// The session's name.
    pub name: Option<String>,
}

/// What a host says to a guest that it lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The guest's id.
    pub id: ParticipantId,
    /// This handshake's number.
    pub epoch: u32,
    /// The session.
    pub start: SessionStart,
    /// Known to members only; psk of guest-to-guest handshakes.
    pub secret: [u8; 32],
    /// Shown in a later HELLO, it brings the same id.
    pub ticket: [u8; 16],
    /// Where recording starts, when it is known.
    pub t0: Option<SessionMicros>,
    /// Program version of the host.
    pub version: String,
    /// Codecs of the host.
    pub codecs: u16,
    /// What the host sends.
    pub streams: StreamParameters,
    /// Who is in.
    pub roster: Roster,
}

/// A host's answer inside Noise message 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Come in.
    Welcome(Box<Welcome>),
    /// No.
    Refused(Refusal),
}

impl Hello {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut body = Writer(&mut bytes);
        body.text(&self.name);
        body.text(&self.version);
        body.u16(self.codecs);
        self.streams.write(&mut body);
        body.addresses(&self.addresses);
        body.bytes(&self.static_key);
        body.u32(self.utc_minute);
        match &self.ticket {
            Some(ticket) => {
                body.u8(1);
                body.bytes(ticket);
            }
            None => body.u8(0),
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut body = Reader(bytes);
        Ok(Self {
            name: sanitise_name(body.text()?),
            version: sanitise_name(body.text()?),
            codecs: body.u16()?,
            streams: StreamParameters::read(&mut body)?,
            addresses: body.addresses()?,
            static_key: body.array()?,
            utc_minute: body.u32()?,
            ticket: match body.u8()? {
                0 => None,
                _ => Some(body.array()?),
            },
        })
    }
}

impl Answer {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut body = Writer(&mut bytes);
        match self {
            Self::Refused(refusal) => {
                body.u8(1);
                body.u8(refusal.to_wire());
            }
            Self::Welcome(welcome) => {
                body.u8(0);
                body.u8(welcome.id.0);
                body.u32(welcome.epoch);
                body.bytes(&welcome.start.session_id);
                body.i64(welcome.start.epoch_utc_micros);
                body.i32(welcome.start.utc_offset_seconds);
                // An empty name is none.
                body.text(welcome.start.name.as_deref().unwrap_or(""));
                body.bytes(&welcome.secret);
                body.bytes(&welcome.ticket);
                body.i64(welcome.t0.map_or(i64::MIN, |t| t.0));
                body.text(&welcome.version);
                body.u16(welcome.codecs);
                welcome.streams.write(&mut body);
                welcome.roster.write(&mut body);
            }
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut body = Reader(bytes);
        if body.u8()? != 0 {
            return Ok(Self::Refused(Refusal::from_wire(body.u8()?)));
        }
        Ok(Self::Welcome(Box::new(Welcome {
            id: body.participant()?,
            epoch: body.u32()?,
            start: SessionStart {
                session_id: body.array()?,
                epoch_utc_micros: body.i64()?,
                utc_offset_seconds: body.i32()?,
                name: match body.text()? {
                    "" => None,
                    name => Some(sanitise_name(name)),
                },
            },
            secret: body.array()?,
            ticket: body.array()?,
            t0: Some(body.i64()?).filter(|&t| t != i64::MIN).map(SessionMicros),
            version: sanitise_name(body.text()?),
            codecs: body.u16()?,
            streams: StreamParameters::read(&mut body)?,
            roster: Roster::read(&mut body)?,
        })))
    }
}

/// Gives Noise 32 bytes that were drawn before: one key.
struct Drawn(Option<[u8; 32]>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        out.copy_from_slice(bytes.get(..out.len()).ok_or(snow::Error::Rng)?);
        Ok(())
    }
}

/// The default primitives with our randomness.
struct Primitives([u8; 32]);

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

fn builder<'a>(random: &mut Randomness) -> Builder<'a> {
    let mut seed = [0; 32];
    random(&mut seed);
    let params = PATTERN.parse().expect("the pattern is one that snow knows");
    Builder::with_resolver(params, Box::new(Primitives(seed)))
}

/// An X25519 key pair for one session.
pub(super) struct StaticKey {
    /// Needed by guest-to-guest handshakes.
    #[expect(
        dead_code,
        reason = "guests meet the host only, whose handshake proves no static key"
    )]
    private: [u8; 32],
    pub(super) public: [u8; 32],
}

impl StaticKey {
    pub(super) fn generate(random: &mut Randomness) -> Self {
        let pair = builder(random).generate_keypair().expect("32 bytes were drawn for it");
        let array = |v: Vec<u8>| v.try_into().expect("an X25519 key has 32 bytes");
        Self { private: array(pair.private), public: array(pair.public) }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// psk = BLAKE2s("hyperzoom invite 1" || key); without a key, of a text that everybody knows.
fn psk(key: Option<&InviteKey>) -> [u8; 32] {
    match key {
        Some(key) => hash(&[b"hyperzoom invite 1", &key.0]),
        None => hash(&[b"hyperzoom open 1"]),
    }
}

fn state(
    random: &mut Randomness,
    psk: &[u8; 32],
    prologue: &[u8],
    initiator: bool,
) -> HandshakeState {
    let builder = builder(random)
        .psk(0, psk)
        .and_then(|b| b.prologue(prologue))
        .expect("psk and prologue are set once");
    let built = if initiator { builder.build_initiator() } else { builder.build_responder() };
    built.expect("the pattern needs a psk and nothing else")
}

/// The HELLO's header and clear bytes.
fn prologue(header: &[u8], kind: u8, revision: u8) -> Vec<u8> {
    [b"hyperzoom 1".as_slice(), header, &[CONTROL_HANDSHAKE, kind, revision]].concat()
}

fn datagram(participant: ParticipantId, padding: bool, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        padding,
        kind: PacketType::Control,
        participant,
        sequence: 0,
        timestamp_ms: 0,
        payload_len: payload.len() as u16,
        fragment: 0,
        fragments: 0,
    };
    [&header.encode(), payload].concat()
}

/// A guest's side of one handshake.
pub(super) struct GuestHandshake {
    state: HandshakeState,
    /// What is sent, again and again, until an answer comes.
    pub(super) datagram: Vec<u8>,
    echo: [u8; ECHO_LEN],
}

/// What an answer says to a guest.
pub(super) enum GuestOutcome {
    /// In, with these keys.
    Welcome(Box<Welcome>, PairKeys),
    /// Not in.
    Refused(Refusal),
    /// Not an answer to this HELLO, or a forged one.
    Nothing,
}

impl GuestHandshake {
    pub(super) fn new(random: &mut Randomness, key: Option<&InviteKey>, hello: &Hello) -> Self {
        const PAYLOAD: usize = MAX_DATAGRAM - HEADER_LEN;
        let kind = if key.is_some() { HELLO_KEYED } else { HELLO_OPEN };
        // The header does not depend on what the payload will be: it is always as long as this.
        let header = datagram(ParticipantId::UNASSIGNED, true, &[0; PAYLOAD]);
        let prologue = prologue(&header[..HEADER_LEN], kind, REVISION);
        let mut state = state(random, &psk(key), &prologue, true);
        let mut noise = [0; PAYLOAD];
        let len = state
            .write_message(&hello.write(), &mut noise)
            .expect("a HELLO's fields have limits that keep it under a datagram");
        let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
        payload.extend(&noise[..len]);
        let padded = padding::add(&mut payload, PAYLOAD);
        debug_assert!(padded, "a HELLO's limits leave room for padding");
        let mut echo = [0; ECHO_LEN];
        echo.copy_from_slice(&noise[..ECHO_LEN]);
        Self { state, datagram: datagram(ParticipantId::UNASSIGNED, true, &payload), echo }
    }

    pub(super) fn answer(&mut self, datagram: &[u8]) -> GuestOutcome {
        self.try_answer(datagram).unwrap_or(GuestOutcome::Nothing)
    }

    fn try_answer(&mut self, datagram: &[u8]) -> Option<GuestOutcome> {
        let (_, payload) = Header::decode(datagram).ok()?;
        let [CONTROL_HANDSHAKE, kind, _revision, rest @ ..] = payload else { return None };
        let (echo, rest) = rest.split_first_chunk::<ECHO_LEN>()?;
        if *echo != self.echo {
            return None;
        }
        match *kind {
            REFUSED => Some(GuestOutcome::Refused(Refusal::from_wire(*rest.first()?))),
            WELCOME => {
                let mut body = [0; MAX_DATAGRAM];
                let len = self.state.read_message(rest, body.get_mut(..rest.len())?).ok()?;
                Some(match Answer::read(&body[..len]).ok()? {
                    Answer::Refused(refusal) => GuestOutcome::Refused(refusal),
                    Answer::Welcome(welcome) => {
                        let (send, receive) = self.state.dangerously_get_raw_split();
                        GuestOutcome::Welcome(welcome, PairKeys { send, receive })
                    }
                })
            }
            _ => None,
        }
    }
}

/// A HELLO as it is read before any secret is used.
pub(super) struct ClearHello<'a> {
    /// It was made with an invite's key.
    pub(super) keyed: bool,
    /// Of the guest's program.
    pub(super) revision: u8,
    /// The guest's ephemeral key: names this HELLO.
    pub(super) ephemeral: [u8; EPHEMERAL_LEN],
    header: &'a [u8],
    kind: u8,
    noise: &'a [u8],
}

impl<'a> ClearHello<'a> {
    /// `None` for whatever is not a HELLO of full length.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = Header::decode(bytes).ok()?;
        if bytes.len() < MAX_DATAGRAM || !header.padding || header.kind != PacketType::Control {
            return None;
        }
        let [CONTROL_HANDSHAKE, kind, revision, noise @ ..] = padding::strip(payload)? else {
            return None;
        };
        if *kind != HELLO_KEYED && *kind != HELLO_OPEN {
            return None;
        }
        Some(Self {
            keyed: *kind == HELLO_KEYED,
            revision: *revision,
            ephemeral: *noise.first_chunk()?,
            header: &bytes[..HEADER_LEN],
            kind: *kind,
            noise,
        })
    }

    fn clear_answer(&self, kind: u8) -> Vec<u8> {
        let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
        payload.extend(&self.ephemeral[..ECHO_LEN]);
        payload
    }

    /// REFUSED, in clear: for a HELLO that cannot be opened.
    pub(super) fn refuse(&self, refusal: Refusal) -> Vec<u8> {
        let mut payload = self.clear_answer(REFUSED);
        payload.push(refusal.to_wire());
        datagram(ParticipantId::HOST, false, &payload)
    }

    /// Opens it with the key that it says it has; `None` if that is not ours.
    pub(super) fn open(
        &self,
        random: &mut Randomness,
        key: &InviteKey,
    ) -> Option<(Result<Hello, Malformed>, HostHandshake)> {
        let prologue = prologue(self.header, self.kind, self.revision);
        let psk = psk(self.keyed.then_some(key));
        let mut state = state(random, &psk, &prologue, false);
        let mut body = [0; MAX_DATAGRAM];
        let len = state.read_message(self.noise, &mut body).ok()?;
        let handshake = HostHandshake { state, clear: self.clear_answer(WELCOME) };
        Some((Hello::read(&body[..len]), handshake))
    }
}

/// A host's side of one handshake, between HELLO and its answer.
pub(super) struct HostHandshake {
    state: HandshakeState,
    clear: Vec<u8>,
}

impl HostHandshake {
    /// The answer's datagram, and the keys shared with the guest.
    pub(super) fn answer(mut self, answer: &Answer) -> (Vec<u8>, PairKeys) {
        let mut noise = [0; MAX_DATAGRAM];
        let len = self
            .state
            .write_message(&answer.write(), &mut noise)
            .expect("names, addresses and members have limits that keep it under a datagram");
        let mut payload = self.clear;
        payload.extend(&noise[..len]);
        debug_assert!(HEADER_LEN + payload.len() <= MAX_DATAGRAM);
        let (receive, send) = self.state.dangerously_get_raw_split();
        (datagram(ParticipantId::HOST, false, &payload), PairKeys { send, receive })
    }
}

/// A name as it goes into HELLO and WELCOME: within its limit.
pub(super) fn short(text: &str) -> String {
    let name = sanitise_name(text);
    debug_assert!(name.len() <= MAX_NAME);
    name
}

#[cfg(test)]
mod tests {
    use super::super::control::Member;
    use super::super::wire::MAX_ADDRESSES;
    use super::*;
    use proptest::prelude::*;

    fn counting(mut next: u8) -> Randomness {
        Box::new(move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_mul(5).wrapping_add(7);
            }
        })
    }

    fn hello() -> Hello {
        Hello {
            name: "Bo".into(),
            version: "0.1.0".into(),
            codecs: CODEC_OPUS | CODEC_VP8,
            streams: StreamParameters::default(),
            addresses: vec!["192.0.2.1:7000".parse().unwrap()],
            static_key: [9; 32],
            utc_minute: 0x0102_0304,
            ticket: None,
        }
    }

    fn longest_welcome() -> Answer {
        let name = "n".repeat(MAX_NAME);
        let member = Member {
            id: ParticipantId(0),
            name: name.clone(),
            static_key: [1; 32],
            addresses: vec!["[2001:db8::1]:7000".parse().unwrap(); MAX_ADDRESSES],
            epoch: u32::MAX,
        };
        Answer::Welcome(Box::new(Welcome {
            id: ParticipantId(3),
            epoch: 7,
            start: SessionStart {
                session_id: [1; 8],
                epoch_utc_micros: 1,
                utc_offset_seconds: -3_600,
                name: Some(name.clone()),
            },
            secret: [2; 32],
            ticket: [3; 16],
            t0: Some(SessionMicros(5_000_000)),
            version: name,
            codecs: 3,
            streams: StreamParameters::default(),
            roster: Roster { epoch: 6, introducer: ParticipantId::HOST, members: vec![member; 3] },
        }))
    }

    // Written by hand from the fields' order.
    #[test]
    fn a_hello_body_has_the_written_layout() {
        let mut golden = vec![2, b'B', b'o', 5];
        golden.extend(b"0.1.0");
        golden.extend([0, 3]);
        // Stream parameters: 19 bytes; 48,000; 5,000; 32; 854x480; 24; 400; not known.
        golden.extend([19, 0, 0, 0xBB, 0x80, 0x13, 0x88, 0, 32]);
        golden.extend([0x03, 0x56, 0x01, 0xE0, 24, 0x01, 0x90, 0, 0, 0, 0]);
        // One IPv4 address.
        golden.extend([1, 4, 192, 0, 2, 1, 0x1B, 0x58]);
        golden.extend([9; 32]);
        golden.extend([1, 2, 3, 4, 0]);
        assert_eq!(hello().write(), golden);
        assert_eq!(Hello::read(&golden), Ok(hello()));
        golden.push(1);
        assert_eq!(Hello::read(&golden), Ok(hello()), "a body may grow");
    }

    #[test]
    fn both_sides_get_the_same_keys_crosswise() {
        let key = InviteKey([5; 16]);
        let mut guest = GuestHandshake::new(&mut counting(1), Some(&key), &hello());
        let datagram = guest.datagram.clone();
        let clear = ClearHello::read(&datagram).unwrap();
        let (heard, host) = clear.open(&mut counting(2), &key).unwrap();
        assert_eq!(heard, Ok(hello()));
        let (answer, host_keys) = host.answer(&longest_welcome());
        assert!(answer.len() <= MAX_DATAGRAM, "{} bytes", answer.len());
        let GuestOutcome::Welcome(welcome, guest_keys) = guest.answer(&answer) else {
            panic!("the WELCOME opens");
        };
        assert_eq!(Answer::Welcome(welcome), longest_welcome());
        assert_eq!(host_keys.send, guest_keys.receive);
        assert_eq!(host_keys.receive, guest_keys.send);
        assert_ne!(host_keys.send, host_keys.receive);
    }

    #[test]
    fn the_longest_hello_leaves_room_for_padding() {
        let long = Hello {
            name: "n".repeat(MAX_NAME),
            version: "v".repeat(MAX_NAME),
            addresses: vec!["[2001:db8::1]:7000".parse().unwrap(); MAX_ADDRESSES + 2],
            ticket: Some([1; 16]),
            ..hello()
        };
        let guest = GuestHandshake::new(&mut counting(1), None, &long);
        assert_eq!(guest.datagram.len(), MAX_DATAGRAM);
        let clear = ClearHello::read(&guest.datagram).unwrap();
        assert!(!clear.keyed);
        assert!(clear.open(&mut counting(2), &InviteKey([0; 16])).is_some());
    }

    #[test]
    fn the_same_randomness_makes_the_same_hello() {
        let make = || GuestHandshake::new(&mut counting(1), None, &hello()).datagram;
        assert_eq!(make(), make());
        let other = GuestHandshake::new(&mut counting(2), None, &hello()).datagram;
        assert_ne!(make(), other);
    }

    #[test]
    fn every_refusal_comes_back_and_an_unknown_one_is_one() {
        for refusal in [
            Refusal::Key,
            Refusal::KeyNeeded,
            Refusal::Full,
            Refusal::Version,
            Refusal::Codecs,
            Refusal::Clock,
            Refusal::Malformed,
            Refusal::OtherSession,
        ] {
            assert_eq!(
                Answer::read(&Answer::Refused(refusal).write()),
                Ok(Answer::Refused(refusal))
            );
        }
        assert_eq!(Answer::read(&[1, 200]), Ok(Answer::Refused(Refusal::Malformed)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_200), kind in 0u8..6) {
            let _ = ClearHello::read(&bytes);
            let _ = Answer::read(&bytes);
            if let Ok(hello) = Hello::read(&bytes) {
                prop_assert_eq!(Hello::read(&hello.write()), Ok(hello));
            }
            // The same behind a good beginning, and with the echo that gets it to Noise.
            let mut guest = GuestHandshake::new(&mut counting(1), None, &hello());
            let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
            payload.extend(guest.echo);
            payload.extend(&bytes);
            let answer = datagram(ParticipantId::HOST, false, &payload);
            let outcome = guest.answer(&answer);
            prop_assert!(!matches!(outcome, GuestOutcome::Welcome(..)));
            let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
            payload.extend(&bytes);
            payload.truncate(1_000);
            padding::add(&mut payload, MAX_DATAGRAM - HEADER_LEN);
            let question = datagram(ParticipantId::UNASSIGNED, true, &payload);
            if let Some(clear) = ClearHello::read(&question) {
                prop_assert!(clear.open(&mut counting(2), &InviteKey([1; 16])).is_none());
            }
        }
    }
}
