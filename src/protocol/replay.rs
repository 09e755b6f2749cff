//! Which packets of a stream were opened already.
//!
//! Per key and stream. A number is asked for before opening and entered only after the packet has
//! opened, so that a forged one can move nothing. Fixed size, no allocation.

/// A window over plain sequence numbers: audio, control, bye.
///
/// 1,024 wide: 5 s of audio at 200 packets a second, as long as a peer may be unheard.
#[derive(Clone, Debug)]
pub struct Window {
    /// One more than the newest number; 0 before any.
    next: u64,
    seen: [u64; Self::WORDS],
}

impl Default for Window {
    fn default() -> Self {
        Self { next: 0, seen: [0; Self::WORDS] }
    }
}

impl Window {
    const WORDS: usize = 16;
    const WIDTH: u64 = 64 * Self::WORDS as u64;

    /// The newest number that was entered, or 0: what wire numbers are extended from.
    pub fn newest(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Neither entered before nor too old to tell.
    pub fn is_new(&self, sequence: u64) -> bool {
        if sequence >= self.next {
            return true;
        }
        if self.next - sequence > Self::WIDTH {
            return false;
        }
        let (word, bit) = Self::place(sequence);
        self.seen[word] & bit == 0
    }

    /// Enters a number for which [`Self::is_new`] holds.
    pub fn enter(&mut self, sequence: u64) {
        if sequence >= self.next {
            if sequence - self.next >= Self::WIDTH {
                self.seen = [0; Self::WORDS];
            } else {
                for gap in self.next..sequence {
                    let (word, bit) = Self::place(gap);
                    self.seen[word] &= !bit;
                }
            }
            self.next = sequence + 1;
        }
        let (word, bit) = Self::place(sequence);
        self.seen[word] |= bit;
    }

    fn place(sequence: u64) -> (usize, u64) {
        let at = sequence % Self::WIDTH;
        ((at / 64) as usize, 1 << (at % 64))
    }
}

/// A window over (frame, fragment): video.
///
/// 128 frames wide: 5 s at 24 frames a second.
#[derive(Clone, Debug)]
pub struct FragmentWindow {
    next: u64,
    frames: Box<[[u64; 4]; Self::WIDTH as usize]>,
}

impl Default for FragmentWindow {
    fn default() -> Self {
        Self { next: 0, frames: Box::new([[0; 4]; Self::WIDTH as usize]) }
    }
}

impl FragmentWindow {
    const WIDTH: u64 = 128;

    /// The newest frame that was entered, or 0.
    pub fn newest(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Neither entered before nor too old to tell.
    pub fn is_new(&self, sequence: u64, fragment: u8) -> bool {
        if sequence >= self.next {
            return true;
        }
        if self.next - sequence > Self::WIDTH {
            return false;
        }
        let frame = &self.frames[(sequence % Self::WIDTH) as usize];
        frame[usize::from(fragment / 64)] & 1 << (fragment % 64) == 0
    }

    /// Enters a fragment for which [`Self::is_new`] holds.
    pub fn enter(&mut self, sequence: u64, fragment: u8) {
        if sequence >= self.next {
            // At most once around: beyond that every slot is stale.
            for stale in self.next.max((sequence + 1).saturating_sub(Self::WIDTH))..=sequence {
                self.frames[(stale % Self::WIDTH) as usize] = [0; 4];
            }
            self.next = sequence + 1;
        }
        let frame = &mut self.frames[(sequence % Self::WIDTH) as usize];
        frame[usize::from(fragment / 64)] |= 1 << (fragment % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_number_is_new_once_and_never_when_too_old() {
        let mut window = Window::default();
        for sequence in [5, 3, 4, 1_028] {
            assert!(window.is_new(sequence));
            window.enter(sequence);
            assert!(!window.is_new(sequence));
        }
        assert!(!window.is_new(4), "older than the window");
        assert!(window.is_new(6), "in the window and not seen");
        window.enter(u64::MAX / 2);
        assert!(!window.is_new(1_028));
    }

    proptest! {
        #[test]
        fn no_number_passes_twice(steps in proptest::collection::vec(0u64..3_000, 1..400)) {
            let mut window = Window::default();
            let mut passed = HashSet::new();
            for sequence in steps {
                if window.is_new(sequence) {
                    window.enter(sequence);
                    prop_assert!(passed.insert(sequence));
                } else {
                    prop_assert!(passed.contains(&sequence) || window.newest() - sequence >= 1_024);
                }
            }
        }

        #[test]
        fn no_fragment_passes_twice(steps in proptest::collection::vec((0u64..400, any::<u8>()), 1..400)) {
            let mut window = FragmentWindow::default();
            let mut passed = HashSet::new();
            for (sequence, fragment) in steps {
                if window.is_new(sequence, fragment) {
                    window.enter(sequence, fragment);
                    prop_assert!(passed.insert((sequence, fragment)));
                } else {
                    prop_assert!(
                        passed.contains(&(sequence, fragment)) || window.newest() - sequence >= 128
                    );
                }
            }
        }
    }
}
