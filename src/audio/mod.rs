//! Live audio (PRD 4.2.1): everything between a captured sample and a heard one that is not a
//! device, a socket or a thread.
//!
//! Pure: no clock, no device, no thread; instants come in as parameters. What runs in the audio
//! callbacks or on the talk thread neither allocates, locks, logs, waits nor panics after its
//! constructor; `tests/no_alloc.rs` holds the code to the first of these.
//!
//! The way of a sample: the microphone gives 48 kHz mono, [`framer`] cuts frames of 5 or 2.5 ms,
//! [`codec`] encodes, [`redundancy`] adds copies and keeps silence back, [`packet`] lays out the
//! payload. [`reception`] reports what was lost, [`copies`] decides from that. At the peer [`mod@mixer`] hands payloads to one [`playout`] buffer a peer, which reorders,
//! decides the depth ([`delay`]), decodes or conceals ([`decoder`]) and keeps drift away ([`fraction`]); the
//! mixer adds the peers up and limits softly. [`meter`] measures, [`test_sound`] is a synthetic
//! microphone whose position can be found again.

pub mod codec;
pub mod copies;
pub mod decoder;
pub mod delay;
pub mod fraction;
pub mod framer;
pub mod meter;
pub mod mixer;
pub mod packet;
pub mod playout;
pub mod reception;
pub mod redundancy;
pub mod test_sound;

pub use codec::{CodecError, FRAME, FrameLength, TalkEncoder};
pub use decoder::TalkDecoder;
pub use framer::Framer;
pub use meter::{Level, Meter, SharedMeter};
pub use mixer::{Mixer, PeerFeed, mixer};
pub use packet::{AudioPayload, MAX_AUDIO_PAYLOAD, PayloadError, parse_payload, write_payload};
pub use playout::{PlayoutBuffer, PlayoutStats, ReceivedAudio};
pub use test_sound::TestSound;
