//! Handshakes: how a stranger becomes a member, and how members get their keys (DESIGN section 5).
//!
//! A handshake datagram is a type-4 packet whose payload is in clear up to the Noise message:
//!
//! ```text
//! HELLO 1, KNOCK 5    0 | kind | revision | Noise message 1 (ephemeral key 32, sealed body) | cookie | padding
//! REVEAL 7            0 | kind | revision | echo | sealed body | padding
//! PAIR 10             0 | kind | revision | whom | Noise message 1 | cookie | padding
//! answers             0 | kind | revision | echo: first 16 bytes of the question's ephemeral key | …
//!   WELCOME 3, KNOCKED 6, PAIRED 11   … Noise message 2
//!   VERDICT 8                         … sealed body
//!   REFUSED 4                         … one byte, why; in clear, for what could not be opened
//!   COOKIE 9                          … 16 bytes to put behind the same Noise message
//! PUNCH 12            0 | kind | revision: opens the sender's NAT and says nothing
//! ```
//!
//! - HELLO and WELCOME are `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s` with the invite's key: see `join`.
//! - KNOCK, KNOCKED, REVEAL and VERDICT are the same pattern with a psk that everybody knows: see `knock`.
//! - PAIR and PAIRED are `Noise_KKpsk0` between members: see `pair`.
//!
//! The prologue holds the question's header and clear bytes (without the cookie's bit, 0x80 of the
//! kind: the same Noise message goes out with and without a cookie). Questions are padded, so that no
//! answer is longer. The ephemeral key's place is the same in every revision: an answer can always
//! be matched.

mod bodies;
pub(super) mod join;
pub(super) mod knock;
pub(super) mod pair;
#[cfg(test)]
mod tests;

use blake2::{Blake2s256, Digest};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use super::header::{HEADER_LEN, Header, MAX_DATAGRAM, PacketType};
use super::invite::InviteKey;
use super::name::{MAX_NAME, sanitise_name};
use super::seal::CONTROL_HANDSHAKE;
use super::wire::padding;
use crate::units::ParticipantId;
pub use bodies::{Answer, CODEC_OPUS, CODEC_VP8, Hello, Refusal, SessionStart, Welcome};

/// Where all randomness comes from: fills a slice. The operating system's in the program, seeded
/// in a test.
pub type Randomness = Box<dyn FnMut(&mut [u8]) + Send>;

/// Revision of the handshake and of the control messages. Raised when an older program could not
/// follow; whatever only adds fields or kinds leaves it.
pub const REVISION: u8 = 2;
/// Bytes of the asker's ephemeral key that an answer repeats.
const ECHO_LEN: usize = 16;
const EPHEMERAL_LEN: usize = 32;
/// Bytes of a cookie.
const COOKIE_LEN: usize = 16;
/// Whatever a datagram of full length has behind its header.
const FULL: usize = MAX_DATAGRAM - HEADER_LEN;
const NN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const KK: &str = "Noise_KKpsk0_25519_ChaChaPoly_BLAKE2s";

const HELLO: u8 = 1;
const WELCOME: u8 = 3;
const REFUSED: u8 = 4;
const KNOCK: u8 = 5;
const KNOCKED: u8 = 6;
const REVEAL: u8 = 7;
const VERDICT: u8 = 8;
const COOKIE: u8 = 9;
const PAIR: u8 = 10;
const PAIRED: u8 = 11;
const PUNCH: u8 = 12;
/// Set in a question's kind where a cookie stands behind the Noise message.
const WITH_COOKIE: u8 = 0x80;

/// What a handshake datagram is, before anything of it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A stranger's question: HELLO, KNOCK, REVEAL.
    Stranger,
    /// An answer to a stranger's question, or a cookie for any.
    Answer,
    /// A member's question.
    Pair,
    /// Its answer.
    Paired,
    /// Nothing to do.
    Punch,
}

/// Sorts a handshake datagram.
pub(super) fn kind_of(datagram: &[u8]) -> Option<Kind> {
    let (_, payload) = Header::decode(datagram).ok()?;
    let [CONTROL_HANDSHAKE, kind, ..] = payload else { return None };
    Some(match kind & !WITH_COOKIE {
        HELLO | KNOCK | REVEAL => Kind::Stranger,
        WELCOME | REFUSED | KNOCKED | VERDICT | COOKIE => Kind::Answer,
        PAIR => Kind::Pair,
        PAIRED => Kind::Paired,
        PUNCH => Kind::Punch,
        _ => return None,
    })
}

/// A stranger's question as members forward it to each other: without its padding.
pub(super) fn unpadded(datagram: &[u8]) -> Option<&[u8]> {
    let (header, payload) = Header::decode(datagram).ok()?;
    if datagram.len() != MAX_DATAGRAM || !header.padding {
        return None;
    }
    padding::strip(payload)
}

/// The question again, as it was sent.
pub(super) fn padded(payload: &[u8]) -> Option<Vec<u8>> {
    let mut payload = payload.to_vec();
    padding::add(&mut payload, FULL).then(|| datagram(ParticipantId::UNASSIGNED, true, &payload))
}

/// An answer that goes out under the name of the member that passes it on.
pub(super) fn in_the_name_of(mut datagram: Vec<u8>, member: ParticipantId) -> Vec<u8> {
    if let Some(participant) = datagram.get_mut(1) {
        *participant = member.0;
    }
    datagram
}

/// Opens our NAT towards an address.
pub(super) fn punch(own: ParticipantId) -> Vec<u8> {
    datagram(own, false, &[CONTROL_HANDSHAKE, PUNCH, REVISION])
}

/// The sender that a handshake datagram names; nobody has proven it.
pub(super) fn claimed_sender(datagram: &[u8]) -> Option<ParticipantId> {
    Header::decode(datagram).ok().map(|(header, _)| header.participant)
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

fn builder<'a>(random: &mut Randomness, pattern: &str) -> Builder<'a> {
    let mut seed = [0; 32];
    random(&mut seed);
    let params = pattern.parse().expect("the pattern is one that snow knows");
    Builder::with_resolver(params, Box::new(Primitives(seed)))
}

/// An X25519 key pair for one session.
pub(in super::super) struct StaticKey {
    pub(super) private: [u8; 32],
    pub(in super::super) public: [u8; 32],
}

impl StaticKey {
    pub(in super::super) fn generate(random: &mut Randomness) -> Self {
        let pair = builder(random, NN).generate_keypair().expect("32 bytes were drawn for it");
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
    let builder = builder(random, NN)
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

/// The answer to a question that must come again with this.
pub(super) fn cookie_answer(
    own: ParticipantId,
    ephemeral: &[u8; EPHEMERAL_LEN],
    cookie: &[u8; COOKIE_LEN],
) -> Vec<u8> {
    let mut payload = clear_answer(COOKIE, ephemeral);
    payload.extend(cookie);
    datagram(own, false, &payload)
}

fn clear_answer(kind: u8, ephemeral: &[u8; EPHEMERAL_LEN]) -> Vec<u8> {
    let mut payload = vec![CONTROL_HANDSHAKE, kind, REVISION];
    payload.extend(&ephemeral[..ECHO_LEN]);
    payload
}

/// Kind and rest of an answer to the question that began with `echo`.
fn read_answer<'a>(datagram: &'a [u8], echo: &[u8; ECHO_LEN]) -> Option<(u8, &'a [u8])> {
    let (_, payload) = Header::decode(datagram).ok()?;
    let [CONTROL_HANDSHAKE, kind, _revision, rest @ ..] = payload else { return None };
    let (there, rest) = rest.split_first_chunk::<ECHO_LEN>()?;
    (there == echo).then_some((*kind, rest))
}

/// A question: clear bytes, Noise message, cookie, padding to `len` behind the header.
fn question(
    own: ParticipantId,
    clear: &[u8],
    noise: &[u8],
    cookie: Option<&[u8; COOKIE_LEN]>,
    len: usize,
) -> Vec<u8> {
    let mut payload = clear.to_vec();
    payload.extend(noise);
    if let Some(cookie) = cookie {
        payload[1] |= WITH_COOKIE;
        payload.extend(cookie);
    }
    let padded = padding::add(&mut payload, len);
    debug_assert!(padded, "the limits of all fields leave room for padding");
    datagram(own, true, &payload)
}

/// Noise message and cookie of a question, `payload` being what follows its clear bytes.
fn split_cookie(kind: u8, payload: &[u8]) -> Option<(&[u8], Option<[u8; COOKIE_LEN]>)> {
    if kind & WITH_COOKIE == 0 {
        return Some((payload, None));
    }
    let (noise, cookie) = payload.split_last_chunk::<COOKIE_LEN>()?;
    Some((noise, Some(*cookie)))
}

/// A name as it goes into HELLO and WELCOME: within its limit.
pub(super) fn short(text: &str) -> String {
    let name = sanitise_name(text);
    debug_assert!(name.len() <= MAX_NAME);
    name
}
