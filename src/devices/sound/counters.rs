//! What a device's callback, or its own thread, tells the helper that watches it: atomics alone.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::platform::priority::{self, Grant, Role};
use crate::units::Micros;

/// What the callback tells the helper.
#[derive(Debug, Default)]
pub struct Counters {
    callbacks: AtomicU64,
    xruns: AtomicU64,
    frames: AtomicU32,
    delay: AtomicI64,
    until: AtomicI64,
    lost: AtomicBool,
    // Reserve of the own playback, microseconds; 0 where there is none or it was never raised.
    reserve: AtomicI64,
    unfit: AtomicBool,
    // What the system's callback thread was granted: 0 not asked, as `priority::raise` elsewhere.
    raised: AtomicI32,
    why: Mutex<String>,
}

impl Counters {
    /// The own playback keeps more in hand now, microseconds.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub fn raise(&self, reserve: i64) {
        self.reserve.store(reserve, Ordering::Relaxed);
    }

    /// The device cannot be used without a shell after all.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub fn give_up(&self) {
        self.unfit.store(true, Ordering::Release);
    }

    /// The device is gone, says the own thread, which ends.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub fn lose(&self, why: &dyn std::fmt::Display) {
        // The thread is at its end: it may wait.
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why.to_string();
        self.lost.store(true, Ordering::Release);
    }

    /// Called first by each callback of a system's thread: asks for real-time priority once, because
    /// not every system gives it by itself. One system call, which does not wait.
    pub fn enter(&self, role: Role) {
        if self.raised.load(Ordering::Relaxed) == 0 {
            self.raised.store(priority::raise(role), Ordering::Relaxed);
        }
    }

    /// What the system's callback thread was granted; `None` before its first callback.
    pub fn grant(&self) -> Option<Grant> {
        match self.raised.load(Ordering::Relaxed) {
            0 => None,
            raised => Some(priority::raised(raised)),
        }
    }

    /// Called by each callback: its length in frames, the device's delay in microseconds, and up to
    /// when its samples reach.
    pub fn called(&self, frames: usize, delay: i64, until: Micros) {
        self.frames.store(frames as u32, Ordering::Relaxed);
        self.delay.store(delay, Ordering::Relaxed);
        self.until.store(until.0, Ordering::Relaxed);
        self.callbacks.fetch_add(1, Ordering::Release);
    }

    /// Overruns or underruns since the device was first opened.
    pub fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    /// Newest delay between the device and us, microseconds.
    pub fn delay(&self) -> i64 {
        self.delay.load(Ordering::Relaxed)
    }

    /// Callbacks so far.
    pub fn callbacks(&self) -> u64 {
        self.callbacks.load(Ordering::Acquire)
    }

    /// What the own playback keeps in hand, microseconds; 0 where it keeps what it began with.
    pub fn reserve(&self) -> i64 {
        self.reserve.load(Ordering::Relaxed)
    }

    /// Up to when the samples reach that were asked for last.
    pub fn until(&self) -> Micros {
        Micros(self.until.load(Ordering::Relaxed))
    }

    /// Length of the newest callback, frames.
    pub fn frames(&self) -> u32 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether the device is lost.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Whether the device was lost since this was asked before, and why.
    pub fn take_loss(&self) -> Option<String> {
        self.lost.swap(false, Ordering::AcqRel).then(|| self.why())
    }

    /// Whether the device turned out not to be usable as it is opened, since this was asked before.
    pub fn take_unfit(&self) -> bool {
        self.unfit.swap(false, Ordering::AcqRel)
    }

    /// For what stands in for a device.
    pub fn count_xrun(&self) {
        self.xruns.fetch_add(1, Ordering::Relaxed);
    }

    /// The error callback, on the system's thread.
    pub fn failed(&self, e: &cpal::Error) {
        use cpal::ErrorKind as K;
        match e.kind() {
            K::Xrun => self.count_xrun(),
            // The system has already rerouted the stream, or only tells of its thread's priority.
            K::DeviceChanged | K::RealtimeDenied => {}
            K::DeviceNotAvailable | K::StreamInvalidated | K::HostUnavailable => {
                // Nobody holds this lock for long; when somebody does, the words are lost, not
                // the event.
                if let Ok(mut why) = self.why.try_lock() {
                    *why = e.to_string();
                }
                self.lost.store(true, Ordering::Release);
            }
            // Anything else shows as a stall, if it matters.
            _ => {}
        }
    }

    /// Before another stream is opened.
    pub fn forget(&self) {
        self.lost.store(false, Ordering::Release);
        self.unfit.store(false, Ordering::Release);
        self.raised.store(0, Ordering::Relaxed);
        self.reserve.store(0, Ordering::Relaxed);
    }

    fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
