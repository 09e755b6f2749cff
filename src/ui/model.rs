//! The values that cross between the engine and whoever looks: events, commands, the snapshot.
//!
//! The JSON form of [`Event`] and [`Command`] is a contract with scripts: extend it, never break it.

use serde::Serialize;

mod command;
#[cfg(test)]
pub mod schema_tests;
mod stats;

pub use command::{Command, Volume, decibels};
pub use stats::*;

/// An [`Event`] and when it happened.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stamped {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Seconds of the session clock; negative or 0 before there is one.
    pub t: f64,
}

/// Something that happened. One JSON object a line with `--json`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The call can be joined, or the recorder runs.
    Ready {
        /// Local address and port that the socket is bound to; empty for `record`.
        listen: String,
        /// What to give to guests (the whole `ADDRESS:PORT#KEY`); absent for a guest.
        #[serde(skip_serializing_if = "Option::is_none")]
        invite: Option<String>,
        /// Public address, where one is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        public: Option<String>,
    },
    /// A member came in (or, for a guest, was there).
    PeerJoined {
        /// Participant id.
        id: u8,
        /// Display name, free of control characters.
        name: String,
    },
    /// A member is gone.
    PeerLeft {
        /// Participant id.
        id: u8,
        /// Why.
        reason: LeaveReason,
    },
    /// Nothing was heard from a member for more than a second.
    PeerSilent {
        /// Participant id.
        id: u8,
        /// How long, seconds.
        seconds: f64,
    },
    /// A silent member is heard again.
    PeerBack {
        /// Participant id.
        id: u8,
        /// How long it was silent, seconds.
        seconds: f64,
    },
    /// The way to a member, when the member comes in and when it changes.
    PeerPath {
        /// Participant id.
        id: u8,
        /// `local`, `direct` or `relay`.
        path: PathKind,
        /// The member that passes on what is sent, with `relay`.
        #[serde(skip_serializing_if = "Option::is_none")]
        via: Option<u8>,
    },
    /// Somebody without a key wants in: answer `admit` or `refuse` with this id within a minute.
    Knock {
        /// Names this knock.
        id: u32,
        /// Display name, free of control characters; nobody has proven it.
        name: String,
        /// Where it comes from.
        address: String,
        /// Six digits that the guest sees, too.
        code: String,
    },
    /// A knock was answered or has lapsed.
    KnockOver {
        /// Which.
        id: u32,
        /// It was let in.
        admitted: bool,
    },
    /// We knock: the same six digits are shown to the person who may let us in.
    KnockCode {
        /// Six digits.
        code: String,
    },
    /// The invite that lets others in here, as it is now; every member has one.
    Invite {
        /// The whole `ADDRESS:PORT#KEY`.
        invite: String,
    },
    /// The offset to the session clock was measured.
    Clock {
        /// Session clock less local clock, milliseconds.
        offset_ms: f64,
        /// Half width of the interval that holds the truth, milliseconds.
        uncertainty_ms: f64,
        /// Rate difference, parts per million (0 until it is measured).
        skew_ppm: f64,
    },
    /// The person marked this instant; it is in the metadata and in `sync_timecodes.txt`.
    Marker {
        /// 1 for the first.
        number: u64,
        /// What it is, where that was said.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The instant's timecode in the recording, `HH:MM:SS:FF`; absent before there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        timecode: Option<String>,
    },
    /// This computer was asleep, and is awake again.
    Slept {
        /// How long.
        seconds: f64,
        /// It was too long to be filled: the recording goes on in another file.
        new_file: bool,
    },
    /// A member's computer was asleep; what it recorded has silence there, or another file begins.
    PeerSlept {
        /// Participant id.
        id: u8,
        /// How long.
        seconds: f64,
    },
    /// What the router said about letting others in.
    PortMapping {
        /// `mapped`, `failed`, `removed`; `left` when the router did not confirm that it is removed.
        state: &'static str,
        /// `upnp`, `nat-pmp`, `pcp`.
        #[serde(skip_serializing_if = "Option::is_none")]
        method: Option<&'static str>,
        /// The router's address and port.
        #[serde(skip_serializing_if = "Option::is_none")]
        external: Option<String>,
        /// For a host: the invite that reaches it from outside, in place of the one in `ready`.
        #[serde(skip_serializing_if = "Option::is_none")]
        invite: Option<String>,
    },
    /// The file is open and its first frame is due.
    RecordingStarted {
        /// The MP4 file.
        path: String,
    },
    /// Once a second.
    Stats(Box<Stats>),
    /// A person closed the preview window; the call goes on.
    WindowClosed,
    /// Something is wrong and the program goes on.
    Warning {
        /// Its name in the list of all ([`crate::ui::notice`]).
        code: &'static str,
        /// What.
        what: String,
        /// What to do.
        #[serde(rename = "try")]
        remedy: String,
        /// Nothing is wrong any more, or it is as it was the last time; left out where something is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        harmless: bool,
    },
    /// Something failed.
    Error {
        /// Its name in the list of all ([`crate::ui::notice`]).
        code: &'static str,
        /// What.
        what: String,
        /// What to do.
        #[serde(rename = "try")]
        remedy: String,
    },
    /// A recording that an earlier run could not end was recovered.
    Recovered {
        /// The MP4 file.
        path: String,
        /// Its length.
        seconds: f64,
    },
    /// The file is closed and was read back.
    RecordingFinished(Finished),
    /// The last line.
    Ended {
        /// `end_key`, `signal`, `duration`, `command`, `refused`, `error`.
        reason: String,
    },
}

impl Event {
    /// Whether it holds the key to the call.
    pub fn invites(&self) -> bool {
        match self {
            Self::Ready { invite, .. } | Self::PortMapping { invite, .. } => invite.is_some(),
            Self::Invite { .. } => true,
            _ => false,
        }
    }
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said so.
    Bye,
    /// Five seconds without a packet (PRD 5.4).
    Timeout,
    /// Somebody removed it.
    Removed,
}

/// How packets get to a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// Over the internet, or any network that routes public addresses.
    #[default]
    Direct,
    /// Within one home.
    Local,
    /// Another member passes them on, and cannot read them.
    Relay,
}

/// The finished file.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finished {
    /// The MP4 file.
    pub path: String,
    /// Its folder.
    pub folder: String,
    /// Length.
    pub seconds: f64,
    /// Size.
    pub bytes: u64,
    /// See [`RecordingStats`].
    pub frames_captured: u64,
    /// See [`RecordingStats`].
    pub frames_encoded: u64,
    /// See [`RecordingStats`].
    pub frames_dropped: u64,
    /// See [`RecordingStats`].
    pub cadence_discarded: u64,
    /// See [`RecordingStats`].
    pub frames_repeated: u64,
    /// See [`RecordingStats`].
    pub black_frames: u64,
    /// See [`RecordingStats`].
    pub withheld: u64,
    /// Audio samples in the file, priming left out.
    pub samples: u64,
    /// Time that one picture took to convert and encode, milliseconds, mean of the whole file.
    pub encode_ms: f64,
    /// BLAKE2s-256 of the media in it, in hexadecimal.
    pub media_blake2s: String,
    /// The recording's files in order: one, and another after each long sleep of the computer.
    /// `path` and `media_blake2s` are those of the first, all else counts them together.
    pub parts: Vec<FinishedPart>,
    /// What was received of each other member's sound, a file each.
    pub safety_tracks: Vec<FinishedTrack>,
}

/// A safety track: what was received of a member's sound, in a file that begins at T0.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FinishedTrack {
    /// The MP4 file.
    pub path: String,
    /// The member's id.
    pub id: u8,
    /// The member's display name.
    pub name: String,
    /// From T0 to the last packet.
    pub seconds: f64,
    /// Opus packets in it.
    pub packets: u64,
    /// Frames that were sent and never came.
    pub lost: u64,
    /// Gaps between packets: loss, silence, absence.
    pub gaps: u64,
    /// Their length in all, milliseconds.
    pub gap_ms: f64,
    /// Size.
    pub bytes: u64,
}

/// One file of the recording.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FinishedPart {
    /// The MP4 file.
    pub path: String,
    /// Session clock at its first frame and sample, seconds.
    pub start: f64,
    /// Timecode of its first frame.
    pub timecode: String,
    /// Length.
    pub seconds: f64,
    /// Size.
    pub bytes: u64,
    /// Frames in it.
    pub frames: u64,
    /// Audio samples in it, priming left out.
    pub samples: u64,
    /// BLAKE2s-256 of the media in it, in hexadecimal.
    pub media_blake2s: String,
}

/// All that the dashboard and the window draw. Made by the engine, some 20 times a second.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Seconds of the session clock.
    pub session_seconds: f64,
    /// Timecode of this instant in the recording, `HH:MM:SS:FF`; `None` before it has begun.
    pub timecode: Option<String>,
    /// Own id; `None` before WELCOME and for `record`.
    pub own_id: Option<u8>,
    /// Own display name.
    pub own_name: String,
    /// The whole join line for guests; `None` for a guest and for `record`.
    pub invite_line: Option<String>,
    /// Those who wait to be let in, the longest first.
    pub knocks: Vec<KnockView>,
    /// `waiting for guests`, `connecting to …`, `in the call`, `recording`, `finishing`.
    pub phase: String,
    /// Own microphone is muted.
    pub muted: bool,
    /// Own microphone is recorded and not sent.
    pub hushed: bool,
    /// Own camera is off.
    pub camera_off: bool,
    /// Name of the microphone with what was got (`Lab mic, 240 frames`).
    pub mic_name: String,
    /// Name of the speaker with what was got.
    pub speaker_name: String,
    /// Name of the camera with its format.
    pub camera_name: String,
    /// Level of the last 50 ms or so, dBFS.
    pub mic_peak_db: f32,
    /// Power of the same, dBFS.
    pub mic_rms_db: f32,
    /// Samples that hit full scale since the start.
    pub clipped: u64,
    /// The recorder; `None` before it has begun.
    pub recording: Option<RecordingStats>,
    /// The MP4 file.
    pub recording_path: String,
    /// The first thing that is wrong with the recording.
    pub recording_trouble: Option<String>,
    /// The disk of the output folder.
    pub disk: DiskStats,
    /// A guest's session clock, once it is set.
    pub clock: Option<ClockView>,
    /// Recordings of earlier runs that can be recovered; `None` when there are none, or nobody wants to.
    pub unfinished: Option<UnfinishedView>,
    /// Others, by id.
    pub peers: Vec<PeerView>,
    /// Whether real-time priority was granted, a line a thread (`talk: SCHED_FIFO 10`).
    pub priorities: Vec<String>,
    /// The preview window is up.
    pub window_open: bool,
    /// How often the window was asked to have the invite copied: whoever has a clipboard does it.
    pub invite_copies: u32,
    /// Newest last; the engine keeps some hundred.
    pub log: Vec<String>,
    /// CPU, 100 = one core.
    pub cpu_percent: f64,
    /// Resident memory, MiB.
    pub rss_mb: f64,
}

/// Recordings that earlier runs could not end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedView {
    /// The first of those that are left.
    pub path: String,
    /// How many are left.
    pub count: usize,
    /// How much of the first one was gone through, percent; `None` while it is only offered.
    pub percent: Option<u8>,
}

/// Somebody who knocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnockView {
    /// For [`Command::Admit`] and [`Command::Refuse`].
    pub id: u32,
    /// Display name.
    pub name: String,
    /// Where it comes from.
    pub address: String,
    /// Six digits.
    pub code: String,
}

/// How well the session clock is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockView {
    /// The truth is this near, milliseconds.
    pub uncertainty_ms: f64,
    /// How much faster the session clock runs than the local one, parts per million.
    pub skew_ppm: f64,
}

/// One other member as the dashboard and the window show it.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    /// Display name.
    pub name: String,
    /// Level of what is heard, dBFS.
    pub level_db: f32,
    /// It said that it is muted.
    pub muted: bool,
    /// It said that its camera is off.
    pub camera_off: bool,
    /// Nothing heard for more than a second.
    pub silent: bool,
    /// The way to it.
    pub path: PathKind,
    /// What is wrong with its recording, in a line; `None` while nothing is.
    pub trouble: Option<String>,
    /// The second's figures.
    pub stats: PeerStats,
}

/// Louder than this counts as speaking, dBFS.
pub const SPEAKING_DB: f32 = -40.0;

impl PeerView {
    /// It is heard, and loud enough for speech.
    pub fn speaking(&self) -> bool {
        !self.muted && !self.silent && self.level_db > SPEAKING_DB
    }
}
