//! Who is in: the roster and what goes with it (DESIGN section 5).

use std::net::SocketAddr;

use super::invite::InviteKey;
use super::name::sanitise_name;
use super::wire::{Malformed, Reader, Writer};
use crate::units::{MAX_PARTICIPANTS, ParticipantId};

/// One entry of the roster (DESIGN section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Participant id.
    pub id: ParticipantId,
    /// Display name, free of control characters.
    pub name: String,
    /// X25519 public key of this member's session.
    pub static_key: [u8; 32],
    /// Where it may be reached: what it offers and what the host saw.
    pub addresses: Vec<SocketAddr>,
    /// The handshake that brought it in; a member that comes again has a higher one.
    pub epoch: u32,
}

impl Member {
    fn write(&self, out: &mut Writer<'_>) {
        out.u8(self.id.0);
        out.text(&self.name);
        out.bytes(&self.static_key);
        out.addresses(&self.addresses);
        out.u32(self.epoch);
    }

    fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        let id = body.participant()?;
        if usize::from(id.0) >= MAX_PARTICIPANTS {
            return Err(Malformed);
        }
        Ok(Self {
            id,
            name: sanitise_name(body.text()?),
            static_key: body.array()?,
            addresses: body.addresses()?,
            epoch: body.u32()?,
        })
    }
}

/// Everybody who is in, as the introducer says. The higher (epoch, then lower introducer) wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// Grows with each change.
    pub epoch: u32,
    /// Who says so.
    pub introducer: ParticipantId,
    /// The introducer and all others, by id.
    pub members: Vec<Member>,
}

impl Roster {
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        out.u32(self.epoch);
        out.u8(self.introducer.0);
        // Each entry in a frame of its own, so that entries may grow.
        let members = &self.members[..self.members.len().min(MAX_PARTICIPANTS)];
        out.u8(members.len() as u8);
        for member in members {
            let mut entry = Vec::new();
            member.write(&mut Writer(&mut entry));
            out.u16(entry.len() as u16);
            out.bytes(&entry);
        }
    }

    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        let epoch = body.u32()?;
        let introducer = body.participant()?;
        let count = usize::from(body.u8()?);
        if count > MAX_PARTICIPANTS {
            return Err(Malformed);
        }
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let len = usize::from(body.u16()?);
            let member = Member::read(&mut Reader(body.bytes(len)?))?;
            // An id is one member's.
            if members.iter().any(|m: &Member| m.id == member.id) {
                return Err(Malformed);
            }
            members.push(member);
        }
        Ok(Self { epoch, introducer, members })
    }
}

/// Who may join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admit {
    /// Whoever has the invite's key.
    #[default]
    Key,
    /// Everybody; a HELLO that was made with a key must have the right one even so.
    All,
    /// Whoever has the key, and whom a person lets in.
    Ask,
}

impl Admit {
    fn to_wire(self) -> u8 {
        match self {
            Self::Key => 0,
            Self::All => 1,
            Self::Ask => 2,
        }
    }

    /// What is not known lets in the fewest.
    fn from_wire(value: u8) -> Self {
        match value {
            1 => Self::All,
            2 => Self::Ask,
            _ => Self::Key,
        }
    }
}

/// What makes a member able to introduce others, once the host has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// The invite's key; a new one after somebody was removed.
    pub key: InviteKey,
    /// Who may join.
    pub admit: Admit,
    /// Seconds since each id was left, by id; 255 for longer ago or never.
    pub rested: [u8; MAX_PARTICIPANTS],
}

impl Charter {
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        out.bytes(&self.key.0);
        out.u8(self.admit.to_wire());
        out.bytes(&self.rested);
    }

    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: InviteKey(body.array()?),
            admit: Admit::from_wire(body.u8()?),
            rested: body.array()?,
        })
    }
}

/// A roster on its way to a member: kind 6, after the roster itself secret and charter.
#[derive(Clone, PartialEq, Eq)]
pub struct RosterUpdate {
    /// Who is in.
    pub roster: Roster,
    /// Known to members only: psk of the handshakes between them.
    pub secret: [u8; 32],
    /// For introducing others.
    pub charter: Charter,
}

impl std::fmt::Debug for RosterUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RosterUpdate").field("roster", &self.roster).finish_non_exhaustive()
    }
}

impl RosterUpdate {
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        self.roster.write(out);
        out.bytes(&self.secret);
        self.charter.write(out);
    }

    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            roster: Roster::read(body)?,
            secret: body.array()?,
            charter: Charter::read(body)?,
        })
    }
}
