//! PAIR and PAIRED: `Noise_KKpsk0` between two members that know each other from the roster.
//!
//! Both prove the static keys that the roster has for them and the session's secret; the prologue holds
//! the session, both ids and the numbers of the handshakes that brought them in. So no member stands in
//! for another, whoever passes the datagrams on.

use std::net::SocketAddr;

use snow::HandshakeState;

use super::join::echo_of;
use super::{
    COOKIE_LEN, ECHO_LEN, EPHEMERAL_LEN, KK, PAIR, PAIRED, REVISION, Randomness, StaticKey,
    WITH_COOKIE, builder, clear_answer, datagram, question, read_answer, split_cookie,
};
use crate::protocol::control::StreamParameters;
use crate::protocol::header::{Header, MAX_DATAGRAM, PacketType};
use crate::protocol::seal::{CONTROL_HANDSHAKE, PairKeys};
use crate::protocol::wire::{Malformed, Reader, Writer, padding};
use crate::units::ParticipantId;

/// Bytes of a PAIR behind its header: more than any PAIRED needs.
const PAIR_LEN: usize = 320;

/// What both sides must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct PairNames {
    pub(in super::super) session_id: [u8; 8],
    /// Id, and number of the handshake that brought it in.
    pub(in super::super) initiator: (ParticipantId, u32),
    /// The same.
    pub(in super::super) responder: (ParticipantId, u32),
}

impl PairNames {
    fn prologue(&self, revision: u8) -> Vec<u8> {
        let mut bytes = b"hyperzoom pair 1".to_vec();
        let mut out = Writer(&mut bytes);
        out.u8(revision);
        out.bytes(&self.session_id);
        for (id, epoch) in [self.initiator, self.responder] {
            out.u8(id.0);
            out.u32(epoch);
        }
        bytes
    }
}

/// What a member says in PAIR and PAIRED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct PairBody {
    /// Names this handshake; the initiator draws it.
    pub(in super::super) number: u32,
    /// What the sender sends.
    pub(in super::super) streams: StreamParameters,
    /// Where it may be reached.
    pub(in super::super) addresses: Vec<SocketAddr>,
}

impl PairBody {
    pub(in super::super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut body = Writer(&mut bytes);
        body.u32(self.number);
        self.streams.write(&mut body);
        body.addresses(&self.addresses);
        bytes
    }

    pub(in super::super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut body = Reader(bytes);
        Ok(Self {
            number: body.u32()?,
            streams: StreamParameters::read(&mut body)?,
            addresses: body.addresses()?,
        })
    }
}

/// What one member needs to prove itself to another.
pub(in super::super) struct PairSecrets<'a> {
    pub(in super::super) own: &'a StaticKey,
    pub(in super::super) theirs: &'a [u8; 32],
    pub(in super::super) session: &'a [u8; 32],
}

fn state(
    random: &mut Randomness,
    secrets: &PairSecrets<'_>,
    prologue: &[u8],
    initiator: bool,
) -> Option<HandshakeState> {
    let builder = builder(random, KK)
        .psk(0, secrets.session)
        .and_then(|b| b.prologue(prologue))
        .and_then(|b| b.local_private_key(&secrets.own.private))
        .and_then(|b| b.remote_public_key(secrets.theirs))
        .ok()?;
    let built = if initiator { builder.build_initiator() } else { builder.build_responder() };
    built.ok()
}

/// The later joiner's side.
pub(in super::super) struct PairInitiator {
    state: HandshakeState,
    names: PairNames,
    noise: Vec<u8>,
    echo: [u8; ECHO_LEN],
}

impl PairInitiator {
    /// `None` where the roster's key is no key.
    pub(in super::super) fn new(
        random: &mut Randomness,
        names: PairNames,
        secrets: &PairSecrets<'_>,
        body: &PairBody,
    ) -> Option<Self> {
        let mut state = state(random, secrets, &names.prologue(REVISION), true)?;
        let mut noise = [0; MAX_DATAGRAM];
        let len = state.write_message(&body.write(), &mut noise).ok()?;
        let noise = noise[..len].to_vec();
        let echo = echo_of(&noise);
        Some(Self { state, names, noise, echo })
    }

    pub(in super::super) fn datagram(&self, cookie: Option<&[u8; COOKIE_LEN]>) -> Vec<u8> {
        let (own, _) = self.names.initiator;
        let (whom, _) = self.names.responder;
        let clear = [CONTROL_HANDSHAKE, PAIR, REVISION, whom.0];
        question(own, &clear, &self.noise, cookie, PAIR_LEN)
    }

    /// The cookie that must go behind the next one.
    pub(in super::super) fn cookie(&self, datagram: &[u8]) -> Option<[u8; COOKIE_LEN]> {
        let (kind, rest) = read_answer(datagram, &self.echo)?;
        (kind == super::COOKIE).then(|| rest.first_chunk().copied())?
    }

    pub(in super::super) fn answer(&mut self, datagram: &[u8]) -> Option<(PairBody, PairKeys)> {
        let (kind, rest) = read_answer(datagram, &self.echo)?;
        if kind != PAIRED {
            return None;
        }
        let mut body = [0; MAX_DATAGRAM];
        let len = self.state.read_message(rest, body.get_mut(..rest.len())?).ok()?;
        let body = PairBody::read(&body[..len]).ok()?;
        let (send, receive) = self.state.dangerously_get_raw_split();
        Some((body, PairKeys { send, receive }))
    }
}

/// A PAIR as it is read before any secret is used.
pub(in super::super) struct ClearPair<'a> {
    pub(in super::super) from: ParticipantId,
    pub(in super::super) to: ParticipantId,
    pub(in super::super) ephemeral: [u8; EPHEMERAL_LEN],
    pub(in super::super) cookie: Option<[u8; COOKIE_LEN]>,
    revision: u8,
    noise: &'a [u8],
}

impl<'a> ClearPair<'a> {
    pub(in super::super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = Header::decode(bytes).ok()?;
        if header.kind != PacketType::Control || !header.padding || payload.len() != PAIR_LEN {
            return None;
        }
        let payload = padding::strip(payload)?;
        let [CONTROL_HANDSHAKE, kind, revision, to, rest @ ..] = payload else { return None };
        if kind & !WITH_COOKIE != PAIR {
            return None;
        }
        let (noise, cookie) = split_cookie(*kind, rest)?;
        Some(Self {
            from: header.participant,
            to: ParticipantId(*to),
            ephemeral: *noise.first_chunk()?,
            cookie,
            revision: *revision,
            noise,
        })
    }

    /// Opens it, if it is from who it says and made with that secret.
    pub(in super::super) fn open(
        &self,
        random: &mut Randomness,
        names: &PairNames,
        secrets: &PairSecrets<'_>,
    ) -> Option<(PairBody, PairResponder)> {
        let mut state = state(random, secrets, &names.prologue(self.revision), false)?;
        let mut body = [0; MAX_DATAGRAM];
        let len = state.read_message(self.noise, &mut body).ok()?;
        let clear = clear_answer(PAIRED, &self.ephemeral);
        Some((PairBody::read(&body[..len]).ok()?, PairResponder { state, own: self.to, clear }))
    }
}

/// The earlier joiner's side, between the two messages.
pub(in super::super) struct PairResponder {
    state: HandshakeState,
    own: ParticipantId,
    clear: Vec<u8>,
}

impl PairResponder {
    pub(in super::super) fn answer(mut self, body: &PairBody) -> Option<(Vec<u8>, PairKeys)> {
        let mut noise = [0; MAX_DATAGRAM];
        let len = self.state.write_message(&body.write(), &mut noise).ok()?;
        let mut payload = self.clear;
        payload.extend(&noise[..len]);
        debug_assert!(payload.len() <= PAIR_LEN);
        let (receive, send) = self.state.dangerously_get_raw_split();
        Some((datagram(self.own, false, &payload), PairKeys { send, receive }))
    }
}
