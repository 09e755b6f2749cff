//! Where the newest [`ClockMap`] lies for every thread to read: one writes, any number read.
//!
//! Neither side waits. A version is written into one of four places in turn and then named as the
//! current one; a reader that was held up so long that three more came meanwhile reads again. The
//! current version is always whole, so that no reader ever depends on the writer's going on.

use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use super::map::{ClockMap, LINES};

const WORDS: usize = 3 * LINES + 1;
const PLACES: u64 = 4;

/// See the module.
#[derive(Debug)]
pub struct PublishedClock {
    /// Number of the current version; 0 while there is none.
    current: AtomicU64,
    places: [[AtomicI64; WORDS]; PLACES as usize],
}

impl Default for PublishedClock {
    fn default() -> Self {
        Self {
            current: AtomicU64::new(0),
            places: std::array::from_fn(|_| std::array::from_fn(|_| AtomicI64::new(0))),
        }
    }
}

impl PublishedClock {
    /// The newest map. Fit for real-time threads.
    pub fn read(&self) -> Option<ClockMap> {
        loop {
            let version = self.current.load(Acquire);
            if version == 0 {
                return None;
            }
            let place = &self.places[(version % PLACES) as usize];
            let mut words = [0; WORDS];
            for (word, from) in words.iter_mut().zip(place) {
                *word = from.load(Relaxed);
            }
            // Whoever saw a word of a later version in this place also sees the version before
            // that one as the current.
            fence(Acquire);
            if self.current.load(Relaxed) - version < PLACES - 1 {
                return Some(ClockMap::from_words(&words));
            }
        }
    }

    /// Replaces the map. One thread calls this.
    pub fn write(&self, map: &ClockMap) {
        let version = self.current.load(Relaxed) + 1;
        let place = &self.places[(version % PLACES) as usize];
        fence(Release);
        for (to, word) in place.iter().zip(map.to_words()) {
            to.store(word, Relaxed);
        }
        self.current.store(version, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::ClockLine;
    use super::*;
    use crate::units::{Micros, SessionMicros};

    #[test]
    fn what_was_written_is_read() {
        let published = PublishedClock::default();
        assert_eq!(published.read(), None);
        let mut map = ClockMap::exact(Micros(-7));
        map.push(ClockLine { at: Micros(5), session: SessionMicros(12), rate_ppb: -3 });
        published.write(&map);
        assert_eq!(published.read(), Some(map));
    }

    #[test]
    fn a_reader_never_sees_half_of_a_map() {
        let published = PublishedClock::default();
        published.write(&ClockMap::exact(Micros(0)));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut reads = 0u32;
                        while !over.load(Relaxed) || reads < 1_000 {
                            let map = published.read().expect("there is one");
                            let line = map.line_at(Micros(i64::MAX));
                            assert_eq!(line.session.0, -line.at.0);
                            assert_eq!(line.rate_ppb, line.at.0 * 3);
                            reads += 1;
                        }
                    })
                })
                .collect();
            for n in 0..200_000i64 {
                let (at, session) = (Micros(n), SessionMicros(-n));
                published.write(&ClockMap::new(ClockLine { at, session, rate_ppb: n * 3 }));
            }
            over.store(true, Relaxed);
            for reader in readers {
                reader.join().expect("no half map");
            }
        });
    }
}
