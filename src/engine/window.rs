//! The preview window's handle: a child process that may die at any time without ending the call.
//!
//! Locks are held for the copy of one picture at most, by threads of normal priority only.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::platform::clock;
use crate::ui::model::Snapshot;
use crate::ui::window::board::{Board, Wish};
use crate::ui::window::process::{SpawnError, WindowEvent, WindowProcess};
use crate::ui::window::wire::TileInfo;
use crate::units::{MAX_PARTICIPANTS, ParticipantId};
use crate::video::image::I420;

/// The window, open or not.
#[derive(Default)]
pub struct Window {
    process: Mutex<Option<WindowProcess>>,
    open: AtomicBool,
    /// Tile of the own picture: the own id, as peers have theirs.
    own: AtomicU8,
    /// What its keys have done.
    board: Mutex<Board>,
    copies: AtomicU32,
}

impl Window {
    fn with<T>(&self, f: impl FnOnce(&mut WindowProcess) -> T) -> Option<T> {
        self.process.lock().unwrap_or_else(|e| e.into_inner()).as_mut().map(f)
    }

    /// Pictures are wanted.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Starts the window's process.
    pub fn open(&self) -> std::io::Result<()> {
        let exe = std::env::current_exe()?;
        let process = WindowProcess::spawn(&exe).map_err(|SpawnError(why)| why)?;
        *self.process.lock().unwrap_or_else(|e| e.into_inner()) = Some(process);
        self.open.store(true, Relaxed);
        Ok(())
    }

    /// Ends the window's process.
    pub fn close(&self) {
        self.open.store(false, Relaxed);
        let process = self.process.lock().unwrap_or_else(|e| e.into_inner()).take();
        drop(process);
    }

    /// The next thing that the window tells; after the one that is its end it is closed here, too.
    pub fn poll(&self) -> Option<WindowEvent> {
        let event = self.with(|p| p.try_event()).flatten()?;
        if event.is_end() {
            self.close();
        }
        Some(event)
    }

    /// What is to be done because of what it told.
    pub fn wish(&self, event: &WindowEvent, snapshot: &Snapshot) -> Option<Wish> {
        match event {
            WindowEvent::Key(key) => self.board().pressed(*key, snapshot, clock::now()),
            WindowEvent::Released => self.board().let_go(),
            _ => self.gone(),
        }
    }

    /// It is gone, perhaps with its space bar down: what is to be done because of that.
    pub fn gone(&self) -> Option<Wish> {
        std::mem::take(&mut *self.board()).let_go()
    }

    /// Its key asked for the invite to be copied.
    pub fn copy_invite(&self) {
        self.copies.fetch_add(1, Relaxed);
    }

    /// How often it did.
    pub fn invite_copies(&self) -> u32 {
        self.copies.load(Relaxed)
    }

    /// Says something over the pictures, for some seconds.
    pub fn say(&self, text: &str) {
        self.board().say(text.to_owned(), clock::now());
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Shows the own picture; `None` when the camera is off.
    pub fn own_picture(&self, picture: Option<&I420>) {
        if let (true, Some(picture)) = (self.is_open(), picture) {
            let picture = Arc::new(picture.clone());
            self.with(|p| p.show(self.own.load(Relaxed), picture));
        }
    }

    /// Shows a peer's picture.
    pub fn peer_picture(&self, peer: ParticipantId, picture: &I420) {
        debug_assert!(usize::from(peer.0) < MAX_PARTICIPANTS);
        if self.is_open() {
            let picture = Arc::new(picture.clone());
            self.with(|p| p.show(peer.0, picture));
        }
    }

    /// Names and states of the tiles, each with its participant's id, own first, and what lies over
    /// them.
    pub fn tiles(&self, snapshot: &Snapshot) {
        let ((own, info), peers) = super::stats::tiles(snapshot);
        self.own.store(own, Relaxed);
        let board = self.board();
        let (chosen, overlay) = (board.chosen(snapshot), board.overlay(snapshot, clock::now()));
        drop(board);
        let mut all = vec![(own, info)];
        all.extend(peers.into_iter().map(|(id, info)| {
            let chosen = Some(id) == chosen;
            (id, TileInfo { chosen, ..info })
        }));
        self.with(|p| {
            p.set_layout(&all.iter().map(|(id, _)| *id).collect::<Vec<_>>());
            for (id, info) in all {
                p.set_info(id, info);
            }
            p.set_overlay(overlay);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::model::Command;
    use crate::ui::window::wire::Key;

    #[test]
    fn a_window_that_goes_with_its_space_bar_down_hushes_and_the_next_one_begins_anew() {
        let window = Window::default();
        let hushed = Snapshot { hushed: true, ..Snapshot::default() };
        for end in
            [WindowEvent::Released, WindowEvent::Closed, WindowEvent::Died { why: String::new() }]
        {
            let key = |key| window.wish(&WindowEvent::Key(Key::Char(key)), &hushed);
            assert_eq!(key('?'), None);
            assert_eq!(key(' '), Some(Wish::Command(Command::Talk)));
            assert_eq!(window.wish(&end, &hushed), Some(Wish::Command(Command::Hush)));
            assert_eq!(window.gone(), None);
        }
    }
}
