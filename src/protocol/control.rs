//! Control messages: what members tell each other inside sealed type-4 packets.
//!
//! A packet's plaintext is a row of messages, each `kind (8 bits) | length (16 bits) | body`,
//! big-endian. A kind that is not known here is skipped and counted, and a body may be longer than
//! what is read of it, so that later versions can say more.

use std::net::SocketAddr;

use super::wire::{Malformed, Reader, Writer};
use crate::units::{MAX_PARTICIPANTS, MAX_PEERS, Micros, ParticipantId, SessionMicros};

/// Most bytes of a display name.
pub const MAX_NAME: usize = 48;

/// What a participant sends and records. Told in HELLO and WELCOME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamParameters {
    /// Opus sample rate, hertz.
    pub audio_rate: u32,
    /// Opus frame, microseconds: 5,000 or 2,500.
    pub audio_frame_micros: u16,
    /// Opus bitrate, kbit/s.
    pub audio_kbps: u16,
    /// Width of the live picture, pixels; 0 without a camera.
    pub video_width: u16,
    /// Height of the live picture, pixels; 0 without a camera.
    pub video_height: u16,
    /// Live frames per second.
    pub video_fps: u8,
    /// VP8 bitrate, kbit/s.
    pub video_kbps: u16,
    /// Width of the recorded picture, pixels; 0 while it is not known.
    pub recording_width: u16,
    /// Height of the recorded picture, pixels; 0 while it is not known.
    pub recording_height: u16,
}

impl Default for StreamParameters {
    /// PRD 4.2.1 and 4.2.2; the recorded size is not known.
    fn default() -> Self {
        Self {
            audio_rate: 48_000,
            audio_frame_micros: 5_000,
            audio_kbps: 32,
            video_width: 854,
            video_height: 480,
            video_fps: 24,
            video_kbps: 400,
            recording_width: 0,
            recording_height: 0,
        }
    }
}

impl StreamParameters {
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        // Its own length in front: it stands in the middle of bodies and may grow.
        out.u8(19);
        out.u32(self.audio_rate);
        out.u16(self.audio_frame_micros);
        out.u16(self.audio_kbps);
        out.u16(self.video_width);
        out.u16(self.video_height);
        out.u8(self.video_fps);
        out.u16(self.video_kbps);
        out.u16(self.recording_width);
        out.u16(self.recording_height);
    }

    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        let len = body.u8()?;
        let mut body = Reader(body.bytes(usize::from(len))?);
        Ok(Self {
            audio_rate: body.u32()?,
            audio_frame_micros: body.u16()?,
            audio_kbps: body.u16()?,
            video_width: body.u16()?,
            video_height: body.u16()?,
            video_fps: body.u8()?,
            video_kbps: body.u16()?,
            recording_width: body.u16()?,
            recording_height: body.u16()?,
        })
    }
}

/// How a participant is doing. Rides in every heartbeat, once a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The microphone is muted.
    pub muted: bool,
    /// The camera is off.
    pub camera_off: bool,
    /// The microphone hit full scale within the last seconds.
    pub clipping: bool,
    /// The recording runs.
    pub recording: bool,
    /// Pictures and samples that the recording's pipeline lost; must be 0.
    pub dropped: u32,
    /// Free space in the output folder, MiB, where it is known.
    pub disk_left_mb: Option<u32>,
    /// From a frame's last sample at the microphone's membrane to its packet's leaving, the fastest
    /// of the last second, microseconds.
    pub input_delay_micros: u32,
    /// From a sample's use by the mixer to the speaker's membrane, microseconds.
    pub output_delay_micros: u32,
    /// How each of the others is received.
    pub reception: Vec<Reception>,
    /// How far the sender's own clock is from the session's; `None` while it does not know.
    pub clock: Option<ClockReport>,
}

/// A participant's clock against the session clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReport {
    /// Session clock less the participant's own, microseconds; 0 for who holds the session clock.
    pub offset_micros: i64,
    /// The truth is this near, microseconds.
    pub uncertainty_micros: u32,
    /// How much faster the session clock runs than the participant's own, parts per billion.
    pub skew_ppb: i32,
}

/// How one peer's audio arrives at the sender of a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// Whose packets.
    pub peer: ParticipantId,
    /// Lost of the last seconds' packets, tenths of a percent.
    pub loss_permille: u16,
    /// Spread of their delay, microseconds.
    pub jitter_micros: u32,
    /// Depth of the playout buffer, microseconds.
    pub playout_micros: u32,
}

/// How one peer's audio packets arrive at the sender of the report, before copies mend anything.
/// Goes to that peer some times a second while there is something to tell; it chooses its copies by
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioReport {
    /// Frames lost in the last second, tenths of a percent.
    pub loss_1s: u16,
    /// Frames lost in the last ten seconds, tenths of a percent.
    pub loss_10s: u16,
    /// Mean run of lost frames in the last ten seconds, tenths of a frame; 0 for none.
    pub run: u8,
}

const MUTED: u8 = 1;
const CAMERA_OFF: u8 = 2;
const CLIPPING: u8 = 4;
const RECORDING: u8 = 8;
const DISK_KNOWN: u8 = 16;
const CLOCK_KNOWN: u8 = 32;
const SKEW_KNOWN: u8 = 64;

impl Status {
    fn write(&self, out: &mut Writer<'_>) {
        let mut flags = 0;
        for (set, flag) in [
            (self.muted, MUTED),
            (self.camera_off, CAMERA_OFF),
            (self.clipping, CLIPPING),
            (self.recording, RECORDING),
            (self.disk_left_mb.is_some(), DISK_KNOWN),
            (self.clock.is_some(), CLOCK_KNOWN | SKEW_KNOWN),
        ] {
            if set {
                flags |= flag;
            }
        }
        out.u8(flags);
        out.u32(self.dropped);
        out.u32(self.disk_left_mb.unwrap_or(0));
        out.u32(self.input_delay_micros);
        out.u32(self.output_delay_micros);
        let reception = &self.reception[..self.reception.len().min(MAX_PEERS)];
        out.u8(reception.len() as u8);
        for report in reception {
            out.u8(report.peer.0);
            out.u16(report.loss_permille);
            out.u32(report.jitter_micros);
            out.u32(report.playout_micros);
        }
        // Behind everything else, and only if the flag says so: bodies grow at their end.
        if let Some(clock) = &self.clock {
            out.i64(clock.offset_micros);
            out.u32(clock.uncertainty_micros);
            out.i32(clock.skew_ppb);
        }
    }

    fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = body.u8()?;
        let dropped = body.u32()?;
        let disk = body.u32()?;
        let input_delay_micros = body.u32()?;
        let output_delay_micros = body.u32()?;
        let count = usize::from(body.u8()?);
        if count > MAX_PEERS {
            return Err(Malformed);
        }
        let mut reception = Vec::with_capacity(count);
        for _ in 0..count {
            reception.push(Reception {
                peer: body.participant()?,
                loss_permille: body.u16()?,
                jitter_micros: body.u32()?,
                playout_micros: body.u32()?,
            });
        }
        let clock = if flags & CLOCK_KNOWN != 0 {
            Some(ClockReport {
                offset_micros: body.i64()?,
                uncertainty_micros: body.u32()?,
                skew_ppb: if flags & SKEW_KNOWN != 0 { body.i32()? } else { 0 },
            })
        } else {
            None
        };
        Ok(Self {
            muted: flags & MUTED != 0,
            camera_off: flags & CAMERA_OFF != 0,
            clipping: flags & CLIPPING != 0,
            recording: flags & RECORDING != 0,
            dropped,
            disk_left_mb: (flags & DISK_KNOWN != 0).then_some(disk),
            input_delay_micros,
            output_delay_micros,
            reception,
            clock,
        })
    }
}

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
            members.push(Member::read(&mut Reader(body.bytes(len)?))?);
        }
        Ok(Self { epoch, introducer, members })
    }
}

/// One control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A guest's first words under new keys: which WELCOME it has opened. Said until it is heard.
    Confirm {
        /// The WELCOME's epoch.
        epoch: u32,
    },
    /// Please send this back with your stamps.
    Ping {
        /// The sender's own clock as the packet leaves.
        sent: Micros,
    },
    /// A ping's answer.
    Pong {
        /// From the ping.
        sent: Micros,
        /// The answerer's session clock as the ping arrived.
        received: SessionMicros,
        /// The answerer's session clock as the pong leaves.
        answered: SessionMicros,
        /// The answerer knows the session clock; if not, its stamps are worth nothing.
        synchronised: bool,
    },
    /// Once a second to everybody (PRD 5.4), and at once when mute or camera change.
    Heartbeat {
        /// Counts, so that an older one that arrives late is known.
        count: u32,
        /// Epoch of the newest roster that the sender has: the host repeats it until then.
        roster: u32,
        /// How the sender is doing.
        status: Status,
    },
    /// Recording starts here. From the host, in every heartbeat.
    T0 {
        /// A whole second.
        at: SessionMicros,
    },
    /// Who is in (PRD 5.4: PEER_JOINED; also after somebody has left).
    Roster(Roster),
    /// The receiver's decoder needs a keyframe.
    KeyframeRequest,
    /// Whoever receives this at a new address sends it back.
    PathChallenge([u8; 8]),
    /// The challenge, sent back.
    PathResponse([u8; 8]),
    /// How the receiver's audio arrives here.
    AudioReport(AudioReport),
}

const CONFIRM: u8 = 1;
const PING: u8 = 2;
const PONG: u8 = 3;
const HEARTBEAT: u8 = 4;
const T0: u8 = 5;
const ROSTER: u8 = 6;
const KEYFRAME_REQUEST: u8 = 7;
const PATH_CHALLENGE: u8 = 8;
const PATH_RESPONSE: u8 = 9;
const AUDIO_REPORT: u8 = 24;

impl Message {
    /// Puts the message, framed, at the end of `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 3]);
        let mut body = Writer(out);
        let kind = match self {
            Self::Confirm { epoch } => {
                body.u32(*epoch);
                CONFIRM
            }
            Self::Ping { sent } => {
                body.i64(sent.0);
                PING
            }
            Self::Pong { sent, received, answered, synchronised } => {
                body.i64(sent.0);
                body.i64(received.0);
                body.i64(answered.0);
                body.u8(u8::from(*synchronised));
                PONG
            }
            Self::Heartbeat { count, roster, status } => {
                body.u32(*count);
                body.u32(*roster);
                status.write(&mut body);
                HEARTBEAT
            }
            Self::T0 { at } => {
                body.i64(at.0);
                T0
            }
            Self::Roster(roster) => {
                roster.write(&mut body);
                ROSTER
            }
            Self::KeyframeRequest => KEYFRAME_REQUEST,
            Self::PathChallenge(bytes) => {
                body.bytes(bytes);
                PATH_CHALLENGE
            }
            Self::PathResponse(bytes) => {
                body.bytes(bytes);
                PATH_RESPONSE
            }
            Self::AudioReport(report) => {
                body.u16(report.loss_1s);
                body.u16(report.loss_10s);
                body.u8(report.run);
                AUDIO_REPORT
            }
        };
        let len = (out.len() - start - 3) as u16;
        out[start] = kind;
        out[start + 1..start + 3].copy_from_slice(&len.to_be_bytes());
    }

    fn read(kind: u8, body: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut body = Reader(body);
        Ok(Some(match kind {
            CONFIRM => Self::Confirm { epoch: body.u32()? },
            PING => Self::Ping { sent: Micros(body.i64()?) },
            PONG => Self::Pong {
                sent: Micros(body.i64()?),
                received: SessionMicros(body.i64()?),
                answered: SessionMicros(body.i64()?),
                synchronised: body.u8()? & 1 != 0,
            },
            HEARTBEAT => Self::Heartbeat {
                count: body.u32()?,
                roster: body.u32()?,
                status: Status::read(&mut body)?,
            },
            T0 => Self::T0 { at: SessionMicros(body.i64()?) },
            ROSTER => Self::Roster(Roster::read(&mut body)?),
            KEYFRAME_REQUEST => Self::KeyframeRequest,
            PATH_CHALLENGE => Self::PathChallenge(body.array()?),
            PATH_RESPONSE => Self::PathResponse(body.array()?),
            AUDIO_REPORT => Self::AudioReport(AudioReport {
                loss_1s: body.u16()?,
                loss_10s: body.u16()?,
                run: body.u8()?,
            }),
            _ => return Ok(None),
        }))
    }
}

/// Takes the messages of a packet apart, one by one.
///
/// `Some(Ok(None))` is a message of an unknown kind, skipped. After an error nothing more comes.
pub struct Messages<'a>(Reader<'a>);

impl<'a> Messages<'a> {
    /// Of one packet's plaintext.
    pub fn new(plaintext: &'a [u8]) -> Self {
        Self(Reader(plaintext))
    }

    fn take(&mut self) -> Result<Option<Message>, Malformed> {
        let kind = self.0.u8()?;
        let len = usize::from(self.0.u16()?);
        Message::read(kind, self.0.bytes(len)?)
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Option<Message>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.0.0 = &[];
        }
        Some(taken)
    }
}

/// A display name that is safe to show: no control or invisible formatting characters, single
/// spaces, at most [`MAX_NAME`] bytes, never empty.
pub fn sanitise_name(raw: &str) -> String {
    let mut name = String::new();
    for word in raw.split(|c: char| c.is_whitespace() || c.is_control()) {
        let start = name.len();
        for c in word.chars().filter(|&c| !is_invisible(c)) {
            let space = usize::from(start > 0 && name.len() == start);
            if name.len() + space + c.len_utf8() > MAX_NAME {
                return name;
            }
            if space == 1 {
                name.push(' ');
            }
            name.push(c);
        }
    }
    if name.is_empty() { "guest".to_owned() } else { name }
}

/// Characters that change or hide the text around them (Unicode 15, 23.2 and 23.8): direction
/// marks and overrides, zero-width characters, language tags, interlinear annotations.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xAD | 0x061C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
        | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE007F)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        message.write(&mut out);
        out
    }

    fn member(id: u8, name: &str) -> Member {
        Member {
            id: ParticipantId(id),
            name: name.into(),
            static_key: [id; 32],
            addresses: vec!["192.0.2.1:7000".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()],
            epoch: 7,
        }
    }

    #[test]
    fn messages_have_the_written_layout() {
        assert_eq!(encoded(&Message::Confirm { epoch: 0x0A0B_0C0D }), [1, 0, 4, 10, 11, 12, 13]);
        assert_eq!(encoded(&Message::Ping { sent: Micros(1) }), [2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(encoded(&Message::KeyframeRequest), [7, 0, 0]);
        let report = AudioReport { loss_1s: 0x0102, loss_10s: 0x0304, run: 5 };
        assert_eq!(encoded(&Message::AudioReport(report)), [24, 0, 5, 1, 2, 3, 4, 5]);
        assert_eq!(
            encoded(&Message::T0 { at: SessionMicros(-1) }),
            [5, 0, 8, 255, 255, 255, 255, 255, 255, 255, 255]
        );
    }

    #[test]
    fn every_message_comes_back_also_from_a_row() {
        let status = Status {
            muted: true,
            camera_off: false,
            clipping: true,
            recording: true,
            dropped: 3,
            disk_left_mb: Some(0),
            input_delay_micros: 5_000,
            output_delay_micros: 7_500,
            reception: vec![Reception {
                peer: ParticipantId(3),
                loss_permille: 51,
                jitter_micros: 900,
                playout_micros: 12_000,
            }],
            clock: Some(ClockReport {
                offset_micros: -12_340_567,
                uncertainty_micros: 250,
                skew_ppb: -41_250,
            }),
        };
        let row = vec![
            Message::Confirm { epoch: 9 },
            Message::Ping { sent: Micros(-5) },
            Message::Pong {
                sent: Micros(1),
                received: SessionMicros(2),
                answered: SessionMicros(3),
                synchronised: true,
            },
            Message::Heartbeat { count: 4, roster: 2, status },
            Message::Heartbeat { count: 5, roster: 0, status: Status::default() },
            Message::T0 { at: SessionMicros(5_000_000) },
            Message::Roster(Roster {
                epoch: 8,
                introducer: ParticipantId(0),
                members: vec![member(0, "Alice"), member(3, "Zoë")],
            }),
            Message::KeyframeRequest,
            Message::PathChallenge([1; 8]),
            Message::PathResponse([2; 8]),
            Message::AudioReport(AudioReport { loss_1s: 50, loss_10s: 48, run: 11 }),
        ];
        let mut bytes = Vec::new();
        for message in &row {
            message.write(&mut bytes);
        }
        let back: Vec<_> = Messages::new(&bytes).map(|m| m.unwrap().unwrap()).collect();
        assert_eq!(back, row);
    }

    #[test]
    fn a_clock_report_stands_behind_everything_that_earlier_versions_read() {
        let clock = Some(ClockReport { offset_micros: -2, uncertainty_micros: 3, skew_ppb: 4 });
        let status = Status { clock, ..Status::default() };
        let bytes = encoded(&Message::Heartbeat { count: 1, roster: 0, status });
        let plain = encoded(&Message::Heartbeat { count: 1, roster: 0, status: Status::default() });
        assert_eq!(bytes.len(), plain.len() + 16);
        assert_eq!(bytes[11], 32 + 64, "its flags");
        assert_eq!(bytes[12..plain.len()], plain[12..]);
        let report = &bytes[plain.len()..];
        assert_eq!(report[..12], [255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0, 3]);
        assert_eq!(report[12..], [0, 0, 0, 4]);
    }

    #[test]
    fn unknown_kinds_are_skipped_and_bodies_may_grow() {
        let mut bytes = vec![200, 0, 2, 1, 1];
        bytes.extend([1, 0, 6, 0, 0, 0, 5, 99, 99]);
        let found: Vec<_> = Messages::new(&bytes).collect();
        assert_eq!(found, [Ok(None), Ok(Some(Message::Confirm { epoch: 5 }))]);
    }

    #[test]
    fn a_cut_message_ends_the_row() {
        let found: Vec<_> = Messages::new(&[7, 0, 0, 1, 0, 4, 0]).collect();
        assert_eq!(found, [Ok(Some(Message::KeyframeRequest)), Err(Malformed)]);
    }

    #[test]
    fn names_are_made_safe_to_show() {
        assert_eq!(sanitise_name("  Alice \t (Host)\n"), "Alice (Host)");
        assert_eq!(sanitise_name("a\u{1b}[31mb\u{202e}c"), "a [31mbc");
        assert_eq!(sanitise_name("\u{200b}\u{7}"), "guest");
        let long = sanitise_name(&"é".repeat(100));
        assert_eq!(long, "é".repeat(24));
    }

    #[test]
    fn the_longest_roster_fits_a_packet() {
        let members = (0..4)
            .map(|id| Member {
                name: "n".repeat(MAX_NAME),
                addresses: vec![
                    "[2001:db8::1]:9".parse().unwrap();
                    crate::protocol::wire::MAX_ADDRESSES
                ],
                ..member(id, "")
            })
            .collect();
        let mut bytes = Vec::new();
        Message::Roster(Roster { epoch: 1, introducer: ParticipantId::HOST, members })
            .write(&mut bytes);
        assert!(bytes.len() <= 900, "{} bytes leave no room for a heartbeat", bytes.len());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_reads_writes_back(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            for message in Messages::new(&bytes).flatten().flatten() {
                let again = encoded(&message);
                prop_assert_eq!(Messages::new(&again).next(), Some(Ok(Some(message))));
            }
        }

        #[test]
        fn no_body_of_a_known_kind_panics(
            kind in 1u8..26, body in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let mut bytes = vec![kind, (body.len() >> 8) as u8, body.len() as u8];
            bytes.extend(body);
            for message in Messages::new(&bytes).flatten().flatten() {
                let again = encoded(&message);
                prop_assert_eq!(Messages::new(&again).next(), Some(Ok(Some(message))));
            }
        }

        #[test]
        fn sanitising_twice_changes_nothing(raw in "\\PC{0,80}") {
            let once = sanitise_name(&raw);
            prop_assert_eq!(sanitise_name(&once), once);
        }
    }
}
