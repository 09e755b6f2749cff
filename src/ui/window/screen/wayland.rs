//! What is asked of Wayland beside minifb: how large the screen is, and whether the compositor lives.

use std::ffi::c_void;

use wayland_client::backend::{Backend, WaylandError};
use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_output::{self, WlOutput};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum};

/// The version of the seat that minifb wants.
const SEAT: u32 = 5;

/// The first screen, as its compositor describes it.
struct Screen {
    /// Pixels of its present mode.
    mode: Option<(i32, i32)>,
    /// Pixels a unit of the windows' size.
    scale: i32,
}

impl Dispatch<WlRegistry, GlobalListContents> for Screen {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<WlOutput, ()> for Screen {
    fn event(
        screen: &mut Self,
        _: &WlOutput,
        event: wl_output::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, .. }
                if flags.contains(wl_output::Mode::Current) =>
            {
                screen.mode = Some((width, height));
            }
            wl_output::Event::Scale { factor } => screen.scale = factor.max(1),
            _ => {}
        }
    }
}

/// The first screen's size in the units of windows; `None` without a compositor that says so. Over a
/// connection of its own, because a queue of minifb's would get its events.
pub fn size() -> Option<(usize, usize)> {
    let connection = Connection::connect_to_env().ok()?;
    let (globals, mut queue) = registry_queue_init::<Screen>(&connection).ok()?;
    let output: WlOutput = globals.bind(&queue.handle(), 1..=2, ()).ok()?;
    let mut screen = Screen { mode: None, scale: 1 };
    queue.roundtrip(&mut screen).ok()?;
    drop(output);
    let (width, height) = screen.mode?;
    let units = |pixels: i32| usize::try_from(pixels / screen.scale).ok().filter(|side| *side > 0);
    Some((units(width)?, units(height)?))
}

/// Why a compositor that is named in the environment gives no window, as far as that can be seen from
/// here: minifb goes on to X11 without a word about it.
pub fn why_not() -> Option<String> {
    let named = std::env::var_os("WAYLAND_DISPLAY").filter(|name| !name.is_empty())?;
    let named = named.to_string_lossy().into_owned();
    let Ok(connection) = Connection::connect_to_env() else {
        return Some(format!("no Wayland compositor answers at {named}"));
    };
    let (globals, _) = registry_queue_init::<Screen>(&connection).ok()?;
    let seat = globals.contents().with_list(|list| {
        list.iter().any(|global| global.interface == "wl_seat" && global.version >= SEAT)
    });
    (!seat).then(|| format!("the Wayland compositor {named} has no keyboard and pointer (wl_seat)"))
}

/// Whether a connection has broken.
///
/// # Safety
/// `display` is a `wl_display` that lives on through the call.
pub unsafe fn is_lost(display: *mut c_void) -> bool {
    // SAFETY: see above; a foreign display is not closed with its backend.
    let backend = unsafe { Backend::from_foreign_display(display.cast()) };
    match Connection::from_backend(backend).flush() {
        Ok(()) => false,
        Err(WaylandError::Io(e)) => e.kind() != std::io::ErrorKind::WouldBlock,
        Err(WaylandError::Protocol(_)) => true,
    }
}
