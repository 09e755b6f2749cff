//! The engine, shell: the threads of PRD 5.2 and the bounded queues between them. The only room
//! that knows both the pure rooms and the devices.
//!
//! ```text
//! microphone callback -> two rings -> hz-talk       -> socket     (real-time; the only media sender)
//!                                  -> hz-rec-audio  -> hz-mux -> file
//! camera thread       -> queue     -> hz-rec-video  -> hz-mux
//!                        (short of memory: hz-spill, hz-spill-disk -> scratch file)
//!                     -> newest    -> hz-live-video -> ring -> hz-talk
//! socket -> hz-receive -> ring a peer -> speaker callback            (real-time)
//!                      -> ring a peer -> hz-view-N -> window's process
//!                      -> hz-control (tokio: the mesh, slow timers)
//!                      -> ring       -> hz-safety -> a safety track a peer
//! hz-sync: the disk's syncs and each fragment's commit, for hz-mux
//! hz-find: at a start, recordings that earlier runs left; hz-recover: ends them, when told to
//! hz-supervise: commands, snapshot, statistics, the end; hz-close: the files' end
//! hz-before, hz-before-*: devices, disk and router while the screen before the call is up
//! hz-check: the finished recording, read again when all is over
//! hz-log: the session's log; hz-disk: free space and the small files; hz-portmap: the router;
//! hz-addresses: interfaces that come and go
//! ```
//!
//! Nothing walks back but counters.

mod addresses;
mod av_offset;
pub mod call;
mod call_state;
mod capture;
mod carry;
pub mod config;
mod congestion;
mod control;
mod devices;
mod disk;
pub mod doctor;
mod door;
mod error;
mod events;
mod folder;
mod latency;
mod live_send;
mod live_video;
mod log;
mod metadata;
mod net;
mod offer;
mod paths;
mod playback;
mod portmap;
pub mod precall;
mod quiet;
mod receive;
mod record;
pub mod recovery;
mod safety;
mod shared;
mod sleep;
mod stats;
mod supervise;
mod talk;
mod threads;
pub mod verification;
mod view;
pub mod window;

pub use error::{EngineError, exit};
