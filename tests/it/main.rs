//! Everything that is shown from outside the crate, as one binary.

mod audio;
mod support;
