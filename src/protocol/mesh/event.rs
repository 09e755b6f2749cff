//! The values that go into a [`super::Mesh`] and come out of it.

use std::net::SocketAddr;

use super::super::congestion::PathReport;
use super::super::control::{AudioReport, Status, StreamParameters};
use super::super::handshake::{Refusal, SessionStart};
use super::super::invite::InviteKey;
use super::super::seal::PairKeys;
use crate::units::{Micros, ParticipantId, SessionMicros};

/// Who we are.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Display name; sanitised on the way out.
    pub name: String,
    /// Program version.
    pub version: String,
    /// Where we may be reached.
    pub addresses: Vec<SocketAddr>,
    /// What we send.
    pub streams: StreamParameters,
    /// Minutes since 1970 UTC, for a guest's HELLO; 0 where it is not known.
    pub utc_minute: u32,
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// It said so.
    Bye,
    /// Nothing was heard of it for [`super::TIMEOUT_MICROS`].
    Timeout,
    /// The introducer's roster no longer has it: a person removed it, or two rosters met.
    Removed,
}

/// What the caller has to know or do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeshEvent {
    /// The host has let us in. Again, with another id, if the old one was lost on coming back.
    Welcomed {
        /// Our id.
        own: ParticipantId,
        /// The session.
        start: SessionStart,
    },
    /// Give these to the demultiplexer at once: packets under them may follow. Keep them for the
    /// [`crate::protocol::MediaSealer`] of the [`MeshEvent::PeerJoined`] that may follow.
    KeysReady {
        /// Whose.
        peer: ParticipantId,
        /// Shared with that peer; they replace earlier ones.
        keys: PairKeys,
        /// Where it is.
        address: SocketAddr,
    },
    /// The peer has shown its keys: send media there, under a new sealer with the newest keys of
    /// [`MeshEvent::KeysReady`]. For a peer that is in already: it has come back under new keys;
    /// replace its sealer and keep the demultiplexer as it is.
    PeerJoined {
        /// Who.
        peer: ParticipantId,
        /// Display name, safe to show.
        name: String,
        /// What it sends.
        streams: StreamParameters,
        /// Where media goes.
        address: SocketAddr,
        /// There is no direct way: `address` is this member's, which passes on what is sealed to
        /// it with [`crate::protocol::MediaSealer::relay`].
        relay: Option<ParticipantId>,
    },
    /// There is a better way to the peer, or the old one has died.
    PeerAddress {
        /// Who.
        peer: ParticipantId,
        /// Where media goes from now on.
        address: SocketAddr,
        /// As in [`MeshEvent::PeerJoined`].
        relay: Option<ParticipantId>,
    },
    /// The peer is gone: stop sending, forget its keys.
    PeerLeft {
        /// Who.
        peer: ParticipantId,
        /// Why.
        reason: LeaveReason,
    },
    /// Nothing was heard of a peer for a while.
    PeerSilent {
        /// Who.
        peer: ParticipantId,
        /// For how long already.
        micros: i64,
    },
    /// A silent peer is heard again.
    PeerBack {
        /// Who.
        peer: ParticipantId,
        /// How long it was silent.
        micros: i64,
    },
    /// How a peer is doing; about once a second.
    PeerStatus {
        /// Who.
        peer: ParticipantId,
        /// As it says.
        status: Status,
    },
    /// How our audio arrives at a peer; some times a second while it loses any.
    AudioReport {
        /// Who reports.
        peer: ParticipantId,
        /// What.
        report: AudioReport,
    },
    /// How our packets come through the path to a peer; ten times a second while it matters.
    PathReport {
        /// Who reports.
        peer: ParticipantId,
        /// What.
        report: PathReport,
    },
    /// A peer misses fragments of a keyframe of ours.
    Again {
        /// Who asks.
        peer: ParticipantId,
        /// The picture's number, as this peer counts them.
        sequence: u32,
        /// Bit n for fragment n.
        fragments: u32,
    },
    /// A peer's decoder needs a keyframe from us.
    KeyframeRequested {
        /// Who asks.
        peer: ParticipantId,
    },
    /// The invite that lets others in here, and where we may be reached, the likeliest first. Again
    /// when either changes. Every member can show it.
    Invite {
        /// Its key.
        key: InviteKey,
        /// What others saw and what we offer.
        addresses: Vec<SocketAddr>,
    },
    /// Somebody without a key wants in: answer with [`super::Mesh::admit`] or [`super::Mesh::refuse`]
    /// within a minute.
    Knock {
        /// Names this knock.
        knock: u32,
        /// Display name, safe to show; nobody has proven it.
        name: String,
        /// Where it comes from.
        address: SocketAddr,
        /// Six digits that the guest sees, too: let it read them out.
        code: u32,
    },
    /// A knock was answered, or has lapsed.
    KnockOver {
        /// Which.
        knock: u32,
        /// It was let in.
        admitted: bool,
    },
    /// We knock: these six digits are shown there, too.
    KnockCode {
        /// 0 to 999,999.
        code: u32,
    },
    /// Somebody could not be let in whose program does not fit ours.
    TurnedAway {
        /// Where it came from.
        address: SocketAddr,
        /// Why.
        reason: Refusal,
    },
    /// One timestamp exchange. Only from peers that know the session clock.
    ClockSample {
        /// With whom.
        peer: ParticipantId,
        /// Local clock as our ping left.
        sent: Micros,
        /// The peer's session clock as it arrived there.
        remote_received: SessionMicros,
        /// The peer's session clock as the pong left.
        remote_sent: SessionMicros,
        /// Local clock as the pong arrived.
        received: Micros,
        /// How far the peer's session clock may be from the truth, microseconds; 0 where it is made.
        uncertainty: i64,
    },
    /// Recording starts here; once.
    T0 {
        /// A whole second.
        at: SessionMicros,
    },
    /// The host does not let us in. Nothing more comes.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// No host answered in time. Nothing more comes.
    NoAnswer,
    /// What [`super::Mesh::leave`] began is done, once the datagrams that wait are sent.
    Left,
}

/// What was not understood or not wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeshCounters {
    /// Control messages of a kind that is not known here.
    pub unknown_messages: u64,
    /// Control packets with a message that is cut short.
    pub malformed_messages: u64,
    /// Handshake datagrams that were no HELLO, no answer to ours, or a repetition.
    pub handshakes_dropped: u64,
    /// HELLOs that were refused.
    pub handshakes_refused: u64,
    /// Questions that were answered with a cookie.
    pub cookies_sent: u64,
    /// Questions that were forgotten because too many came.
    pub questions_shed: u64,
    /// Strangers' datagrams that were forwarded to the introducer.
    pub forwarded: u64,
    /// Rosters that were not the introducer's to send.
    pub rosters_ignored: u64,
}
