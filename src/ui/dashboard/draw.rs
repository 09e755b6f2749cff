//! Puts the parts onto the screen. Draws a snapshot; changes nothing.
//!
//! 80x24 shows everything, larger terminals more detail and more of the log; smaller ones lose
//! the device names, then headings, never the clock, the participants or the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Text};
use ratatui::widgets::Paragraph;

use super::state::DashboardState;
use super::table::table;
use super::{detail, help, sections};
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
    let mut lines = above_the_log(snapshot, state, width, density, right.is_some());
    let below = below_the_log(snapshot, state, width, density);
    // Whatever is too much goes at the end of the upper part: its beginning matters most.
    lines.truncate(height.saturating_sub(below.len()));
    let room = height - lines.len() - below.len().min(height);
    if room >= 2 {
        let title = match state.scroll {
            0 => "Log".to_owned(),
            n => format!("Log, {n} lines up"),
        };
        lines.push(cells::rule(&title, width, &state.palette));
        let mut log = sections::log(state, room - 1, width);
        log.resize(room - 1, Line::default());
        lines.extend(log);
    } else {
        lines.resize(lines.len() + room, Line::default());
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
) -> Vec<Line<'static>> {
    let palette = &state.palette;
    let normal = density >= Density::Normal;
    let roomy = density == Density::Roomy;
    let mut lines = vec![sections::header(s, state, width)];
    let heading = |lines: &mut Vec<Line<'static>>, title: &str| {
        if roomy {
            lines.push(Line::default());
        }
        if normal {
            lines.push(cells::rule(title, width, palette));
        }
    };
    if let Some(invite) = &s.invite_line {
        heading(&mut lines, "Guests join with");
        lines.extend(sections::invite(invite, width));
    }
    if !s.knocks.is_empty() {
        heading(&mut lines, "At the door");
        lines.extend(sections::knocks(s, width, palette));
    }
    if let Some(unfinished) = &s.unfinished {
        heading(&mut lines, "Not finished");
        lines.extend(sections::unfinished(unfinished, s.knocks.is_empty(), width, palette));
    }
    let in_a_call = s.own_id.is_some() || s.invite_line.is_some() || !s.peers.is_empty();
    if in_a_call {
        heading(&mut lines, "Participants");
        if s.peers.is_empty() {
            lines.push(Line::styled("  nobody else is here", palette.quiet));
        } else {
            lines.extend(table(s, state, width));
        }
    }
    heading(&mut lines, "You");
    lines.push(sections::mic(s, state, width));
    if normal {
        lines.extend(sections::devices(s, width, palette));
    }
    heading(&mut lines, "Recording");
    lines.extend(sections::trouble(s, width, palette));
    if normal && !s.recording_path.is_empty() {
        let path = cells::fit_end(&s.recording_path, width.saturating_sub(2));
        lines.push(Line::raw(format!("  {path}")));
    }
    lines.push(sections::file(s, palette));
    if let Some(r) = &s.recording {
        lines.push(sections::frames(r, width, palette));
        if roomy {
            lines.push(sections::more_frames(r, palette));
        }
    }
    // What stands beside tells this, too.
    if roomy && !s.peers.is_empty() && !beside {
        heading(&mut lines, "Mouth to ear");
        lines.extend(sections::delays(&s.peers, width));
    }
    if roomy {
        heading(&mut lines, "Threads");
        if s.priorities.is_empty() {
            lines.push(Line::styled("  not known yet", palette.quiet));
        }
        lines.extend(sections::threads(s, width));
        lines.push(Line::default());
    }
    lines
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
