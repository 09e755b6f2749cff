//! Text fitted into the cells of a terminal. Pure.

use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};

use super::palette::Palette;

/// Cells that a text takes.
pub fn cells(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in exactly `width` cells: cut with an ellipsis, or padded at its right.
pub fn fit(text: &str, width: usize) -> String {
    let total = cells(text);
    if total <= width {
        return format!("{text}{}", " ".repeat(width - total));
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = cells(c.encode_utf8(&mut [0; 4]));
        if used + w + 1 > width {
            break;
        }
        used += w;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
        used += 1;
    }
    cut + &" ".repeat(width - used)
}

/// The end of the text where it does not fit: of a path, that part tells more.
pub fn fit_end(text: &str, width: usize) -> String {
    if cells(text) <= width {
        return text.to_owned();
    }
    let mut kept = Vec::new();
    let mut used = 1;
    for c in text.chars().rev() {
        let w = cells(c.encode_utf8(&mut [0; 4]));
        if used + w > width {
            break;
        }
        used += w;
        kept.push(c);
    }
    kept.push('…');
    kept.iter().rev().collect()
}

/// The text at the right end of `width` cells.
pub fn pad_left(text: &str, width: usize) -> String {
    let room = width.saturating_sub(cells(text));
    format!("{}{text}", " ".repeat(room))
}

/// Keys and what they do, as many as have room; the first are the ones to know.
pub fn key_line(keys: &[(&str, &str)], width: usize, palette: &Palette) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let mut room = width.saturating_sub(1);
    for (key, what) in keys {
        let taken = cells(key) + cells(what) + 5;
        // The last one needs no gap behind it.
        if taken > room + 2 {
            break;
        }
        room = room.saturating_sub(taken);
        spans.push(Span::styled(format!(" {key} "), palette.badge));
        spans.push(Span::raw(format!(" {what}  ")));
    }
    Line::from(spans)
}

/// A heading with a thin line to the right edge.
pub fn rule(title: &str, width: usize, palette: &Palette) -> Line<'static> {
    let rest = width.saturating_sub(cells(title) + 4);
    Line::from(vec![
        Span::styled("── ", palette.quiet),
        Span::styled(title.to_owned(), palette.strong),
        Span::styled(format!(" {}", "─".repeat(rest)), palette.quiet),
    ])
}

/// The text in lines of at most `width` cells, broken at spaces where that can be.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && cells(&line) + 1 + cells(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if cells(&line) + cells(c.encode_utf8(&mut [0; 4])) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Puts ASCII in the place of everything else that is on the screen, for terminals that would show
/// it as rubbish.
pub fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() {
            continue;
        }
        let plain = match symbol.chars().next().unwrap_or(' ') {
            '─' | '━' | '–' => "-",
            '│' | '┃' => "|",
            '┌' | '┐' | '└' | '┘' => "+",
            '█' | '▉' | '▊' | '▋' | '▇' | '▆' | '▅' => "#",
            '▌' | '▍' | '▎' | '▏' | '▄' | '▃' | '▀' => "=",
            '▂' | '▁' | '…' | '·' => ".",
            '●' => "*",
            '○' => "o",
            '▸' | '›' => ">",
            '‹' => "<",
            '±' => "~",
            _ => "?",
        };
        cell.set_symbol(plain);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("say what you had for lunch", 10), ["say what", "you had", "for lunch"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("田中さくら", 4), ["田中", "さく", "ら"]);
        assert!(wrap("  ", 5).is_empty());
        assert_eq!(wrap("ab", 0), ["a", "b"]);
    }

    #[test]
    fn nothing_but_ascii_is_left() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "a─█▍·●…é±‹", Style::new());
        to_ascii(&mut buffer);
        let text: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(text.trim_end(), "a-#=.*.?~<");
    }
}
