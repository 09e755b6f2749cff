//! The golden master: what each participant records of itself (PRD 4.3, 4.4, 7).
//!
//! Pure but for its encoders: files, clocks and threads come in from the engine.

pub mod folder;
pub mod metadata;
pub mod mp4;
pub mod timecodes;
