//! The lip-sync check of the screen before the call: [`lipsync::watch`] on what is open there anyway.
//!
//! Thread: `hz-before-clap`, as long as a check runs. It opens nothing, and whoever ends the check does
//! not wait for it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use ringbuf::HeapCons;
use ringbuf::traits::Consumer;

use super::{Inner, remark_of, spawn};
use crate::devices::CameraInfo;
use crate::engine::doctor::lipsync::{self, CLAPS, Sync};
use crate::platform::priority;
use crate::ui::precall::{Mood, Part, Remark};
use crate::units::Micros;

/// What the check has of the devices, and which check it is.
#[derive(Default)]
pub struct Clapping {
    /// Odd while one runs, another number for each. Changed under the view's lock alone.
    turn: AtomicU32,
    /// Those that the open microphone heard.
    claps: Mutex<Option<HeapCons<Micros>>>,
    /// The open camera.
    camera: Mutex<Option<CameraInfo>>,
    /// The camera's delay was kept since it was chosen.
    kept: AtomicBool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|e| e.into_inner())
}

impl Clapping {
    /// Another microphone is open, or none.
    pub fn hears(&self, claps: Option<HeapCons<Micros>>) {
        *lock(&self.claps) = claps;
    }

    /// Another camera is open, or none.
    pub fn sees(&self, camera: Option<CameraInfo>) {
        self.kept.store(false, Relaxed);
        *lock(&self.camera) = camera;
    }

    /// What was measured here goes before what the command line said.
    pub fn kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    fn newest(&self) -> Option<Micros> {
        lock(&self.claps).as_mut()?.try_pop()
    }

    fn runs(&self, turn: u32) -> bool {
        self.turn.load(Relaxed) == turn
    }
}

/// Ends the check that runs; false when none does.
pub fn stop(inner: &Inner) -> bool {
    let turn = &inner.clapping.turn;
    if turn.load(Relaxed).is_multiple_of(2) {
        return false;
    }
    inner.change(|view| {
        // It may just have ended by itself.
        turn.store(turn.load(Relaxed).next_multiple_of(2), Relaxed);
        view.clapping = None;
    });
    true
}

/// Another device is chosen: what was heard or seen by the one before is of no use.
pub fn forget(inner: &Inner, part: Part) {
    match part {
        Part::Microphone => inner.clapping.hears(None),
        Part::Camera => inner.clapping.sees(None),
        Part::Speaker => return,
    }
    stop(inner);
}

/// Begins a check, or ends the one that runs.
pub fn toggle(inner: &Arc<Inner>) {
    if stop(inner) {
        return;
    }
    let clapping = &inner.clapping;
    let camera = lock(&clapping.camera).clone();
    let (Some(camera), true) = (camera, lock(&clapping.claps).is_some()) else {
        let remark = Remark {
            mood: Mood::Caution,
            text: "lip-sync needs a microphone and a camera that work".to_owned(),
            remedy: Some("choose both with the arrow keys".to_owned()),
        };
        return inner.change(|view| view.lipsync = Some(remark));
    };
    let mut mine = 0;
    inner.change(|view| {
        mine = clapping.turn.fetch_add(1, Relaxed) + 1;
        view.clapping = Some((0, CLAPS));
    });
    // Not what was heard before.
    while clapping.newest().is_some() {}
    let seen = inner.pictures.watch();
    let theirs = inner.clone();
    let check = move || {
        let inner = theirs;
        let mut shown = 0;
        let found = lipsync::watch(&seen, &mut || inner.clapping.newest(), &mut |heard| {
            let more = heard > std::mem::replace(&mut shown, heard);
            if more {
                inner.change(|view| {
                    if inner.clapping.runs(mine) {
                        view.clapping = Some((heard, CLAPS));
                    }
                });
            }
            inner.clapping.runs(mine)
        });
        // Whoever has ended it wants nothing to be kept.
        if inner.clapping.runs(mine) {
            let found = found.map_err(Into::into).and_then(|claps| lipsync::keep(claps, &camera));
            end(&inner, mine, found.map_or_else(|e| (remark_of(&e, Mood::Caution), false), told));
        }
    };
    if let Err(e) = spawn("hz-before-clap", priority::Role::Normal, check) {
        end(inner, mine, (remark_of(&e, Mood::Bad), false));
    }
}

fn end(inner: &Inner, turn: u32, (remark, kept): (Remark, bool)) {
    inner.change(|view| {
        if inner.clapping.runs(turn) {
            inner.clapping.turn.fetch_add(1, Relaxed);
            inner.clapping.kept.store(kept, Relaxed);
            (view.clapping, view.lipsync) = (None, Some(remark));
        }
    });
}

/// What was found, and whether it is kept.
fn told(sync: Sync) -> (Remark, bool) {
    let remark = Remark { mood: Mood::Good, text: sync.found(), remedy: Some(sync.then()) };
    (remark, sync.kept)
}
