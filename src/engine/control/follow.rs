//! Following the session clock, and going on with it when who held it has left (DESIGN section 5).

use super::{Control, Progress};
use crate::engine::sleep;
use crate::platform::clock;
use crate::ui::model::Event;
use crate::units::ParticipantId;

/// The clock is told of again this often, microseconds: its skew takes some ten seconds to show.
const TELL_CLOCK: i64 = 60_000_000;
/// And once after this long.
const TELL_SKEW: i64 = 15_000_000;

impl Control {
    /// Bends the clock if it is time to, and tells everybody of it.
    pub(super) fn follow_clock(&mut self, progress: &mut Progress) {
        if self.host && progress.clock.is_holder() {
            return;
        }
        let now = clock::now();
        progress.clock.tick(now);
        // A host takes its clock back also where the recording has ended meanwhile and settled for
        // what was known.
        let due = !self.shared.settled() || self.host && !progress.clock.is_holder();
        if let (true, true, Some(map)) = (progress.clock.settled(), due, progress.clock.map()) {
            if self.host {
                progress.reference = ParticipantId::HOST;
                progress.clock.take_over(now);
                self.state.lock().unwrap_or_else(|e| e.into_inner()).clock = None;
            }
            sleep::settle(&map, &self.shared, &self.record);
            self.mesh.set_clock(map.offset_at(now));
            progress.tell_clock = Some(now);
        }
        let (Some(map), Some(estimate)) = (progress.clock.map(), progress.clock.estimate(now))
        else {
            return;
        };
        if self.shared.clock_map() != Some(map) {
            self.shared.set_clock_map(&map);
        }
        self.state.lock().unwrap_or_else(|e| e.into_inner()).clock = Some(estimate);
        let first = progress.tell_clock.is_none();
        if progress.tell_clock.is_none_or(|at| now >= at) {
            progress.tell_clock = Some(now + if first { TELL_SKEW } else { TELL_CLOCK });
            self.events.send(Event::Clock {
                offset_ms: estimate.offset as f64 / 1e3,
                uncertainty_ms: estimate.uncertainty as f64 / 1e3,
                skew_ppm: estimate.skew_ppm(),
            });
        }
    }

    /// Who holds the session clock has left: who has been in the longest goes on with it. (Not the
    /// lowest id: that may be a newcomer's, once the host's has been given out again.)
    pub(super) fn find_reference(&mut self, progress: &mut Progress) {
        // Who was asleep has no clock to go on with: it waits for those who come back.
        if self.host || progress.leaving || !progress.clock.settled() {
            return;
        }
        let reference = self.mesh.reference();
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if state.members.contains_key(&progress.reference.0) {
            return;
        }
        let Some(own) = state.own_id else { return };
        // Who does not know the session clock itself cannot hold it.
        let known = reference.and_then(|id| Some((id, state.members.get(&id.0)?)));
        let now = clock::now();
        match known.filter(|(_, m)| m.status.clock.is_some()) {
            Some((id, member)) => {
                let known = member.status.clock.unwrap_or_default();
                progress.reference = id;
                progress.clock.follow_another(now, known.uncertainty_micros.into());
            }
            None => {
                progress.reference = own;
                progress.clock.take_over(now);
            }
        }
    }
}
