//! What becomes of audio and picture on each kind of path. Every figure that is claimed is asserted.

use super::*;

/// Time that one video packet takes on a line, milliseconds: what audio cannot be spared.
fn packet(kbps: f64) -> f64 {
    // What is known of the line is a little less than what it carries.
    let len = fragment::fragment_len(kbps as u32) + HEADERS;
    len as f64 * 8.0 / kbps
}

#[test]
fn audio_waits_for_one_video_packet_and_little_more_whatever_the_path_carries() {
    for kbps in [200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 1_000.0] {
        let mut w = World::new(CLEAN, &[rate(kbps)]);
        w.listen(0);
        w.run(60.0);
        eprintln!("made up {:.2?} then {:.2?}", w.made_up(0, 0.2, 5.0), w.made_up(0, 5.0, 60.0));
        print(&format!("{kbps} kbit/s"), &w, 0, 0.0, 5.0);
        print("", &w, 0, 5.0, 60.0);
        let [.., most] = w.queue(0, 0.0, 5.0);
        assert!(most <= 95.0, "{kbps}: {most} ms while the path is learnt");
        let (share, depth) = w.made_up(0, 5.0, 60.0);
        assert!(share <= 1.5 && depth <= 20.0, "{kbps}: {share} % made up, {depth} ms deep");
        let [_, p95, p99, most] = w.queue(0, 5.0, 60.0);
        let one = packet(kbps);
        assert!(p95 <= one + 6.0 && p99 <= one + 25.0 && most <= one + 50.0, "{kbps}");
        assert_eq!(w.receivers[0].line.lost, 0, "{kbps}: the queue of 500 ms is never full");
        let video = w.video_kbps(0, 5.0, 60.0);
        let left = (kbps - 131.0).min(400.0);
        assert!(video >= left * 0.75, "{kbps}: {video:.0} of {left:.0} kbit/s are used");
        assert!(w.rungs_after(20.0) == 0, "{kbps}: the picture does not swing");
    }
}

#[test]
fn audio_alone_has_150_kbit_s_for_itself() {
    let mut w = World::new(CLEAN, &[rate(150.0)]);
    w.run(120.0);
    print("150 kbit/s", &w, 0, 5.0, 120.0);
    let [p50, p95, _, most] = w.queue(0, 5.0, 120.0);
    assert!(p50 <= 5.0 && p95 <= 5.0 && most <= 130.0, "only tries of a picture are felt");
    assert_eq!((w.receivers[0].line.lost, w.feeds.last().unwrap().1[0]), (0, None));
    assert!(w.video_kbps(0, 5.0, 120.0) < 3.0);
}

#[test]
fn a_path_that_breaks_is_followed_down_in_a_second_and_up_in_half_a_minute() {
    let mut w = World::new(CLEAN, &[rate(1_500.0)]);
    w.run(20.0);
    w.receivers[0].line.kbps = Some(300.0);
    w.run(30.0);
    w.receivers[0].line.kbps = Some(1_500.0);
    w.run(60.0);
    print("1,500 to 300 kbit/s", &w, 0, 20.0, 22.0);
    print("", &w, 0, 22.0, 50.0);
    let [.., most] = w.queue(0, 20.0, 22.0);
    let settled = w.settled(0, 20.0, 22.0, packet(300.0) + 25.0);
    eprintln!("longest {most:.0} ms, settled after {settled:.2} s");
    assert!(most <= 170.0 && settled <= 1.0, "{most} ms, {settled} s");
    let full = |p: &Picture| (p.height, p.fps, p.kbps) == (480, 24, 400);
    let back = w.main.iter().find(|(at, p)| *at > 50_000_000 && p.as_ref().is_some_and(full));
    let back = back.unwrap().0 as f64 / 1e6 - 50.0;
    eprintln!("the whole picture is back after {back:.1} s");
    assert!(back <= 35.0, "{back}");
}

#[test]
fn a_path_that_gets_wider_is_seen_to_be_in_half_a_minute() {
    // Not only where a try had just failed.
    for before in [60.0, 61.3, 63.1, 66.7, 72.9, 81.3] {
        let mut w = World::new(CLEAN, &[rate(200.0)]);
        w.run(before);
        w.receivers[0].line.kbps = Some(400.0);
        w.run(60.0);
        print(&format!("200 to 400 kbit/s after {before} s"), &w, 0, before, before + 60.0);
        let [one, two] = [100.0, 200.0].map(|kbps| w.reaches(0, before, kbps));
        eprintln!("100 kbit/s after {one:.1} s, 200 after {two:.1} s");
        // Audio comes first: who tries a path's end more often makes it wait more often.
        assert!(one <= 30.0 && two <= 35.0, "{before}: {one} s, {two} s");
        let [.., most] = w.queue(0, before + 0.5, before + 60.0);
        assert!(most <= packet(400.0) + 50.0, "{before}: {most} ms");
    }
}

#[test]
fn tries_are_few_and_audio_hardly_feels_them() {
    for (kbps, most_p99, most) in
        [(150.0, 5.0, 90.0), (200.0, packet(200.0) + 25.0, packet(200.0) + 50.0)]
    {
        let mut w = World::new(CLEAN, &[rate(kbps)]);
        w.run(600.0);
        print(&format!("{kbps} kbit/s for ten minutes"), &w, 0, 10.0, 600.0);
        let [_, _, p99, longest] = w.queue(0, 10.0, 600.0);
        let probes = &w.receivers[0].probes;
        eprintln!("{} probes, frames {:?}", probes.len(), w.receivers[0].frames);
        assert!(p99 <= most_p99 && longest <= most, "{kbps}: {p99} and {longest} ms");
        assert!(probes.len() <= 25, "{}", probes.len());
        assert_eq!(w.receivers[0].line.lost, 0);
    }
}

#[test]
fn audio_on_a_thin_line_packs_itself_as_the_line_is_and_stays_so() {
    for (kbps, frames, most_p95) in
        [(150.0, [1, 1], 5.0), (120.0, [2, 2], 10.0), (90.0, [2, 4], 15.0), (60.0, [4, 4], 50.0)]
    {
        let mut w = World::new(CLEAN, &[rate(kbps)]);
        w.run(20.0);
        // Before anything is known of the line its queue may run over.
        let lost = w.receivers[0].line.lost;
        w.run(280.0);
        print(&format!("{kbps} kbit/s"), &w, 0, 20.0, 300.0);
        let receiver = &w.receivers[0];
        eprintln!("frames {:?}, {} probes", receiver.frames, receiver.probes.len());
        let late = receiver.frames.iter().filter(|(at, _)| *at > 15_000_000).count();
        let last = receiver.frames.last().unwrap().1;
        assert!(frames.contains(&last) && late == 0, "{kbps}: {:?}", receiver.frames);
        let [_, p95, ..] = w.queue(0, 20.0, 300.0);
        assert!(p95 <= most_p95, "{kbps}: {p95} ms");
        assert_eq!(receiver.line.lost, lost, "{kbps}");
        assert_eq!(w.feeds.last().unwrap().1[0], None);
        // And as it was when the line has room again.
        w.receivers[0].line.kbps = Some(1_000.0);
        w.run(60.0);
        let receiver = &w.receivers[0];
        let (at, last) = *receiver.frames.last().unwrap();
        let after = (at as f64 / 1e6 - 300.0).max(0.0);
        print("", &w, 0, 340.0, 360.0);
        eprintln!("one frame a packet again after {after:.1} s");
        assert!(last == 1 && after <= 55.0, "{kbps}: {last} after {after} s");
    }
}

#[test]
fn after_an_outage_a_keyframe_leaves_within_a_round_trip_and_the_picture_is_what_it_was() {
    for (kbps, others) in [(f64::MAX, false), (600.0, false), (400.0, false), (f64::MAX, true)] {
        for seconds in [1.0, 3.0, 4.9] {
            let line = if kbps < 1e6 { rate(kbps) } else { CLEAN };
            let count = if others { 3 } else { 1 };
            let mut w = World::new(CLEAN, &[line; 3][..count]);
            w.run(40.0);
            let (picture, feed) = (w.main.last().unwrap().1, w.feeds.last().unwrap().1[0]);
            w.receivers[0].line.down = true;
            w.run(seconds);
            w.receivers[0].line.down = false;
            let back = w.now;
            w.run(5.0);
            let key = w.receivers[0].keys.iter().find(|at| **at >= back).map(|at| at - back);
            let key = key.unwrap_or(i64::MAX) / 1_000;
            let (after, from) = (w.main.last().unwrap().1, 40.0 + seconds);
            eprintln!(
                "{kbps} kbit/s, {seconds} s, others {others}: keyframe after {key} ms, {picture:?} -> {after:?}, {:.0} -> {:.0} kbit/s",
                w.video_kbps(0, 36.0, 40.0),
                w.video_kbps(0, from + 1.0, from + 5.0)
            );
            assert!(key <= 160, "{kbps} {seconds} {others}: {key} ms");
            assert_eq!(w.feeds.last().unwrap().1[0], feed);
            let rung = |p: Option<Picture>| p.map(|p| (p.height, p.fps));
            assert_eq!(rung(after), rung(picture));
            let [before, after] = [(36.0, 40.0), (from + 1.0, from + 5.0)]
                .map(|(from, to)| w.video_kbps(0, from, to));
            // Near a line's end it goes up and down by itself.
            let share = if kbps < 1e6 { 0.75 } else { 0.95 };
            assert!(after >= before * share, "{kbps} {seconds}: {before} and {after} kbit/s");
            let [.., most] = w.queue(0, from, from + 5.0);
            assert!(most <= packet(kbps.min(1e6)) + 70.0, "{most} ms");
        }
    }
}

#[test]
fn jitter_is_no_congestion() {
    for (jitter, share) in [(10, 0.95), (50, 0.75), (100, 0.4)] {
        let mut w = World::new(CLEAN, &[Line { jitter: jitter * 1_000, ..CLEAN }]);
        w.run(120.0);
        print(&format!("jitter {jitter} ms"), &w, 0, 60.0, 120.0);
        let video = w.video_kbps(0, 60.0, 120.0);
        assert!(video >= 400.0 * share, "{jitter} ms: {video:.0} kbit/s");
    }
}

#[test]
fn loss_from_ten_percent_on_takes_the_picture_and_audio_keeps_what_it_has() {
    for (loss, least, most) in [
        (1, 380.0, 470.0),
        (5, 330.0, 470.0),
        (15, 40.0, 130.0),
        // Copies come first, and here they leave nothing.
        (20, 0.0, 110.0),
        (30, 0.0, 90.0),
    ] {
        let mut w = World::new(CLEAN, &[Line { loss: f64::from(loss) / 100.0, ..CLEAN }]);
        w.run(60.0);
        print(&format!("loss {loss} %"), &w, 0, 20.0, 60.0);
        let video = w.video_kbps(0, 20.0, 60.0) / (1.0 - f64::from(loss) / 100.0);
        assert!((least..=most).contains(&video), "{loss} %: {video:.0} kbit/s");
        assert_eq!(
            w.estimate(0).limit_kbps().filter(|k| *k < 200.0),
            None,
            "audio is told nothing"
        );
    }
}

#[test]
fn peers_on_one_thin_uplink_share_it() {
    for (kbps, alike, least) in [(600.0, 0.55, 130.0), (1_000.0, 0.9, 450.0)] {
        let lines = [CLEAN, Line { delay: 60_000, ..CLEAN }, CLEAN];
        let mut w = World::new(rate(kbps), &lines);
        w.run(120.0);
        for n in 0..3 {
            print(&format!("uplink {kbps}, peer {n}"), &w, n, 30.0, 120.0);
            let [_, p95, _, most] = w.queue(n, 30.0, 120.0);
            assert!(p95 <= 30.0 && most <= 75.0, "{kbps}");
        }
        let video = [0, 1, 2].map(|n| w.video_kbps(n, 30.0, 120.0));
        let [low, high] = [f64::min as fn(f64, f64) -> f64, f64::max]
            .map(|f| video.iter().copied().reduce(f).unwrap());
        assert!(low >= high * alike, "{kbps}: {video:.0?}");
        assert!(video.iter().sum::<f64>() >= least, "{kbps}: {video:.0?}");
        assert_eq!(w.uplink.lost, 0);
    }
}

#[test]
fn one_bad_peer_costs_the_others_nothing() {
    let mut alone = World::new(CLEAN, &[CLEAN]);
    alone.run(60.0);
    let mut w = World::new(CLEAN, &[CLEAN, rate(250.0), CLEAN]);
    w.run(60.0);
    for n in 0..3 {
        print(&format!("one bad, peer {n}"), &w, n, 5.0, 60.0);
    }
    for n in [0, 2] {
        let share = w.video_kbps(n, 5.0, 60.0) / alone.video_kbps(0, 5.0, 60.0);
        assert!(share >= 0.97, "{share}");
        assert!(w.queue(n, 5.0, 60.0)[3] <= 1.0);
    }
    assert!(w.video_kbps(1, 5.0, 60.0) >= 80.0);
    assert_eq!(w.feeds.last().unwrap().1[1].map(|f| f.0), Some(Source::Low));
}

#[test]
fn who_asks_for_fragments_all_the_time_is_heard_fifty_times_a_second() {
    let mut congestion = Congestion::new(400);
    let peer = ParticipantId(2);
    assert!(!congestion.may_ask_again(peer, Micros(0)), "it is not there");
    congestion.joined(peer, false);
    let heard = (0..1_000).filter(|n| congestion.may_ask_again(peer, Micros(n * 1_000))).count();
    assert_eq!(heard, 50);
}

#[test]
fn who_is_not_heard_takes_no_part_when_the_others_share() {
    let rates = |silent: bool| {
        let mut congestion = Congestion::new(400);
        let ids = [1, 2, 3].map(ParticipantId);
        ids.iter().for_each(|&id| congestion.joined(id, false));
        let calm = |kbps| PathReport { queue_micros: 0, noise_micros: 0, received_kbps: kbps };
        let mut now = Micros(0);
        // The third one is the best, until it is heard no more.
        for n in 0..100 {
            now = Micros(n * 100_000);
            for (id, kbps) in ids.into_iter().zip([300, 320, 330]) {
                congestion.reported(id, &calm(kbps), 20_000, now);
                congestion.peers[usize::from(id.0)].as_mut().unwrap().estimate.tick(now);
            }
        }
        let at = now + 2_000_000;
        let heard = if silent { &ids[..2] } else { &ids[..] };
        for n in 0..20 {
            now = at + n * 100_000;
            for &id in heard {
                let queue = PathReport { queue_micros: 60_000, ..calm(300) };
                congestion.reported(id, &queue, 20_000, now);
            }
            congestion.share(now);
        }
        assert!(congestion.common.is_some());
        ids.map(|id| congestion.peers[usize::from(id.0)].as_ref().unwrap().estimate.kbps())
    };
    let [a, b, third] = rates(true);
    assert!((a - b).abs() < 5.0, "{a} and {b} share");
    assert!(third > 450.0 && a < 300.0, "{third} is what it was, {a} is not pulled up to it");
    let [a, b, third] = rates(false);
    assert!((a - third).abs() < 20.0 && (a - b).abs() < 20.0, "{a} {b} {third}");
}
