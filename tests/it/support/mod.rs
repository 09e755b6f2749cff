//! What several of these tests share.

pub mod busy;
pub mod call;
#[cfg(target_os = "linux")]
pub mod camera_lab;
pub mod correlate;
#[cfg(target_os = "linux")]
pub mod disk;
#[cfg(unix)]
pub mod media;
#[cfg(unix)]
pub mod process;
pub mod schema;
pub mod sim;
#[cfg(unix)]
pub mod terminal;
