//! Everything about one participant: where the time between its mouth and the own ear goes, what the
//! path carries, and how all that was in the last minutes.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline};

use super::state::{DashboardState, Past};
use crate::ui::cells::{cells, fit};
use crate::ui::format::printable;
use crate::ui::model::{PathKind, PeerView, decibels};
use crate::ui::palette::Palette;

/// Cells of the labels at the left.
const LABEL: usize = 11;
/// Cells of the figures at the right of a graph.
const FIGURE: usize = 13;
/// Lines that a participant takes.
pub const HEIGHT: u16 = 11;

/// Draws it over the screen, with a frame.
pub fn overlay(frame: &mut Frame, area: Rect, peer: &PeerView, state: &DashboardState) {
    let (width, height) = (90.min(area.width), (HEIGHT + 2).min(area.height));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        // The keys and the participants stay in sight where there is room.
        y: area.y + area.height.saturating_sub(height + 2),
        width,
        height,
    };
    let block = Block::bordered()
        .title(format!(" {} ", printable(&peer.name)))
        .title_bottom(" Tab next  + - volume  x mute here  d close ");
    let inside = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    draw(frame, inside, peer, state);
}

/// Draws it into a part of the screen; what has no room there is left out from below.
pub fn draw(frame: &mut Frame, area: Rect, peer: &PeerView, state: &DashboardState) {
    let palette = &state.palette;
    let lines = lines(peer, usize::from(area.width), palette);
    let text = lines.len() as u16;
    frame.render_widget(Paragraph::new(lines), area);
    let Some(past) = state.past.get(&peer.stats.id) else { return };
    for (n, graph) in graphs(peer, past, palette).into_iter().enumerate() {
        let y = area.y + text + n as u16;
        if y >= area.bottom() {
            return;
        }
        draw_graph(frame, Rect { y, height: 1, ..area }, &graph, palette);
    }
}

struct Graph<'a> {
    name: &'static str,
    values: &'a VecDeque<u64>,
    /// What the whole height stands for at least: otherwise calm looks like a storm.
    least: u64,
    figure: String,
    style: Style,
}

fn graphs<'a>(peer: &PeerView, past: &'a Past, palette: &Palette) -> [Graph<'a>; 4] {
    let s = &peer.stats;
    let most = |values: &VecDeque<u64>, unit: f64| {
        values.iter().max().map_or(0.0, |most| *most as f64 / unit)
    };
    [
        Graph {
            name: "Delay",
            values: &past.latency,
            least: 500,
            figure: format!("to {:.0} ms", most(&past.latency, 10.0)),
            style: palette.good,
        },
        Graph {
            name: "Loss",
            values: &past.loss,
            least: 500,
            figure: format!("to {:.1} %", most(&past.loss, 100.0)),
            style: if s.loss_percent >= 1.0 { palette.bad } else { palette.caution },
        },
        Graph {
            name: "Queue",
            values: &past.queue,
            least: 200,
            figure: format!("to {:.1} ms", most(&past.queue, 10.0)),
            style: palette.caution,
        },
        Graph {
            name: "Received",
            values: &past.received,
            least: 200,
            figure: format!("{:.0} kbit/s", s.received_kbps),
            style: palette.good,
        },
    ]
}

fn draw_graph(frame: &mut Frame, area: Rect, graph: &Graph<'_>, palette: &Palette) {
    let room = usize::from(area.width).saturating_sub(LABEL + FIGURE);
    let label = Line::from(vec![
        Span::styled(fit(&format!(" {}", graph.name), LABEL), palette.quiet),
        Span::raw(" ".repeat(room)),
        Span::raw(fit(&format!(" {}", graph.figure), FIGURE)),
    ]);
    frame.render_widget(Paragraph::new(label), area);
    // The newest at the right edge.
    let shown = graph.values.len().min(room);
    let values: Vec<u64> = std::iter::repeat_n(0, room - shown)
        .chain(graph.values.iter().skip(graph.values.len() - shown).copied())
        .collect();
    let most = values.iter().copied().max().unwrap_or(0).max(graph.least);
    let place = Rect { x: area.x + LABEL as u16, width: room as u16, ..area };
    let spark = Sparkline::default().data(&values).max(most).style(graph.style);
    frame.render_widget(spark, place.intersection(area));
}

fn lines(peer: &PeerView, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    let s = &peer.stats;
    let l = &s.latency;
    let path = match peer.path {
        PathKind::Direct => "direct",
        PathKind::Local => "local network",
        PathKind::Relay => "by way of another participant",
    };
    let volume = match s.volume {
        0.0 => "muted here".to_owned(),
        1.0 => "as loud as it comes".to_owned(),
        volume => format!("{:+.0} dB here", decibels(volume)),
    };
    let carries = match s.path_kbps {
        Some(kbps) => format!("carries {kbps:.0} kbit/s"),
        None => "no limit found".to_owned(),
    };
    let sent = match &s.sent_video {
        Some(v) => format!("picture {}x{} {} fps, {} kbit/s", v.width, v.height, v.fps, v.kbps),
        None => "no picture".to_owned(),
    };
    let seen = match &s.video {
        Some(v) => format!(
            "picture {}x{} {:.0} fps, {:.0} kbit/s, {:.0} ms old",
            v.width, v.height, v.fps, v.kbps, v.delay_ms
        ),
        None => "no picture".to_owned(),
    };
    let rows = [
        (
            "Path",
            format!(
                "round trip {:.0} ms, loss {:.1} %, jitter {:.1} ms, {path}",
                s.rtt_ms, s.loss_percent, s.jitter_ms
            ),
        ),
        (
            "Delay",
            format!(
                "{:.1} ms from mouth to ear, way known to {:.1} ms",
                s.audio_latency_ms, l.uncertainty_ms
            ),
        ),
        (
            "",
            format!(
                "mouth {:.1} + frame {:.1} + way {:.1} + buffer {:.1} + codec {:.1} + ear {:.1}",
                l.input_ms, l.frame_ms, l.network_ms, l.playout_ms, l.codec_ms, l.output_ms
            ),
        ),
        ("Heard", format!("{:.1} % made up, {volume}", s.concealed_percent)),
        ("Way there", format!("{carries}, {:.1} ms of queue, {} copies", s.queue_ms, s.copies)),
        ("Sent", format!("{:.0} kbit/s, {sent}", s.sent_kbps)),
        ("Received", format!("{:.0} kbit/s, {seen}", s.received_kbps)),
    ];
    rows.into_iter()
        .map(|(label, text)| {
            let room = width.saturating_sub(LABEL);
            Line::from(vec![
                Span::styled(fit(&format!(" {label}"), LABEL), palette.quiet),
                Span::raw(fit(&text, cells(&text).min(room))),
            ])
        })
        .collect()
}
