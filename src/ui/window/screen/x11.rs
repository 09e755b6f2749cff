//! The whole screen under X11, over the connection that the window has.

use std::ffi::{CStr, c_int, c_long, c_uchar, c_ulong, c_void};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::ptr;

use x11_dl::xlib::{self, Xlib};

use crate::ui::window::wire::Reply;

/// Words of the window managers' specification (EWMH 1.5).
const SUPPORTED: &CStr = c"_NET_SUPPORTED";
const STATE: &CStr = c"_NET_WM_STATE";
const FULLSCREEN: &CStr = c"_NET_WM_STATE_FULLSCREEN";
/// Most atoms that are looked through; managers name some 80.
const MOST: c_long = 1024;
/// Who asks: a program, as opposed to a pager.
const APPLICATION: c_long = 1;
/// The window's place where nobody manages windows and it is small again.
const PLACE: (i32, i32) = (40, 40);

/// Why Xlib could not open the display that the environment names.
pub fn why_not() -> String {
    let named = std::env::var("DISPLAY").unwrap_or_default();
    if named.is_empty() {
        return "there is no display here (DISPLAY is not set)".to_owned();
    }
    // Its socket tells a server that is not there from one that lets nobody in, where it is of this
    // machine.
    let number = named.strip_prefix("unix").unwrap_or(&named).strip_prefix(':');
    let number = number.and_then(|rest| rest.split('.').next());
    let socket = number.map(|number| UnixStream::connect(format!("/tmp/.X11-unix/X{number}")));
    match socket {
        Some(Ok(_)) => {
            format!(
                "the X server {named} refuses it: its key is not in XAUTHORITY or ~/.Xauthority"
            )
        }
        Some(Err(_)) => format!("no X server answers at {named}"),
        None => format!("no X server answers at {named}, or it refuses"),
    }
}

/// See [`super::watch`].
pub fn watch() {
    /// Xlib's connection is gone, and so is the process when this returns.
    unsafe extern "C" fn lost(_: *mut xlib::Display) -> c_int {
        // The pipe may be gone, too.
        let _ = writeln!(std::io::stdout(), "{}", Reply::Lost.line());
        std::process::exit(1)
    }
    if let Ok(lib) = Xlib::open() {
        // SAFETY: a function that lives for ever, called by the thread that has the display.
        unsafe { (lib.XSetIOErrorHandler)(Some(lost)) };
    }
}

/// Makes a window fill its screen, or takes that back; false when Xlib cannot be loaded.
///
/// # Safety
/// `display` is an open connection, used by this thread alone, and `window` is one of its windows.
pub unsafe fn fill(display: *mut c_void, window: c_ulong, on: bool) -> bool {
    // minifb has it loaded: this only finds the functions.
    let Ok(lib) = Xlib::open() else { return false };
    let display = display.cast::<xlib::Display>();
    // SAFETY: see above; the atoms and the event are our own.
    unsafe {
        let root = (lib.XDefaultRootWindow)(display);
        let atom = |name: &CStr| (lib.XInternAtom)(display, name.as_ptr(), xlib::False);
        let fullscreen = atom(FULLSCREEN);
        if names(&lib, display, root, atom(SUPPORTED), fullscreen) {
            let mut event: xlib::XEvent = std::mem::zeroed();
            event.client_message = xlib::XClientMessageEvent {
                type_: xlib::ClientMessage,
                serial: 0,
                send_event: xlib::True,
                display,
                window,
                message_type: atom(STATE),
                format: 32,
                data: [c_long::from(on), fullscreen as c_long, 0, APPLICATION, 0].into(),
            };
            let mask = xlib::SubstructureRedirectMask | xlib::SubstructureNotifyMask;
            (lib.XSendEvent)(display, root, xlib::False, mask, &raw mut event);
        } else {
            let screen = (lib.XDefaultScreen)(display);
            let all = ((lib.XDisplayWidth)(display, screen), (lib.XDisplayHeight)(display, screen));
            let ((x, y), (width, height)) = match on {
                true => ((0, 0), (all.0.unsigned_abs(), all.1.unsigned_abs())),
                false => (PLACE, (super::super::WIDTH as u32, super::super::HEIGHT as u32)),
            };
            (lib.XMoveResizeWindow)(display, window, x, y, width, height);
            (lib.XRaiseWindow)(display, window);
        }
        (lib.XFlush)(display);
    }
    true
}

/// Whether a property of `window` that is a list of atoms has `wanted` in it.
///
/// # Safety
/// As [`fill`].
unsafe fn names(
    lib: &Xlib,
    display: *mut xlib::Display,
    window: c_ulong,
    property: xlib::Atom,
    wanted: xlib::Atom,
) -> bool {
    let (mut kind, mut format, mut count, mut rest) = (0, 0, 0, 0);
    let mut data: *mut c_uchar = ptr::null_mut();
    // SAFETY: see above; all that is written to is ours. Of format 32, items are longs in memory.
    unsafe {
        let status = (lib.XGetWindowProperty)(
            display,
            window,
            property,
            0,
            MOST,
            xlib::False,
            xlib::XA_ATOM,
            &raw mut kind,
            &raw mut format,
            &raw mut count,
            &raw mut rest,
            &raw mut data,
        );
        if status != 0 || data.is_null() {
            return false;
        }
        let found = format == 32
            && std::slice::from_raw_parts(data.cast::<xlib::Atom>(), count as usize)
                .contains(&wanted);
        (lib.XFree)(data.cast());
        found
    }
}
