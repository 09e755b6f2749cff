//! What the dashboard remembers between two drawings: the log, the meter's held peak, what is
//! open on the screen. Time comes in as a parameter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ui::entry::Entry;
use crate::ui::keys;
use crate::ui::meter::Held;
use crate::ui::model::{Command, PeerStats, PeerView, Snapshot};
use crate::ui::palette::Palette;
use crate::units::Micros;

/// Lines of the log that can be scrolled back to.
const LOG_LINES: usize = 500;
/// Seconds that are kept of each participant's figures: more than any screen has cells for.
const PAST: usize = 240;

/// What a participant's figures were, second by second, the newest last. Numbers as a sparkline
/// takes them.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Mouth to ear, tenths of a millisecond.
    pub latency: VecDeque<u64>,
    /// Lost audio packets, hundredths of a percent.
    pub loss: VecDeque<u64>,
    /// Queues on the way there, tenths of a millisecond.
    pub queue: VecDeque<u64>,
    /// Received, kbit/s.
    pub received: VecDeque<u64>,
}

impl Past {
    fn push(&mut self, stats: &PeerStats) {
        for (past, value) in [
            (&mut self.latency, stats.audio_latency_ms * 10.0),
            (&mut self.loss, stats.loss_percent * 100.0),
            (&mut self.queue, stats.queue_ms * 10.0),
            (&mut self.received, stats.received_kbps),
        ] {
            if past.len() == PAST {
                past.pop_front();
            }
            past.push_back(value.max(0.0).round() as u64);
        }
    }
}

/// Seconds that the quietest moment is looked for in: nobody speaks that long without a breath.
const FLOOR_SECONDS: usize = 10;

/// The quietest of the last seconds.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    /// Of each second, dBFS; the newest last.
    seconds: VecDeque<f32>,
    began: Micros,
}

impl Floor {
    fn absorb(&mut self, rms_db: f32, now: Micros) {
        if self.seconds.is_empty() || now.since(self.began) >= 1_000_000 {
            self.began = now;
            if self.seconds.len() == FLOOR_SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(rms_db);
        } else if let Some(last) = self.seconds.back_mut() {
            *last = last.min(rms_db);
        }
    }

    /// It, dBFS; `None` before anything was heard.
    pub fn db(&self) -> Option<f32> {
        self.seconds.iter().copied().reduce(f32::min)
    }
}

/// Longer than any keyboard waits before it repeats a key that is held, microseconds.
const REPEATS: i64 = 700_000;

/// The key to talk with. Most terminals tell nothing of its release, and repeat it while it is held.
#[derive(Clone, Copy, Debug, Default)]
struct TalkKey {
    /// This terminal has told of a release.
    released: bool,
    /// When it was pressed, or repeated.
    pressed: Option<Micros>,
}

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
    /// The own room between words, dBFS.
    pub floor: Floor,
    /// The participant that keys are for, once one was selected.
    pub chosen: Option<u8>,
    /// All about it is shown.
    pub detail: bool,
    /// A marker's note, and when it was begun.
    pub note: Option<(Entry, Micros)>,
    /// Sound is only sent while the key to talk with is held, or between two pressings of it.
    pub push_to_talk: bool,
    talk: TalkKey,
    /// Each participant's last minutes.
    pub past: BTreeMap<u8, Past>,
    second: i64,
    /// Whose recording is in trouble: members by id, `None` for the own one.
    troubled: BTreeSet<Option<u8>>,
    /// It is time to be heard: a trouble has begun.
    pub bell: bool,
    /// The engine's log as of the last snapshot.
    seen: Vec<String>,
}

impl DashboardState {
    /// The key to talk with went down, or is held: what that asks for.
    pub fn talk(&mut self, hushed: bool, now: Micros) -> Option<Command> {
        let held = self.talk.pressed.is_some_and(|at| now.since(at) < REPEATS);
        self.talk.pressed = Some(now);
        match (held, hushed) {
            (true, _) => None,
            (false, true) => Some(Command::Talk),
            // Where releases are told, one of them was lost (with the window's focus, say).
            (false, false) => (!self.talk.released).then_some(Command::Hush),
        }
    }

    /// It was let go.
    pub fn let_go(&mut self) -> Option<Command> {
        self.talk = TalkKey { released: true, pressed: None };
        self.push_to_talk.then_some(Command::Hush)
    }

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
            floor: Floor::default(),
            chosen: None,
            detail: false,
            note: None,
            push_to_talk: false,
            talk: TalkKey::default(),
            past: BTreeMap::new(),
            second: -1,
            troubled: BTreeSet::new(),
            bell: false,
            seen: Vec::new(),
        }
    }

    /// Takes over what a snapshot tells: new lines of the log, the meter's peak.
    pub fn absorb(&mut self, snapshot: &Snapshot, now: Micros) {
        let fresh = fresh_from(&self.seen, &snapshot.log);
        if fresh < snapshot.log.len() || self.seen.len() != snapshot.log.len() {
            for line in &snapshot.log[fresh..] {
                self.say(line.clone());
            }
            self.seen.clone_from(&snapshot.log);
        }
        // Before there is a microphone, there is no level either.
        if !snapshot.mic_name.is_empty() {
            self.held.absorb(snapshot.mic_peak_db, now);
            self.floor.absorb(snapshot.mic_rms_db, now);
        }
        // The figures change once a second.
        let second = snapshot.session_seconds.floor() as i64;
        if second != self.second {
            self.second = second;
            for peer in &snapshot.peers {
                self.past.entry(peer.stats.id).or_default().push(&peer.stats);
            }
            self.past.retain(|id, _| snapshot.peers.iter().any(|peer| peer.stats.id == *id));
        }
        let members = snapshot.peers.iter().filter(|peer| peer.trouble.is_some());
        let own = snapshot.recording_trouble.iter().map(|_| None);
        let troubled: BTreeSet<_> = members.map(|peer| Some(peer.stats.id)).chain(own).collect();
        self.bell |= !troubled.is_subset(&self.troubled);
        self.troubled = troubled;
        self.detail &= !snapshot.peers.is_empty();
    }

    /// The participant that keys are for: the one that was chosen, else the first.
    pub fn selected<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a PeerView> {
        keys::selected(self.chosen, snapshot)
    }

    /// Adds a line to the log. A log that is scrolled up keeps showing what it shows.
    pub fn say(&mut self, line: String) {
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
        state.say("!".into());
        state.absorb(&Snapshot { log: lines("cde"), ..Snapshot::default() }, Micros(0));
        assert_eq!(Vec::from(state.log), lines("abcd!e"));
    }

    #[test]
    fn figures_are_kept_second_by_second_and_go_with_the_participant() {
        let mut state = DashboardState::new(Palette::PLAIN);
        let at = |seconds: f64, latency: f64| Snapshot {
            session_seconds: seconds,
            peers: vec![PeerView {
                stats: PeerStats { id: 2, audio_latency_ms: latency, ..PeerStats::default() },
                ..PeerView::default()
            }],
            ..Snapshot::default()
        };
        for (seconds, latency) in [(1.0, 20.0), (1.5, 99.0), (2.0, 30.5)] {
            state.absorb(&at(seconds, latency), Micros(0));
        }
        assert_eq!(state.past[&2].latency, [200, 305]);
        for second in 3..1_000 {
            state.absorb(&at(f64::from(second), 1.0), Micros(0));
        }
        assert_eq!(state.past[&2].latency.len(), PAST);
        state.absorb(&Snapshot { session_seconds: 1e3, ..Snapshot::default() }, Micros(0));
        assert!(state.past.is_empty());
    }

    #[test]
    fn a_trouble_is_heard_once_when_it_begins() {
        let mut state = DashboardState::new(Palette::PLAIN);
        let mut rings = |ids: &[u8], own: bool| {
            let trouble = Some("it has stopped".to_owned());
            let peer = |id: &u8| PeerView {
                stats: PeerStats { id: *id, ..PeerStats::default() },
                trouble: trouble.clone(),
                ..PeerView::default()
            };
            let snapshot = Snapshot {
                peers: ids.iter().map(peer).collect(),
                recording_trouble: trouble.clone().filter(|_| own),
                ..Snapshot::default()
            };
            state.absorb(&snapshot, Micros(0));
            std::mem::take(&mut state.bell)
        };
        assert!(!rings(&[], false));
        assert!(rings(&[2], false) && !rings(&[2], false), "once");
        assert!(rings(&[1, 2], false), "another one");
        assert!(!rings(&[1], false), "one is well again");
        assert!(rings(&[1], true) && !rings(&[], true) && !rings(&[], false));
        assert!(rings(&[2], false), "it begins anew");
    }

    #[test]
    fn the_floor_is_the_quietest_moment_of_some_seconds() {
        let mut floor = Floor::default();
        assert_eq!(floor.db(), None);
        for (millis, db) in [(0, -30.0), (50, -62.0), (100, -20.0), (5_000, -25.0)] {
            floor.absorb(db, Micros(millis * 1_000));
        }
        assert_eq!(floor.db(), Some(-62.0));
        (6..20).for_each(|second| floor.absorb(-40.0, Micros(second * 1_000_000)));
        assert_eq!(floor.db(), Some(-40.0), "louder rooms are noticed, too");
    }

    #[test]
    fn a_scrolled_log_stays_where_it_is() {
        let mut state = DashboardState::new(Palette::PLAIN);
        for line in lines("abcdef") {
            state.say(line);
        }
        state.scroll_by(2);
        state.say("g".into());
        assert_eq!(state.scroll, 3);
        state.scroll_by(isize::MAX);
        assert_eq!(state.scroll, 6);
        state.scroll_by(isize::MIN);
        assert_eq!(state.scroll, 0);
    }
}
