//! Puts the screen before the call together. Draws a view; changes nothing.
//!
//! 80x24 shows everything; where there is less room, headings go first, then what stands between
//! the lines that the cursor goes through. The keys and those lines stay.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::state::{Field, State};
use super::{Asked, DeviceState, Mood, Part, Remark, View, Voice};
use crate::ui::cells::{cells, fit, fit_end, key_line, rule, to_ascii, wrap};
use crate::ui::format::{grouped, level, printable};
use crate::ui::meter::meter;
use crate::ui::palette::Palette;

/// Cells of a picture's pixels: 16 wide, 9 high, two rows of pixels a cell.
const ASPECT: (usize, usize) = (32, 9);
/// Least width that leaves room for a picture beside the devices.
const WITH_PICTURE: usize = 72;
/// Cells of the labels at the left.
const LABEL: usize = 10;
/// Most cells that the devices take beside a picture.
const WIDEST: usize = 90;

/// A line, and how early it goes where there is no room: the largest number first, 0 never.
struct Row {
    line: Line<'static>,
    rank: u8,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn push(&mut self, rank: u8, line: Line<'static>) {
        self.0.push(Row { line, rank });
    }

    /// Takes out one row of the highest rank, the last of them; false when none may go.
    fn shrink(&mut self) -> bool {
        let Some(highest) = self.0.iter().map(|row| row.rank).max().filter(|rank| *rank > 0) else {
            return false;
        };
        let at = self.0.iter().rposition(|row| row.rank == highest);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn highest(&self) -> u8 {
        self.0.iter().map(|row| row.rank).max().unwrap_or(0)
    }

    fn lines(self) -> Vec<Line<'static>> {
        self.0.into_iter().map(|row| row.line).collect()
    }
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame, view: &View, state: &State) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if width == 0 || height == 0 {
        return;
    }
    let palette = &state.palette;
    let shown = width >= WITH_PICTURE && height >= 20;
    let (left, picture) = if shown { beside(width, height) } else { (width, (0, 0)) };
    let mut top = devices(view, state, left);
    let mut bottom = rest(view, state, width);
    // Header and keys take a line each.
    let room = height.saturating_sub(2);
    while top.0.len().max(picture.1) + bottom.0.len() > room {
        let shrunk = if top.0.len() >= picture.1 && top.highest() >= bottom.highest() {
            top.shrink()
        } else {
            bottom.shrink() || (top.0.len() > picture.1 && top.shrink())
        };
        if !shrunk {
            break;
        }
    }
    let mut lines = vec![header(state, width)];
    let used = top.0.len().max(picture.1);
    lines.extend(top.lines());
    lines.resize(1 + used, Line::default());
    lines.extend(bottom.lines());
    lines.resize(height - 1, Line::default());
    lines.push(footer(view, state, width));
    frame.render_widget(Paragraph::new(Text::from(lines)), area);
    if picture.1 > 0 {
        let place =
            Rect { x: (left + 1) as u16, y: 1, width: picture.0 as u16, height: picture.1 as u16 };
        frame.render_widget(seen(view, state, picture), place.intersection(area));
    }
    if state.setup.headphones {
        notice(frame, area, palette);
    }
    if palette.ascii {
        to_ascii(frame.buffer_mut());
    }
}

/// Cells for the devices, and those of the picture beside them.
fn beside(width: usize, height: usize) -> (usize, (usize, usize)) {
    let widest = (width * 2 / 5).max(width.saturating_sub(WIDEST + 1));
    // What is below needs its room.
    let highest = height.saturating_sub(14).max(ASPECT.1);
    let across = widest.min(highest * ASPECT.0 / ASPECT.1);
    (width - across - 1, (across, across * ASPECT.1 / ASPECT.0))
}

fn header(state: &State, width: usize) -> Line<'static> {
    let palette = &state.palette;
    let name = printable(&state.setup.name);
    let left = " HyperZoom";
    let middle = "  before the call";
    let room = width.saturating_sub(cells(left) + cells(middle) + 1);
    let name = fit(&name, cells(&name).min(room));
    let gap = room.saturating_sub(cells(&name));
    Line::from(vec![
        Span::styled(left, palette.strong),
        Span::styled(middle, palette.quiet),
        Span::raw(format!("{}{name} ", " ".repeat(gap))),
    ])
}

fn devices(view: &View, state: &State, width: usize) -> Rows {
    let palette = &state.palette;
    let mut rows = Rows::default();
    rows.push(4, rule("Devices", width, palette));
    for (part, title) in
        [(Part::Microphone, "Mic"), (Part::Speaker, "Speaker"), (Part::Camera, "Camera")]
    {
        if part != Part::Microphone {
            rows.push(5, Line::default());
        }
        let device = &view.devices[part as usize];
        let name = device.names.get(device.chosen).map_or("", String::as_str);
        rows.push(0, choice(title, &printable(name), device, state, part, width));
        if part == Part::Microphone {
            rows.push(0, own_meter(view, state, width));
        }
        match &device.state {
            DeviceState::Opening => rows.push(3, quiet("          …", palette)),
            DeviceState::Off => rows.push(3, quiet("          nothing is opened", palette)),
            DeviceState::Open(text) => {
                let text = fit(&printable(text), width.saturating_sub(LABEL));
                rows.push(3, Line::raw(format!("{}{text}", " ".repeat(LABEL))));
            }
            DeviceState::Failed(remark) => told(&mut rows, 1, remark, width, palette),
        }
        if part == Part::Microphone {
            voice(&mut rows, &view.voice, width, palette);
        }
    }
    if let Some(window) = &view.window {
        told(&mut rows, 1, window, width, palette);
    }
    rows
}

fn quiet(text: &str, palette: &Palette) -> Line<'static> {
    Line::styled(text.to_owned(), palette.quiet)
}

/// A device's name with the arrows that change it.
fn choice(
    title: &str,
    name: &str,
    device: &super::DeviceView,
    state: &State,
    part: Part,
    width: usize,
) -> Line<'static> {
    let palette = &state.palette;
    let here = state.field == Field::Device(part);
    let count = device.names.len();
    let place = if count > 1 { format!(" {}/{count}", device.chosen + 1) } else { String::new() };
    let (open, close) = if here && count > 1 { ("‹ ", " ›") } else { ("", "") };
    let room = width.saturating_sub(LABEL + cells(open) + cells(close) + cells(&place));
    let text = format!("{open}{}{close}", fit(name, cells(name).min(room)));
    let gap = width.saturating_sub(LABEL + cells(&text) + cells(&place));
    Line::from(vec![
        Span::styled(if here { "▸ " } else { "  " }, palette.strong),
        Span::styled(fit(title, LABEL - 2), palette.quiet),
        Span::styled(text, if here { palette.badge } else { palette.strong }),
        Span::styled(format!("{}{place}", " ".repeat(gap)), palette.quiet),
    ])
}

fn own_meter(view: &View, state: &State, width: usize) -> Line<'static> {
    let palette = &state.palette;
    let numbers = vec![
        Span::raw(format!("{:>4} dB", level(f64::from(view.level.peak_db)))),
        Span::styled(" peak ", palette.quiet),
        Span::raw(format!("{:>3}", level(state.held.shown()))),
        Span::styled(" clipped ", palette.quiet),
        Span::styled(grouped(view.clipped), palette.must_be_zero(view.clipped)),
    ];
    let taken: usize = numbers.iter().map(Span::width).sum();
    let mut spans = vec![Span::raw(" ".repeat(LABEL))];
    let room = width.saturating_sub(taken + LABEL + 1).min(60);
    spans.extend(meter(view.level.peak_db, Some(state.held.db), room, palette));
    spans.extend(numbers);
    Line::from(spans)
}

fn voice(rows: &mut Rows, voice: &Voice, width: usize, palette: &Palette) {
    match voice {
        Voice::Untested => {
            let text = "  t, then say something: it is judged";
            rows.push(2, Line::styled(fit(text, width), palette.quiet));
        }
        Voice::Listening(done) => {
            let text = "  say something … ";
            let room = width.saturating_sub(cells(text) + 1).min(30);
            let full = ((room as f32 * done.clamp(0.0, 1.0)) as usize).min(room);
            rows.push(
                0,
                Line::from(vec![
                    Span::styled(text, palette.strong),
                    Span::styled("█".repeat(full), palette.good),
                    Span::styled("·".repeat(room - full), palette.quiet),
                ]),
            );
        }
        Voice::Heard(remarks) => {
            remarks.iter().for_each(|remark| told(rows, 1, remark, width, palette));
        }
    }
}

fn style(mood: Mood, palette: &Palette) -> Style {
    match mood {
        Mood::Open => palette.quiet,
        Mood::Good => palette.good,
        Mood::Caution => palette.caution,
        Mood::Bad => palette.bad,
    }
}

/// What was found and what to do; the first line stays longest.
fn told(rows: &mut Rows, rank: u8, remark: &Remark, width: usize, palette: &Palette) {
    let mut text = printable(&remark.text);
    if let Some(remedy) = &remark.remedy {
        text = format!("{text}; {}", printable(remedy));
    }
    // A colour alone would not be seen by everybody, nor with NO_COLOR.
    let mark = if matches!(remark.mood, Mood::Caution | Mood::Bad) { "! " } else { "  " };
    for (n, line) in wrap(&text, width.saturating_sub(2)).into_iter().enumerate() {
        let (mark, rank) = if n == 0 { (mark, rank) } else { ("  ", rank.max(2)) };
        rows.push(rank, Line::styled(format!("{mark}{line}"), style(remark.mood, palette)));
    }
}

fn rest(view: &View, state: &State, width: usize) -> Rows {
    let palette = &state.palette;
    let mut rows = Rows::default();
    rows.push(4, rule("Recording", width, palette));
    let size = [&view.size, &view.encoder].map(|text| printable(text));
    let text = size.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
    if !text.is_empty() {
        rows.push(2, Line::raw(fit(&format!("  {text}"), width)));
    }
    let [microphone, _, camera] = &view.devices;
    if [microphone, camera].iter().all(|device| device.state == DeviceState::Off) {
        let remark = Remark {
            mood: Mood::Caution,
            text: "microphone and camera are off: your file will hold nothing of you".into(),
            remedy: Some("choose one with the arrow keys".into()),
        };
        told(&mut rows, 1, &remark, width, palette);
    }
    if let Some(space) = &view.space {
        let rank = if space.mood == Mood::Good { 3 } else { 1 };
        let space = match space.mood {
            // The figure is no praise.
            Mood::Good => Remark { mood: Mood::Open, ..space.clone() },
            _ => space.clone(),
        };
        told(&mut rows, rank, &space, width, palette);
    }
    if let Some((heard, of)) = view.clapping {
        let text = format!("  {heard} of {of} heard: clap in the middle of the picture");
        rows.push(0, Line::styled(fit(&text, width), palette.strong));
    } else if let Some(lipsync) = &view.lipsync {
        let rank = if lipsync.mood == Mood::Open { 3 } else { 1 };
        told(&mut rows, rank, lipsync, width, palette);
    }
    if let Some(router) = &view.router {
        rows.push(4, rule("Network", width, palette));
        told(&mut rows, 2, router, width, palette);
    }
    if let Some(unfinished) = &view.unfinished {
        rows.push(4, rule("Not finished", width, palette));
        for (n, line) in crate::ui::dashboard::unfinished(unfinished, true, width, palette)
            .into_iter()
            .enumerate()
        {
            rows.push(if n == 0 { 3 } else { 0 }, line);
        }
    } else if let Some(news) = &view.news {
        rows.push(2, Line::styled(fit(&format!("  {}", printable(news)), width), palette.good));
    }
    rows.push(4, rule("Call", width, palette));
    if state.setup.asked == Asked::Either {
        rows.push(0, role(state));
    } else if !state.joins {
        rows.push(
            2,
            Line::raw("  You begin the call; the others get the line that is shown then."),
        );
    }
    if state.joins {
        address(&mut rows, state, width);
    }
    rows
}

fn role(state: &State) -> Line<'static> {
    let palette = &state.palette;
    let here = state.field == Field::Role;
    let button = |on: bool, text: &str| {
        let text = format!(" {} {text} ", if on { "●" } else { "○" });
        let style = match (on, here) {
            (true, true) => palette.badge,
            (true, false) => palette.strong,
            (false, _) => palette.quiet,
        };
        Span::styled(text, style)
    };
    Line::from(vec![
        Span::styled(if here { "▸ " } else { "  " }, palette.strong),
        button(!state.joins, "Host a call"),
        Span::raw("  "),
        button(state.joins, "Join one"),
    ])
}

fn address(rows: &mut Rows, state: &State, width: usize) {
    let palette = &state.palette;
    let here = state.field == Field::Address;
    let label = "Address ";
    let room = width.saturating_sub(3 + cells(label));
    let mut spans = vec![
        Span::styled(if here { "▸ " } else { "  " }, palette.strong),
        Span::styled(label, palette.quiet),
    ];
    if here {
        let (before, under, after) = state.entry.window(room);
        spans.push(Span::styled(before, palette.strong));
        spans.push(Span::styled(under, palette.badge));
        spans.push(Span::styled(after, palette.strong));
    } else {
        spans.push(Span::styled(fit_end(&printable(&state.entry.text()), room), palette.strong));
    }
    rows.push(0, Line::from(spans));
    let (text, style) = match state.invite() {
        _ if state.entry.is_empty() && !state.refused => {
            let text = "paste what the host sent you: ADDRESS:PORT#KEY or the whole line";
            (text.to_owned(), palette.quiet)
        }
        Ok(invite) => {
            let key = match invite.key {
                Some(_) => "with its key: you are let in at once",
                None => "without a key: you knock, and the host compares a code with you",
            };
            (format!("{}, port {}, {key}", invite.address, invite.port), palette.good)
        }
        Err(why) => (why, palette.bad),
    };
    for (n, line) in wrap(&printable(&text), width.saturating_sub(10)).into_iter().enumerate() {
        rows.push(if n == 0 { 1 } else { 2 }, Line::styled(format!("          {line}"), style));
    }
}

/// The camera's picture, or what is there instead of it.
fn seen(view: &View, state: &State, (width, height): (usize, usize)) -> Paragraph<'static> {
    let lines = match (&view.picture, &view.devices[Part::Camera as usize].state) {
        (Some(picture), DeviceState::Open(_)) => picture.lines(width, height, &state.palette),
        (_, camera) => {
            let text = match camera {
                DeviceState::Off => "no camera: sound alone",
                DeviceState::Failed(_) => "no picture",
                _ => "waiting for a picture",
            };
            let mut lines = vec![Line::default(); height / 2];
            let margin = width.saturating_sub(cells(text)) / 2;
            lines.push(quiet(&format!("{}{text}", " ".repeat(margin)), &state.palette));
            lines
        }
    };
    Paragraph::new(Text::from(lines))
}

/// The keys, the more important ones first; what has no room is left out.
fn footer(view: &View, state: &State, width: usize) -> Line<'static> {
    let palette = &state.palette;
    if state.starting {
        return Line::styled("  Starting …", palette.strong);
    }
    if let Some(said) = state.said {
        return Line::styled(fit(&format!("  {said}"), width), palette.strong);
    }
    let broken = |part| match state.field {
        Field::Device(at) if at == part => {
            matches!(view.devices[part as usize].state, DeviceState::Failed(_))
        }
        _ => false,
    };
    if [Part::Microphone, Part::Speaker, Part::Camera].into_iter().any(broken) {
        let text = " This one does not work:  ←→ choose another, or off   q leave ";
        return Line::from(Span::styled(fit(text, width), palette.badge));
    }
    let typing = state.field == Field::Address;
    let start = if state.joins { "join" } else { "host" };
    let mut keys = vec![("Enter", start), (if typing { "Esc" } else { "q" }, "leave")];
    if !typing {
        let lipsync = if view.clapping.is_some() { "stop clapping" } else { "lip-sync" };
        keys.extend([("t", "voice"), ("p", "tone"), ("w", "window"), ("l", lipsync)]);
    }
    keys.push(("↑↓", "line"));
    match state.field {
        Field::Address => keys.push(("Ctrl-U", "clear")),
        _ => keys.push(("←→", "change")),
    }
    if state.setup.asked == Asked::Either && !typing {
        keys.push(if state.joins { ("h", "host") } else { ("j", "join") });
    }
    key_line(&keys, width, palette)
}

const NOTICE: &str = "HyperZoom has no echo cancellation: without headphones the others hear \
                      themselves, and their voices stand in your recording.\n\nPut on headphones \
                      before the call. This is asked once.\n\n Enter  they are on     q  leave";

fn notice(frame: &mut Frame, area: Rect, palette: &Palette) {
    let (width, height) = (56.min(area.width), 11.min(area.height));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let block = Block::bordered().title(" Headphones ").title_style(palette.strong);
    let text = Paragraph::new(NOTICE).wrap(Wrap { trim: false });
    frame.render_widget(Clear, place);
    frame.render_widget(text.block(block.padding(ratatui::widgets::Padding::uniform(1))), place);
}
