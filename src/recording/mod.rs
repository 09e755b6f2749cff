//! The golden master: from what the devices delivered to the samples of one MP4 file (PRD 4.3,
//! 4.4, 7).
//!
//! Pure but for its encoders: time comes in as a parameter; no file, socket, thread or clock is
//! touched here. The engine owns the threads and the queues between them.

pub mod aac;
pub mod budget;
pub mod card;
pub mod clap;
pub mod flac;
pub mod folder;
pub mod frame_log;
pub mod frame_rate;
pub mod gate;
pub mod grid;
pub mod h264;
pub mod journal;
pub mod media;
pub mod metadata;
pub mod mp4;
pub mod raw;
pub mod recover;
pub mod relief;
pub mod render;
pub mod resample;
pub mod safety;
pub mod sound;
pub mod space;
pub mod timecodes;
pub mod timeline;
pub mod tone;
pub mod trial;
pub mod verify;
pub mod wav;
