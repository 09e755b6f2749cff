//! Colours that read on light and on dark ground, and what a terminal can show of them.

use ratatui::style::{Color, Modifier, Style};

/// Colours that a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colours {
    /// None are wanted (`NO_COLOR`, no-color.org), or none are known (`TERM=dumb`).
    None,
    /// The first 16.
    Sixteen,
    /// The 256 of xterm.
    Cube,
    /// 16 million.
    True,
}

impl std::fmt::Display for Colours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "no colours (NO_COLOR)",
            Self::Sixteen => "16 colours",
            Self::Cube => "256 colours",
            Self::True => "16 million colours",
        })
    }
}

/// What a terminal can show, as its environment tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Its colours.
    pub colours: Colours,
    /// More than ASCII.
    pub unicode: bool,
}

impl Abilities {
    /// From the environment, which `var` looks up; a value that is empty counts as none.
    pub fn of(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let term = var("TERM").unwrap_or_default();
        let full = var("COLORTERM").is_some_and(|c| c.contains("truecolor") || c.contains("24bit"));
        let colours = match () {
            () if var("NO_COLOR").is_some() || term == "dumb" => Colours::None,
            () if full || cfg!(windows) => Colours::True,
            () if term.contains("256color") || term.contains("direct") => Colours::Cube,
            () => Colours::Sixteen,
        };
        // The first that is set decides (setlocale(3)); a system without any says nothing about
        // its terminal.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| var(name));
        let utf8 = locale.is_some_and(|l| {
            let l = l.to_lowercase();
            l.contains("utf-8") || l.contains("utf8")
        });
        Self { colours, unicode: utf8 || cfg!(any(windows, target_os = "macos")) }
    }

    /// Of the terminal that this process runs in.
    pub fn here() -> Self {
        Self::of(&|name| std::env::var(name).ok())
    }
}

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
    /// What the terminal can show of a picture.
    pub colours: Colours,
    /// Nothing but ASCII is drawn.
    pub ascii: bool,
}

impl Palette {
    /// Of the 256-colour cube, whose colours are the same everywhere: a terminal's own green and yellow
    /// cannot be read on white. #008700, #d75f00 and #d70000 have a contrast of at least 3.8 on white
    /// and on black (WCAG 2.2 asks for 3 of what is large or bold).
    pub const COLOURED: Self = Self {
        strong: Style::new().add_modifier(Modifier::BOLD),
        quiet: Style::new().add_modifier(Modifier::DIM),
        good: Style::new().fg(Color::Indexed(28)),
        caution: Style::new().fg(Color::Indexed(166)),
        bad: Style::new().fg(Color::Indexed(160)).add_modifier(Modifier::BOLD),
        badge: Style::new().add_modifier(Modifier::REVERSED),
        colours: Colours::True,
        ascii: false,
    };

    /// The same without a colour: weight and reversal tell what colour would.
    pub const PLAIN: Self = Self {
        strong: Style::new().add_modifier(Modifier::BOLD),
        quiet: Style::new().add_modifier(Modifier::DIM),
        good: Style::new(),
        caution: Style::new().add_modifier(Modifier::BOLD),
        bad: Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
        badge: Style::new().add_modifier(Modifier::REVERSED),
        colours: Colours::None,
        ascii: false,
    };

    /// What a terminal of such abilities shows well. Among 16 colours, whose looks are the terminal's own,
    /// there is no orange: caution is magenta, which reads on both grounds and is neither good nor bad.
    pub fn of(abilities: Abilities) -> Self {
        let Abilities { colours, unicode } = abilities;
        let palette = match colours {
            Colours::None => Self::PLAIN,
            Colours::Sixteen => Self {
                good: Style::new().fg(Color::Green),
                caution: Style::new().fg(Color::Magenta),
                bad: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
                ..Self::COLOURED
            },
            Colours::Cube | Colours::True => Self::COLOURED,
        };
        Self { colours, ascii: !unicode, ..palette }
    }

    /// For the terminal that this process runs in.
    pub fn here() -> Self {
        Self::of(Abilities::here())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(windows))]
    fn with(pairs: &[(&str, &str)]) -> Abilities {
        Abilities::of(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    #[cfg(not(windows))]
    fn a_terminal_is_known_by_its_environment() {
        for (pairs, colours) in [
            (&[("TERM", "xterm")][..], Colours::Sixteen),
            (&[("TERM", "xterm-256color")], Colours::Cube),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Colours::True),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], Colours::None),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "")], Colours::Cube),
            (&[("TERM", "dumb")], Colours::None),
        ] {
            assert_eq!(with(pairs).colours, colours, "{pairs:?}");
        }
    }

    #[test]
    #[cfg(not(any(windows, target_os = "macos")))]
    fn the_first_locale_that_is_set_decides_about_ascii() {
        assert!(with(&[("LANG", "de_DE.UTF-8")]).unicode);
        assert!(!with(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]).unicode);
        assert!(!with(&[]).unicode);
        assert!(Palette::of(with(&[])).ascii);
    }

    /// Red, green and blue of a colour that is the same on all terminals.
    fn rgb(colour: Color) -> [u8; 3] {
        match colour {
            Color::Rgb(r, g, b) => [r, g, b],
            Color::Indexed(n @ 16..=231) => [36, 6, 1].map(|step| match (n - 16) / step % 6 {
                0 => 0,
                level => 55 + 40 * level,
            }),
            other => panic!("how {other:?} looks is the terminal's own"),
        }
    }

    /// Contrast with a ground of that luminance (WCAG 2.2).
    fn contrast(rgb: [u8; 3], ground: f64) -> f64 {
        let linear = rgb.map(|code| match f64::from(code) / 255.0 {
            small @ ..=0.040_45 => small / 12.92,
            value => ((value + 0.055) / 1.055).powf(2.4),
        });
        let own = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        (own.max(ground) + 0.05) / (own.min(ground) + 0.05)
    }

    #[test]
    fn every_colour_is_read_on_white_and_on_black() {
        assert!(contrast([0, 0, 0], 1.0) > 20.9 && contrast([0, 205, 0], 1.0) < 2.2);
        assert_eq!(
            [rgb(Color::Indexed(28)), rgb(Color::Indexed(166))],
            [[0, 135, 0], [215, 95, 0]]
        );
        for colours in [Colours::Cube, Colours::True] {
            let p = Palette::of(Abilities { colours, unicode: true });
            let styles = [p.strong, p.quiet, p.good, p.caution, p.bad, p.badge];
            let coloured: Vec<Color> = styles.iter().filter_map(|style| style.fg).collect();
            assert_eq!(coloured.len(), 3);
            assert!(styles.iter().all(|style| style.bg.is_none()), "the ground is the terminal's");
            for colour in coloured {
                for ground in [0.0, 1.0] {
                    let contrast = contrast(rgb(colour), ground);
                    assert!(contrast >= 3.8, "{colour:?} on {ground}: {contrast:.2}");
                }
            }
        }
    }

    #[test]
    fn few_colours_are_those_that_every_terminal_has() {
        let few = Palette::of(Abilities { colours: Colours::Sixteen, unicode: true });
        for style in [few.good, few.caution, few.bad] {
            assert!(!matches!(style.fg, Some(Color::Indexed(_) | Color::Rgb(..))), "{style:?}");
        }
        let none = Palette::of(Abilities { colours: Colours::None, unicode: false });
        assert!(none.ascii && [none.good, none.caution, none.bad].iter().all(|s| s.fg.is_none()));
    }
}
