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
#[cfg(not(target_os = "linux"))]
mod quiet;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "linux")]
use linux as teller;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(not(target_os = "linux"))]
use quiet as teller;
#[cfg(windows)]
use windows as system;

use minifb::Window;

/// Makes the window as large as its screen, or takes that back; false where nobody can be asked.
pub fn fill(window: &Window, on: bool) -> bool {
    system::fill(window, on)
}

/// Pixels of the screen, for the window that takes the place of one that could not be made larger.
pub fn size() -> Option<(usize, usize)> {
    teller::size()
}

/// Why there is no window, for a person; `error` is what minifb says.
pub fn why_not(error: &str) -> String {
    teller::why_not(error)
}

/// Has the call told when the display goes away, where the process does not live to tell it otherwise:
/// Xlib ends it.
pub fn watch(window: &Window) {
    teller::watch(window);
}

/// Whether the window was closed because its display went away, and not by a person. (Under X11 see
/// [`watch`].)
pub fn is_lost(window: &Window) -> bool {
    teller::is_lost(window)
}

/// Whether typed characters leave out Enter, Escape, Tab and Backspace.
pub fn tells_letters_alone(window: &Window) -> bool {
    teller::tells_letters_alone(window)
}
