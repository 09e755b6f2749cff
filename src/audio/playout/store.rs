//! The frames that wait to be played, by number, and what became of the last ones.
//!
//! Fixed memory, no allocation after `new`.

use crate::audio::packet::MAX_FRAME_BYTES;

/// Frames kept: 640 ms, of 2.5 ms frames half of it, ten times the deepest playout, so that a burst
/// after a stall fits.
pub const SLOTS: u64 = 128;

/// What is known of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: it lies outside of the window or has not come.
    Unknown,
    /// Here, not played.
    Held,
    /// Here once: played, or passed over.
    Done,
    /// Its turn went by without it.
    Missed,
    /// It was not sent: silence.
    Silent,
}

struct Slot {
    number: u64,
    fate: Fate,
    len: usize,
    bytes: [u8; MAX_FRAME_BYTES],
}

/// Ring of slots, a frame's place being its number modulo [`SLOTS`].
pub struct Store {
    slots: Box<[Slot]>,
    held: usize,
    newest: u64,
    lost: u64,
}

impl Store {
    pub fn new() -> Self {
        let slot = || Slot { number: 0, fate: Fate::Unknown, len: 0, bytes: [0; MAX_FRAME_BYTES] };
        Self { slots: (0..SLOTS).map(|_| slot()).collect(), held: 0, newest: 0, lost: 0 }
    }

    /// Forgets all frames; those that were missed are lost now.
    pub fn clear(&mut self) {
        for slot in &mut self.slots {
            self.lost += u64::from(slot.fate == Fate::Missed);
            slot.fate = Fate::Unknown;
        }
        self.held = 0;
        self.newest = 0;
    }

    /// Frames that never came. A frame counts once its slot is needed again, 320 to 640 ms after its turn,
    /// so that one which is only late is not counted.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The highest number held since the last `clear`.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    pub fn fate(&self, number: u64) -> Fate {
        let slot = &self.slots[(number % SLOTS) as usize];
        if slot.number == number { slot.fate } else { Fate::Unknown }
    }

    /// Keeps a frame. The caller has made sure that it lies less than [`SLOTS`] ahead of the next
    /// one to be played, so that only played or missed ones give way.
    pub fn hold(&mut self, number: u64, data: &[u8]) {
        let len = data.len().min(MAX_FRAME_BYTES);
        let slot = self.claim(number);
        slot.fate = Fate::Held;
        slot.len = len;
        slot.bytes[..len].copy_from_slice(&data[..len]);
        self.held += 1;
        self.newest = self.newest.max(number);
    }

    /// Gives out a held frame's bytes, once.
    pub fn take(&mut self, number: u64) -> Option<&[u8]> {
        let slot = &mut self.slots[(number % SLOTS) as usize];
        if slot.number != number || slot.fate != Fate::Held {
            return None;
        }
        slot.fate = Fate::Done;
        self.held -= 1;
        Some(&slot.bytes[..slot.len])
    }

    /// A frame's turn has gone by. Returns whether it had been here.
    pub fn pass(&mut self, number: u64) -> bool {
        match self.fate(number) {
            Fate::Held => {
                self.take(number);
                true
            }
            Fate::Unknown => {
                self.claim(number).fate = Fate::Missed;
                false
            }
            Fate::Done | Fate::Missed | Fate::Silent => false,
        }
    }

    /// A frame that is not here was not sent.
    pub fn silent(&mut self, number: u64) {
        if self.fate(number) == Fate::Unknown {
            self.claim(number).fate = Fate::Silent;
        }
    }

    /// A missed frame has come after all.
    pub fn came_late(&mut self, number: u64) {
        if self.fate(number) == Fate::Missed {
            self.slots[(number % SLOTS) as usize].fate = Fate::Done;
        }
    }

    fn claim(&mut self, number: u64) -> &mut Slot {
        let slot = &mut self.slots[(number % SLOTS) as usize];
        match slot.fate {
            Fate::Missed => self.lost += 1,
            Fate::Held => self.held -= 1,
            Fate::Unknown | Fate::Done | Fate::Silent => {}
        }
        slot.number = number;
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_given_out_once_and_the_oldest_first() {
        let mut store = Store::new();
        for number in [12, 10, 13] {
            store.hold(number, &[number as u8]);
        }
        assert_eq!(store.newest(), 13);
        assert_eq!(store.take(10), Some(&[10u8][..]));
        assert_eq!(store.take(10), None);
        assert_eq!(store.fate(10), Fate::Done);
    }

    #[test]
    fn silence_is_not_lost_and_gives_way_to_a_frame_that_comes_after_all() {
        let mut store = Store::new();
        store.silent(5);
        store.hold(6, &[1]);
        store.silent(6);
        assert_eq!((store.fate(5), store.fate(6)), (Fate::Silent, Fate::Held));
        assert!(!store.pass(5));
        store.hold(5, &[1]);
        assert_eq!(store.take(5), Some(&[1u8][..]));
        store.silent(7);
        store.hold(7 + SLOTS, &[1]);
        assert_eq!(store.lost(), 0);
    }

    #[test]
    fn a_missed_frame_is_lost_once_its_slot_is_needed_unless_it_came_late() {
        let mut store = Store::new();
        assert!(!store.pass(3));
        assert!(!store.pass(4));
        store.came_late(4);
        assert_eq!(store.lost(), 0);
        store.hold(3 + SLOTS, &[1]);
        store.hold(4 + SLOTS, &[1]);
        assert_eq!(store.lost(), 1);
        assert!(!store.pass(9));
        store.clear();
        assert_eq!(store.lost(), 2);
        assert_eq!(store.fate(3 + SLOTS), Fate::Unknown);
    }
}
