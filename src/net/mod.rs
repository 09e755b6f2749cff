//! Network, shell: the UDP socket, this machine's addresses, host names, port mapping.

pub mod interfaces;
mod mtu;
pub mod portmap;
pub mod resolve;
pub mod socket;

pub use socket::{CallSocket, Class, Received};
