//! The value that turns local instants into session instants and back.
//!
//! A clock that follows an estimate bends: its map is a row of straight lines, each valid from its
//! own beginning on. The last few are kept, so that a stamp that is converted late (it waited in a
//! ring, say) comes out as it would have then: what is already placed stays where it is, and what
//! comes behind it never comes before it.

use crate::units::{Micros, SessionMicros};

/// Lines that a map holds. A clock bends about once a second: stamps up to some seconds old are
/// converted exactly as when they were new.
pub(super) const LINES: usize = 8;

/// One straight piece of a clock's map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockLine {
    /// Where it begins, local clock.
    pub at: Micros,
    /// The session's time there.
    pub session: SessionMicros,
    /// How much faster the session clock runs than the local one, parts per billion.
    pub rate_ppb: i64,
}

impl ClockLine {
    /// The session's time at a local instant, also before the line's beginning.
    pub fn to_session(&self, local: Micros) -> SessionMicros {
        let since = local.since(self.at);
        self.session + since + gain(since, self.rate_ppb)
    }

    /// The local instant at which the session clock shows `session`, to the microsecond.
    pub fn to_local(&self, session: SessionMicros) -> Micros {
        let since = i128::from(session.since(self.session));
        let rate = i128::from(1_000_000_000 + self.rate_ppb).max(1);
        self.at + ((since * 2_000_000_000 + rate).div_euclid(rate * 2)) as i64
    }
}

/// What a clock that runs faster by `ppb` gains within `micros`.
fn gain(micros: i64, ppb: i64) -> i64 {
    const BILLION: i128 = 1_000_000_000;
    ((i128::from(micros) * i128::from(ppb) * 2 + BILLION).div_euclid(BILLION * 2)) as i64
}

/// A clock's map: session time over local time, continuous and rising. A small value: take a copy
/// where many stamps are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockMap {
    /// The first `len` count, by rising `at`. The newest may begin in the future: until there the
    /// clock still bends.
    lines: [ClockLine; LINES],
    len: usize,
}

impl ClockMap {
    /// One straight line.
    pub fn new(line: ClockLine) -> Self {
        let mut lines = [ClockLine::default(); LINES];
        lines[0] = line;
        Self { lines, len: 1 }
    }

    /// The map of a clock that is the session's: its zero is at `zero`.
    pub fn exact(zero: Micros) -> Self {
        Self::new(ClockLine { at: zero, session: SessionMicros(0), rate_ppb: 0 })
    }

    fn lines(&self) -> &[ClockLine] {
        &self.lines[..self.len]
    }

    /// The line that holds at a local instant; before all that are kept, the oldest.
    pub fn line_at(&self, local: Micros) -> ClockLine {
        let holds = self.lines().iter().rev().find(|line| line.at <= local);
        *holds.unwrap_or(&self.lines[0])
    }

    /// The session's time at a local instant.
    pub fn to_session(&self, local: Micros) -> SessionMicros {
        self.line_at(local).to_session(local)
    }

    /// The local instant at which the session clock shows `session`.
    pub fn to_local(&self, session: SessionMicros) -> Micros {
        let holds = self.lines().iter().rev().find(|line| line.session <= session);
        holds.unwrap_or(&self.lines[0]).to_local(session)
    }

    /// The clock as it ran before a sleep that ended at `woke`.
    pub fn before(&self, woke: Micros) -> Self {
        let mut map = *self;
        while map.len > 1 && map.lines[map.len - 1].at >= woke {
            map.len -= 1;
        }
        map
    }

    /// Session clock less local clock at a local instant, microseconds.
    pub fn offset_at(&self, local: Micros) -> i64 {
        self.to_session(local).0 - local.0
    }

    /// Gives up what was planned behind `now` and goes on along `line`, which begins there or later.
    pub(super) fn bend(&mut self, now: Micros, line: ClockLine) {
        while self.len > 1 && self.lines[self.len - 1].at > now {
            self.len -= 1;
        }
        self.push(line);
    }

    /// A further line behind those that are there.
    pub(super) fn push(&mut self, line: ClockLine) {
        debug_assert!(line.at >= self.lines[self.len - 1].at, "lines follow each other");
        if self.len == LINES {
            self.lines.rotate_left(1);
            self.len -= 1;
        }
        self.lines[self.len] = line;
        self.len += 1;
    }

    pub(super) fn to_words(self) -> [i64; 3 * LINES + 1] {
        let mut words = [0; 3 * LINES + 1];
        words[0] = self.len as i64;
        for (line, words) in self.lines.iter().zip(words[1..].as_chunks_mut().0) {
            *words = [line.at.0, line.session.0, line.rate_ppb];
        }
        words
    }

    pub(super) fn from_words(words: &[i64; 3 * LINES + 1]) -> Self {
        let mut lines = [ClockLine::default(); LINES];
        for (line, &[at, session, rate_ppb]) in lines.iter_mut().zip(words[1..].as_chunks().0) {
            *line = ClockLine { at: Micros(at), session: SessionMicros(session), rate_ppb };
        }
        Self { lines, len: words[0].clamp(1, LINES as i64) as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_and_back_is_the_same_instant(
            at in -1_000_000_000_000i64..1_000_000_000_000,
            session in -1_000_000_000i64..1_000_000_000_000,
            rate_ppb in -1_000_000i64..1_000_000,
            since in -50_000_000_000i64..50_000_000_000,
        ) {
            let line = ClockLine { at: Micros(at), session: SessionMicros(session), rate_ppb };
            let map = ClockMap::new(line);
            let local = Micros(at + since);
            prop_assert!(map.to_local(map.to_session(local)).since(local).abs() <= 1);
        }

        #[test]
        fn old_stamps_come_out_as_when_they_were_new(
            bends in prop::collection::vec((500_000i64..2_000_000, -500_000i64..500_000), 1..40),
        ) {
            let mut map = ClockMap::exact(Micros(0));
            let mut now = Micros(0);
            let mut known = Vec::new();
            for (pause, rate_ppb) in bends {
                now = now + pause;
                let session = map.to_session(now);
                known.push((now, session));
                map.bend(now, ClockLine { at: now, session, rate_ppb });
                for (at, then) in &known {
                    if now.since(*at) <= 3_000_000 {
                        prop_assert_eq!(map.to_session(*at), *then);
                    }
                }
            }
        }
    }

    #[test]
    fn eleven_days_do_not_overflow_and_round_to_the_microsecond() {
        let line = ClockLine { at: Micros(0), session: SessionMicros(0), rate_ppb: 100_000 };
        let days = 1_000_000_000_000;
        assert_eq!(line.to_session(Micros(days)), SessionMicros(days + days / 10_000));
        assert_eq!(line.to_session(Micros(-10_000)), SessionMicros(-10_001));
        assert_eq!(line.to_local(SessionMicros(10_001)), Micros(10_000));
    }
}
