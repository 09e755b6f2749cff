//! Everything that is shown from outside the crate, as one binary.

#[cfg(target_os = "linux")]
mod window;
