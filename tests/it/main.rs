//! Everything that is shown from outside the crate, as one binary.

mod audio;
mod cli;
mod container;
mod encoders;
mod generated;
mod layering;
mod protocol;
mod release;
mod support;
