//! Threads with the names and priorities of PRD 5.2's table, and what the system granted.
//!
//! The table's "normal" for live video and its decoders is one step lower here: raising a priority
//! needs rights that most people do not have, lowering one never does. So the recording's encoder
//! wins over live video on every machine.

use std::sync::Mutex;
use std::thread::JoinHandle;

use super::error::EngineError;
use crate::platform::priority::{self, Role};

/// What each thread was granted, for the dashboard; filled as threads start.
static GRANTS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Starts a thread named `name` (15 characters at most, what Linux shows) that asks for `role`.
pub fn spawn<T: Send + 'static>(
    name: &str,
    role: Role,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, EngineError> {
    let owned = name.to_owned();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let grant = priority::ask(role);
            if !matches!(role, Role::Normal | Role::Low) {
                remember(&owned, &grant.text);
            }
            work()
        })
        .map_err(|source| EngineError::Thread { name: name.to_owned(), source })
}

/// Notes what a thread was granted.
pub fn remember(thread: &str, grant: &str) {
    let mut grants = GRANTS.lock().unwrap_or_else(|e| e.into_inner());
    grants.retain(|(t, _)| t != thread);
    grants.push((thread.to_owned(), grant.to_owned()));
}

/// A line a real-time thread: `hz-talk: SCHED_FIFO 10`.
pub fn grants() -> Vec<String> {
    let grants = GRANTS.lock().unwrap_or_else(|e| e.into_inner());
    grants.iter().map(|(thread, grant)| format!("{thread}: {grant}")).collect()
}
