//! Control messages: what members tell each other inside sealed type-4 packets.
//!
//! A packet's plaintext is a row of messages, each `kind (8 bits) | length (16 bits) | body`,
//! big-endian. A kind that is not known here is skipped and counted, and a body may be longer than
//! what is read of it, so that later versions can say more.

use std::net::SocketAddr;

use super::congestion::PathReport;
pub use super::name::{MAX_NAME, sanitise_name};
pub use super::roster::{Admit, Charter, Member, Roster, RosterUpdate};
use super::wire::{Malformed, Reader, Writer};
use crate::units::{MAX_PEERS, Micros, ParticipantId, SessionMicros};

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
    /// The sender's computer was asleep for so many milliseconds, within the last minute; 0 else.
    pub slept_millis: u32,
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
    /// The way of the fastest packet of the last seconds by both clocks, microseconds; less than
    /// nothing where they are that far off. With what the other end says of the way back, what the
    /// clocks are off is known to both.
    pub way_micros: Option<i32>,
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
const SLEPT: u8 = 128;

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
            (self.slept_millis > 0, SLEPT),
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
        if self.slept_millis > 0 {
            out.u32(self.slept_millis);
        }
        for report in reception {
            if let Some(way) = report.way_micros {
                out.u8(report.peer.0);
                out.i32(way);
            }
        }
    }

    /// What its sender says of the way of this participant's packets.
    pub fn way_of(&self, peer: ParticipantId) -> Option<i32> {
        self.reception.iter().find(|r| r.peer == peer)?.way_micros
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
                way_micros: None,
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
        let slept_millis = if flags & SLEPT != 0 { body.u32()? } else { 0 };
        for _ in 0..count {
            // A shorter body is one of who does not tell, or not yet.
            let Ok(id) = body.u8() else { break };
            let way = body.i32()?;
            if let Some(report) = reception.iter_mut().find(|r| r.peer.0 == id) {
                report.way_micros = Some(way);
            }
        }
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
            slept_millis,
        })
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
        /// How far the answerer's session clock may be from the truth, microseconds.
        uncertainty_micros: u32,
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
    Roster(Box<RosterUpdate>),
    /// The receiver's decoder needs a keyframe.
    KeyframeRequest,
    /// Whoever receives this at a new address sends it back.
    PathChallenge([u8; 8]),
    /// The challenge, sent back.
    PathResponse([u8; 8]),
    /// How the receiver's audio arrives here.
    AudioReport(AudioReport),
    /// How the receiver's packets come through the path to the sender of this. Some times a second.
    PathReport(PathReport),
    /// The sender misses these fragments of one of the receiver's keyframes, and of nothing else.
    Again {
        /// The picture's number.
        sequence: u32,
        /// Bit n for fragment n; later ones cannot be asked for.
        fragments: u32,
    },
    /// Whom the sender hears, and whose roster it has. With each heartbeat.
    Links {
        /// Who made the roster that the heartbeat tells of.
        introducer: ParticipantId,
        /// The sender's other peers.
        links: Vec<LinkReport>,
    },
    /// Where the sender may be reached.
    Addresses(Vec<SocketAddr>),
    /// Where the sender sees the receiver.
    Observed(SocketAddr),
    /// The receiver is no member any more.
    Removed {
        /// Because a person said so; else because two rosters met, and it may come again.
        by_person: bool,
    },
    /// A stranger's handshake datagram, without its padding, for the introducer.
    Forward {
        /// Proves, on the way back, that the sender has forwarded something from there.
        tag: [u8; 8],
        /// Where it came from.
        source: SocketAddr,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// The introducer's answer to a stranger.
    Pass {
        /// From the forwarded datagram.
        tag: [u8; 8],
        /// Where to send it.
        to: SocketAddr,
        /// The datagram.
        datagram: Vec<u8>,
    },
}

/// How the sender of a [`Message::Links`] reaches one of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// Whom.
    pub peer: ParticipantId,
    /// Round trip, microseconds.
    pub rtt_micros: u32,
    /// Pings without an answer, tenths of a percent.
    pub loss_permille: u16,
    /// Only through another member.
    pub relayed: bool,
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
const LINKS: u8 = 20;
const ADDRESSES: u8 = 21;
const OBSERVED: u8 = 22;
const REMOVED: u8 = 23;
const FORWARD: u8 = 24;
const PASS: u8 = 25;
const AUDIO_REPORT: u8 = 26;
const PATH_REPORT: u8 = 27;
const AGAIN: u8 = 28;

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
            Self::Pong { sent, received, answered, synchronised, uncertainty_micros } => {
                body.i64(sent.0);
                body.i64(received.0);
                body.i64(answered.0);
                body.u8(u8::from(*synchronised));
                body.u32(*uncertainty_micros);
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
            Self::PathReport(report) => {
                body.u32(report.queue_micros);
                body.u32(report.noise_micros);
                body.u16(report.received_kbps);
                PATH_REPORT
            }
            Self::Again { sequence, fragments } => {
                body.u32(*sequence);
                body.u32(*fragments);
                AGAIN
            }
            Self::Links { introducer, links } => {
                body.u8(introducer.0);
                let links = &links[..links.len().min(MAX_PEERS)];
                body.u8(links.len() as u8);
                for link in links {
                    body.u8(link.peer.0);
                    body.u32(link.rtt_micros);
                    body.u16(link.loss_permille);
                    body.u8(u8::from(link.relayed));
                }
                LINKS
            }
            Self::Addresses(addresses) => {
                body.addresses(addresses);
                ADDRESSES
            }
            Self::Observed(address) => {
                body.addresses(&[*address]);
                OBSERVED
            }
            Self::Removed { by_person } => {
                body.u8(u8::from(*by_person));
                REMOVED
            }
            Self::Forward { tag, source: address, datagram } => {
                passed(&mut body, tag, *address, datagram);
                FORWARD
            }
            Self::Pass { tag, to: address, datagram } => {
                passed(&mut body, tag, *address, datagram);
                PASS
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
                // Not from earlier versions.
                uncertainty_micros: body.u32().unwrap_or(0),
            },
            HEARTBEAT => Self::Heartbeat {
                count: body.u32()?,
                roster: body.u32()?,
                status: Status::read(&mut body)?,
            },
            T0 => Self::T0 { at: SessionMicros(body.i64()?) },
            ROSTER => Self::Roster(Box::new(RosterUpdate::read(&mut body)?)),
            KEYFRAME_REQUEST => Self::KeyframeRequest,
            PATH_CHALLENGE => Self::PathChallenge(body.array()?),
            PATH_RESPONSE => Self::PathResponse(body.array()?),
            AUDIO_REPORT => Self::AudioReport(AudioReport {
                loss_1s: body.u16()?,
                loss_10s: body.u16()?,
                run: body.u8()?,
            }),
            PATH_REPORT => Self::PathReport(PathReport {
                queue_micros: body.u32()?,
                noise_micros: body.u32()?,
                received_kbps: body.u16()?,
            }),
            AGAIN => Self::Again { sequence: body.u32()?, fragments: body.u32()? },
            LINKS => {
                let introducer = body.participant()?;
                let count = usize::from(body.u8()?);
                if count > MAX_PEERS {
                    return Err(Malformed);
                }
                let mut links = Vec::with_capacity(count);
                for _ in 0..count {
                    links.push(LinkReport {
                        peer: body.participant()?,
                        rtt_micros: body.u32()?,
                        loss_permille: body.u16()?,
                        relayed: body.u8()? & 1 != 0,
                    });
                }
                Self::Links { introducer, links }
            }
            ADDRESSES => Self::Addresses(body.addresses()?),
            OBSERVED => Self::Observed(one_address(&mut body)?),
            REMOVED => Self::Removed { by_person: body.u8()? & 1 != 0 },
            FORWARD => Self::Forward {
                tag: body.array()?,
                source: one_address(&mut body)?,
                datagram: body.0.to_vec(),
            },
            PASS => Self::Pass {
                tag: body.array()?,
                to: one_address(&mut body)?,
                datagram: body.0.to_vec(),
            },
            _ => return Ok(None),
        }))
    }
}

fn passed(body: &mut Writer<'_>, tag: &[u8; 8], address: SocketAddr, datagram: &[u8]) {
    body.bytes(tag);
    body.addresses(&[address]);
    body.bytes(datagram);
}

fn one_address(body: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    body.addresses()?.first().copied().ok_or(Malformed)
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

#[cfg(test)]
mod tests;
