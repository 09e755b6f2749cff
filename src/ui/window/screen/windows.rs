//! The whole screen on Windows: a window without a border, maximised, covers the taskbar, too.

use minifb::Window;
use windows_sys::Win32::UI::WindowsAndMessaging::{
    GWL_STYLE, GetWindowLongW, SW_MAXIMIZE, SW_RESTORE, SWP_FRAMECHANGED, SWP_NOMOVE, SWP_NOSIZE,
    SWP_NOZORDER, SetWindowLongW, SetWindowPos, ShowWindow, WS_OVERLAPPEDWINDOW, WS_POPUP,
};

pub fn fill(window: &Window, on: bool) -> bool {
    let handle = window.get_window_handle();
    // SAFETY: plain calls for a window of this thread that lives on through them.
    unsafe {
        let style = GetWindowLongW(handle, GWL_STYLE) as u32;
        let style = match on {
            true => style & !WS_OVERLAPPEDWINDOW | WS_POPUP,
            false => style & !WS_POPUP | WS_OVERLAPPEDWINDOW,
        };
        // One that is maximised already keeps the taskbar in sight.
        ShowWindow(handle, SW_RESTORE);
        SetWindowLongW(handle, GWL_STYLE, style as i32);
        let flags = SWP_FRAMECHANGED | SWP_NOMOVE | SWP_NOSIZE | SWP_NOZORDER;
        SetWindowPos(handle, std::ptr::null_mut(), 0, 0, 0, 0, flags);
        if on {
            ShowWindow(handle, SW_MAXIMIZE);
        }
    }
    true
}
