//! Where the system keeps what a program remembers between its runs.

use std::path::PathBuf;

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
