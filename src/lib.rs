//! HyperZoom: peer-to-peer calls for remote podcast recording, in the terminal.
//!
//! # The map
//!
//! Pure rooms know no clock, socket, device, file or thread: time, randomness and configuration
//! come in as parameters, so that a whole call runs in virtual time in a test.
//!
//! | room | kind | holds |
//! |---|---|---|
//! | [`units`] | pure | instants, media time, sequence numbers, ids |
//! | [`protocol`] | pure | 12-byte header, control messages, fragments, sealing, the mesh |
//! | [`clock`] | pure | offset to the session clock |
//! | [`audio`] | pure | Opus, playout buffer, mixing, resampling, meters, test sound |
//! | [`video`] | pure | pixel formats, scaling, VP8, frame assembly, pacing, test picture |
//! | [`recording`] | pure but for its encoders | grid, timeline, AAC, H.264, MP4, metadata |
//! | [`devices`] | shell | microphone, speaker, camera: real, synthetic, from and to files |
//! | [`net`] | shell | the UDP socket, interfaces |
//! | [`platform`] | shell | the monotonic clock, thread priorities, CPU and memory of the process |
//! | [`ui`] | shell | dashboard, preview window, plain and JSON event output |
//! | [`engine`] | shell | threads and the queues between them; alone knows both sides |
//! | [`cli`] | shell | command line, one file a subcommand |
//!
//! Imports go one way: `units` <- `protocol`, `clock`, `audio`, `video` <- `recording` <- `engine`
//! <- `cli`. `devices`, `net` and `ui` know the pure rooms' value types and never the engine.
//! `tests/it/layering.rs` holds the code to this.
//!
//! # Three kinds of time
//!
//! - **Local monotonic** ([`units::Micros`]): timers, arrival and capture stamps.
//! - **Session clock** ([`units::SessionMicros`]): the host's monotonic clock, zero when it starts.
//! - **Media time** ([`units::MediaTime`]): samples and frames, derived from the session clock.

pub mod audio;
pub mod cli;
pub mod clock;
pub mod devices;
pub mod engine;
pub mod net;
pub mod platform;
pub mod protocol;
pub mod recording;
pub mod ui;
pub mod units;
pub mod video;
