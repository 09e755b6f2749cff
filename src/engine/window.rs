//! The preview window's handle: a child process that may die at any time without ending the call.
//!
//! Locks are held for the copy of one picture at most, by threads of normal priority only.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::shared::Shared;
use crate::ui::model::Command;
use crate::ui::window::process::{WindowEvent, WindowProcess};
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
    /// Its space bar is down and lets others hear.
    talks: AtomicBool,
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
        if !matches!(event, WindowEvent::Key(_) | WindowEvent::Released) {
            self.close();
        }
        Some(event)
    }

    /// What is to be done because of what it told: the keys are the dashboard's.
    pub fn wish(&self, event: &WindowEvent, shared: &Shared) -> Option<Command> {
        let talks = |on| self.talks.swap(on, Relaxed);
        let (muted, off) = (shared.muted.load(Relaxed), shared.camera_off.load(Relaxed));
        let hushed = shared.hushed.load(Relaxed);
        match event {
            WindowEvent::Key('m' | 'M') => {
                Some(if muted { Command::Unmute } else { Command::Mute })
            }
            WindowEvent::Key('c' | 'C') => {
                Some(if off { Command::CameraOn } else { Command::CameraOff })
            }
            WindowEvent::Key('p' | 'P') => {
                let begin = !hushed && !talks(false);
                Some(if begin { Command::Hush } else { Command::Talk })
            }
            WindowEvent::Key(' ') if hushed => {
                talks(true);
                Some(Command::Talk)
            }
            WindowEvent::Key(_) => None,
            // Also when the window goes with its space bar down.
            WindowEvent::Released | WindowEvent::Closed | WindowEvent::Died { .. } => {
                talks(false).then_some(Command::Hush)
            }
        }
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

    /// Names and states of the tiles, each with its participant's id, own first.
    pub fn tiles(&self, own: (u8, TileInfo), peers: Vec<(u8, TileInfo)>) {
        self.own.store(own.0, Relaxed);
        let mut all = vec![own];
        all.extend(peers);
        self.with(|p| {
            p.set_layout(&all.iter().map(|(id, _)| *id).collect::<Vec<_>>());
            for (id, info) in all {
                p.set_info(id, info);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_bar_lets_others_hear_while_it_is_down_or_until_the_window_goes() {
        let (window, shared) = (Window::default(), Shared::default());
        let wish = |event: WindowEvent| {
            let command = window.wish(&event, &shared);
            if let Some(command) = &command {
                shared.switch(command);
            }
            command
        };
        let key = WindowEvent::Key;
        assert_eq!(wish(key(' ')), None, "everything is sent anyway");
        assert_eq!(wish(WindowEvent::Released), None);
        assert_eq!(wish(key('p')), Some(Command::Hush));
        for end in [WindowEvent::Released, WindowEvent::Closed] {
            assert_eq!(wish(key(' ')), Some(Command::Talk));
            assert_eq!(wish(key(' ')), None);
            assert_eq!(wish(end), Some(Command::Hush));
        }
        assert_eq!(wish(key('P')), Some(Command::Talk));
        assert_eq!(wish(key('M')), Some(Command::Mute));
        assert_eq!(wish(key('m')), Some(Command::Unmute));
        assert_eq!(wish(key('x')), None);
    }
}
