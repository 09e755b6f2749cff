//! What HELLO and WELCOME say inside their seals. Pure bytes.

use std::net::SocketAddr;

use super::super::control::{StreamParameters, sanitise_name};
use super::super::roster::{Charter, Roster};
use super::super::wire::{Malformed, Reader, Writer};
use crate::units::{ParticipantId, SessionMicros};

/// Bit of the codec list in HELLO and WELCOME: Opus for live audio.
pub const CODEC_OPUS: u16 = 1;
/// Bit of the codec list in HELLO and WELCOME: VP8 for live video.
pub const CODEC_VP8: u16 = 2;

/// Why a host does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
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
    /// The person asked said no, or nobody said anything for a minute.
    #[error("nobody let this guest in; ask the host for the invite with its key, or knock again")]
    NotAdmitted,
    /// As many wait at the door as may.
    #[error("others are waiting to be let in; try again in a minute")]
    Busy,
    /// A person removed us from the call.
    #[error("this participant was removed from the call; ask the host")]
    Removed,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Key,
        Self::KeyNeeded,
        Self::Full,
        Self::Version,
        Self::Codecs,
        Self::Clock,
        Self::Malformed,
        Self::OtherSession,
        Self::NotAdmitted,
        Self::Busy,
        Self::Removed,
    ];

    pub(super) fn to_wire(self) -> u8 {
        match self {
            Self::Key => 1,
            Self::KeyNeeded => 2,
            Self::Full => 3,
            Self::Version => 4,
            Self::Codecs => 5,
            Self::Clock => 6,
            Self::Malformed => 7,
            Self::OtherSession => 8,
            Self::NotAdmitted => 9,
            Self::Busy => 10,
            Self::Removed => 11,
        }
    }

    /// A reason that a later version added is still a refusal.
    pub(super) fn from_wire(value: u8) -> Self {
        match value {
            1 => Self::Key,
            2 => Self::KeyNeeded,
            3 => Self::Full,
            4 => Self::Version,
            5 => Self::Codecs,
            6 => Self::Clock,
            8 => Self::OtherSession,
            9 => Self::NotAdmitted,
            10 => Self::Busy,
            11 => Self::Removed,
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
    /// For introducing others.
    pub charter: Charter,
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
    pub(in super::super) fn write(&self) -> Vec<u8> {
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

    pub(in super::super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
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
    pub(in super::super) fn write(&self) -> Vec<u8> {
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
                welcome.charter.write(&mut body);
            }
        }
        bytes
    }

    pub(in super::super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
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
            charter: Charter::read(&mut body)?,
        })))
    }
}
