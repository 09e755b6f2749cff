//! Where the system keeps what a program remembers between its runs.

use std::path::PathBuf;

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
