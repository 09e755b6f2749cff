//! What several integration tests use.

pub mod call;
pub mod sim;
