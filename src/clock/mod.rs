//! The session clock, pure: what a member's local clock lacks to be the session's (DESIGN section 2).
//!
//! ```text
//! exchanges -> Estimator (offset, skew, bound) -> Follower (policy, slewing) -> ClockMap -> everybody
//! ```
//!
//! - [`Estimator`]: four-stamp exchanges as in NTP (RFC 5905, section 8) to an offset, a skew and a
//!   bound in which the truth lies whatever the path does.
//! - [`Follower`]: when the estimate is good enough, and how a clock in use bends towards a new one:
//!   slowly, never backwards.
//! - [`ClockMap`]: the value that converts instants, both ways; [`PublishedClock`] hands it to
//!   real-time threads without a lock.
//!
//! - [`SleepWatch`]: whether the computer was asleep, from what its clocks show.
//!
//! No clock is read here: all instants come in as parameters.

mod estimator;
mod follower;
mod map;
mod published;
mod sleep;

pub use estimator::{Estimate, Estimator};
pub use follower::{
    Follower, GOOD_MICROS, PATIENCE_MICROS, WAKE_ERROR_MICROS, WAKE_PATIENCE_MICROS,
};
pub use map::{ClockLine, ClockMap};
pub use published::PublishedClock;
pub use sleep::{LONGEST_FILLED_MICROS, Reading, SHORTEST_MICROS, Sleep, SleepWatch, Slept};

#[cfg(test)]
mod sleep_tests;
#[cfg(test)]
mod tests;
