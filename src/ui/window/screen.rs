//! What minifb does not have: the whole screen, and word of a lost display. A file a window system.
//!
//! X11: the window manager is asked (EWMH), or, where there is none, the window is made as large as
//! the screen. Windows and macOS: the system is asked. Wayland: only whoever made the window's
//! `xdg_toplevel` may ask, and minifb keeps that for itself: another window without a border, as large
//! as the screen, takes the place of the first.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod wayland;
#[cfg(target_os = "linux")]
mod x11;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;

use minifb::Window;

/// Makes the window as large as its screen, or takes that back; false where nobody can be asked.
pub fn fill(window: &Window, on: bool) -> bool {
    system::fill(window, on)
}

/// Pixels of the screen, for the window that takes the place of one that could not be made larger.
pub fn size() -> Option<(usize, usize)> {
    system::size()
}

/// What minifb does not say about a window that it could not open.
pub fn why_not() -> Option<String> {
    system::why_not()
}

/// Whether the window was closed because its display went away, and not by a person. (Xlib ends the
/// process then, so nobody asks.)
pub fn is_lost(window: &Window) -> bool {
    system::is_lost(window)
}

/// Whether typed characters leave out Enter, Escape, Tab and Backspace.
pub fn tells_letters_alone(window: &Window) -> bool {
    system::tells_letters_alone(window)
}
