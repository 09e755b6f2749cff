//! Who is in the call and what the control thread knows of them, for the snapshot and the metadata.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::audio::codec;
use crate::clock::Estimate;
use crate::protocol::control::{ClockReport, Status};
use crate::protocol::handshake::SessionStart;
use crate::ui::model::{KnockView, PathKind};
use crate::units::ParticipantId;

/// The call as the control thread sees it.
#[derive(Default)]
pub struct CallState {
    /// Own id.
    pub own_id: Option<ParticipantId>,
    /// The session, once it is known.
    pub session: Option<SessionStart>,
    /// The others, by id.
    pub members: BTreeMap<u8, Member>,
    /// What a guest types.
    pub invite_line: Option<String>,
    /// The public address that a router maps to us.
    pub mapped: Option<std::net::SocketAddr>,
    /// Those who wait to be let in.
    pub knocks: Vec<KnockView>,
    /// Those who left.
    pub past: Vec<Past>,
    /// Distance to the session clock.
    pub clock: Option<Estimate>,
    /// The call did not come about: what, and what to try.
    pub refused: Option<(String, String)>,
    /// The control thread has ended.
    pub over: bool,
}

/// Somebody who left.
#[derive(Clone)]
pub struct Past {
    /// Id that it had.
    pub id: u8,
    /// Display name.
    pub name: String,
    /// What it knew of its clock.
    pub clock: Option<ClockReport>,
}

impl Past {
    /// What stays of a member.
    pub fn new(id: u8, member: Member) -> Self {
        Self { id, name: member.name, clock: member.status.clock }
    }
}

/// One other member.
pub struct Member {
    /// Display name.
    pub name: String,
    /// Nothing heard for more than a second.
    pub silent: bool,
    /// What it said of itself.
    pub status: Status,
    /// Its recording has begun.
    pub recorded: bool,
    /// Length of its audio frames, microseconds.
    pub frame_micros: i64,
    /// The way to it.
    pub path: PathKind,
    /// Last round trip, microseconds.
    pub round_trip: Option<i64>,
    /// Ends its decoder.
    pub stop_view: Arc<AtomicBool>,
}

impl Member {
    /// A member that has just come.
    pub fn new(name: String) -> Self {
        Self {
            name,
            silent: false,
            status: Status::default(),
            recorded: false,
            frame_micros: codec::FRAME_MICROS,
            path: PathKind::default(),
            round_trip: None,
            stop_view: Arc::default(),
        }
    }
}
