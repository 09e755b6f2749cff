//! Where the system keeps what a program remembers between its runs, and folders shown to the person.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn from(key: &str) -> Option<PathBuf> {
    std::env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The person's home folder.
pub fn home() -> Option<PathBuf> {
    from(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
}

/// The person's own folder for the program's state (XDG base directories; Application Support;
/// LocalAppData), which need not exist yet; `None` where the system names none.
pub fn state() -> Option<PathBuf> {
    own("LOCALAPPDATA", "XDG_STATE_HOME", ".local/state")
}

/// The same for what the person configures (XDG; Application Support; roaming AppData).
pub fn config() -> Option<PathBuf> {
    own("APPDATA", "XDG_CONFIG_HOME", ".config")
}

fn own(windows: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
    if cfg!(windows) {
        from(windows).map(|dir| dir.join("HyperZoom"))
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support/HyperZoom"))
    } else {
        from(xdg)
            .or_else(|| home().map(|home| home.join(below_home)))
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
    // The terminal may be closed before it has begun: in our group it would be hung up, too.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
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
