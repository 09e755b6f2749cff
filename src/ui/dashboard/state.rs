//! What the dashboard remembers between two drawings: the log, the meter's held peak, what is
//! open on the screen. Time comes in as a parameter.

use std::collections::VecDeque;

use crate::ui::meter::Held;
use crate::ui::model::Snapshot;
use crate::ui::palette::Palette;
use crate::units::Micros;

/// Lines of the log that can be scrolled back to.
const LOG_LINES: usize = 500;
/// Everything that is drawn beside the snapshot.
#[derive(Debug)]
pub struct DashboardState {
    /// Styles.
    pub palette: Palette,
    /// The engine's log with captured lines and own notes between, newest last.
    pub log: VecDeque<String>,
    /// Lines that the log is scrolled up by.
    pub scroll: usize,
    /// The help is open.
    pub help: bool,
    /// The end key was pressed once.
    pub asking: bool,
    /// The end was asked for.
    pub ending: bool,
    /// The own meter's peak.
    pub held: Held,
    /// The engine's log as of the last snapshot.
    seen: Vec<String>,
}

impl DashboardState {
    /// Nothing seen yet.
    pub fn new(palette: Palette) -> Self {
        Self {
            palette,
            log: VecDeque::new(),
            scroll: 0,
            help: false,
            asking: false,
            ending: false,
            held: Held::default(),
            seen: Vec::new(),
        }
    }

    /// Takes over what a snapshot tells: new lines of the log, the meter's peak.
    pub fn absorb(&mut self, snapshot: &Snapshot, now: Micros) {
        let fresh = fresh_from(&self.seen, &snapshot.log);
        if fresh < snapshot.log.len() || self.seen.len() != snapshot.log.len() {
            for line in &snapshot.log[fresh..] {
                self.note(line.clone());
            }
            self.seen.clone_from(&snapshot.log);
        }
        self.held.absorb(snapshot.mic_peak_db, now);
    }

    /// Adds a line to the log. A log that is scrolled up keeps showing what it shows.
    pub fn note(&mut self, line: String) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
        if self.scroll > 0 {
            self.scroll = (self.scroll + 1).min(self.log.len() - 1);
        }
    }

    /// Scrolls the log up by so many lines; the least number leads back to the newest.
    pub fn scroll_by(&mut self, lines: isize) {
        let most = self.log.len().saturating_sub(1);
        self.scroll = self.scroll.saturating_add_signed(lines).min(most);
    }
}

/// The engine's log grows at its end and is trimmed at its beginning: where in `now` the lines
/// begin that were not in `before`.
fn fresh_from(before: &[String], now: &[String]) -> usize {
    (0..before.len())
        .map(|dropped| &before[dropped..])
        .find(|rest| now.starts_with(rest))
        .map_or(0, <[String]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn only_new_lines_of_a_trimmed_log_are_taken() {
        for (before, now, fresh) in [
            ("", "ab", 0),
            ("ab", "ab", 2),
            ("ab", "abc", 2),
            ("abc", "bcd", 2),
            ("abc", "xyz", 0),
            ("aaa", "aab", 2),
            ("ab", "", 0),
        ] {
            assert_eq!(fresh_from(&lines(before), &lines(now)), fresh, "{before} {now}");
        }
        let mut state = DashboardState::new(Palette::PLAIN);
        for log in ["ab", "ab", "bcd"] {
            state.absorb(&Snapshot { log: lines(log), ..Snapshot::default() }, Micros(0));
        }
        state.note("!".into());
        state.absorb(&Snapshot { log: lines("cde"), ..Snapshot::default() }, Micros(0));
        assert_eq!(Vec::from(state.log), lines("abcd!e"));
    }

    #[test]
    fn a_scrolled_log_stays_where_it_is() {
        let mut state = DashboardState::new(Palette::PLAIN);
        for line in lines("abcdef") {
            state.note(line);
        }
        state.scroll_by(2);
        state.note("g".into());
        assert_eq!(state.scroll, 3);
        state.scroll_by(isize::MAX);
        assert_eq!(state.scroll, 6);
        state.scroll_by(isize::MIN);
        assert_eq!(state.scroll, 0);
    }
}
