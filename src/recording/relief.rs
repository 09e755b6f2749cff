//! What pressure on the recording leads to, in order (PRD invariant 1, DESIGN section 6): live
//! video makes room, the encoder tries less hard, pictures leave memory for a scratch file or are
//! squeezed, and at the very end somebody is told. Never is a picture dropped.
//!
//! Pure: how far things are is told, what to do is answered. The threads and the file belong to
//! the engine.

/// Behind by this much, in microseconds, live video makes room.
const SHED_LIVE: i64 = 300_000;
/// Behind by this much, the encoder tries less hard.
const LESS_EFFORT: i64 = 1_500_000;
/// So is too much memory in waiting pictures, whatever the time: this share of the budget. The
/// grid's delay alone takes a quarter of it with raw 1080p.
const HALF_FULL: f64 = 0.5;
/// The encoder tries less hard from this share on: behind live video, in front of the spill.
const THREE_QUARTERS: f64 = 0.75;
/// Both are taken back when this little is left.
const RELAXED: i64 = 50_000;
/// From this share on pictures leave memory. What is left holds ten raw 1080p pictures: a third
/// of a second in which the scratch file must take one, or be found slow.
pub const SPILL_FROM: f64 = 0.875;
/// A write that takes this long, in microseconds, is the disk's and not the machine's: at 30
/// pictures a second nine more have come.
const SLOW_WRITE: i64 = 300_000;
/// Bytes of the recording itself that wait for the disk from which on it counts as slow: two
/// seconds at 18 Mbit/s. Spilling to it would only make that worse.
const SLOW_RECORDING: u64 = 4_500_000;

/// What the encoder's side does about being behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relief {
    /// Live video rests.
    pub shed_live: bool,
    /// The encoder makes the least effort.
    pub low_effort: bool,
}

impl Relief {
    /// What to do now that the encoder is `behind` (microseconds) and the waiting pictures fill
    /// that share of their budget.
    pub fn next(self, behind: i64, fill: f64) -> Self {
        let relaxed = behind < RELAXED && fill < HALF_FULL;
        Self {
            shed_live: behind > SHED_LIVE || fill > HALF_FULL || (self.shed_live && !relaxed),
            low_effort: behind > LESS_EFFORT
                || fill > THREE_QUARTERS
                || (self.low_effort && !relaxed),
        }
    }
}

/// How the scratch file's disk does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Nothing can be written: no room, no folder, an error.
    pub unusable: bool,
    /// How long the oldest write has been under way, microseconds; 0 without one.
    pub writing: i64,
    /// No more writes can be begun before one has ended.
    pub busy: bool,
    /// Bytes of the recording itself that wait to be written.
    pub unwritten: u64,
}

impl Disk {
    fn slow(&self) -> bool {
        self.unusable || self.writing > SLOW_WRITE || self.unwritten > SLOW_RECORDING
    }
}

/// What becomes of the waiting pictures next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is room, or whatever helps is under way.
    Wait,
    /// One goes to the scratch file.
    Spill,
    /// One is squeezed by the JPEG encoder.
    Squeeze,
    /// Nothing helps any more and the budget is exceeded: somebody has to act.
    Critical,
}

/// The next step. `fill` is the share of the budget in use, `squeezable` whether a picture in
/// memory is not a JPEG yet.
pub fn step(fill: f64, squeezable: bool, disk: &Disk) -> Step {
    if fill <= SPILL_FROM {
        return Step::Wait;
    }
    match (disk.slow(), disk.busy) {
        (false, false) => Step::Spill,
        (false, true) => Step::Wait,
        (true, _) if squeezable => Step::Squeeze,
        // A slow disk is better than none.
        (true, false) if !disk.unusable => Step::Spill,
        _ if fill > 1.0 => Step::Critical,
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Disk = Disk { unusable: false, writing: 0, busy: false, unwritten: 0 };

    #[test]
    fn live_video_goes_first_then_effort_then_pictures_leave_memory() {
        let mut order = Vec::new();
        let mut relief = Relief::default();
        for percent in 0..=100 {
            let fill = f64::from(percent) / 100.0;
            relief = relief.next(0, fill);
            let state = (relief.shed_live, relief.low_effort, step(fill, true, &IDLE));
            if order.last() != Some(&state) {
                order.push(state);
            }
        }
        assert_eq!(
            order,
            [
                (false, false, Step::Wait),
                (true, false, Step::Wait),
                (true, true, Step::Wait),
                (true, true, Step::Spill),
            ]
        );
    }

    #[test]
    fn time_alone_asks_for_relief_too_and_it_is_taken_back_only_when_all_is_caught_up() {
        let mut relief = Relief::default();
        let mut at = |behind| {
            relief = relief.next(behind, 0.2);
            (relief.shed_live, relief.low_effort)
        };
        assert_eq!(at(290_000), (false, false));
        assert_eq!(at(310_000), (true, false));
        assert_eq!(at(1_600_000), (true, true));
        assert_eq!(at(60_000), (true, true));
        assert_eq!(at(40_000), (false, false));
    }

    #[test]
    fn a_slow_disk_means_squeezing_and_only_the_very_end_is_critical() {
        let stalled = Disk { writing: 400_000, busy: true, ..IDLE };
        let behind = Disk { unwritten: 5_000_000, ..IDLE };
        let gone = Disk { unusable: true, ..IDLE };
        for disk in [stalled, behind, gone] {
            assert_eq!(step(0.8, true, &disk), Step::Wait);
            assert_eq!(step(0.9, true, &disk), Step::Squeeze, "{disk:?}");
        }
        // MJPEG cannot be squeezed: then whatever the disk still takes.
        assert_eq!(step(0.9, false, &behind), Step::Spill);
        assert_eq!(step(0.9, false, &stalled), Step::Wait);
        assert_eq!(step(1.1, false, &stalled), Step::Critical);
        assert_eq!(step(1.1, false, &gone), Step::Critical);
        assert_eq!(step(1.1, false, &Disk { busy: true, ..IDLE }), Step::Wait);
    }
}
