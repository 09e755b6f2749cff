//! HELLO and WELCOME: joining with the invite's key.

use snow::HandshakeState;

use super::bodies::{Answer, Hello, Refusal, Welcome};
use super::{
    COOKIE_LEN, ECHO_LEN, EPHEMERAL_LEN, FULL, HELLO, KNOCK, REFUSED, REVISION, Randomness,
    WELCOME, WITH_COOKIE, clear_answer, datagram, prologue, psk, question, read_answer,
    split_cookie, state,
};
use crate::protocol::header::{HEADER_LEN, Header, MAX_DATAGRAM, PacketType};
use crate::protocol::invite::InviteKey;
use crate::protocol::seal::{CONTROL_HANDSHAKE, PairKeys};
use crate::protocol::wire::{Malformed, padding};
use crate::units::ParticipantId;

/// The header that every question of full length has.
pub(super) fn full_header() -> [u8; HEADER_LEN] {
    let bytes = datagram(ParticipantId::UNASSIGNED, true, &[0; FULL]);
    let mut header = [0; HEADER_LEN];
    header.copy_from_slice(&bytes[..HEADER_LEN]);
    header
}

/// Noise message 1 of a stranger's question, and the state that waits for its answer.
pub(super) fn ask(
    random: &mut Randomness,
    kind: u8,
    key: Option<&InviteKey>,
    body: &[u8],
) -> (HandshakeState, Vec<u8>) {
    let prologue = prologue(&full_header(), kind, REVISION);
    let mut state = state(random, &psk(key), &prologue, true);
    let mut noise = [0; FULL];
    let len = state
        .write_message(body, &mut noise)
        .expect("a question's fields have limits that keep it under a datagram");
    (state, noise[..len].to_vec())
}

/// A guest's side of one handshake.
pub(in super::super) struct GuestHandshake {
    state: HandshakeState,
    noise: Vec<u8>,
    echo: [u8; ECHO_LEN],
}

/// What an answer says to a guest.
pub(in super::super) enum GuestOutcome {
    /// In, with these keys.
    Welcome(Box<Welcome>, PairKeys),
    /// Not in. `sealed`: from somebody who has the invite's key.
    Refused { reason: Refusal, sealed: bool },
    /// The same again, with this.
    Cookie([u8; COOKIE_LEN]),
    /// Not an answer to this question, or a forged one.
    Nothing,
}

pub(super) fn echo_of(noise: &[u8]) -> [u8; ECHO_LEN] {
    let mut echo = [0; ECHO_LEN];
    if let Some(first) = noise.first_chunk() {
        echo = *first;
    }
    echo
}

impl GuestHandshake {
    pub(in super::super) fn new(random: &mut Randomness, key: &InviteKey, hello: &Hello) -> Self {
        let (state, noise) = ask(random, HELLO, Some(key), &hello.write());
        let echo = echo_of(&noise);
        Self { state, noise, echo }
    }

    /// What is sent, again and again, until an answer comes.
    pub(in super::super) fn datagram(&self, cookie: Option<&[u8; COOKIE_LEN]>) -> Vec<u8> {
        let clear = [CONTROL_HANDSHAKE, HELLO, REVISION];
        question(ParticipantId::UNASSIGNED, &clear, &self.noise, cookie, FULL)
    }

    pub(in super::super) fn answer(&mut self, datagram: &[u8]) -> GuestOutcome {
        self.try_answer(datagram).unwrap_or(GuestOutcome::Nothing)
    }

    fn try_answer(&mut self, datagram: &[u8]) -> Option<GuestOutcome> {
        let (kind, rest) = read_answer(datagram, &self.echo)?;
        if kind != WELCOME {
            return clear_outcome(kind, rest);
        }
        let mut body = [0; MAX_DATAGRAM];
        let len = self.state.read_message(rest, body.get_mut(..rest.len())?).ok()?;
        Some(match Answer::read(&body[..len]).ok()? {
            Answer::Refused(reason) => GuestOutcome::Refused { reason, sealed: true },
            Answer::Welcome(welcome) => {
                let (send, receive) = self.state.dangerously_get_raw_split();
                GuestOutcome::Welcome(welcome, PairKeys { send, receive })
            }
        })
    }
}

/// Answers that are in clear.
pub(super) fn clear_outcome(kind: u8, rest: &[u8]) -> Option<GuestOutcome> {
    match kind {
        REFUSED => {
            let reason = Refusal::from_wire(*rest.first()?);
            Some(GuestOutcome::Refused { reason, sealed: false })
        }
        super::COOKIE => Some(GuestOutcome::Cookie(*rest.first_chunk()?)),
        _ => None,
    }
}

/// A HELLO or KNOCK as it is read before any secret is used.
pub(in super::super) struct ClearHello<'a> {
    /// It was made with an invite's key.
    pub(in super::super) keyed: bool,
    /// Of the guest's program.
    pub(in super::super) revision: u8,
    /// The guest's ephemeral key: names this question.
    pub(in super::super) ephemeral: [u8; EPHEMERAL_LEN],
    /// What came behind it.
    pub(in super::super) cookie: Option<[u8; COOKIE_LEN]>,
    kind: u8,
    noise: &'a [u8],
}

impl<'a> ClearHello<'a> {
    /// `None` for whatever is neither, of full length.
    pub(in super::super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = Header::decode(bytes).ok()?;
        if bytes.len() != MAX_DATAGRAM || !header.padding || header.kind != PacketType::Control {
            return None;
        }
        // The prologue that both sides have made has this header.
        if bytes[..HEADER_LEN] != full_header() {
            return None;
        }
        let [CONTROL_HANDSHAKE, kind, revision, rest @ ..] = padding::strip(payload)? else {
            return None;
        };
        let (noise, cookie) = split_cookie(*kind, rest)?;
        let kind = kind & !WITH_COOKIE;
        if kind != HELLO && kind != KNOCK {
            return None;
        }
        let ephemeral = *noise.first_chunk()?;
        Some(Self { keyed: kind == HELLO, revision: *revision, ephemeral, cookie, kind, noise })
    }

    /// REFUSED, in clear: for a question that cannot be opened.
    pub(in super::super) fn refuse(&self, own: ParticipantId, refusal: Refusal) -> Vec<u8> {
        let mut payload = clear_answer(REFUSED, &self.ephemeral);
        payload.push(refusal.to_wire());
        datagram(own, false, &payload)
    }

    /// Noise message 1, opened with that psk.
    pub(super) fn open_noise(
        &self,
        random: &mut Randomness,
        key: Option<&InviteKey>,
    ) -> Option<(Vec<u8>, HandshakeState)> {
        let prologue = prologue(&full_header(), self.kind, self.revision);
        let mut state = state(random, &psk(key), &prologue, false);
        let mut body = [0; MAX_DATAGRAM];
        let len = state.read_message(self.noise, &mut body).ok()?;
        Some((body[..len].to_vec(), state))
    }

    /// Opens a HELLO with the invite's key; `None` if that is not the one it was made with.
    pub(in super::super) fn open(
        &self,
        random: &mut Randomness,
        key: &InviteKey,
    ) -> Option<(Result<Hello, Malformed>, HostHandshake)> {
        let (body, state) = self.open_noise(random, Some(key))?;
        let handshake = HostHandshake { state, clear: clear_answer(WELCOME, &self.ephemeral) };
        Some((Hello::read(&body), handshake))
    }
}

/// An introducer's side of one handshake, between HELLO and its answer.
pub(in super::super) struct HostHandshake {
    state: HandshakeState,
    clear: Vec<u8>,
}

impl HostHandshake {
    /// The answer's datagram, and the keys shared with the guest.
    pub(in super::super) fn answer(
        mut self,
        own: ParticipantId,
        answer: &Answer,
    ) -> (Vec<u8>, PairKeys) {
        let mut noise = [0; MAX_DATAGRAM];
        let len = self
            .state
            .write_message(&answer.write(), &mut noise)
            .expect("names, addresses and members have limits that keep it under a datagram");
        let mut payload = self.clear;
        payload.extend(&noise[..len]);
        debug_assert!(HEADER_LEN + payload.len() <= MAX_DATAGRAM);
        let (receive, send) = self.state.dangerously_get_raw_split();
        (datagram(own, false, &payload), PairKeys { send, receive })
    }
}
