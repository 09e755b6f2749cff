//! All integration tests, in one binary: they share the compiled crate and its encoders.

mod container;
