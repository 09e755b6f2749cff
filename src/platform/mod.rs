//! What differs between operating systems, shell: the clock, timers, thread priorities, the process.

pub mod clock;
pub mod priority;
pub mod timers;
pub mod usage;
