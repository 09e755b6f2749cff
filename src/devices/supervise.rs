//! The helper thread that owns one device: started with it, woken and joined when it is dropped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::platform::clock;
use crate::units::Micros;

/// How long a lost device is left alone between two tries: short enough to seem immediate, long
/// enough that a hub which comes up again is not disturbed.
pub const RETRY: i64 = 500_000;

/// Tells a helper thread when to end.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The owner is gone.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps until `deadline` unless asked to stop before; `true` when asked.
    pub fn sleep_until(&self, deadline: Micros) -> bool {
        loop {
            if self.asked() {
                return true;
            }
            let left = deadline.since(clock::now());
            if left <= 0 {
                return false;
            }
            thread::park_timeout(Duration::from_micros(left as u64));
        }
    }

    /// The same, counted from now.
    pub fn sleep(&self, micros: i64) -> bool {
        self.sleep_until(clock::now() + micros)
    }
}

/// A running helper thread; dropping it stops and joins it.
#[derive(Debug)]
pub struct Helper {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    /// Starts one. Names are at most 15 bytes, what Linux shows.
    pub fn spawn(name: &str, body: impl FnOnce(Stop) + Send + 'static) -> io::Result<Self> {
        let stop = Stop(Arc::new(AtomicBool::new(false)));
        let inner = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || body(inner))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// The thread has ended by itself.
    #[cfg(test)]
    pub fn finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A sink may own the device that feeds it; its own thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_wakes_a_sleeper_and_waits_for_its_end() {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = ended.clone();
        let helper = Helper::spawn("probe", move |stop| {
            // An hour: the test only ends because it is woken.
            assert!(stop.sleep(3_600_000_000));
            flag.store(true, Ordering::Release);
        })
        .expect("a thread can be started");
        assert!(!helper.finished());
        drop(helper);
        assert!(ended.load(Ordering::Acquire));
    }
}
