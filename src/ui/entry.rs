//! A line that is typed: text and cursor. Pure.

use crossterm::event::KeyCode;

/// Longest text, characters: more is something else that was pasted.
const LONGEST: usize = 400;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    before: String,
    after: String,
}

impl Entry {
    /// With a text and the cursor behind it.
    pub fn new(text: &str) -> Self {
        let mut entry = Self::default();
        entry.paste(text);
        entry
    }

    /// The whole text.
    pub fn text(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// Nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// A pasted text in one line: a space stands for line ends, other control characters are left out.
    pub fn paste(&mut self, text: &str) {
        let mut apart = false;
        for c in text.trim().chars() {
            let breaks = matches!(c, '\r' | '\n' | '\t');
            if breaks && !apart {
                self.insert(' ');
            } else if !breaks {
                self.insert(c);
            }
            apart = breaks;
        }
    }

    /// Whether a key means something in a line that is typed; what it means has then happened.
    pub fn press(&mut self, code: KeyCode) -> bool {
        match code {
            KeyCode::Char(c) => self.insert(c),
            KeyCode::Backspace => drop(self.before.pop()),
            KeyCode::Delete => drop(take_first(&mut self.after)),
            KeyCode::Left => {
                if let Some(c) = self.before.pop() {
                    self.after.insert(0, c);
                }
            }
            KeyCode::Right => self.before.extend(take_first(&mut self.after)),
            KeyCode::Home => {
                self.after.insert_str(0, &self.before);
                self.before.clear();
            }
            KeyCode::End => self.before.push_str(&std::mem::take(&mut self.after)),
            _ => return false,
        }
        true
    }

    fn insert(&mut self, c: char) {
        if !c.is_control() && self.before.chars().count() + self.after.chars().count() < LONGEST {
            self.before.push(c);
        }
    }

    /// What is before the cursor, under it and behind it, in `width` cells: the end of what is
    /// before, so that the cursor is always seen.
    pub fn window(&self, width: usize) -> (String, String, String) {
        let before = super::cells::fit_end(&self.before, width.saturating_sub(1));
        let mut after = self.after.clone();
        let under = take_first(&mut after).unwrap_or(' ').to_string();
        let used = super::cells::cells(&before) + super::cells::cells(&under);
        (before, under, super::cells::fit(&after, width.saturating_sub(used)))
    }
}

fn take_first(text: &mut String) -> Option<char> {
    (!text.is_empty()).then(|| text.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_at_the_cursor() {
        let mut entry = Entry::new(" 1.2.3.4:7000\n");
        assert_eq!(entry.text(), "1.2.3.4:7000");
        for code in [KeyCode::Left, KeyCode::Backspace, KeyCode::Char('5'), KeyCode::Delete] {
            assert!(entry.press(code));
        }
        assert_eq!(entry.text(), "1.2.3.4:705");
        entry.press(KeyCode::Home);
        entry.press(KeyCode::Delete);
        entry.press(KeyCode::Char('9'));
        assert_eq!(entry.window(20), ("9".into(), ".".into(), "2.3.4:705         ".into()));
        entry.press(KeyCode::End);
        assert_eq!(entry.window(5), ("…705".into(), " ".into(), String::new()));
        assert!(!entry.press(KeyCode::Enter));
        entry.paste("\u{1b}[2J");
        assert!(!entry.text().contains('\u{1b}'));
        assert!(Entry::default().is_empty());
    }

    #[test]
    fn lines_that_are_pasted_stay_apart() {
        assert_eq!(Entry::new("one\r\ntwo\n\n\tthree\u{7}\n").text(), "one two three");
    }
}
