//! What several of these tests share.

pub mod call;
pub mod correlate;
pub mod sim;
