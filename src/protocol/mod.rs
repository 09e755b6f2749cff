//! What goes over the wire: header, handshake, sealing, control messages, and the mesh that holds
//! a call together. Pure: time and randomness come in as parameters, datagrams go in and out.
//!
//! # Who owns what
//!
//! | part | owner | does |
//! |---|---|---|
//! | [`Mesh`] | control thread | joining, heartbeats, stamps, roster, leaving; see its contract |
//! | [`Demux`] | receive thread | opens each datagram, says what it is, drops what is not ours |
//! | [`MediaSealer`] | talk thread | seals audio and video for one peer |
//!
//! A datagram walks: socket -> [`Demux::handle`] -> media to its rings (and [`Mesh::heard`]),
//! [`Demuxed::Handshake`] to [`Mesh::handle_handshake`], [`Demuxed::Control`] to
//! [`Mesh::handle_control`], [`Demuxed::Bye`] to [`Mesh::handle_bye`]. What the mesh wants sent comes
//! from [`Mesh::poll_transmit`]. Keys walk from [`MeshEvent::KeysReady`] to [`Demux::add_peer`] and,
//! with [`MeshEvent::PeerJoined`], to [`MediaSealer::new`].
//!
//! The three share keys and no state: the nonce holds the packet's type and number, and each type
//! has one counter with one owner.
//!
//! # On the wire
//!
//! Every datagram is the 12-byte [`Header`] and a payload of at most [`MAX_DATAGRAM`] together. Types
//! 1, 2, 3 and 5 are sealed whole. A type-4 payload begins with one clear byte: 0 handshake (see
//! [`handshake`]), 1 sealed control messages (see [`control`]), 2 relay: sealed to a member that passes
//! on what is in it, the destination's id and a whole datagram. A sealed packet opens only under the
//! key of the pair, with its header (and that byte) as associated data, and only once. A type-3 packet
//! whose payload is all padding carries nothing: it shows that the path carries it.

pub mod congestion;
pub mod control;
pub mod demux;
pub mod fragment;
pub mod handshake;
pub mod header;
pub mod invite;
pub mod mesh;
mod name;
mod replay;
mod roster;
mod scope;
pub mod seal;
mod wire;

pub use control::{Admit, Member, Reception, Roster, Status, StreamParameters, sanitise_name};
pub use demux::{Demux, Demuxed, DropCounters, DropReason};
pub use fragment::{MAX_FRAGMENT, MAX_FRAGMENTS, fragment, fragment_len, fragments};
pub use handshake::{CODEC_OPUS, CODEC_VP8, Randomness, Refusal, SessionStart};
pub use header::{HEADER_LEN, Header, HeaderError, MAX_DATAGRAM, PacketType, TAG_LEN};
pub use invite::{DEFAULT_PORT, Invite, InviteKey, MalformedInvite, MalformedKey};
pub use mesh::{LeaveReason, Local, Mesh, MeshCounters, MeshEvent};
pub use scope::Scope;
pub use seal::{MAX_ENVELOPE, MIN_PADDING, MediaSealer, PADDINGS, PairKeys};
pub use wire::{Malformed, padding};
