//! Joining without a key, in three messages, so that two people can compare a code.
//!
//! KNOCK commits to the guest's random number, KNOCKED shows the host's, REVEAL shows the guest's:
//! nobody between the two can choose numbers that give both sides the same code, because each is fixed
//! before the other is known. The name and the addresses travel in REVEAL, sealed.

use snow::HandshakeState;

use super::bodies::{Answer, Hello, Refusal};
use super::join::{ClearHello, GuestOutcome, ask, clear_outcome, echo_of, full_header};
use super::{
    COOKIE_LEN, ECHO_LEN, EPHEMERAL_LEN, FULL, KNOCK, KNOCKED, REVEAL, REVISION, Randomness,
    VERDICT, clear_answer, datagram, hash, question, read_answer,
};
use crate::protocol::header::{HEADER_LEN, Header, MAX_DATAGRAM, PacketType};
use crate::protocol::seal::{CONTROL_HANDSHAKE, PairKeys, seal_once, unseal_once};
use crate::protocol::wire::padding;
use crate::units::ParticipantId;

/// Bytes of either side's random number.
const NONCE_LEN: usize = 16;

/// The number that both sides show, 0 to 999,999.
fn code(handshake: &[u8], guest: &[u8; NONCE_LEN], host: &[u8; NONCE_LEN]) -> u32 {
    let digest = hash(&[handshake, guest, host]);
    let [a, b, c, d, e, f, g, h, ..] = digest;
    // 64 bits: that a million does not divide them is not to be noticed.
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 1_000_000) as u32
}

/// The keys of REVEAL and VERDICT: never those of the pair, whose numbers begin at 0 later.
fn door_keys(keys: &PairKeys) -> PairKeys {
    let derive = |key: &[u8; 32]| hash(&[b"hyperzoom door 1", key]);
    PairKeys { send: derive(&keys.send), receive: derive(&keys.receive) }
}

/// Numbers of what the door keys seal: each seals one text only.
const NUMBER_REVEAL: u64 = 0;
const NUMBER_WAITING: u64 = 0;
const NUMBER_VERDICT: u64 = 1;

/// A guest's side.
pub(in super::super) struct GuestKnock {
    state: HandshakeState,
    noise: Vec<u8>,
    echo: [u8; ECHO_LEN],
    ephemeral: [u8; EPHEMERAL_LEN],
    nonce: [u8; NONCE_LEN],
    hello: Hello,
    answered: Option<Answered>,
}

struct Answered {
    reveal: Vec<u8>,
    keys: PairKeys,
    waiting: bool,
}

/// What an answer says to a guest that knocks.
pub(in super::super) enum KnockOutcome {
    /// Show this code; [`GuestKnock::datagram`] is now the REVEAL.
    Code(u32),
    /// A person there has been asked.
    Waiting,
    /// As with a key.
    Other(GuestOutcome),
}

impl GuestKnock {
    pub(in super::super) fn new(random: &mut Randomness, hello: Hello) -> Self {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let (state, noise) = ask(random, KNOCK, None, &hash(&[&nonce]));
        let echo = echo_of(&noise);
        let mut ephemeral = [0; EPHEMERAL_LEN];
        if let Some(first) = noise.first_chunk() {
            ephemeral = *first;
        }
        Self { state, noise, echo, ephemeral, nonce, hello, answered: None }
    }

    /// What is sent until there is news.
    pub(in super::super) fn datagram(&self, cookie: Option<&[u8; COOKIE_LEN]>) -> Vec<u8> {
        match &self.answered {
            Some(answered) => answered.reveal.clone(),
            None => {
                let clear = [CONTROL_HANDSHAKE, KNOCK, REVISION];
                question(ParticipantId::UNASSIGNED, &clear, &self.noise, cookie, FULL)
            }
        }
    }

    /// The person at the other end has been asked.
    pub(in super::super) fn is_waiting(&self) -> bool {
        self.answered.as_ref().is_some_and(|a| a.waiting)
    }

    pub(in super::super) fn answer(&mut self, datagram: &[u8]) -> KnockOutcome {
        self.try_answer(datagram).unwrap_or(KnockOutcome::Other(GuestOutcome::Nothing))
    }

    fn try_answer(&mut self, datagram: &[u8]) -> Option<KnockOutcome> {
        let (kind, rest) = read_answer(datagram, &self.echo)?;
        match (kind, &mut self.answered) {
            (KNOCKED, None) => self.knocked(rest),
            (VERDICT, Some(answered)) => {
                let keys = door_keys(&answered.keys);
                // Without the header: a member that passes it on puts its own name there.
                let aad = &datagram[HEADER_LEN..datagram.len() - rest.len()];
                if unseal_once(&keys.receive, NUMBER_WAITING, aad, rest).is_some() {
                    answered.waiting = true;
                    return Some(KnockOutcome::Waiting);
                }
                let body = unseal_once(&keys.receive, NUMBER_VERDICT, aad, rest)?;
                Some(KnockOutcome::Other(match Answer::read(&body).ok()? {
                    Answer::Refused(reason) => GuestOutcome::Refused { reason, sealed: true },
                    Answer::Welcome(welcome) => {
                        GuestOutcome::Welcome(welcome, answered.keys.clone())
                    }
                }))
            }
            // Once there is somebody to talk to, nothing in clear counts.
            (_, Some(_)) => None,
            (_, None) => clear_outcome(kind, rest).map(KnockOutcome::Other),
        }
    }

    fn knocked(&mut self, rest: &[u8]) -> Option<KnockOutcome> {
        let mut body = [0; MAX_DATAGRAM];
        let len = self.state.read_message(rest, body.get_mut(..rest.len())?).ok()?;
        let host: [u8; NONCE_LEN] = body[..len].first_chunk().copied()?;
        let (send, receive) = self.state.dangerously_get_raw_split();
        let keys = PairKeys { send, receive };
        let code = code(self.state.get_handshake_hash(), &self.nonce, &host);
        let mut text = self.nonce.to_vec();
        text.extend(self.hello.write());
        let clear = clear_answer(REVEAL, &self.ephemeral);
        let aad = [&full_header()[..], &clear].concat();
        let sealed = seal_once(&door_keys(&keys).send, NUMBER_REVEAL, &aad, &text);
        let reveal = question(ParticipantId::UNASSIGNED, &clear, &sealed, None, FULL);
        self.answered = Some(Answered { reveal, keys, waiting: false });
        Some(KnockOutcome::Code(code))
    }
}

/// A REVEAL as it is read before any secret is used.
pub(in super::super) struct ClearReveal<'a> {
    /// The first bytes of the KNOCK's ephemeral key.
    pub(in super::super) echo: [u8; ECHO_LEN],
    aad: Vec<u8>,
    sealed: &'a [u8],
}

impl<'a> ClearReveal<'a> {
    pub(in super::super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = Header::decode(bytes).ok()?;
        if bytes.len() != MAX_DATAGRAM || !header.padding || header.kind != PacketType::Control {
            return None;
        }
        let payload = padding::strip(payload)?;
        let [CONTROL_HANDSHAKE, REVEAL, _revision, rest @ ..] = payload else { return None };
        let (echo, sealed) = rest.split_first_chunk::<ECHO_LEN>()?;
        let aad = [&bytes[..HEADER_LEN], &payload[..payload.len() - sealed.len()]].concat();
        Some(Self { echo: *echo, aad, sealed })
    }
}

/// A host's side, from KNOCK on.
pub(in super::super) struct HostKnock {
    /// Of the KNOCK.
    pub(in super::super) ephemeral: [u8; EPHEMERAL_LEN],
    /// The answer to it.
    pub(in super::super) knocked: Vec<u8>,
    /// Those of the pair, if the guest is let in.
    pub(in super::super) keys: PairKeys,
    commitment: [u8; 32],
    nonce: [u8; NONCE_LEN],
    handshake: Vec<u8>,
}

impl HostKnock {
    /// Answers a KNOCK; `None` for what is none.
    pub(in super::super) fn new(
        random: &mut Randomness,
        own: ParticipantId,
        clear: &ClearHello<'_>,
    ) -> Option<Self> {
        if clear.keyed {
            return None;
        }
        let (body, mut state) = clear.open_noise(random, None)?;
        let commitment = *body.first_chunk()?;
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        let mut noise = [0; 128];
        let len = state.write_message(&nonce, &mut noise).ok()?;
        let mut payload = clear_answer(KNOCKED, &clear.ephemeral);
        payload.extend(&noise[..len]);
        let (receive, send) = state.dangerously_get_raw_split();
        Some(Self {
            ephemeral: clear.ephemeral,
            knocked: datagram(own, false, &payload),
            keys: PairKeys { send, receive },
            commitment,
            nonce,
            handshake: state.get_handshake_hash().to_vec(),
        })
    }

    pub(in super::super) fn echo(&self) -> [u8; ECHO_LEN] {
        echo_of(&self.ephemeral)
    }

    /// What the guest says of itself and the code, if it shows the number that it has committed to.
    pub(in super::super) fn reveal(
        &self,
        clear: &ClearReveal<'_>,
    ) -> Option<(Result<Hello, Refusal>, u32)> {
        let keys = door_keys(&self.keys);
        let text = unseal_once(&keys.receive, NUMBER_REVEAL, &clear.aad, clear.sealed)?;
        let (nonce, hello) = text.split_first_chunk::<NONCE_LEN>()?;
        if hash(&[nonce]) != self.commitment {
            return None;
        }
        let hello = Hello::read(hello).map_err(|_| Refusal::Malformed);
        Some((hello, code(&self.handshake, nonce, &self.nonce)))
    }

    fn verdict(&self, own: ParticipantId, number: u64, text: &[u8]) -> Vec<u8> {
        let clear = clear_answer(VERDICT, &self.ephemeral);
        let sealed = seal_once(&door_keys(&self.keys).send, number, &clear, text);
        datagram(own, false, &[clear, sealed].concat())
    }

    /// A person has been asked.
    pub(in super::super) fn waiting(&self, own: ParticipantId) -> Vec<u8> {
        self.verdict(own, NUMBER_WAITING, &[])
    }

    /// The one answer. Consumes the handshake: a second one would use the number again.
    pub(in super::super) fn decide(self, own: ParticipantId, answer: &Answer) -> Vec<u8> {
        self.verdict(own, NUMBER_VERDICT, &answer.write())
    }
}
