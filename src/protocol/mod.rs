//! Protocol.
pub mod control;
pub mod demux;
pub mod fragment;
pub mod handshake;
pub mod header;
pub mod invite;
mod replay;
pub mod seal;
mod wire;

pub use control::{Member, Reception, Roster, Status, StreamParameters, sanitise_name};
pub use demux::{Demux, Demuxed, DropCounters, DropReason};
pub use fragment::{MAX_FRAGMENT, fragment, fragments};
pub use handshake::{CODEC_OPUS, CODEC_VP8, Randomness, Refusal, SessionStart};
pub use header::{HEADER_LEN, Header, HeaderError, MAX_DATAGRAM, PacketType, TAG_LEN};
pub use invite::{DEFAULT_PORT, Invite, InviteKey, MalformedInvite, MalformedKey};
pub use seal::{MediaSealer, PairKeys};
