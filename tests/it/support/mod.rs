//! What several of these tests share.

pub mod call;
pub mod correlate;
#[cfg(unix)]
pub mod media;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod schema;
pub mod sim;
