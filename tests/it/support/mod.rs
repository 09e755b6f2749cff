//! What several integration tests use.

pub mod sim;
