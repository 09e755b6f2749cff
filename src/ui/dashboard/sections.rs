//! The dashboard's parts as lines of text, each for a given width. Pure.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::draw::LOG;
use super::state::DashboardState;
use crate::ui::cells::{cells, fit, fit_end, key_line, wrap};
use crate::ui::entry::Entry;
use crate::ui::format::{about, bytes, clock_frames, finishing, grouped, level, printable};
use crate::ui::meter::meter;
use crate::ui::model::{ClockView, PeerView, RecordingStats, Snapshot, UnfinishedView};
use crate::ui::palette::Palette;

/// Cells of the labels at the left.
const LABEL: usize = 10;
/// Free space that is worth a look: a quarter of an hour at some 18 Mbit/s.
const LITTLE_SPACE: u64 = 2_000_000_000;

/// Who, what happens, what is off; at the right the recording clock.
pub fn header(s: &Snapshot, state: &DashboardState, width: usize) -> Line<'static> {
    let palette = &state.palette;
    let mut left = vec![Span::styled(" HyperZoom", palette.strong)];
    left.push(Span::styled("  ", palette.quiet));
    if !s.own_name.is_empty() {
        left.push(Span::raw(fit(&printable(&s.own_name), cells(&s.own_name).min(16))));
        left.push(Span::styled(" · ", palette.quiet));
    }
    let (clock, clock_style) = match &s.recording {
        Some(r) if s.recording_trouble.is_some() => (clock_frames(r.seconds), palette.bad),
        Some(r) => (clock_frames(r.seconds), palette.strong),
        None => ("not recording".to_owned(), palette.quiet),
    };
    let mut right = Vec::new();
    let on_air = state.push_to_talk && !s.hushed && !s.muted;
    for (on, text) in [
        (s.muted, " MUTED "),
        (on_air, " ON AIR "),
        (s.hushed && !s.muted, " NOT SENT, RECORDED "),
        (s.camera_off, " CAMERA OFF "),
    ] {
        if on {
            right.push(Span::styled(text, palette.badge));
            right.push(Span::raw(" "));
        }
    }
    if s.recording.is_some() {
        right.push(Span::styled("● ", palette.bad));
    }
    right.push(Span::styled(clock, clock_style));
    right.push(Span::raw(" "));
    let used: usize = left.iter().chain(&right).map(Span::width).sum();
    let room = width.saturating_sub(used + 1);
    let phase = fit(&printable(&s.phase), cells(&s.phase).min(room));
    let gap = (room + 1).saturating_sub(cells(&phase));
    left.push(Span::raw(phase));
    left.push(Span::raw(" ".repeat(gap)));
    left.extend(right);
    Line::from(left)
}

/// The invite from the first column on and without decoration, so that it can be marked whole.
pub fn invite(text: &str, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for c in printable(text).chars() {
        if cells(&line) + cells(c.encode_utf8(&mut [0; 4])) > width {
            lines.push(Line::raw(std::mem::take(&mut line)));
        }
        line.push(c);
    }
    lines.push(Line::raw(line));
    lines
}

/// Recordings that earlier runs could not end.
pub fn unfinished(
    u: &UnfinishedView,
    asked: bool,
    width: usize,
    palette: &Palette,
) -> Vec<Line<'static>> {
    let path = fit_end(&printable(&u.path), width.saturating_sub(2));
    let more = match u.count {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let keys = match (u.percent, asked) {
        (Some(percent), _) => format!("  recovering it{more}: {percent} %"),
        (None, true) => {
            format!("  an earlier run could not end it{more}: r recovers, Esc leaves it")
        }
        // The key answers who knocks first.
        (None, false) => format!("  an earlier run could not end it{more}"),
    };
    let keys = match cells(&keys) > width && u.percent.is_none() && asked {
        true => format!("  not ended{more}: r recovers, Esc leaves it"),
        false => keys,
    };
    vec![Line::raw(format!("  {path}")), Line::styled(keys, palette.caution)]
}

/// Who knocks; the keys are for the first of them.
pub fn knocks(s: &Snapshot, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (i, knock) in s.knocks.iter().enumerate() {
        let keys = if i == 0 { "; a lets in, r refuses" } else { "" };
        let (code, name) = (printable(&knock.code), printable(&knock.name));
        let text = format!("  code {code}: {name} from {}", printable(&knock.address));
        // The keys stay, whatever the name.
        let room = width.saturating_sub(cells(keys));
        let text = fit(&text, room.min(cells(&text)));
        lines.push(Line::styled(format!("{text}{keys}"), palette.strong));
    }
    lines
}

fn label(text: &str, palette: &Palette) -> Span<'static> {
    Span::styled(format!("  {}", fit(text, LABEL - 2)), palette.quiet)
}

/// The own microphone's meter.
pub fn mic(s: &Snapshot, state: &DashboardState, width: usize) -> Line<'static> {
    let palette = &state.palette;
    let mut numbers = vec![
        Span::raw(format!("{:>5} dB", level(f64::from(s.mic_peak_db)))),
        Span::styled("  peak ", palette.quiet),
        Span::raw(format!("{:>4}", level(state.held.shown()))),
        Span::styled("  clipped ", palette.quiet),
        Span::styled(grouped(s.clipped), palette.must_be_zero(s.clipped)),
    ];
    if let Some(floor) = state.floor.db().filter(|_| width >= 72) {
        numbers.push(Span::styled("  room ", palette.quiet));
        numbers.push(Span::raw(level(f64::from(floor))));
    }
    let taken: usize = numbers.iter().map(Span::width).sum();
    let mut spans = vec![label("Mic", palette)];
    let room = width.saturating_sub(LABEL + taken + 2).min(60);
    spans.extend(meter(s.mic_peak_db, Some(state.held.db), room, palette));
    spans.extend(numbers);
    Line::from(spans)
}

/// The devices with what was got from them.
pub fn devices(s: &Snapshot, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    let line = |(what, name): (&str, &str)| {
        let name = if name.is_empty() { "-" } else { name };
        let name = fit(&printable(name), width.saturating_sub(LABEL));
        Line::from(vec![label(what, palette), Span::raw(name)])
    };
    let names = [("", &*s.mic_name), ("Camera", &*s.camera_name), ("Speaker", &*s.speaker_name)];
    let clock = s.clock.map(|clock| session_clock(&clock));
    names.into_iter().chain(clock.as_deref().map(|text| ("Clock", text))).map(line).collect()
}

/// How well a guest's clock is known: what its recording can be off by against the others'.
fn session_clock(clock: &ClockView) -> String {
    let ClockView { uncertainty_ms, skew_ppm } = clock;
    format!("within {uncertainty_ms:.1} ms of the session's, {skew_ppm:+.1} ppm")
}

/// What is wrong with the recording, if anything is.
pub fn trouble(s: &Snapshot, width: usize, palette: &Palette) -> Option<Line<'static>> {
    let trouble = s.recording_trouble.as_ref()?;
    Some(Line::styled(fit(&format!("  ! {}", printable(trouble)), width), palette.bad))
}

/// Whose recording is in trouble: somebody else may see it before the one who sits there.
pub fn troubles_of_others(s: &Snapshot, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    let line = |trouble: &String| {
        Line::styled(fit(&format!("  ! {}", printable(trouble)), width), palette.bad)
    };
    s.peers.iter().filter_map(|peer| peer.trouble.as_ref()).map(line).collect()
}

/// Timecode as the editor will see it, size and disk; the length is in the header.
pub fn file(s: &Snapshot, palette: &Palette) -> Line<'static> {
    let mut spans = Vec::new();
    match &s.recording {
        Some(r) => {
            match &s.timecode {
                Some(code) => {
                    spans.push(Span::styled("  TC ", palette.quiet));
                    spans.push(Span::raw(code.clone()));
                }
                None => spans.push(Span::raw(format!("  {}", clock_frames(r.seconds)))),
            }
            spans.push(Span::raw(format!("   {}", bytes(r.bytes))));
        }
        None => spans.push(Span::styled("  nothing recorded yet", palette.quiet)),
    }
    if let Some(free) = s.disk.free_bytes {
        let style = if free < LITTLE_SPACE { palette.bad } else { Style::new() };
        spans.push(Span::styled(format!("   {} free", bytes(free)), style));
        if let Some(left) = s.disk.seconds_left {
            spans.push(Span::styled(format!(" for {}", about(left)), palette.quiet));
        }
    }
    if s.disk.silent_seconds >= 1.0 {
        let text = format!("   no answer for {:.0} s", s.disk.silent_seconds);
        spans.push(Span::styled(text, palette.bad));
    }
    Line::from(spans)
}

/// Pictures in, pictures out, and how the encoder keeps up.
pub fn frames(r: &RecordingStats, width: usize, palette: &Palette) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let mut room = width.saturating_sub(1);
    let mut value = |name: &str, text: String, style: Style| {
        let taken = cells(name) + cells(&text) + 3;
        if taken > room + 1 {
            room = 0;
            return;
        }
        room = room.saturating_sub(taken);
        spans.push(Span::styled(format!(" {name} "), palette.quiet));
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    };
    value("captured", grouped(r.frames_captured), Style::new());
    value("encoded", grouped(r.frames_encoded), Style::new());
    value("dropped", grouped(r.frames_dropped), palette.must_be_zero(r.frames_dropped));
    // 33 ms is what one picture may take at 30 fps.
    value("encoder", format!("{:.1} ms", r.encode_ms), palette.judge(r.encode_ms, 28.0, 33.4));
    value("queue", format!("{:.0} ms", r.queue_ms), palette.judge(r.queue_ms, 500.0, 2_000.0));
    // Some of it is always in use: the grid's half second.
    let fill = r.queued_bytes as f64 / r.queued_limit_bytes.max(1) as f64;
    if fill > 0.5 {
        let text = format!("{} of {}", bytes(r.queued_bytes), bytes(r.queued_limit_bytes));
        value("memory", text, palette.judge(fill, 0.5, 0.875));
    }
    Line::from(spans)
}

/// The rarer counters.
pub fn more_frames(r: &RecordingStats, palette: &Palette) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for (name, n) in [
        ("repeated", r.frames_repeated),
        ("black", r.black_frames),
        ("over 30 fps", r.cadence_discarded),
        ("withheld", r.withheld),
        ("spilled", r.spilled),
    ] {
        spans.push(Span::styled(format!(" {name} "), palette.quiet));
        spans.push(Span::raw(grouped(n)));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// Threads' priorities and the process's cost on one line.
pub fn system(s: &Snapshot, width: usize, priorities: bool, palette: &Palette) -> Line<'static> {
    let cost = format!("CPU {:.0} %  {:.0} MB", s.cpu_percent, s.rss_mb);
    if !priorities {
        return Line::from(vec![label("System", palette), Span::raw(cost)]);
    }
    let room = width.saturating_sub(LABEL + cells(&cost) + 3);
    let priorities = printable(&s.priorities.join(" · "));
    Line::from(vec![
        label("System", palette),
        Span::raw(fit(&priorities, room)),
        Span::raw("  "),
        Span::raw(cost),
    ])
}

/// Threads' priorities, as many on a line as fit.
pub fn threads(s: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<String> = Vec::new();
    for priority in &s.priorities {
        let priority = printable(priority);
        match lines.last_mut() {
            Some(line) if cells(line) + cells(&priority) + 3 <= width => {
                line.push_str(" · ");
                line.push_str(&priority);
            }
            _ => lines.push(fit(&format!("  {priority}"), width).trim_end().to_owned()),
        }
    }
    lines.into_iter().map(Line::raw).collect()
}

/// Where the time between each mouth and the own ear goes, a line a peer.
pub fn delays(peers: &[PeerView], width: usize) -> Vec<Line<'static>> {
    let line = |peer: &PeerView| {
        let l = &peer.stats.latency;
        let name = fit(&printable(&peer.name), 12);
        let text = format!(
            "  {name} mouth {:.1} + frame {:.1} + way {:.1} ±{:.1} + buffer {:.1} + codec {:.1} + ear {:.1} ms",
            l.input_ms,
            l.frame_ms,
            l.network_ms,
            l.uncertainty_ms,
            l.playout_ms,
            l.codec_ms,
            l.output_ms,
        );
        Line::raw(fit(&text, width))
    };
    peers.iter().map(line).collect()
}

/// The log's newest lines that fit, or older ones when scrolled. The newest is whole, however long it is,
/// because what to do stands at its end; older ones are where four have room beside that.
pub fn log(state: &DashboardState, height: usize, width: usize) -> Vec<Line<'static>> {
    let palette = &state.palette;
    let end = state.log.len() - state.scroll.min(state.log.len());
    let mut spare = height.saturating_sub(end.min(LOG));
    let mut rows = Vec::with_capacity(height);
    for (age, line) in state.log.iter().take(end).rev().enumerate() {
        if rows.len() >= height {
            break;
        }
        let style = if line.contains("error: ") {
            palette.bad
        } else if line.contains("warning: ") {
            palette.caution
        } else {
            Style::new()
        };
        let text = format!("  {}", printable(line));
        let mut broken = vec![fit(&text, width)];
        if cells(&text) > width {
            // Below the text, not below the time.
            let (time, said) =
                text.trim_start().split_once("  ").unwrap_or(("", text.trim_start()));
            let margin = cells(time) + 4;
            let whole = wrap(said, width.saturating_sub(margin));
            let more = whole.len().saturating_sub(1);
            if age == 0 || more <= spare {
                spare = spare.saturating_sub(more);
                broken = (0..)
                    .zip(whole)
                    .map(|(n, text)| {
                        let time = if n == 0 { time } else { "" };
                        format!("  {}  {text}", fit(time, margin - 4))
                    })
                    .collect();
            }
        }
        rows.extend(broken.into_iter().rev().map(|text| Line::styled(text, style)));
    }
    rows.truncate(height);
    rows.reverse();
    rows
}

/// The keys, or the question, or how far the end has come.
pub fn footer(s: &Snapshot, state: &DashboardState, width: usize) -> Line<'static> {
    let palette = &state.palette;
    if let Some((done, total)) = finishing(s) {
        return progress(done, total, width, palette);
    }
    if let Some((entry, _)) = &state.note {
        return note(entry, width, palette);
    }
    if state.asking {
        let question = " End the call?  q or y ends, any other key goes on ";
        return Line::from(Span::styled(fit(question, width), palette.badge));
    }
    if state.ending {
        return Line::styled("  Finishing; Ctrl-C again aborts", palette.strong);
    }
    let mut keys = Vec::new();
    if state.push_to_talk {
        keys.push(("space", if s.hushed { "talk" } else { "stop talking" }));
    }
    let mute = if s.muted { "unmute" } else { "mute" };
    let camera = if s.camera_off { "camera on" } else { "camera off" };
    let window = if s.window_open { "close window" } else { "window" };
    keys.extend([("m", mute), ("c", camera), ("w", window), ("?", "help"), ("q", "end")]);
    keys.push(("b", "marker"));
    if !s.peers.is_empty() {
        keys.push(("d", "details"));
        keys.push(("+ -", "volume"));
    }
    if s.invite_line.is_some() {
        keys.push(("i", "copy the invite"));
    }
    key_line(&keys, width, palette)
}

/// The line that a marker's note is written in.
fn note(entry: &Entry, width: usize, palette: &Palette) -> Line<'static> {
    let (title, keys) = (" Marker: ", "  Enter marks, Esc does not ");
    let room = width.saturating_sub(cells(title) + cells(keys));
    let (before, under, after) = entry.window(room);
    Line::from(vec![
        Span::styled(title, palette.badge),
        Span::styled(before, palette.strong),
        Span::styled(under, palette.badge),
        Span::styled(after, palette.strong),
        Span::styled(keys, palette.quiet),
    ])
}

fn progress(done: u64, total: u64, width: usize, palette: &Palette) -> Line<'static> {
    let text = format!("  {} of {} pictures", grouped(done), grouped(total));
    let hint = "  Ctrl-C aborts";
    let taken = LABEL + 2 + cells(&text) + cells(hint);
    let room = width.saturating_sub(taken).min(40);
    let full = (room as u64 * done).checked_div(total).map_or(room, |full| full as usize);
    Line::from(vec![
        Span::styled("  Finishing ", palette.strong),
        Span::styled("█".repeat(full), palette.good),
        Span::styled("·".repeat(room - full), palette.quiet),
        Span::raw(text),
        Span::styled(hint, palette.quiet),
    ])
}
