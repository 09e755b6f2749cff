//! The participants' table: columns come in the order of their worth and go when there is no room.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::state::DashboardState;
use crate::ui::cells::{cells, fit, pad_left};
use crate::ui::format::printable;
use crate::ui::meter::meter;
use crate::ui::model::{PathKind, PeerHealth, PeerView, Snapshot, decibels};
use crate::ui::palette::Palette;

/// Cells for a name at least.
const NAME: usize = 12;
/// Cells of a name beside what is told of it, at least.
const SHORTEST: usize = 4;
/// Cells of a peer's level meter.
const LEVEL: usize = 10;

/// Whether there is a picture, until there is room for more about it.
const CAMERA: &str = "Cam";
const PICTURE: &str = "Picture";

struct Column {
    title: &'static str,
    width: usize,
    /// Rank: the column stays as long as all of a lower rank fit too.
    rank: u8,
    cell: fn(&PeerView, &Palette) -> (String, Style),
}

/// Left to right as shown. Limits are the PRD's (section 9: 100 ms of audio over the internet)
/// and the points where the call degrades by itself.
const COLUMNS: &[Column] = &[
    Column {
        title: "RTT",
        width: 7,
        rank: 0,
        cell: |p, c| (format!("{:.0} ms", p.stats.rtt_ms), c.judge(p.stats.rtt_ms, 150.0, 300.0)),
    },
    Column {
        title: "Loss",
        width: 8,
        rank: 1,
        cell: |p, c| {
            let loss = p.stats.loss_percent;
            (format!("{loss:.1} %"), c.judge(loss, 1.0, 5.0))
        },
    },
    Column {
        title: "Jitter",
        width: 8,
        rank: 5,
        cell: |p, c| {
            let jitter = p.stats.jitter_ms;
            (format!("{jitter:.1} ms"), c.judge(jitter, 15.0, 30.0))
        },
    },
    Column {
        title: "Latency",
        width: 8,
        rank: 3,
        cell: |p, c| {
            let latency = p.stats.audio_latency_ms;
            (format!("{latency:.0} ms"), c.judge(latency, 100.0, 200.0))
        },
    },
    Column {
        title: "Buffer",
        width: 8,
        rank: 7,
        cell: |p, c| {
            let depth = p.stats.playout_ms;
            (format!("{depth:.1} ms"), c.judge(depth, 25.0, 31.0))
        },
    },
    Column { title: "File", width: 7, rank: 2, cell: file },
    Column {
        title: "Made up",
        width: 8,
        rank: 6,
        cell: |p, c| {
            let share = p.stats.concealed_percent;
            (format!("{share:.1} %"), c.judge(share, 1.0, 5.0))
        },
    },
    Column { title: CAMERA, width: 4, rank: 4, cell: camera },
    Column {
        title: "Sent",
        width: 11,
        rank: 9,
        cell: |p, _| (format!("{:.0} kbit/s", p.stats.sent_kbps), Style::new()),
    },
    Column {
        title: "Received",
        width: 11,
        rank: 10,
        cell: |p, _| (format!("{:.0} kbit/s", p.stats.received_kbps), Style::new()),
    },
    Column { title: PICTURE, width: 12, rank: 8, cell: picture },
];

/// What the participant's own recording does, the worst first.
fn file(p: &PeerView, c: &Palette) -> (String, Style) {
    let PeerHealth { recording, dropped, little_space, clipping, .. } = p.stats.health;
    match (recording, dropped, little_space, clipping) {
        (false, ..) if p.trouble.is_some() => ("fails".to_owned(), c.bad),
        (false, ..) => ("no".to_owned(), c.caution),
        (_, 1.., ..) => (format!("-{dropped}"), c.bad),
        (_, _, true, _) => ("disk!".to_owned(), c.bad),
        (.., true) => ("loud!".to_owned(), c.caution),
        _ => ("ok".to_owned(), c.good),
    }
}

fn camera(p: &PeerView, c: &Palette) -> (String, Style) {
    match (&p.stats.video, p.camera_off) {
        (_, true) => ("off".to_owned(), c.quiet),
        (Some(_), _) => ("on".to_owned(), Style::new()),
        (None, _) => ("-".to_owned(), c.quiet),
    }
}

fn picture(p: &PeerView, c: &Palette) -> (String, Style) {
    match (&p.stats.video, p.camera_off) {
        (_, true) => ("camera off".to_owned(), c.quiet),
        (Some(v), _) => (format!("{}p {:.0} fps", v.height, v.fps), Style::new()),
        (None, _) => ("none yet".to_owned(), c.quiet),
    }
}

/// The heading and one line a peer.
pub fn table(s: &Snapshot, state: &DashboardState, width: usize) -> Vec<Line<'static>> {
    let palette = &state.palette;
    // Where there is a choice, it is shown.
    let selected = state.selected(s).map(|peer| peer.stats.id).filter(|_| s.peers.len() > 1);
    let columns = shown(width);
    let taken: usize = columns.iter().map(|c| c.width).sum();
    let name = width.saturating_sub(2 + taken + 2 + LEVEL).max(NAME);
    let mut heading = format!("  {}", fit("Name", name));
    for column in &columns {
        heading.push_str(&pad_left(column.title, column.width));
    }
    heading.push_str("  Level");
    let mut lines = vec![Line::styled(heading, palette.quiet)];
    for peer in &s.peers {
        let mark = match (peer.silent, Some(peer.stats.id) == selected) {
            (true, _) => Span::styled("! ", palette.bad),
            (false, true) => Span::styled("▸ ", palette.strong),
            (false, false) => Span::raw("  "),
        };
        let own = if peer.silent { palette.bad } else { palette.strong };
        let mut spans = vec![mark, Span::styled(named(peer, name), own)];
        for column in &columns {
            let (text, style) = (column.cell)(peer, palette);
            spans.push(Span::styled(pad_left(&text, column.width), style));
        }
        spans.push(Span::raw(" "));
        spans.push(Span::styled(if peer.speaking() { "●" } else { " " }, palette.good));
        if peer.silent {
            spans.push(Span::styled(fit("unheard", LEVEL), palette.bad));
        } else if peer.muted {
            spans.push(Span::styled(fit("muted", LEVEL), palette.quiet));
        } else {
            spans.extend(meter(peer.level_db, None, LEVEL, palette));
        }
        lines.push(Line::from(spans));
    }
    lines
}

/// The name in so many cells, with how it is heard and how it is reached where that is not the ordinary
/// way: a long name gives way to the first, the second to a name.
fn named(peer: &PeerView, width: usize) -> String {
    let name = printable(&peer.name);
    let heard = match peer.stats.volume {
        0.0 => " (muted here)".to_owned(),
        1.0 => String::new(),
        volume => format!(" {:+.0} dB", decibels(volume)),
    };
    let reached = match peer.path {
        PathKind::Direct => "",
        PathKind::Local => " (local)",
        PathKind::Relay => " (relay)",
    };
    let least = SHORTEST.min(cells(&name));
    let how = match format!("{heard}{reached}") {
        both if cells(&both) + least <= width => both,
        _ => heard,
    };
    let room = width.saturating_sub(cells(&how));
    fit(&format!("{}{how}", fit(&name, cells(&name).min(room))), width)
}

/// The columns that fit beside a name and a meter.
fn shown(width: usize) -> Vec<&'static Column> {
    let mut room = width.saturating_sub(2 + NAME + 2 + LEVEL);
    let mut ranked: Vec<&Column> = COLUMNS.iter().collect();
    ranked.sort_by_key(|c| c.rank);
    let mut last = None;
    for column in ranked {
        if column.width > room {
            break;
        }
        room -= column.width;
        last = Some(column.rank);
    }
    let mut shown: Vec<&Column> =
        COLUMNS.iter().filter(|c| last.is_some_and(|last| c.rank <= last)).collect();
    if shown.iter().any(|c| c.title == PICTURE) {
        shown.retain(|c| c.title != CAMERA);
    }
    shown
}
