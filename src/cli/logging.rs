//! `--log FILE`: what happens and what libraries tell, with the time of day, appended to a file.
//! `HYPERZOOM_LOG_LEVEL` says how much: error, warn, info (without it), debug or trace.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use super::error::{CliError, Problem};

/// Sends every event and trace line of this process to a file from here on.
pub fn start(path: &Path) -> Result<(), CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        let path = path.display().to_string();
        CliError::from(Problem::Log { path, why: why.to_string() })
    };
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(|e| failed(&e))?;
    let level = match std::env::var("HYPERZOOM_LOG_LEVEL") {
        Ok(level) => level.parse().map_err(|_| Problem::LogLevel)?,
        Err(_) => tracing::Level::INFO,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .with_max_level(level)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(|e| failed(&e))
}
