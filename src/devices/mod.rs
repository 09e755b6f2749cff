//! Devices, shell: microphone, speaker and camera; each real, synthetic, from or to a file, or off.

pub mod spec;
