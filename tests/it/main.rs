//! Everything that is shown from outside the crate, as one binary.

mod audio;
#[cfg(unix)]
mod call;
mod cli;
mod container;
mod devices;
mod encoders;
mod generated;
mod lab;
mod layering;
mod mesh;
mod protocol;
mod release;
mod socket;
mod support;
mod virtual_call;
#[cfg(target_os = "linux")]
mod window;
