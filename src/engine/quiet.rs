//! Notices a microphone that gives nothing at all: one that the system withholds, whose switch stands
//! on mute, or the wrong one of two.

use crate::devices::{DeviceEvent, What};

/// Less than this is no room's noise, dBFS: the last bit of 16 is at -90.
const NOTHING: f32 = -90.0;
/// So many seconds of it are no pause.
const AFTER: u32 = 5;

/// Counts the seconds without a sound.
#[derive(Debug, Default)]
pub struct Quiet {
    seconds: u32,
    absent: bool,
}

impl Quiet {
    /// Takes news of the microphone: of one that is gone, or of a file's that ended, the person knows.
    pub fn news(&mut self, news: &DeviceEvent) {
        match news {
            DeviceEvent::Lost { what: What::Microphone, .. }
            | DeviceEvent::FileEnded { what: What::Microphone }
            | DeviceEvent::FileFailed { what: What::Microphone, .. } => self.absent = true,
            DeviceEvent::Returned { what: What::Microphone } => self.absent = false,
            _ => {}
        }
    }

    /// Takes a second's peak, dBFS; none while nothing is expected of the microphone. True once, when
    /// there was nothing for long enough; again after there was something.
    pub fn second(&mut self, peak_db: Option<f32>) -> bool {
        let peak_db = peak_db.filter(|_| !self.absent);
        match peak_db {
            Some(peak) if peak < NOTHING => self.seconds = self.seconds.saturating_add(1),
            Some(_) => self.seconds = 0,
            None => {}
        }
        self.seconds == AFTER && peak_db.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_for_five_seconds_is_told_once_until_there_is_something_again() {
        let mut quiet = Quiet::default();
        let mut told =
            |peaks: &[f32]| peaks.iter().filter(|peak| quiet.second(Some(**peak))).count();
        assert_eq!(told(&[-120.0; 4]), 0);
        assert_eq!(told(&[-60.0]), 0, "a room");
        assert_eq!(told(&[-120.0; 100]), 1);
        assert_eq!(told(&[-30.0]), 0);
        assert_eq!(told(&[-95.0; 5]), 1);
    }

    #[test]
    fn of_a_microphone_that_is_gone_the_person_knows() {
        let mut quiet = Quiet::default();
        quiet.news(&DeviceEvent::FileEnded { what: What::Camera });
        assert!((0..4).all(|_| !quiet.second(Some(-120.0))));
        quiet.news(&DeviceEvent::FileEnded { what: What::Microphone });
        assert!((0..100).all(|_| !quiet.second(Some(-120.0))));
        quiet.news(&DeviceEvent::Returned { what: What::Microphone });
        assert!(quiet.second(Some(-120.0)));
    }

    #[test]
    fn who_is_muted_is_asked_for_nothing() {
        let mut quiet = Quiet::default();
        assert!((0..4).all(|_| !quiet.second(Some(-120.0))));
        assert!((0..100).all(|_| !quiet.second(None)));
        assert!(quiet.second(Some(-120.0)));
    }
}
