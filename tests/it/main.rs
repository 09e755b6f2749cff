//! Everything that is shown from outside the crate, as one binary.

mod cli;
mod generated;
mod layering;
mod release;
