//! The keys' table for what the dashboard shows.

use crossterm::event::KeyEvent;

use super::state::DashboardState;
use crate::ui::keys::{self, Shown};
pub use crate::ui::keys::{Action, TALK};
use crate::ui::model::Snapshot;

/// The meaning of a pressed key.
pub fn action(key: KeyEvent, state: &DashboardState, snapshot: &Snapshot) -> Action {
    let shown = Shown {
        typing: state.note.is_some(),
        asking: state.asking,
        ending: state.ending,
        help: state.help,
        detail: state.detail,
        push_to_talk: state.push_to_talk,
        offer: true,
        chosen: state.chosen,
    };
    keys::action(key, &shown, snapshot)
}
