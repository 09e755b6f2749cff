//! A place for tests that compute for seconds, beside those that run in real time.

use std::sync::{Mutex, MutexGuard};

/// For a test that computes without a pause for a second and more: one at a time, so that those in
/// real time beside it keep a core.
pub fn busy() -> MutexGuard<'static, ()> {
    static BUSY: Mutex<()> = Mutex::new(());
    BUSY.lock().unwrap_or_else(|e| e.into_inner())
}
