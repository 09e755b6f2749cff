//! What goes to whom and when, in virtual time.

use super::*;

/// Into full packets, whatever the path carries.
const CUT: Cut = Cut { size: |_| 1_122, count };

fn count(len: usize, size: usize) -> Option<u8> {
    match len.div_ceil(size) {
        0 => None,
        n => u8::try_from(n).ok(),
    }
}

fn picture(keyframe: bool, disposable: bool, bytes: usize) -> Box<OutFrame> {
    Box::new(OutFrame { keyframe, disposable, data: vec![7; bytes] })
}

/// Sends for `ms` milliseconds, a look each half millisecond: (place, keyframe, sequence,
/// fragment) and when.
fn run(fan: &mut Fanout, from: &mut i64, ms: i64) -> Vec<(usize, bool, u64, u8, i64)> {
    let mut all = Vec::new();
    for _ in 0..ms * 2 {
        let now = Micros(*from);
        while let Some(o) = fan.next(now) {
            let bytes = if o.again {
                1_178
            } else {
                o.data.len().saturating_sub(usize::from(o.fragment) * 1_122).min(1_122) + 56
            };
            let (place, again) = (o.place, o.again);
            all.push((place, o.keyframe, o.sequence, o.fragment, *from));
            fan.sent(place, again, bytes, now);
        }
        while fan.spent().is_some() {}
        *from += 500;
    }
    all
}

const MAIN: Option<Feed> = Some(Feed { source: Source::Main, layers: 2 });

/// Longest wait of any sound on a carrier's true line of 1 Mbit/s, microseconds, and how many packets
/// of carried pictures leave in ten seconds. Two peers get the carrier's own sound and pictures, and
/// each other's through it: every two seconds a keyframe of five packets, all at once. `in_turn`: these
/// wait until they may leave.
fn carrier(in_turn: bool) -> (i64, usize) {
    const SOUND: usize = 77;
    let mut fan = Fanout::new(CUT);
    for place in 0..2 {
        fan.join(place, 100);
        // With what is carried besides, all of the line.
        fan.set(place, MAIN, [375, 100], 100);
    }
    let (mut busy, mut longest, mut left) = (0i64, 0, 0);
    let mut waiting = std::collections::VecDeque::new();
    // When what enters the line now has left it.
    let mut enter = |bytes: usize, now: i64| {
        busy = busy.max(now) + bytes as i64 * 8;
        busy
    };
    for now in (0..10_000_000i64).step_by(500) {
        let at = Micros(now);
        if now % 41_500 == 0 {
            fan.push(Source::Main, picture(now % 1_992_000 == 0, false, 400));
        }
        for moment in [now, now - 300_000] {
            let key = moment % 2_000_000 == 0;
            let packets = if key { 5 } else { usize::from(moment % 100_000 == 0) };
            for _ in 0..packets {
                waiting.push_back(1_178);
            }
        }
        let at_once = if in_turn { 0 } else { waiting.len() };
        for bytes in waiting.drain(..at_once) {
            enter(bytes, now);
            left += 1;
        }
        // Own sound to both, and theirs to each other.
        let sounds = match now % 5_000 {
            0 => 2,
            1_500 | 3_000 => 1,
            _ => 0,
        };
        for place in 0..sounds {
            if sounds == 2 {
                fan.audio_sent(place, SOUND, at);
            } else {
                fan.carried(SOUND, false, at);
            }
            longest = longest.max(enter(SOUND, now) - now);
        }
        if in_turn
            && fan.is_free(at)
            && let Some(bytes) = waiting.pop_front()
        {
            fan.carried(bytes, true, at);
            enter(bytes, now);
            left += 1;
        }
        while let Some(o) = fan.next(at) {
            let (place, bytes) = (o.place, o.data.len() + 56);
            fan.sent(place, false, bytes, at);
            enter(bytes, now);
        }
        while fan.spent().is_some() {}
    }
    (longest, left)
}

#[test]
fn no_sound_at_a_carrier_waits_for_more_than_one_packet_of_anybodys_picture() {
    let (longest, left) = carrier(true);
    // One packet, and the three of sound that may stand before it.
    assert!(longest <= 1_178 * 8 + 4 * 77 * 8, "{longest} us");
    let (at_once, all) = carrier(false);
    assert!(at_once > 4 * 1_178 * 8, "{at_once} us: without their turn");
    assert!(left >= all - 2 && all > 200, "{left} of {all} packets");
}

#[test]
fn a_slow_path_delays_nobody_else_and_gets_fewer_pictures_that_still_belong_together() {
    let mut fan = Fanout::new(CUT);
    for place in 0..3 {
        fan.join(place, 400);
        fan.set(place, MAIN, [1_000, 800], 400);
    }
    fan.set(2, MAIN, [250, 250], 400);
    let mut at = 0;
    let mut sent = Vec::new();
    for n in 0..96 {
        fan.push(
            Source::Main,
            picture(n % 48 == 0, n % 2 == 1, if n % 48 == 0 { 8_000 } else { 1_700 }),
        );
        sent.extend(run(&mut fan, &mut at, 41));
    }
    let to = |place| sent.iter().filter(move |s| s.0 == place);
    for place in [0, 1] {
        let last: Vec<_> = to(place).map(|s| s.2).collect();
        assert_eq!(last.last(), Some(&95), "every picture");
    }
    let pictures = sent.iter().rfind(|s| s.0 == 2).unwrap().2;
    assert!((20..70).contains(&pictures), "{pictures} pictures at 250 kbit/s");
    let bits: usize = to(2).count() * 1_178 * 8;
    assert!(bits < 4 * 250_000 * 12 / 10, "{bits} bits in 4 s");
}

#[test]
fn one_layer_is_every_other_picture_without_a_hole_in_the_numbers() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    fan.set(0, Some(Feed { source: Source::Main, layers: 1 }), [1_000, 800], 400);
    let mut at = 0;
    let mut sent = Vec::new();
    for n in 0..20 {
        fan.push(Source::Main, picture(n == 0, n % 2 == 1, 900));
        sent.extend(run(&mut fan, &mut at, 41));
    }
    assert_eq!(sent.iter().map(|s| s.2).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_change_of_encoder_waits_for_its_keyframe_and_has_no_gap() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    let mut at = 0;
    let mut sent = Vec::new();
    for n in 0..30 {
        fan.push(Source::Main, picture(n == 0, n % 2 == 1, 900));
        if n == 10 {
            fan.set(0, Some(Feed { source: Source::Low, layers: 2 }), [1_000, 800], 100);
            assert_eq!(fan.wants_keyframe(0), Some(Source::Low));
        }
        if n >= 13 {
            fan.push(Source::Low, picture(n == 13, n % 2 == 0, 300));
            assert!(n == 13 || fan.wants_keyframe(0).is_none());
        }
        sent.extend(run(&mut fan, &mut at, 41));
    }
    assert_eq!(sent.iter().map(|s| s.2).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    let keys: Vec<_> = sent.iter().filter(|s| s.1).map(|s| s.2).collect();
    assert_eq!(keys, [0, 13]);
}

#[test]
fn a_keyframe_that_comes_while_a_picture_of_the_other_encoder_is_under_way_is_kept() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    let mut at = 0;
    fan.push(Source::Main, picture(true, false, 8_000));
    let mut sent = run(&mut fan, &mut at, 20);
    assert!((1..8).contains(&sent.len()), "under way");
    fan.set(0, Some(Feed { source: Source::Low, layers: 2 }), [1_000, 800], 100);
    fan.push(Source::Low, picture(true, false, 300));
    sent.extend(run(&mut fan, &mut at, 2));
    fan.push(Source::Low, picture(false, false, 200));
    sent.extend(run(&mut fan, &mut at, 400));
    let pictures: Vec<_> = sent.iter().filter(|s| s.3 == 0).map(|s| (s.1, s.2)).collect();
    assert_eq!(pictures, [(true, 0), (true, 1), (false, 2)]);
    assert_eq!(fan.wants_keyframe(0), None);
}

#[test]
fn a_short_hold_breaks_nothing_and_a_long_one_ends_with_a_keyframe() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    let mut at = 0;
    let mut sent = Vec::new();
    for n in 0..80 {
        fan.push(Source::Main, picture(n % 40 == 0, n % 2 == 1, 900));
        fan.hold(0, (6..10).contains(&n) || (20..60).contains(&n));
        sent.extend(run(&mut fan, &mut at, 41));
    }
    let sequences: Vec<_> = sent.iter().map(|s| s.2).collect();
    assert!(sequences.windows(2).all(|w| w[1] == w[0] + 1), "{sequences:?}");
    let keys = sent.iter().filter(|s| s.1).count();
    assert_eq!(keys, 1, "the one while it was held is gone, and without it nothing is sent");
    assert_eq!(fan.wants_keyframe(0), Some(Source::Main));
    let before = sent.len();
    assert!((17..=20).contains(&before), "{before}");
}

#[test]
fn who_was_cut_off_gets_nothing_more_before_a_keyframe() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    let mut at = 0;
    fan.push(Source::Main, picture(true, false, 900));
    fan.push(Source::Main, picture(false, false, 3_000));
    let sent = run(&mut fan, &mut at, 70);
    assert!(sent.len() > 1 && fan.wants_keyframe(0).is_none(), "under way: {sent:?}");
    fan.cut_off(0);
    assert_eq!(fan.wants_keyframe(0), Some(Source::Main));
    fan.push(Source::Main, picture(false, false, 900));
    assert_eq!(run(&mut fan, &mut at, 200), []);
    fan.push(Source::Main, picture(true, false, 900));
    let sent = run(&mut fan, &mut at, 200);
    assert!(sent.len() == 1 && sent[0].1 && fan.wants_keyframe(0).is_none(), "{sent:?}");
}

#[test]
fn padding_fills_up_what_is_sent_and_takes_no_number_that_a_picture_has() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    fan.fill(0, 300);
    let (mut bytes, mut seen) = (0, std::collections::HashSet::new());
    let (mut at, mut pictures) = (0, Vec::new());
    for n in 0..2_000 {
        fan.audio_sent(0, 77, Micros(at));
        while let Some(p) = fan.padding(Micros(at)) {
            assert!(p.part < PADDINGS && seen.insert((p.sequence, p.part)), "{p:?}");
            bytes += p.bytes;
        }
        // A picture in the last second.
        if n >= 1_800 && n % 8 == 0 {
            fan.push(Source::Main, picture(n == 1_800, false, 500));
        }
        pictures.extend(run(&mut fan, &mut at, 5));
    }
    let kbps = bytes as f64 * 8.0 / 10_000.0;
    assert!((160.0..=175.0).contains(&kbps), "{kbps}: 177, less where there are pictures");
    assert!(seen.len() > 1_500 && pictures.len() == 25, "{} {}", seen.len(), pictures.len());
    assert!(pictures.windows(2).all(|w| w[1].2 == w[0].2 + 1), "{pictures:?}");
    fan.hold(0, true);
    fan.audio_sent(0, 77, Micros(at));
    assert_eq!(fan.padding(Micros(at + 20_000)), None);
    fan.hold(0, false);
    fan.fill(0, 0);
    assert_eq!(fan.padding(Micros(at + 40_000)), None);
}

#[test]
fn fragments_of_a_keyframe_come_again_when_they_are_asked_for_and_no_others() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    let mut at = 0;
    fan.push(Source::Main, picture(true, false, 5_000));
    assert_eq!(run(&mut fan, &mut at, 200).len(), 5);
    fan.push(Source::Main, picture(false, false, 900));
    assert_eq!(run(&mut fan, &mut at, 40).len(), 1);
    fan.again(0, 0, 0b1_1010_0100);
    let sent = run(&mut fan, &mut at, 40);
    assert_eq!(sent.iter().map(|s| (s.2, s.3)).collect::<Vec<_>>(), [(0, 2)], "it has five");
    fan.again(0, 1, 1);
    assert_eq!(run(&mut fan, &mut at, 40), []);
    fan.again(0, 0, 0b0_1001);
    let sent = run(&mut fan, &mut at, 40);
    assert_eq!(sent.iter().map(|s| (s.2, s.3)).collect::<Vec<_>>(), [(0, 0), (0, 3)]);
}

#[test]
fn each_path_s_packets_are_as_long_as_it_can_do_with_and_a_picture_s_stay_alike() {
    let cut = Cut { size: |kbps| if kbps < 500 { 500 } else { 1_000 }, count };
    let mut fan = Fanout::new(cut);
    for (place, kbps) in [(0, 400), (1, 6_000)] {
        fan.join(place, 6_000);
        fan.set(place, MAIN, [kbps, kbps], 6_000);
    }
    fan.push(Source::Main, picture(true, false, 1_900));
    let (mut now, mut sent) = (0, Vec::new());
    while sent.len() < 6 {
        while let Some(o) = fan.next(Micros(now)) {
            let (place, size) = (o.place, o.size);
            sent.push((place, o.fragment, o.fragments, size));
            fan.sent(place, false, size + 56, Micros(now));
            // In the middle of the picture.
            fan.set(0, MAIN, [900, 900], 6_000);
        }
        now += 500;
    }
    let of = |place| sent.iter().filter(move |s| s.0 == place).map(|s| (s.1, s.2, s.3));
    assert!(of(0).eq([(0, 4, 500), (1, 4, 500), (2, 4, 500), (3, 4, 500)]), "{sent:?}");
    assert!(of(1).eq([(0, 2, 1_000), (1, 2, 1_000)]), "{sent:?}");
}

#[test]
fn a_full_row_gives_its_oldest_back_and_breaks_who_needed_it() {
    let mut fan = Fanout::new(CUT);
    fan.join(0, 400);
    fan.hold(0, true);
    let evicted: Vec<_> = (0..DEPTH + 3)
        .map(|n| fan.push(Source::Main, picture(n == 0, false, 900)).is_some())
        .collect();
    assert_eq!(evicted.iter().filter(|e| **e).count(), 3);
    assert_eq!(fan.delay(Source::Main), Some(u64::MAX));
    assert_eq!(fan.delay(Source::Low), None);
    fan.hold(0, false);
    assert_eq!(run(&mut fan, &mut 0, 100), [], "the keyframe is gone");
    assert_eq!(fan.wants_keyframe(0), Some(Source::Main));
}
