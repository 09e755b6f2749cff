//! Everything that is shown from outside the crate, as one binary.

#[cfg(unix)]
mod alignment;
mod audio;
#[cfg(unix)]
mod call;
mod cli;
mod completions;
mod container;
mod devices;
#[cfg(target_os = "linux")]
mod disk;
mod encoders;
#[cfg(target_os = "linux")]
mod examples;
mod generated;
mod lab;
mod layering;
#[cfg(unix)]
mod lipsync;
mod mesh;
mod netlab;
mod portmap;
mod protocol;
mod release;
#[cfg(target_os = "linux")]
mod sleep;
mod socket;
mod sound;
mod storm;
mod support;
mod virtual_call;
#[cfg(target_os = "linux")]
mod wayland;
mod webcam;
#[cfg(target_os = "linux")]
mod window;
