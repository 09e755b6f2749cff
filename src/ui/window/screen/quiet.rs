//! Windows and macOS: the system fills the screen itself, always has a display, and tells of all keys.

use minifb::Window;

pub fn size() -> Option<(usize, usize)> {
    None
}

pub fn why_not(error: &str) -> String {
    error.to_owned()
}

pub fn watch(_: &Window) {}

pub fn is_lost(_: &Window) -> bool {
    false
}

pub fn tells_letters_alone(_: &Window) -> bool {
    false
}
