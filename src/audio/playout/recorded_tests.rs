//! Delays that `scripts/record-delays` took from the kernel's own queues, TCP and scheduler
//! (tests/traces), against what a buffer of a fixed 30 ms could have saved.

use std::rc::Rc;

use super::trace_tests::{Call, Line, speech};
use crate::audio::redundancy::Plan;

/// Of each packet, sent 5 ms after the one before: more delay than the quickest had in
/// microseconds, or lost.
fn trace(text: &str) -> Rc<[Option<f64>]> {
    let figures = text.lines().filter(|line| !line.starts_with('#'));
    figures
        .flat_map(str::split_whitespace)
        .map(|word| (word != "-").then(|| word.parse::<f64>().expect("a delay in 0.1 ms") * 100.0))
        .collect()
}

/// Percent of the frames that no packet, copies counted, brought within 30 ms of the quickest of the
/// two seconds before it.
fn beyond_reach(trace: &[Option<f64>], copies: &[u8], from_ms: f64, to_ms: f64) -> f64 {
    let frames = (from_ms / 5.0) as usize..(to_ms / 5.0) as usize;
    let count = frames.len();
    let missed = frames.filter(|n| {
        let quickest = trace[n - 400..=*n].iter().flatten().copied().fold(f64::MAX, f64::min);
        let came = |offset: usize| {
            let with = (*trace.get(n + offset)?)?;
            Some(with + 5_000.0 * offset as f64)
        };
        let offsets = std::iter::once(0).chain(copies.iter().map(|offset| usize::from(*offset)));
        !offsets.filter_map(came).any(|after| after <= quickest + 30_000.0)
    });
    missed.count() as f64 * 100.0 / count as f64
}

#[test]
fn recorded_lines_cost_little_more_than_nobody_could_have_saved_and_leave_no_lag() {
    let said = speech(39);
    for (name, text, copies, most, lag_most) in [
        ("bulk", include_str!("../../../tests/traces/bulk.txt"), &[][..], 2.0, 1.5),
        ("web", include_str!("../../../tests/traces/web.txt"), &[1][..], 2.0, 1.5),
        // It is bad to its end.
        ("wifi", include_str!("../../../tests/traces/wifi.txt"), &[1, 3][..], 3.0, 25.0),
    ] {
        let recorded = trace(text);
        assert_eq!(recorded.len(), 8_000, "{name}");
        let plan = Plan::copies(copies);
        for (played, on_time) in [(64, false), (4, true)] {
            let call = Call { plan, played, on_time, ..Call::default() };
            let clean = call.run(&said, &mut [Line::new(1)]);
            let line = Line { recorded: Rc::clone(&recorded), ..Line::new(1) };
            let heard = call.run(&said, &mut [line]);
            let (from, to) = (4_000.0, 38_000.0);
            let beyond = beyond_reach(&recorded, copies, from, to);
            let concealed = heard.concealed(from, to);
            let lag = heard.delay(37_000.0, 38_900.0) - clean.delay(37_000.0, 38_900.0);
            let end = 36 * 48_000..39 * 48_000;
            let louder = heard.level_of(end.clone()) - clean.level_of(end);
            if std::env::var_os("HYPERZOOM_TRACES").is_some() {
                let more = heard.delay(from, to) - clean.delay(from, to);
                println!(
                    "{name:5} {played:2}: concealed {concealed:5.2} %, beyond 30 ms {beyond:5.2} %, \
                     delay {more:+5.1} ms, at the end {lag:+5.1}, level there {louder:+5.2} dB",
                );
            }
            // The buffer cannot know what is coming, and is shallower than 30 ms most of the time.
            assert!(concealed <= beyond + most, "{name} {played}: {concealed} %, {beyond} %");
            assert!(lag <= lag_most, "{name} {played}: {lag} ms");
            assert!(louder.abs() < 0.5, "{name} {played}: {louder} dB");
        }
    }
}
