//! Puts the screen after the call together. Draws facts; changes nothing.

use ratatui::Frame;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;

use super::{Checked, Facts, next};
use crate::ui::cells::{cells, fit, fit_end, rule, to_ascii, wrap};
use crate::ui::format::{bytes, clock_frames, grouped, printable};
use crate::ui::palette::Palette;

/// What is not of the recording.
pub struct Screen {
    /// Styles.
    pub palette: Palette,
    /// Folders can be shown.
    pub can_open: bool,
    /// What the last key led to.
    pub note: String,
}

/// A heading's title and its lines.
struct Section {
    title: &'static str,
    lines: Vec<Line<'static>>,
    /// Lines that stay where there is no room.
    least: usize,
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame, facts: &Facts, checked: &Checked, screen: &Screen) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if width == 0 || height == 0 {
        return;
    }
    let palette = &screen.palette;
    let mut sections = vec![
        Section { title: "Recording", lines: file(facts, width, palette), least: 2 },
        Section { title: "Check", lines: check(checked, width, palette), least: 1 },
        Section { title: "Alignment", lines: clocks(facts, width, palette), least: 1 },
        Section { title: "What was told", lines: warnings(facts, width, palette), least: 1 },
        Section { title: "Next", lines: advice(facts, width), least: 0 },
    ];
    sections.retain(|section| !section.lines.is_empty());
    let room = height.saturating_sub(2);
    let headings =
        sections.iter().map(|s| s.lines.len() + 1).sum::<usize>() <= room || height >= 24;
    let head = usize::from(headings);
    // The longest section gives way, one line after the other, with a word about it.
    while sections.iter().map(|s| s.lines.len() + head).sum::<usize>() > room {
        let longest = sections
            .iter_mut()
            .filter(|section| section.lines.len() > section.least)
            .max_by_key(|section| section.lines.len() - section.least);
        let Some(section) = longest else { break };
        section.lines.pop();
    }
    let used = sections.iter().map(|s| s.lines.len() + head).sum::<usize>();
    let gaps = headings && used + sections.len() <= room;
    let mut lines = vec![header(facts, width, palette)];
    for section in sections.into_iter().filter(|section| !section.lines.is_empty()) {
        if gaps {
            lines.push(Line::default());
        }
        if headings {
            lines.push(rule(section.title, width, palette));
        }
        lines.extend(section.lines);
    }
    lines.resize(height - 1, Line::default());
    lines.push(footer(screen, width));
    frame.render_widget(Paragraph::new(Text::from(lines)), area);
    if palette.ascii {
        to_ascii(frame.buffer_mut());
    }
}

fn header(facts: &Facts, width: usize, palette: &Palette) -> Line<'static> {
    let (left, middle) = (" HyperZoom", "  the recording is finished");
    let room = width.saturating_sub(cells(left) + cells(middle) + 1);
    let name = printable(&facts.name);
    let name = fit(&name, cells(&name).min(room));
    Line::from(vec![
        Span::styled(left, palette.strong),
        Span::styled(middle, palette.quiet),
        Span::raw(format!("{}{name} ", " ".repeat(room.saturating_sub(cells(&name))))),
    ])
}

fn file(facts: &Facts, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    let f = &facts.finished;
    let path = |path: &str| {
        Line::styled(
            format!("  {}", fit_end(&printable(path), width.saturating_sub(2))),
            palette.strong,
        )
    };
    let frames = f.frames_encoded + f.frames_repeated + f.black_frames;
    let mut lines = vec![path(&f.path)];
    let figures = [
        (clock_frames(f.seconds), palette.strong),
        (bytes(f.bytes), palette.strong),
        (format!("{} frames", grouped(frames)), palette.strong),
        (format!("dropped {}", grouped(f.frames_dropped)), palette.must_be_zero(f.frames_dropped)),
        (format!("captured {}", grouped(f.frames_captured)), palette.quiet),
    ];
    let mut spans = Vec::new();
    let mut room = width;
    for (text, style) in figures {
        if cells(&text) + 2 > room {
            break;
        }
        room -= cells(&text) + 2;
        spans.push(Span::raw("  "));
        spans.push(Span::styled(text, style));
    }
    lines.push(Line::from(spans));
    for part in f.parts.iter().skip(1) {
        lines.push(Line::raw(fit(&format!("  then, from {}:", part.timecode), width)));
        lines.push(path(&part.path));
    }
    lines
}

fn check(checked: &Checked, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    match checked {
        Checked::Not => vec![Line::styled("  not made", palette.quiet)],
        Checked::Reading(percent) => {
            let text = format!(" {percent:>3} %");
            let title = "  reading it again ";
            let room = width.saturating_sub(cells(title) + cells(&text) + 1).min(40);
            let full = room * usize::from(*percent) / 100;
            vec![Line::from(vec![
                Span::raw(title),
                Span::styled("█".repeat(full), palette.good),
                Span::styled("·".repeat(room - full), palette.quiet),
                Span::raw(text),
            ])]
        }
        Checked::Holds(count) => {
            let text = format!("  everything holds: {count} checks of what an editor relies on");
            vec![Line::styled(fit(&text, width), palette.good)]
        }
        Checked::Fails(faults) => faults
            .iter()
            .flat_map(|fault| folded("! ", &format!("FAILED {fault}"), width))
            .map(|text| Line::styled(text, palette.bad))
            .collect(),
    }
}

/// A text in lines, the first one marked.
fn folded(mark: &str, text: &str, width: usize) -> Vec<String> {
    let lines = wrap(&printable(text), width.saturating_sub(cells(mark)));
    let lead = |n| if n == 0 { mark.to_owned() } else { " ".repeat(cells(mark)) };
    lines.into_iter().enumerate().map(|(n, line)| format!("{}{line}", lead(n))).collect()
}

fn clocks(facts: &Facts, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    facts
        .clocks
        .iter()
        .map(|clock| {
            let name = fit(&printable(&clock.name), 16.min(width / 3));
            let style = if clock.known.is_good() { palette.good } else { palette.caution };
            let words = clock.known.words();
            let room = width.saturating_sub(cells(&name) + 4);
            Line::from(vec![
                Span::styled(format!("  {name}  "), palette.strong),
                Span::styled(fit(&words, cells(&words).min(room)), style),
            ])
        })
        .collect()
}

fn warnings(facts: &Facts, width: usize, palette: &Palette) -> Vec<Line<'static>> {
    let style = |text: &str| if text.contains("error: ") { palette.bad } else { palette.caution };
    let lines = |text: &String| {
        let style = style(text);
        folded("! ", text, width).into_iter().map(move |line| Line::styled(line, style))
    };
    facts.warnings.iter().flat_map(lines).collect()
}

fn advice(facts: &Facts, width: usize) -> Vec<Line<'static>> {
    next(facts).iter().flat_map(|text| folded("  ", text, width)).map(Line::raw).collect()
}

fn footer(screen: &Screen, width: usize) -> Line<'static> {
    let palette = &screen.palette;
    let mut keys = Vec::new();
    if screen.can_open {
        keys.push(("o", "open the folder"));
    }
    keys.push(("c", "copy the path"));
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in keys {
        spans.push(Span::styled(format!(" {key} "), palette.badge));
        spans.push(Span::raw(format!(" {what}  ")));
    }
    spans.push(Span::styled("other keys leave", palette.quiet));
    let used: usize = spans.iter().map(Span::width).sum();
    if !screen.note.is_empty() && width > used + 4 {
        spans.push(Span::styled(
            format!("   {}", fit(&printable(&screen.note), width - used - 3)),
            palette.strong,
        ));
    }
    Line::from(spans)
}
