//! The whole screen on macOS: a space of its own, as the green button makes.

use std::ffi::{CStr, c_char, c_ulong, c_void};

use minifb::Window;

/// NSWindowStyleMaskFullScreen.
const FULLSCREEN: c_ulong = 1 << 14;

#[link(name = "objc")]
unsafe extern "C" {
    fn sel_registerName(name: *const c_char) -> *const c_void;
    fn objc_msgSend();
}

pub fn fill(window: &Window, on: bool) -> bool {
    type Ask = unsafe extern "C" fn(*mut c_void, *const c_void) -> c_ulong;
    type Tell = unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void);
    let message: unsafe extern "C" fn() = objc_msgSend;
    let selector = |name: &CStr| {
        // SAFETY: a name that lives for ever; the runtime knows or makes it.
        unsafe { sel_registerName(name.as_ptr()) }
    };
    // The main thread runs this, as AppKit wants it.
    let handle = window.get_window_handle();
    // SAFETY: minifb's handle is an NSWindow, which has these two methods with these signatures, and
    // lives on through the calls; a method's implementation is called by its own type.
    unsafe {
        let ask = std::mem::transmute::<unsafe extern "C" fn(), Ask>(message);
        let tell = std::mem::transmute::<unsafe extern "C" fn(), Tell>(message);
        let is_full = ask(handle, selector(c"styleMask")) & FULLSCREEN != 0;
        if is_full != on {
            tell(handle, selector(c"toggleFullScreen:"), std::ptr::null_mut());
        }
    }
    true
}
