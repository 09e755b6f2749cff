//! The preview window's handle: a child process that may die at any time without ending the call.
//!
//! Locks are held for the copy of one picture at most, by threads of normal priority only.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::ui::window::process::{WindowEvent, WindowProcess};
use crate::ui::window::wire::TileInfo;
use crate::units::{MAX_PARTICIPANTS, ParticipantId};
use crate::video::image::I420;

/// Tile of the own picture while no id is known: the last one that anybody gets.
const NO_ID: u8 = MAX_PARTICIPANTS as u8 - 1;

/// The window, open or not.
pub struct Window {
    process: Mutex<Option<WindowProcess>>,
    open: AtomicBool,
    /// Tiles are numbered by participant id, the own one too.
    own_tile: AtomicU8,
}

impl Default for Window {
    fn default() -> Self {
        Self { process: Mutex::default(), open: AtomicBool::default(), own_tile: NO_ID.into() }
    }
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
        let process = WindowProcess::spawn(&exe).map_err(std::io::Error::other)?;
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

    /// The next thing that the window tells; after [`WindowEvent::Closed`] or
    /// [`WindowEvent::Died`] it is gone.
    pub fn poll(&self) -> Option<WindowEvent> {
        let event = self.with(|p| p.try_event()).flatten()?;
        if !matches!(event, WindowEvent::Key(_)) {
            self.close();
        }
        Some(event)
    }

    /// Shows the own picture; `None` when the camera is off.
    pub fn own_picture(&self, picture: Option<&I420>) {
        if let (true, Some(picture)) = (self.is_open(), picture) {
            let picture = Arc::new(picture.clone());
            self.with(|p| p.show(self.own_tile.load(Relaxed), picture));
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

    /// Names and states of the tiles, own first.
    pub fn tiles(&self, own_id: Option<u8>, own: TileInfo, peers: Vec<(u8, TileInfo)>) {
        let own_tile = own_id.unwrap_or(NO_ID);
        self.own_tile.store(own_tile, Relaxed);
        let all = layout(own_tile, own, peers);
        self.with(|p| {
            p.set_layout(&all.iter().map(|(id, _)| *id).collect::<Vec<_>>());
            for (id, info) in all {
                p.set_info(id, info);
            }
        });
    }
}

fn layout(own_tile: u8, own: TileInfo, peers: Vec<(u8, TileInfo)>) -> Vec<(u8, TileInfo)> {
    let mut all = vec![(own_tile, own)];
    all.extend(peers.into_iter().filter(|(id, _)| *id != own_tile));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::window::wire::MAX_TILES;

    #[test]
    fn every_participant_has_a_tile_of_its_own_the_own_one_first() {
        for own in 0..MAX_PARTICIPANTS as u8 {
            let others = (0..MAX_PARTICIPANTS as u8).filter(|&id| id != own);
            let peers = others.map(|id| (id, TileInfo::default())).collect();
            let tiles: Vec<u8> =
                layout(own, TileInfo::default(), peers).iter().map(|(id, _)| *id).collect();
            assert_eq!(tiles[0], own);
            assert_eq!(tiles.len(), MAX_PARTICIPANTS);
            // The window drops what is beyond its tiles without a word.
            assert!(tiles.iter().all(|&id| usize::from(id) < MAX_TILES));
        }
        assert!(usize::from(NO_ID) < MAX_TILES);
    }
}
