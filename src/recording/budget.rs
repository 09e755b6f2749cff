//! Accounting of the memory that pictures take between camera and encoder.
//!
//! A budget in bytes, not in frames: a queue of MJPEG pictures holds seconds, one of raw 1080p a
//! fraction of that. The queue itself, its lock and its scratch file belong to the engine.

/// What pictures between camera and encoder may take: two seconds of raw 1080p at 30 fps, and with
/// everything else in the program still well under half a gigabyte.
const LIMIT_BYTES: u64 = 256 << 20;

/// Whether a picture may wait in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; its bytes are counted as used.
    Accept,
    /// It would exceed the budget and is not counted: put it elsewhere, never drop it.
    OverBudget,
}

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

    /// Asks for room. One picture is always accepted when nothing waits, however large it is:
    /// otherwise a small budget would stop the recording instead of bounding it.
    pub fn push(&mut self, bytes: u64) -> Admission {
        let used = self.used.saturating_add(bytes);
        if used > self.limit_bytes && self.used > 0 {
            return Admission::OverBudget;
        }
        self.used = used;
        self.peak = self.peak.max(used);
        Admission::Accept
    }

    /// Gives the room of an accepted picture back.
    pub fn release(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.used, "released more than was accepted");
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

    /// Share of the limit that is in use, from 0: what the engine sheds live video and encoder
    /// effort by before anything must spill.
    pub fn fill(&self) -> f64 {
        if self.limit_bytes == 0 {
            return if self.used == 0 { 0.0 } else { 1.0 };
        }
        self.used as f64 / self.limit_bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_limit_is_refused_and_not_counted() {
        let mut budget = Budget::new(100);
        assert_eq!(budget.push(60), Admission::Accept);
        assert_eq!(budget.push(41), Admission::OverBudget);
        assert_eq!((budget.used(), budget.fill()), (60, 0.6));
        assert_eq!(budget.push(40), Admission::Accept);
        budget.release(60);
        assert_eq!((budget.used(), budget.peak()), (40, 100));
        assert_eq!(budget.push(60), Admission::Accept);
    }

    #[test]
    fn one_picture_fits_an_empty_queue_however_large_it_is() {
        let mut budget = Budget::new(10);
        assert_eq!(budget.push(1_000), Admission::Accept);
        assert_eq!(budget.push(1), Admission::OverBudget);
        budget.release(1_000);
        assert_eq!(budget.used(), 0);
    }
}
