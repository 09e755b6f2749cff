//! How much a path carries: measured where packets arrive, decided where they are sent.
//!
//! The structure is Google Congestion Control's (draft-ietf-rmcat-gcc-02): one controller for delay
//! and one for loss, a multiplicative decrease to a share of what arrives, an increase that is fast
//! far from where the path last broke and slow near it, a threshold that adapts to the path's own
//! jitter. Three things differ. The signal is not the delay's gradient but the queue itself, the least
//! delay of a short interval over the least of the last seconds, as in LEDBAT (RFC 6817) and NADA
//! (RFC 8698): audio goes through that queue, so its length is what matters, and a decrease must
//! empty it. And there are two answers to it: video is held back at once, while the rate is only cut
//! when the queue stands. And the increase stops short of where the path broke, to be tried again ever
//! more rarely: a path that is used up to its end is one on which audio waits.
//!
//! [`PathMeter`] is the receive thread's; its [`PathReport`]s travel to the sender, whose
//! [`Estimate`] is the control thread's. Both are pure.
//!
//! What is hardly used shows nothing of what it carries. So where more is wanted [`Prober`] fills it up
//! with padding for a moment; what has gone through is used, and what has not is not tried with a
//! picture.
//!
//! One-way delay needs no common clock: audio packets are numbered by the sender's own samples, so a
//! packet's arrival less its number times its frame's length is its delay but for a constant, and
//! the two clocks part by less than the windows notice.

mod estimate;
mod keyframes;
mod meter;
mod police;
mod probe;
mod sent;

pub use estimate::{CONTROL_KBPS, Estimate, share};
pub use keyframes::KeyframeGate;
pub use meter::{PathMeter, PathReport};
pub use police::RelayPolice;
pub use probe::{ProbePath, Prober, Shown};
pub use sent::SentRate;
