//! What differs between operating systems, shell: the clock, thread priorities, the process.

pub mod clock;
pub mod priority;
pub mod usage;
