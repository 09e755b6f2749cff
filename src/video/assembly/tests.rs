//! Loss, reordering, duplicates and hostile fragments.

use proptest::prelude::*;

use super::*;

/// A stream with a keyframe every `interval` frames, 24 fps, keyframes in three fragments.
fn send(assembler: &mut Assembler, sequence: u64, interval: u64, now: Micros) {
    let keyframe = sequence.is_multiple_of(interval);
    if keyframe {
        for fragment in 0..3 {
            assembler.push(true, sequence, fragment, 3, &[fragment; 10], now);
        }
    } else {
        assembler.push(false, sequence, 0, 0, &sequence.to_be_bytes(), now);
    }
}

fn at(sequence: u64) -> Micros {
    Micros(sequence as i64 * 41_667)
}

fn sequences(assembler: &mut Assembler, now: Micros) -> Vec<u64> {
    std::iter::from_fn(|| assembler.pop(now)).map(|frame| frame.sequence).collect()
}

#[test]
fn a_clean_stream_comes_out_at_once_and_whole() {
    let mut assembler = Assembler::new();
    for n in 0..100 {
        send(&mut assembler, n, 48, at(n));
        let frame = assembler.pop(at(n)).expect("it is whole");
        assert_eq!((frame.sequence, frame.keyframe), (n, n % 48 == 0));
        if frame.keyframe {
            assert_eq!(frame.data, [[0; 10], [1; 10], [2; 10]].concat());
        }
        assert!(assembler.pop(at(n)).is_none() && !assembler.wants_keyframe(at(n)));
    }
}

#[test]
fn fragments_in_any_order_make_the_same_frame() {
    let mut assembler = Assembler::new();
    for fragment in [2, 0, 2, 1, 0] {
        assembler.push(true, 7, fragment, 3, &[fragment; 2], Micros(0));
    }
    assert_eq!(assembler.pop(Micros(0)).expect("it is whole").data, [0, 0, 1, 1, 2, 2]);
    assert_eq!(assembler.stats().late_or_duplicate, 2);
}

#[test]
fn reordered_frames_come_out_in_order() {
    let mut assembler = Assembler::new();
    send(&mut assembler, 0, 48, at(0));
    assert_eq!(sequences(&mut assembler, at(0)), [0]);
    send(&mut assembler, 2, 48, at(2));
    assert_eq!(sequences(&mut assembler, at(2)), [0; 0], "one is not yet given up");
    send(&mut assembler, 1, 48, at(2) + 10_000);
    assert_eq!(sequences(&mut assembler, at(2) + 10_000), [1, 2]);
}

#[test]
fn after_a_hole_nothing_is_shown_until_a_keyframe_and_one_is_asked_for() {
    let mut assembler = Assembler::new();
    let mut shown = Vec::new();
    let mut asked = Vec::new();
    for n in 0..60 {
        if n != 10 {
            send(&mut assembler, n, 48, at(n));
        }
        shown.extend(sequences(&mut assembler, at(n)));
        if assembler.wants_keyframe(at(n)) {
            asked.push(n);
        }
    }
    let expected: Vec<u64> = (0..10).chain(48..60).collect();
    assert_eq!(shown, expected);
    assert_eq!(asked, [12, 22, 32, 42], "at once, then every 0.4 s");
    let stats = assembler.stats();
    assert_eq!((stats.delivered, stats.missing, stats.undecodable), (22, 1, 37));
}

#[test]
fn an_incomplete_keyframe_is_skipped_and_not_shown() {
    let mut assembler = Assembler::new();
    let mut shown = Vec::new();
    for n in 0..20 {
        if n == 8 {
            assembler.push(true, n, 0, 3, &[0; 10], at(n));
            assembler.push(true, n, 2, 3, &[0; 10], at(n));
        } else {
            send(&mut assembler, n, 16, at(n));
        }
        shown.extend(sequences(&mut assembler, at(n)));
    }
    assert_eq!(shown, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19]);
}

#[test]
fn a_retransmitted_fragment_saves_the_keyframe() {
    let mut assembler = Assembler::new();
    assembler.push(true, 0, 0, 2, &[0; 10], at(0));
    send(&mut assembler, 1, 48, at(1));
    send(&mut assembler, 2, 48, at(2));
    assert_eq!(sequences(&mut assembler, at(2)), [0; 0]);
    assembler.push(true, 0, 1, 2, &[1; 10], at(2) + 20_000);
    assert_eq!(sequences(&mut assembler, at(2) + 20_000), [0, 1, 2]);
}

#[test]
fn a_newcomer_asks_for_a_keyframe_and_shows_nothing_before_it() {
    let mut assembler = Assembler::new();
    assert!(!assembler.wants_keyframe(at(0)), "nobody sends yet");
    for n in 1..6 {
        send(&mut assembler, n, 48, at(n));
        assert_eq!(sequences(&mut assembler, at(n)), [0; 0]);
    }
    assert!(assembler.wants_keyframe(at(6)) && !assembler.wants_keyframe(at(7)));
    send(&mut assembler, 48, 48, at(8));
    assert_eq!(sequences(&mut assembler, at(8)), [48], "what lies before it is not waited for");
    assert!(!assembler.wants_keyframe(at(40)));
}

#[test]
fn a_damaged_reference_counts_as_lost() {
    let mut assembler = Assembler::new();
    send(&mut assembler, 0, 48, at(0));
    assert_eq!(sequences(&mut assembler, at(0)), [0]);
    assembler.reference_lost();
    send(&mut assembler, 1, 48, at(1));
    assert_eq!(sequences(&mut assembler, at(1)), [0; 0]);
    assert!(assembler.wants_keyframe(at(1)));
}

#[test]
fn late_frames_and_contradictions_are_dropped() {
    let mut assembler = Assembler::new();
    send(&mut assembler, 48, 48, at(0));
    assert_eq!(sequences(&mut assembler, at(0)), [48]);
    send(&mut assembler, 47, 48, at(1));
    assert_eq!(assembler.stats().late_or_duplicate, 1);
    assembler.push(false, 49, 0, 2, &[1], at(1));
    for (keyframe, fragment, fragments, payload) in [
        (true, 1, 2, &[1][..]),
        (false, 1, 3, &[1]),
        (false, 2, 2, &[1]),
        (false, 1, 2, &[]),
        (false, 1, 2, &[1; 1501]),
    ] {
        assembler.push(keyframe, 49, fragment, fragments, payload, at(1));
    }
    assert_eq!(assembler.stats().refused, 5);
    assert_eq!(sequences(&mut assembler, at(1)), [0; 0]);
}

#[test]
fn a_stream_that_begins_anew_far_ahead_is_followed() {
    let mut assembler = Assembler::new();
    send(&mut assembler, 0, 48, at(0));
    assert_eq!(sequences(&mut assembler, at(0)), [0]);
    let far = 48_000;
    send(&mut assembler, far, 48, at(1));
    assert_eq!(sequences(&mut assembler, at(1)), [far]);
}

proptest! {
    /// Whatever arrives: order is kept, memory is bounded, a delta only follows its predecessor.
    #[test]
    fn hostile_fragments_break_nothing(packets in prop::collection::vec((any::<bool>(), 0u64..6000, any::<u8>(), any::<u8>(), 0usize..1600, 0i64..50_000), 0..400)) {
        let mut assembler = Assembler::new();
        let mut now = Micros(0);
        let mut last: Option<u64> = None;
        for (keyframe, sequence, fragment, fragments, length, wait) in packets {
            now = now + wait;
            assembler.push(keyframe, sequence, fragment % 4, fragments % 4, &vec![0; length], now);
            prop_assert!(assembler.frames.len() <= MAX_FRAMES && assembler.bytes <= MAX_BYTES);
            let held: usize = assembler.frames.values().map(|f| f.bytes).sum();
            prop_assert_eq!(held, assembler.bytes);
            while let Some(frame) = assembler.pop(now) {
                prop_assert!(frame.keyframe || last.map(|l| l + 1) == Some(frame.sequence));
                last = Some(frame.sequence);
            }
            assembler.wants_keyframe(now);
        }
    }

    /// Random loss: every frame that comes out has all its references.
    #[test]
    fn under_loss_only_decodable_frames_come_out(lost in prop::collection::vec(prop::bool::weighted(0.1), 300)) {
        let mut assembler = Assembler::new();
        let mut last = None;
        for (n, lost) in lost.into_iter().enumerate() {
            let n = n as u64;
            if !lost {
                send(&mut assembler, n, 24, at(n));
            }
            while let Some(frame) = assembler.pop(at(n)) {
                prop_assert!(frame.keyframe || last == Some(frame.sequence - 1));
                last = Some(frame.sequence);
            }
        }
        let AssemblyStats { delivered, missing, undecodable, .. } = assembler.stats();
        prop_assert!(delivered + missing + undecodable <= 300, "each frame is counted once");
    }
}

/// Base frames are even; every upper one between them is lost, and later one base frame.
#[test]
fn where_frames_tell_what_they_refer_to_only_what_matters_breaks_the_row() {
    let mut assembler = Assembler::layered();
    let frame = |n: u64| [(n / 2 % 32) as u8 * 8 + (n % 2) as u8];
    let mut shown = Vec::new();
    for n in 0..200 {
        let lost = n % 6 == 3 || n == 100;
        if !lost {
            assembler.push(n == 0, n, 0, 0, &frame(n), at(n));
        }
        shown.extend(sequences(&mut assembler, at(n)));
    }
    let wanted: Vec<u64> = (0..99).filter(|n| n % 6 != 3).collect();
    assert_eq!(shown, wanted, "98 and 99 is lost, 100 too: nothing goes on from there");
    assert!(assembler.wants_keyframe(at(200)));
}
