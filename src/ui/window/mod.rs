//! The preview window, in a process of its own (`hyperzoom window`).

/// Why the window ended early.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// No display.
    #[error("no display could be opened; try it in a graphical session")]
    NoDisplay,
}

/// Runs the window until its pipe closes.
pub fn run() -> Result<(), WindowError> {
    Err(WindowError::NoDisplay)
}
