//! Accounting of the memory that pictures take between camera and encoder.
//!
//! A budget in bytes, not in frames: a queue of MJPEG pictures holds seconds, one of raw 1080p a
//! fraction of that. Nothing is ever refused: what to do when it runs short is [`super::relief`]'s.
//! The queue itself, its lock and its scratch file belong to the engine.

/// What pictures between camera and encoder may take: more than two seconds of raw 1080p at
/// 30 fps, and with everything else in the program still well under half a gigabyte.
pub const LIMIT_BYTES: u64 = 256 << 20;

/// Bytes in use against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    limit_bytes: u64,
    used: u64,
    peak: u64,
}

impl Default for Budget {
    /// An empty budget of 256 MiB.
    fn default() -> Self {
        Self::new(LIMIT_BYTES)
    }
}

impl Budget {
    /// An empty budget.
    pub const fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used: 0, peak: 0 }
    }

    /// Counts a picture that begins to wait, also above the limit: it is there.
    pub fn take(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
        self.peak = self.peak.max(self.used);
    }

    /// Gives the room of a picture back.
    pub fn release(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.used, "released more than was taken");
        self.used = self.used.saturating_sub(bytes);
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit_bytes
    }

    /// The most that was in use at once, in bytes.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Share of the limit that is in use, from 0; above 1 it is exceeded.
    pub fn fill(&self) -> f64 {
        if self.limit_bytes == 0 {
            return if self.used == 0 { 0.0 } else { 2.0 };
        }
        self.used as f64 / self.limit_bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_also_above_the_limit() {
        let mut budget = Budget::new(100);
        budget.take(60);
        assert_eq!((budget.used(), budget.fill()), (60, 0.6));
        budget.take(60);
        assert_eq!((budget.used(), budget.fill()), (120, 1.2));
        budget.release(60);
        budget.release(60);
        assert_eq!((budget.used(), budget.peak()), (0, 120));
    }

    #[test]
    fn without_any_room_everything_is_too_much() {
        let mut budget = Budget::new(0);
        assert_eq!(budget.fill(), 0.0);
        budget.take(1);
        assert!(budget.fill() > 1.0);
    }
}
