//! The offer to recover what earlier runs could not end: found at the start, shown in the dashboard,
//! carried out on a thread of its own when the person says so.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::events::Events;
use super::recovery::{self, Outcome};
use super::threads::spawn;
use crate::platform::priority::Role;
use crate::ui::model::{Event, UnfinishedView};
use crate::ui::notice::Notice;

/// See the module.
#[derive(Default)]
pub struct Offer {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Vec<PathBuf>,
    /// The one that is being recovered, and how much of it was read, percent.
    running: Option<(usize, u8)>,
}

impl Offer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// These were found.
    pub fn make(&self, found: Vec<PathBuf>) {
        self.state().found = found;
    }

    /// What is shown of it; `None` when there is nothing to recover, or nobody wants to.
    pub fn view(&self) -> Option<UnfinishedView> {
        let state = self.state();
        let (at, percent) = match state.running {
            Some((at, percent)) => (at, Some(percent)),
            None => (0, None),
        };
        let path = state.found.get(at)?.display().to_string();
        Some(UnfinishedView { path, count: state.found.len() - at, percent })
    }

    /// They stay as they are; another start offers them again.
    pub fn decline(&self) {
        let mut state = self.state();
        if state.running.is_none() {
            state.found.clear();
        }
    }

    /// What lies in that folder is being recorded by this run: where files cannot be locked it
    /// looks like one that was interrupted.
    pub fn leave_out(&self, own: &Path) {
        let mut state = self.state();
        if state.running.is_none() {
            state.found.retain(|path| !path.starts_with(own));
        }
    }

    /// Recovers them, one after the other, but for what is in the `own` session's folder.
    pub fn accept(self: &Arc<Self>, events: &Events, own: Option<&Path>) {
        if let Some(own) = own {
            self.leave_out(own);
        }
        let mut state = self.state();
        if state.running.is_some() || state.found.is_empty() {
            return;
        }
        state.running = Some((0, 0));
        let found = state.found.clone();
        drop(state);
        let (offer, news) = (self.clone(), events.clone());
        let run = move || {
            for (at, path) in found.iter().enumerate() {
                offer.state().running = Some((at, 0));
                let mut progress = |done: u64, all: u64| {
                    let percent = (done * 100 / all.max(1)).min(100) as u8;
                    offer.state().running = Some((at, percent));
                };
                match recovery::recover(path, None, &mut progress) {
                    Ok(Outcome::Recovered(done)) => news.send(Event::Recovered {
                        path: done.path.display().to_string(),
                        seconds: done.seconds,
                    }),
                    Ok(Outcome::Whole(_)) => {}
                    Err(e) => news.notice(&Notice::NotRecovered {
                        path: path.display().to_string(),
                        why: e.to_string(),
                    }),
                }
            }
            *offer.state() = State::default();
        };
        if let Err(e) = spawn("hz-recover", Role::Low, run) {
            self.state().running = None;
            events.notice(&Notice::RecoveryNotStarted { why: e.to_string() });
        }
    }
}
