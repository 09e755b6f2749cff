//! X11 or Wayland: minifb takes Wayland where it is there.

use minifb::Window;
use raw_window_handle::{HasDisplayHandle, HasWindowHandle, RawDisplayHandle, RawWindowHandle};

use super::{wayland, x11};

pub fn fill(window: &Window, on: bool) -> bool {
    match (window.display_handle().map(|h| h.as_raw()), window.window_handle().map(|h| h.as_raw()))
    {
        (Ok(RawDisplayHandle::Xlib(display)), Ok(RawWindowHandle::Xlib(handle))) => {
            // SAFETY: the display is the window's, which lives on through the call.
            display.display.is_some_and(|d| unsafe { x11::fill(d.as_ptr(), handle.window, on) })
        }
        _ => false,
    }
}

pub fn size() -> Option<(usize, usize)> {
    wayland::size()
}

pub fn why_not(error: &str) -> String {
    // The error is X11's: minifb goes on to it from Wayland without a word.
    let x11 = if error.contains("XOpenDisplay") { x11::why_not() } else { error.to_owned() };
    match wayland::why_not() {
        Some(wayland) => format!("{wayland}, and {x11}"),
        None => x11,
    }
}

pub fn watch(window: &Window) {
    if let Ok(RawDisplayHandle::Xlib(_)) = window.display_handle().map(|h| h.as_raw()) {
        x11::watch();
    }
}

pub fn is_lost(window: &Window) -> bool {
    match window.display_handle().map(|h| h.as_raw()) {
        Ok(RawDisplayHandle::Wayland(display)) => {
            // SAFETY: the display is the window's, which lives on through the call.
            unsafe { wayland::is_lost(display.display.as_ptr()) }
        }
        _ => false,
    }
}

pub fn tells_letters_alone(window: &Window) -> bool {
    matches!(window.display_handle().map(|h| h.as_raw()), Ok(RawDisplayHandle::Wayland(_)))
}
