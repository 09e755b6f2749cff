//! Network, shell: the UDP socket, this machine's addresses, host names.

pub mod interfaces;
pub mod resolve;
pub mod socket;

pub use socket::{CallSocket, Class, Received};
