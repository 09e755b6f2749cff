//! A third foreign reader, PyAV (Debian's python3-av), agrees with ffprobe, MediaInfo and our own.

use std::process::Command;

use serde_json::Value;

use super::foreign::{ffprobe, file, mediainfo, stream};
use super::media::{HEIGHT, WIDTH, deeds, done};
use super::summary;

/// Counts and times what PyAV demuxes and decodes.
const SCRIPT: &str = r#"
import av, json, sys
out = {}
with av.open(sys.argv[1]) as f:
    out["duration"] = f.duration / av.time_base
    out["timecode"] = f.streams.video[0].metadata.get("timecode")
    out["rate"] = str(f.streams.video[0].average_rate)
    for kind in ("video", "audio"):
        s = getattr(f.streams, kind)[0]
        out[kind] = {"frames": s.frames, "duration": s.duration, "base": str(s.time_base), "packets": 0,
                     "decoded": 0, "samples": 0, "keys": 0}
    for packet in f.demux(video=0, audio=0):
        if packet.size == 0:
            continue
        kind = packet.stream.type
        if out[kind]["packets"] == 0:
            out[kind]["first"] = packet.pts
        out[kind]["packets"] += 1
        out[packet.stream.type]["keys"] += bool(packet.is_keyframe)
with av.open(sys.argv[1]) as f:
    pts = []
    for frame in f.decode(video=0):
        out["video"]["decoded"] += 1
        pts.append(frame.pts)
    context = f.streams.video[0].codec_context
    out["codec"] = context.name
    out["size"] = [context.width, context.height]
    out["pixels"] = context.pix_fmt
    out["first_picture"] = pts[0]
    out["steps"] = sorted(set(b - a for a, b in zip(pts, pts[1:])))
with av.open(sys.argv[1]) as f:
    out["sound"] = f.streams.audio[0].codec_context.name
    for frame in f.decode(audio=0):
        if out["audio"]["samples"] == 0:
            out["first_sound"] = frame.pts
        out["audio"]["samples"] += frame.samples
print(json.dumps(out))
"#;

fn pyav(bytes: &[u8]) -> Value {
    let file = file(bytes);
    // Debian's package is the system's Python's, which need not be the first in PATH.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT])
        .arg(file.path())
        .output()
        .expect("Python cannot be started: install it, or run `make test`, which does");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script answers in JSON")
}

#[test]
fn pyav_ffprobe_mediainfo_and_we_agree_on_counts_lengths_edit_lists_and_timecode() {
    let (file, _) = done(&deeds(0, true));
    let ours = summary(&file.bytes);
    let (video, audio) = (ours.video().unwrap(), ours.audio().unwrap());
    let py = pyav(&file.bytes);
    assert_eq!(py["video"]["frames"], video.samples);
    assert_eq!(py["video"]["packets"], video.samples);
    assert_eq!(py["video"]["decoded"], video.samples);
    assert_eq!(py["video"]["keys"], video.sync_samples);
    assert_eq!(py["video"]["duration"], video.duration);
    assert_eq!(py["video"]["base"], "1/30000");
    assert_eq!(py["rate"], "30");
    assert_eq!(py["steps"], serde_json::json!([1000]));
    assert_eq!(py["audio"]["packets"], audio.samples);
    assert_eq!(py["audio"]["duration"], audio.duration);
    // It plays the last packet to its end; where the track ends, its duration tells.
    assert_eq!(py["audio"]["samples"], audio.samples * 1024);
    let timecode = ours.timecode.unwrap().start.to_string();
    assert_eq!(py["timecode"], timecode);
    // What it decodes: this version of PyAV tells no colour tags, but how pixels are laid out.
    assert_eq!((&py["codec"], &py["sound"]), (&"h264".into(), &"aac".into()));
    assert_eq!(
        (&py["size"], &py["pixels"]),
        (&serde_json::json!([WIDTH, HEIGHT]), &"yuv420p".into())
    );

    let probe = ffprobe(&file.bytes).unwrap();
    assert_eq!(stream(&probe, "video")["nb_read_packets"], video.samples.to_string());
    assert_eq!(stream(&probe, "video")["duration_ts"], video.duration);
    assert_eq!(stream(&probe, "audio")["nb_read_packets"], audio.samples.to_string());
    assert_eq!(stream(&probe, "audio")["duration_ts"], audio.duration);
    assert_eq!(stream(&probe, "video")["tags"]["timecode"], timecode);
    // Edit lists: both streams begin at 0, in the demuxer and in what is decoded.
    for (kind, first) in [("video", "first_picture"), ("audio", "first_sound")] {
        assert_eq!(stream(&probe, kind)["start_pts"], 0);
        assert_eq!((&py[kind]["first"], &py[first]), (&0.into(), &0.into()), "{kind}");
    }

    let tracks = mediainfo(&file.bytes);
    let of = |kind: &str| tracks.iter().find(|t| t["@type"] == kind).expect(kind);
    assert_eq!(of("Video")["FrameCount"], video.samples.to_string());
    assert_eq!(of("Video")["Duration"], "4.000");
    assert_eq!(of("Audio")["Duration"], "4.000");
    assert_eq!(of("Other")["TimeCode_FirstFrame"], timecode);
    assert_eq!(py["duration"], 4.0);
}
