//! Tools that several integration tests share.

pub mod correlate;
