//! The grid's promises: no picture unaccounted for, no beat between camera and grid.

use proptest::prelude::*;

use super::*;

const T0: SessionMicros = SessionMicros(7_000_000);

/// Stamps of `n` pictures at `fps`, from `phase` of a slot behind T0 on, each moved by up to
/// `jitter` microseconds.
fn camera(n: usize, fps: f64, phase: f64, jitter: &dyn Fn(usize) -> i64) -> Vec<SessionMicros> {
    let at = |i: usize| T0 + ((i as f64 / fps + phase / 30.0) * 1e6).round() as i64 + jitter(i);
    (0..n).map(at).map(|t| t.max(T0)).collect()
}

/// Deterministic noise from -8 ms to +8 ms.
fn shake(seed: u64) -> impl Fn(usize) -> i64 {
    move |i| {
        let mut x = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed;
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (x >> 40) as i64 % 16_001 - 8_000
    }
}

/// Runs a recording in which every picture arrives `delay` after capture; gives the slots.
fn record(stamps: &[SessionMicros], delay: i64) -> (Vec<Slot<usize>>, GridCounts) {
    let mut grid = Grid::new(T0, 0);
    let mut slots = Vec::new();
    for (i, &captured) in stamps.iter().enumerate() {
        while let Some(slot) = grid.next(captured + delay) {
            slots.push(slot);
        }
        grid.push(captured, i);
        assert_balanced(&grid, slots.len());
    }
    let end = stamps.last().map_or(T0, |&t| t + 1);
    grid.finish(end);
    while let Some(slot) = grid.next(end) {
        slots.push(slot);
        assert_balanced(&grid, slots.len());
    }
    assert_eq!(grid.counts().queued, 0);
    (slots, grid.counts())
}

fn assert_balanced<T>(grid: &Grid<T>, slots: usize) {
    let c = grid.counts();
    assert_eq!(c.captured, c.encoded + c.cadence_discarded + c.withheld + c.queued, "{c:?}");
    assert_eq!(slots as u64, c.encoded + c.repeated + c.black, "{c:?}");
    assert!(c.late <= c.cadence_discarded);
}

fn assert_in_order(slots: &[Slot<usize>]) {
    let mut shown = None;
    for (i, slot) in slots.iter().enumerate() {
        assert_eq!(slot.index, i as u64, "no hole and no doubled slot");
        if let Content::Picture(n) = slot.content {
            assert!(shown.is_none_or(|before| n > before), "pictures keep their order");
            shown = Some(n);
        }
    }
}

#[test]
fn a_camera_of_exactly_30_fps_fills_each_slot_with_its_own_picture() {
    for phase in [0.0, 0.25, 0.49, 0.5, 0.51, 0.75] {
        let (slots, counts) = record(&camera(900, 30.0, phase, &|_| 0), 40_000);
        assert_eq!(counts.encoded, 900, "phase {phase}");
        assert_eq!((counts.cadence_discarded, counts.repeated, counts.black), (0, 0, 0));
        assert!(slots.iter().enumerate().all(|(i, s)| s.content == Content::Picture(i)));
    }
}

#[test]
fn a_29_97_fps_camera_repeats_one_picture_in_33_seconds_and_loses_none() {
    let (slots, counts) = record(&camera(18_000, 29.97, 0.5, &shake(1)), 40_000);
    assert_eq!((counts.encoded, counts.cadence_discarded, counts.black), (18_000, 0, 0));
    assert!((17..=19).contains(&counts.repeated), "{counts:?}");
    assert_in_order(&slots);
}

#[test]
fn a_30_02_fps_camera_gives_up_one_picture_in_50_seconds_and_repeats_none() {
    let (slots, counts) = record(&camera(18_000, 30.02, 0.5, &shake(2)), 40_000);
    assert!((11..=13).contains(&counts.cadence_discarded), "{counts:?}");
    assert!(counts.repeated <= 1, "{counts:?}");
    assert_eq!((counts.black, counts.late), (0, 0));
    assert_in_order(&slots);
}

#[test]
fn a_25_fps_camera_loses_none_and_repeats_one_in_five() {
    let (slots, counts) = record(&camera(2_500, 25.0, 0.1, &shake(3)), 40_000);
    assert_eq!((counts.encoded, counts.cadence_discarded), (2_500, 0));
    assert!((498..=501).contains(&counts.repeated), "{counts:?}");
    assert_in_order(&slots);
}

#[test]
fn a_15_fps_camera_shows_each_picture_twice() {
    let (slots, counts) = record(&camera(1_500, 15.0, 0.5, &shake(4)), 40_000);
    assert_eq!((counts.encoded, counts.cadence_discarded), (1_500, 0));
    // The period is learned within the first pictures; from then on the cadence is even.
    let pictures: Vec<u64> = slots[120..2_900]
        .iter()
        .filter(|s| matches!(s.content, Content::Picture(_)))
        .map(|s| s.index)
        .collect();
    assert!(pictures.windows(2).all(|w| w[1] - w[0] == 2), "an even cadence");
}

#[test]
fn a_60_fps_camera_fills_every_slot_with_a_picture_no_more_than_a_slot_away() {
    let (slots, counts) = record(&camera(6_000, 60.0, 0.2, &shake(5)), 40_000);
    assert!(counts.repeated <= 2, "{counts:?}");
    assert!((2_995..=3_005).contains(&counts.cadence_discarded), "{counts:?}");
    for slot in slots.iter().filter(|s| s.captured.is_some()) {
        let away = slot.captured.map_or(0, |t| t.since(T0)) - slot.index as i64 * 1_000_000 / 30;
        assert!(away.abs() <= 33_334, "{away} us");
    }
}

#[test]
fn a_picture_that_arrives_400_ms_late_still_gets_its_own_slot() {
    let mut grid = Grid::new(T0, 0);
    for i in 0..60u64 {
        let now = grid.slot_time(i);
        while let Some(slot) = grid.next(now) {
            assert_eq!(slot.content, Content::Picture(slot.index));
        }
        // All pictures of slots 10 to 22 arrive in one burst: up to 400 ms late.
        match i {
            10..22 => {}
            22 => (10..=22).for_each(|i| _ = grid.push(grid.slot_time(i), i)),
            _ => _ = grid.push(now, i),
        }
    }
    assert_eq!(grid.next_slot(), 52, "250 ms behind slot 59: pictures stand there");
    let c = grid.counts();
    assert_eq!((c.repeated, c.cadence_discarded), (0, 0), "{c:?}");
}

#[test]
fn a_slot_waits_for_a_picture_and_no_longer_than_that_once_one_stands_behind_it() {
    let mut grid = Grid::new(T0, 0);
    grid.push(T0, 0);
    assert!(grid.next(T0 + SETTLED_MICROS - 1).is_none());
    assert!(grid.next(T0 + SETTLED_MICROS).is_some());
    // Nothing for slot 1: it may still come.
    let one = grid.slot_time(1);
    assert!(grid.next(one + DELAY_MICROS - 1).is_none());
    // One for slot 3: what did not come for 1 and 2 will not come any more.
    grid.push(grid.slot_time(3), 3);
    let contents: Vec<_> = std::iter::from_fn(|| grid.next(one + DELAY_MICROS - 1)).collect();
    let contents: Vec<_> = contents.iter().map(|slot| slot.content).collect();
    assert_eq!(contents, [Content::Repeat, Content::Repeat, Content::Picture(3)]);
}

#[test]
fn pictures_behind_the_delay_are_counted_as_late_and_the_present_stays_the_present() {
    let mut grid = Grid::new(T0, 0);
    grid.push(T0, 0);
    let now = T0 + 3_000_000;
    while grid.next(now).is_some() {}
    (1..90).for_each(|i| assert!(grid.push(grid.slot_time(i), i) != Fate::Outside));
    let c = grid.counts();
    assert!(c.late > 70 && c.late == c.cadence_discarded, "{c:?}");
    grid.push(grid.slot_time(90), 90);
    grid.finish(grid.slot_time(91));
    let mut last = None;
    while let Some(slot) = grid.next(now) {
        last = Some(slot);
    }
    let last = last.expect("slots were left");
    assert_eq!((last.index, last.content), (90, Content::Picture(90)));
}

#[test]
fn what_was_captured_before_t0_or_behind_the_end_is_not_counted() {
    let mut grid = Grid::new(T0, 30);
    grid.push(T0, 0);
    grid.push(grid.slot_time(30) - 1, 1);
    assert_eq!(grid.counts(), GridCounts::default());
    for i in 30..40u64 {
        grid.push(grid.slot_time(i), i);
    }
    let end = grid.slot_time(35);
    grid.finish(end);
    grid.push(end, 99);
    let mut slots = Vec::new();
    while let Some(slot) = grid.next(T0) {
        slots.push(slot.index);
    }
    assert_eq!(slots, [30, 31, 32, 33, 34]);
    assert_eq!(grid.counts().captured, 5);
    assert_eq!(grid.counts().encoded, 5);
}

#[test]
fn the_file_is_black_until_a_camera_comes_and_while_it_is_switched_off() {
    let mut grid = Grid::new(T0, 0);
    let mut content = Vec::new();
    for i in 0..150u64 {
        let now = grid.slot_time(i);
        if i == 60 || i == 90 {
            grid.withhold(i == 60);
        }
        // The camera's first picture is of slot 20; none comes for slot 25.
        if i >= 20 && i != 25 {
            grid.push(now, i);
        }
        while let Some(slot) = grid.next(now) {
            content.push(slot.content);
        }
    }
    assert!(content[..20].iter().all(|c| *c == Content::Black));
    assert_eq!(content[25], Content::Repeat);
    let shown = |range: std::ops::Range<usize>| {
        range.clone().all(|i| content[i] == Content::Picture(i as u64))
    };
    assert!(shown(20..25) && shown(26..60) && shown(90..content.len()));
    assert!(content[60..90].iter().all(|c| *c == Content::Black));
    assert_eq!(grid.counts().withheld, 30);
    assert_balanced(&grid, content.len());
}

#[test]
fn a_slow_camera_does_not_begin_the_file_with_a_flash_of_black() {
    for (fps, phase) in [(30.0, 0.99), (15.0, 1.9), (5.0, 5.9)] {
        let (slots, counts) = record(&camera(100, fps, phase, &|_| 0), 40_000);
        assert_eq!(slots[0].content, Content::Picture(0), "{fps} fps");
        assert_eq!((counts.black, counts.encoded), (0, 100));
    }
}

#[test]
fn switched_on_again_it_stays_black_until_the_next_picture() {
    let mut grid = Grid::new(T0, 0);
    grid.push(T0, 0);
    grid.withhold(true);
    grid.withhold(true);
    grid.withhold(false);
    grid.push(grid.slot_time(5), 5);
    grid.finish(grid.slot_time(8));
    let content: Vec<_> = std::iter::from_fn(|| grid.next(T0)).map(|s| s.content).collect();
    let mut expected = vec![Content::Black; 5];
    expected[0] = Content::Picture(0);
    expected.extend([Content::Picture(5), Content::Repeat, Content::Repeat]);
    assert_eq!(content, expected);
}

#[test]
fn each_picture_s_fate_is_told() {
    let mut grid = Grid::new(T0, 0);
    assert_eq!(grid.push(T0 - 1, 0), Fate::Outside);
    assert_eq!(grid.push(T0, 1), Fate::Slot(0));
    assert_eq!(grid.push(grid.slot_time(1), 2), Fate::Slot(1));
    assert_eq!(grid.push(grid.slot_time(1) + 1, 3), Fate::Slot(2), "a slot early, after jitter");
    assert_eq!(grid.push(grid.slot_time(1) + 2, 4), Fate::CadenceDiscarded);
    grid.withhold(true);
    assert_eq!(grid.push(grid.slot_time(4), 5), Fate::Withheld);
    grid.withhold(false);
    while grid.next(T0 + 2_000_000).is_some() {}
    assert_eq!(grid.push(grid.slot_time(7), 6), Fate::Late);
    let c = grid.counts();
    assert_eq!((c.captured, c.encoded, c.cadence_discarded), (6, 3, 2));
    assert_eq!((c.withheld, c.late), (1, 1));
}

#[test]
fn a_session_clock_that_slews_costs_no_picture_and_repeats_none() {
    // 500 ppm for 40 s, to and fro: what the clock does to a stamp is at most a sixtieth of a slot
    // from one picture to the next, and 20 ms in all.
    for direction in [1.0, -1.0] {
        let slew = |i: usize| {
            let seconds = i as f64 / 30.0;
            (direction * 500.0 * (40.0 - (seconds % 80.0 - 40.0).abs())) as i64
        };
        let noise = shake(11);
        let (slots, counts) =
            record(&camera(7_200, 30.0, 0.3, &|i| slew(i) + noise(i) / 4), 40_000);
        assert_eq!((counts.encoded, counts.cadence_discarded), (7_200, 0), "{counts:?}");
        assert!(counts.repeated <= 1 && counts.black == 0, "{counts:?}");
        assert_in_order(&slots);
    }
}

#[test]
fn a_camera_that_halves_its_rate_in_the_dark_and_comes_back_loses_nothing() {
    let mut stamps = camera(3_000, 30.0, 0.4, &shake(12));
    let mut n = 0;
    stamps.retain(|_| {
        n += 1;
        !((1_000..2_000).contains(&n) && n % 2 == 1)
    });
    let (slots, counts) = record(&stamps, 40_000);
    assert_eq!((counts.encoded, counts.cadence_discarded), (2_500, 0), "{counts:?}");
    assert!((498..=502).contains(&counts.repeated), "{counts:?}");
    assert_in_order(&slots);
}

proptest! {
    #[test]
    fn the_accounting_balances_whatever_happens(
        steps in proptest::collection::vec((-20_000i64..200_000, 0i64..900_000, 0u8..20), 1..300),
        first in 0u64..100,
        cut in -1_000_000i64..1_000_000,
    ) {
        let mut grid = Grid::new(T0, first);
        let mut captured = grid.slot_time(first) - 100_000;
        let mut slots = 0u64;
        for (i, &(step, delay, what)) in steps.iter().enumerate() {
            captured = captured + step;
            if what < 2 {
                grid.withhold(what == 0);
            }
            grid.push(captured, i);
            assert_balanced(&grid, slots as usize);
            while let Some(slot) = grid.next(captured + delay) {
                prop_assert_eq!(slot.index, first + slots);
                prop_assert_eq!(slot.captured.is_some(), matches!(slot.content, Content::Picture(_)));
                slots += 1;
                assert_balanced(&grid, slots as usize);
            }
        }
        let end = captured + cut;
        grid.finish(end);
        while let Some(slot) = grid.next(captured) {
            prop_assert_eq!(slot.index, first + slots);
            prop_assert!(slot.captured.is_none_or(|captured| captured < end));
            slots += 1;
        }
        assert_balanced(&grid, slots as usize);
        prop_assert_eq!(grid.counts().queued, 0);
        prop_assert!(grid.slot_time(first + slots) >= end);
    }

    #[test]
    fn near_30_fps_there_is_never_both_a_discard_and_a_repeat(
        fps in 29.9f64..30.1,
        phase in 0.0f64..1.0,
        seed in any::<u64>(),
    ) {
        let (slots, c) = record(&camera(3_000, fps, phase, &shake(seed)), 40_000);
        assert_in_order(&slots);
        let drift = 100.0 * (30.0 - fps);
        let (discards, repeats) = (c.cadence_discarded as f64, c.repeated as f64);
        // One more of each is allowed at the very beginning and end of the file.
        prop_assert!((discards - (-drift).max(0.0)).abs() <= 2.0, "{:?} at {} fps", c, fps);
        prop_assert!((repeats - drift.max(0.0)).abs() <= 2.0, "{:?} at {} fps", c, fps);
        prop_assert!(discards <= 1.0 || repeats <= 1.0, "{:?} at {} fps", c, fps);
    }

    #[test]
    fn a_camera_slower_than_the_grid_loses_nothing(
        fps in 5.0f64..29.9,
        phase in 0.0f64..1.0,
        seed in any::<u64>(),
        gap in 0usize..400,
    ) {
        let mut stamps = camera(800, fps, phase, &shake(seed));
        stamps.drain(200..(200 + gap).min(600));
        let (slots, c) = record(&stamps, 40_000);
        assert_in_order(&slots);
        prop_assert_eq!(c.cadence_discarded, 0, "{:?} at {} fps", c, fps);
        for slot in slots {
            if let Some(captured) = slot.captured {
                let away = captured.since(T0) - slot.index as i64 * 1_000_000 / 30;
                prop_assert!(away.abs() <= 42_000 || slot.index == 0, "{} us at {} fps", away, fps);
            }
        }
    }
}
