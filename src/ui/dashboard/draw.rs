//! Puts the parts onto the screen. Draws a snapshot; changes nothing.
//!
//! 80x24 shows everything, larger terminals more detail and more of the log; smaller ones lose
//! the device names, then headings, never the clock, the participants or the keys. Where the door or
//! a trouble needs lines, the newest of the log stay: detail goes first, see [`Rank`].

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Text};
use ratatui::widgets::Paragraph;

use super::state::DashboardState;
use super::table::table;
use super::{detail, help, sections};
use crate::protocol::Scope;
use crate::ui::cells;
use crate::ui::model::Snapshot;

/// How much there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Density {
    Compact,
    Normal,
    Roomy,
}

impl Density {
    fn of(area: Rect) -> Self {
        match (area.width, area.height) {
            (100.., 32..) => Self::Roomy,
            (_, 24..) => Self::Normal,
            _ => Self::Compact,
        }
    }
}

/// Lines of the log that stay on the screen whatever happens: the newest are what is going on.
pub(super) const LOG: usize = 4;

/// When lines go, where the log has no room: the largest first, all of a rank at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Never.
    Stays,
    Headings,
    Clock,
    Camera,
    Microphone,
    Path,
    Speaker,
    MoreFrames,
    Gaps,
    Delays,
    Threads,
}

/// The part above the log.
#[derive(Default)]
struct Upper(Vec<(Rank, Line<'static>)>);

impl Upper {
    fn push(&mut self, rank: Rank, line: Line<'static>) {
        self.0.push((rank, line));
    }

    fn extend(&mut self, rank: Rank, lines: impl IntoIterator<Item = Line<'static>>) {
        self.0.extend(lines.into_iter().map(|line| (rank, line)));
    }

    /// Lets ranks go until no more than so many lines are left, or nothing may go.
    fn shrink(&mut self, most: usize) {
        while self.0.len() > most {
            let Some(highest) = self.0.iter().map(|(rank, _)| *rank).max() else { return };
            if highest == Rank::Stays {
                return;
            }
            self.0.retain(|(rank, _)| *rank != highest);
        }
    }

    fn lines(self) -> Vec<Line<'static>> {
        self.0.into_iter().map(|(_, line)| line).collect()
    }
}

/// Draws the whole dashboard.
pub fn draw(frame: &mut Frame, snapshot: &Snapshot, state: &DashboardState) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if width == 0 || height == 0 {
        return;
    }
    let (area, right) = columns(area, snapshot);
    let width = usize::from(area.width);
    let density = Density::of(area);
    let mut upper = above_the_log(snapshot, state, width, density, right.is_some());
    let below = below_the_log(snapshot, state, width, density);
    let loud = sections::troubles_of_others(snapshot, width, &state.palette);
    upper.shrink(height.saturating_sub(below.len() + loud.len() + 1 + LOG));
    let mut lines = upper.lines();
    // Whatever is still too much goes at the end of the upper part: its beginning matters most.
    lines.truncate(height.saturating_sub(below.len() + loud.len()));
    lines.extend(loud);
    lines.truncate(height.saturating_sub(below.len()));
    let room = height - lines.len() - below.len().min(height);
    if room > 0 {
        // Where it would cost one of those lines, the heading goes as the others have.
        if room > LOG || state.scroll > 0 {
            let title = match state.scroll {
                0 => "Log".to_owned(),
                n => format!("Log, {n} lines up"),
            };
            lines.push(cells::rule(&title, width, &state.palette));
        }
        let room = height - lines.len() - below.len().min(height);
        let mut log = sections::log(state, room, width);
        log.resize(room, Line::default());
        lines.extend(log);
    }
    lines.extend(below);
    frame.render_widget(Paragraph::new(Text::from(lines)), area);
    let whole = frame.area();
    if let Some(right) = right {
        beside(frame, right, snapshot, state);
    } else if let Some(peer) = state.selected(snapshot).filter(|_| state.detail) {
        detail::overlay(frame, whole, peer, state);
    }
    if state.help {
        help::draw(frame, whole, &state.palette);
    }
    if state.palette.ascii {
        cells::to_ascii(frame.buffer_mut());
    }
}

/// Least width at which everything about the participants stands beside the rest.
const WIDE: u16 = 160;

/// The screen, and a column at its right where there is room for one and something to show there.
fn columns(area: Rect, s: &Snapshot) -> (Rect, Option<Rect>) {
    if area.width < WIDE || area.height < 32 || s.peers.is_empty() {
        return (area, None);
    }
    let left = Rect { width: area.width * 11 / 20, ..area };
    let x = left.right() + 1;
    (left, Some(Rect { x, width: area.right() - x, ..area }))
}

/// All participants, one below the other, the selected one marked.
fn beside(frame: &mut Frame, area: Rect, s: &Snapshot, state: &DashboardState) {
    let palette = &state.palette;
    let selected = state.selected(s).map(|peer| peer.stats.id);
    for (n, peer) in s.peers.iter().enumerate() {
        let y = area.y + n as u16 * (detail::HEIGHT + 2);
        if y + 1 >= area.bottom() {
            return;
        }
        let mark = if Some(peer.stats.id) == selected { "▸ " } else { "" };
        let title = format!("{mark}{}", crate::ui::format::printable(&peer.name));
        let heading = Rect { y, height: 1, ..area };
        let rule = cells::rule(&title, usize::from(area.width), palette);
        frame.render_widget(Paragraph::new(rule), heading);
        let height = detail::HEIGHT.min(area.bottom() - y - 1);
        detail::draw(frame, Rect { y: y + 1, height, ..area }, peer, state);
    }
}

fn above_the_log(
    s: &Snapshot,
    state: &DashboardState,
    width: usize,
    density: Density,
    beside: bool,
) -> Upper {
    let palette = &state.palette;
    let normal = density >= Density::Normal;
    let roomy = density == Density::Roomy;
    let mut upper = Upper::default();
    upper.push(Rank::Stays, sections::header(s, state, width));
    let heading = |upper: &mut Upper, rank: Rank, title: &str| {
        if roomy {
            upper.push(rank.max(Rank::Gaps), Line::default());
        }
        if normal {
            upper.push(rank, cells::rule(title, width, palette));
        }
    };
    if let Some(invite) = &s.invite_line {
        // Not every address leads here from everywhere.
        let who = Scope::of_line(invite).guests();
        let title = format!("{}{} join with", who[..1].to_uppercase(), &who[1..]);
        heading(&mut upper, Rank::Headings, &title);
        upper.extend(Rank::Stays, sections::invite(invite, width));
    }
    if !s.knocks.is_empty() {
        heading(&mut upper, Rank::Headings, "At the door");
        upper.extend(Rank::Stays, sections::knocks(s, width, palette));
    }
    if let Some(unfinished) = &s.unfinished {
        heading(&mut upper, Rank::Headings, "Not finished");
        let lines = sections::unfinished(unfinished, s.knocks.is_empty(), width, palette);
        upper.extend(Rank::Stays, lines);
    }
    let in_a_call = s.own_id.is_some() || s.invite_line.is_some() || !s.peers.is_empty();
    if in_a_call {
        heading(&mut upper, Rank::Headings, "Participants");
        if s.peers.is_empty() {
            upper.push(Rank::Stays, Line::styled("  nobody else is here", palette.quiet));
        } else {
            upper.extend(Rank::Stays, table(s, state, width));
        }
    }
    heading(&mut upper, Rank::Headings, "You");
    upper.push(Rank::Stays, sections::mic(s, state, width));
    if normal {
        let ranks = [Rank::Microphone, Rank::Camera, Rank::Speaker, Rank::Clock];
        for (rank, line) in ranks.into_iter().zip(sections::devices(s, width, palette)) {
            upper.push(rank, line);
        }
    }
    heading(&mut upper, Rank::Headings, "Recording");
    upper.extend(Rank::Stays, sections::trouble(s, width, palette));
    if normal && !s.recording_path.is_empty() {
        let path = cells::fit_end(&s.recording_path, width.saturating_sub(2));
        upper.push(Rank::Path, Line::raw(format!("  {path}")));
    }
    upper.push(Rank::Stays, sections::file(s, palette));
    if let Some(r) = &s.recording {
        upper.push(Rank::Stays, sections::frames(r, width, palette));
        if roomy {
            upper.push(Rank::MoreFrames, sections::more_frames(r, palette));
        }
    }
    // What stands beside tells this, too.
    if roomy && !s.peers.is_empty() && !beside {
        heading(&mut upper, Rank::Delays, "Mouth to ear");
        upper.extend(Rank::Delays, sections::delays(&s.peers, width));
    }
    if roomy {
        heading(&mut upper, Rank::Threads, "Threads");
        if s.priorities.is_empty() {
            upper.push(Rank::Threads, Line::styled("  not known yet", palette.quiet));
        }
        upper.extend(Rank::Threads, sections::threads(s, width));
        upper.push(Rank::Gaps, Line::default());
    }
    upper
}

fn below_the_log(
    s: &Snapshot,
    state: &DashboardState,
    width: usize,
    density: Density,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if density >= Density::Normal {
        let priorities = density < Density::Roomy;
        lines.push(sections::system(s, width, priorities, &state.palette));
    }
    lines.push(sections::footer(s, state, width));
    lines
}
