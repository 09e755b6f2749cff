//! What differs between operating systems, shell: the clock, timers, thread priorities, the process,
//! space on disks and locks on files.

pub mod clock;
pub mod lock;
pub mod priority;
pub mod space;
pub mod timers;
pub mod usage;
pub mod whereabouts;
