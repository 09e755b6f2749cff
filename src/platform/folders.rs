//! Where the system keeps what a program remembers between its runs, and folders shown to the person.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The person's own folder for the program's state (XDG base directories; Application Support;
/// LocalAppData), which need not exist yet; `None` where the system names none.
pub fn state() -> Option<PathBuf> {
    let from = |key: &str| std::env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        from("LOCALAPPDATA").map(|dir| dir.join("HyperZoom"))
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library/Application Support/HyperZoom"))
    } else {
        from("XDG_STATE_HOME")
            .or_else(|| from("HOME").map(|home| home.join(".local/state")))
            .map(|dir| dir.join("hyperzoom"))
    }
}

/// Shows a folder in the desktop's own program for that, which goes on without us.
pub fn show(folder: &Path) -> io::Result<()> {
    let opener = if cfg!(windows) {
        "explorer"
    } else if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(opener);
    command.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // Somebody has to take its exit code; nobody waits for it.
    std::thread::Builder::new().name("show-folder".to_owned()).spawn(move || child.wait()).map(drop)
}

/// There is a desktop that folders and windows can be shown on.
pub fn has_display() -> bool {
    let set = |key| std::env::var_os(key).is_some_and(|value| !value.is_empty());
    if cfg!(any(windows, target_os = "macos")) {
        !set("SSH_CONNECTION")
    } else {
        set("DISPLAY") || set("WAYLAND_DISPLAY")
    }
}
