//! What differs between operating systems, shell: the clock, timers, thread priorities, the process,
//! space on disks, locks on files, folders.

pub mod clock;
pub mod folders;
#[cfg(unix)]
pub mod jobs;
pub mod lock;
pub mod priority;
pub mod space;
pub mod timers;
pub mod usage;
pub mod whereabouts;
