//! Colours that read on light and on dark ground.

use ratatui::style::{Color, Modifier, Style};

/// The styles of the dashboard by what they mean.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// Headings and values to find at once.
    pub strong: Style,
    /// Labels, rules, units.
    pub quiet: Style,
    /// As it should be.
    pub good: Style,
    /// Worth a look.
    pub caution: Style,
    /// Wrong.
    pub bad: Style,
    /// A key to press, a state that is on.
    pub badge: Style,
}

impl Palette {
    /// The terminal's own red and green suit its ground; its yellow does not on white, so caution
    /// is a dark orange of the 256-colour cube (#d75f00: contrast 4 on white, 5 on black).
    pub const COLOURED: Self = Self {
        strong: Style::new().add_modifier(Modifier::BOLD),
        quiet: Style::new().add_modifier(Modifier::DIM),
        good: Style::new().fg(Color::Green),
        caution: Style::new().fg(Color::Indexed(166)),
        bad: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        badge: Style::new().add_modifier(Modifier::REVERSED),
    };

    /// The same without a colour: weight and reversal tell what colour would.
    pub const PLAIN: Self = Self {
        strong: Style::new().add_modifier(Modifier::BOLD),
        quiet: Style::new().add_modifier(Modifier::DIM),
        good: Style::new(),
        caution: Style::new().add_modifier(Modifier::BOLD),
        bad: Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
        badge: Style::new().add_modifier(Modifier::REVERSED),
    };

    /// Colours unless `NO_COLOR` is set and not empty (no-color.org).
    pub fn from_environment() -> Self {
        match std::env::var_os("NO_COLOR") {
            Some(value) if !value.is_empty() => Self::PLAIN,
            _ => Self::COLOURED,
        }
    }

    /// Good up to `caution`, bad from `bad` on.
    pub fn judge(&self, value: f64, caution: f64, bad: f64) -> Style {
        if value >= bad {
            self.bad
        } else if value >= caution {
            self.caution
        } else {
            Style::new()
        }
    }

    /// A counter that must be 0.
    pub fn must_be_zero(&self, n: u64) -> Style {
        if n == 0 { self.good } else { self.bad }
    }
}
