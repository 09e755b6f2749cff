//! Looks at what a device's callback counts: is the device still there, is its period too short for
//! this machine, what is a person to be told?

use super::counters::Counters;
use crate::devices::supervise::Stop;
use crate::devices::{DeviceEvent, DeviceEvents, What};
use crate::platform::clock;
use crate::units::Micros;

// How often the helper looks at what the callback has counted.
const LOOK: i64 = 50_000;
/// A device whose callback is silent for so long, microseconds, is taken for lost; longer than any
/// server's hiccup, shorter than a person's patience.
pub const STALLED: i64 = 3_000_000;
// Overruns and underruns are told at most this often.
const TELL: i64 = 2_000_000;
// So many overruns or underruns within this time and the period is too small for this machine.
const TOO_MANY: u64 = 3;
const TOO_FAST: i64 = 10_000_000;

/// What a watch ends with.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// It is time to end.
    End,
    /// The device is gone, for this reason.
    Lost(String),
    /// Its period is too short, or the own way does not work here.
    Step,
}

/// Watches one device.
pub struct Watcher {
    what: What,
    xruns: u64,
    reserve: i64,
    // Since when, and with how many overruns or underruns at that moment.
    window: (Micros, u64),
    resigned: bool,
    // When the last overrun or underrun was told.
    told: Micros,
    // The callbacks so far, and when their number last changed.
    calls: (u64, Micros),
}

impl Watcher {
    /// Of a device that was opened just now.
    pub fn new(what: What, counters: &Counters, now: Micros) -> Self {
        let xruns = counters.xruns();
        Self {
            what,
            xruns,
            reserve: 0,
            window: (now, xruns),
            resigned: false,
            told: now + -TELL,
            calls: (counters.callbacks(), now),
        }
    }

    /// There is no larger period.
    pub fn resign(&mut self) {
        self.resigned = true;
    }

    /// Runs until the device is lost, something else must be tried, or it is time to end. `steps`:
    /// there may be a larger period.
    pub fn watch(
        &mut self,
        counters: &Counters,
        events: &DeviceEvents,
        stop: &Stop,
        steps: bool,
    ) -> News {
        self.begin(counters, clock::now());
        loop {
            if stop.sleep(LOOK) {
                return News::End;
            }
            let news = self.look(counters, &mut |event| events(event), steps, clock::now());
            if let Some(news) = news {
                return news;
            }
        }
    }

    fn begin(&mut self, counters: &Counters, now: Micros) {
        self.window = (now, counters.xruns());
        self.calls = (counters.callbacks(), now);
    }

    /// One look.
    fn look(
        &mut self,
        counters: &Counters,
        tell: &mut dyn FnMut(DeviceEvent),
        steps: bool,
        now: Micros,
    ) -> Option<News> {
        let (what, total) = (self.what, counters.xruns());
        // At once, then not more often than somebody reads.
        if total != self.xruns && now.since(self.told) >= TELL {
            self.xruns = total;
            self.told = now;
            tell(DeviceEvent::Xrun { what, total });
        }
        let reserve = counters.reserve();
        if reserve > self.reserve {
            tell(DeviceEvent::Reserve { what, micros: reserve });
        }
        self.reserve = reserve;
        if let Some(why) = counters.take_loss() {
            return Some(News::Lost(why));
        }
        if counters.take_unfit() {
            return Some(News::Step);
        }
        if now.since(self.window.0) > TOO_FAST {
            self.window = (now, total);
        } else if steps && !self.resigned && total >= self.window.1 + TOO_MANY {
            return Some(News::Step);
        }
        let newest = counters.callbacks();
        if newest != self.calls.0 {
            self.calls = (newest, now);
        } else if now.since(self.calls.1) > STALLED {
            return Some(News::Lost(format!("it has not moved for {} s", STALLED / 1_000_000)));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that calls back, looked at each 50 ms from a second after the clock's begin.
    struct Bench {
        counters: Counters,
        watcher: Watcher,
        now: Micros,
        told: Vec<DeviceEvent>,
    }

    impl Bench {
        fn new() -> Self {
            let (counters, now) = (Counters::default(), Micros(1_000_000));
            Self {
                watcher: Watcher::new(What::Speaker, &counters, now),
                counters,
                now,
                told: Vec::new(),
            }
        }

        /// Looks for so many seconds, while `each` acts for the device.
        fn watch(
            &mut self,
            seconds: i64,
            steps: bool,
            mut each: impl FnMut(&Counters, i64),
        ) -> Option<News> {
            let from = self.now;
            while self.now.since(from) < seconds * 1_000_000 {
                each(&self.counters, self.now.since(from));
                self.now = self.now + LOOK;
                let told = &mut self.told;
                let mut tell = |event| told.push(event);
                let news = self.watcher.look(&self.counters, &mut tell, steps, self.now);
                if news.is_some() {
                    return news;
                }
            }
            None
        }
    }

    fn call(counters: &Counters) {
        counters.called(64, 2_666, Micros(0));
    }

    /// Calls back, and runs dry at these instants.
    fn dry_at(at: &[i64]) -> impl FnMut(&Counters, i64) {
        move |counters, now| {
            call(counters);
            if at.contains(&now) {
                counters.count_xrun();
            }
        }
    }

    #[test]
    fn three_xruns_in_ten_seconds_ask_for_a_larger_period_and_two_do_not() {
        let mut bench = Bench::new();
        assert_eq!(bench.watch(60, true, dry_at(&[1_000_000, 8_000_000, 30_000_000])), None);
        let mut bench = Bench::new();
        let news = bench.watch(60, true, dry_at(&[1_000_000, 4_000_000, 8_000_000]));
        assert_eq!(news, Some(News::Step));
        assert_eq!(bench.now.since(Micros(1_000_000)), 8_050_000, "at once");
        let totals = bench.told.iter().map(|e| match e {
            DeviceEvent::Xrun { what: What::Speaker, total } => *total,
            other => panic!("{other:?}"),
        });
        assert_eq!(totals.collect::<Vec<_>>(), [1, 2, 3], "each is told");
    }

    #[test]
    fn a_period_that_is_pinned_or_the_largest_stays_and_xruns_are_told_now_and_then() {
        let all = |counters: &Counters, _| {
            call(counters);
            counters.count_xrun();
        };
        let mut pinned = Bench::new();
        assert_eq!(pinned.watch(20, false, all), None);
        assert!((9..=11).contains(&pinned.told.len()), "{:?}", pinned.told.len());
        let mut largest = Bench::new();
        largest.watcher.resign();
        assert_eq!(largest.watch(20, true, all), None);
    }

    #[test]
    fn more_in_hand_is_told_once_and_what_does_not_work_at_all_is_left() {
        let mut bench = Bench::new();
        let raise = |counters: &Counters, now| {
            call(counters);
            if now >= 2_000_000 {
                counters.raise(750);
            }
        };
        assert_eq!(bench.watch(5, true, raise), None);
        let told = bench.told.iter().map(|e| match e {
            DeviceEvent::Reserve { micros, .. } => *micros,
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [750]);
        let unfit = |counters: &Counters, _| {
            call(counters);
            counters.give_up();
        };
        assert_eq!(bench.watch(1, false, unfit), Some(News::Step));
    }

    #[test]
    fn a_device_that_says_so_or_stands_still_for_three_seconds_is_lost() {
        let mut bench = Bench::new();
        let pulled = |counters: &Counters, now| {
            if now == 1_000_000 {
                counters.lose(&"no such device");
            }
            call(counters);
        };
        let news = bench.watch(10, true, pulled);
        assert_eq!(news, Some(News::Lost("no such device".to_owned())));
        let mut bench = Bench::new();
        let frozen = |counters: &Counters, now| {
            if now < 1_000_000 {
                call(counters);
            }
        };
        let Some(News::Lost(why)) = bench.watch(10, true, frozen) else { panic!("not lost") };
        assert!(why.contains("3 s"), "{why}");
        assert!(bench.now.since(Micros(1_000_000)) < 4_200_000);
    }
}
