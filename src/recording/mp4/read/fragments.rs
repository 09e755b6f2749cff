//! Reading one `moof`: adds its samples, as far as their bytes are in the file, to the tracks.
//!
//! Pure but for the reader that comes in as a parameter.

use std::io::{Read, Seek};

use super::input::{BoxAt, Input, children, u32_at, u64_at};
use super::{Defaults, Movie, ReadError, SMALL_BOX, SampleAt, TrackState};

/// `sample_is_non_sync_sample` (ISO 14496-12, 8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// One track fragment's header.
struct Header {
    base: u64,
    defaults: Defaults,
    time: Option<u64>,
}

/// Reads a fragment; true when all samples it lists are in the file.
pub fn read<R: Read + Seek>(
    input: &mut Input<'_, R>,
    moof: BoxAt,
    movie: &mut Movie,
) -> Result<bool, ReadError> {
    let mut whole = true;
    for traf in children(input, moof.content, moof.end)? {
        if &traf.kind != b"traf" {
            continue;
        }
        let parts = children(input, traf.content, traf.end)?;
        let Some(tfhd) = parts.iter().find(|part| &part.kind == b"tfhd") else { continue };
        let b = input.load(*tfhd, SMALL_BOX)?;
        let (Some(flags), Some(id)) = (u32_at(&b, 0), u32_at(&b, 4)) else { continue };
        let Some(track) = movie.track(id) else { continue };
        let mut header = track_header(&b, flags, moof.start, track.defaults);
        // A track fragment without a time goes on where the one before it ended.
        header.time = Some(track.next_time);
        for part in &parts {
            match &part.kind {
                b"tfdt" => {
                    let b = input.load(*part, SMALL_BOX)?;
                    header.time = match b.first() {
                        Some(1) => u64_at(&b, 4),
                        _ => u32_at(&b, 4).map(u64::from),
                    };
                    track.next_time = header.time.unwrap_or(track.next_time);
                }
                b"trun" => whole &= run(input, *part, &header, track)?,
                _ => {}
            }
        }
        track.summary.constant_duration = track.rate.get();
    }
    Ok(whole)
}

fn track_header(b: &[u8], flags: u32, moof: u64, trex: Defaults) -> Header {
    let mut header = Header { base: moof, defaults: trex, time: None };
    let mut at = 8;
    if flags & 0x1 != 0 {
        header.base = u64_at(b, at).unwrap_or(moof);
        at += 8;
    }
    if flags & 0x2 != 0 {
        at += 4;
    }
    let mut optional = |flag: u32, value: &mut u32| {
        if flags & flag != 0 {
            *value = u32_at(b, at).unwrap_or(*value);
            at += 4;
        }
    };
    optional(0x8, &mut header.defaults.duration);
    optional(0x10, &mut header.defaults.size);
    optional(0x20, &mut header.defaults.flags);
    header
}

/// One run; true when all its samples are in the file.
fn run<R: Read + Seek>(
    input: &mut Input<'_, R>,
    trun: BoxAt,
    header: &Header,
    track: &mut TrackState,
) -> Result<bool, ReadError> {
    let mut head = [0; 16];
    let read = trun.end.saturating_sub(trun.content).min(16) as usize;
    if read < 8 || !input.read_exact_at(trun.content, &mut head[..read])? {
        return Ok(false);
    }
    let flags = u32_at(&head, 0).unwrap_or(0);
    let count = u64::from(u32_at(&head, 4).unwrap_or(0));
    let mut at = 8;
    let mut offset = header.base;
    if flags & 0x1 != 0 {
        let relative = u32_at(&head, at).unwrap_or(0) as i32;
        offset = offset.saturating_add_signed(i64::from(relative));
        at += 4;
    }
    let mut first_flags = None;
    if flags & 0x4 != 0 {
        first_flags = u32_at(&head, at);
        at += 4;
    }
    let fields = [0x100, 0x200, 0x400, 0x800].map(|flag| flags & flag != 0);
    let words = fields.iter().filter(|present| **present).count() as u64;
    let length = input.length();
    let table = trun.content + at as u64;
    if words > 0 && table.saturating_add(count * words * 4) > trun.end {
        return Ok(false);
    }

    let mut whole = true;
    let mut one = |duration: u32, size: u32, flags: u32| {
        let end = offset.saturating_add(u64::from(size));
        if end > length {
            whole = false;
            return false;
        }
        let summary = &mut track.summary;
        if summary.samples == 0 {
            summary.first_time = header.time.unwrap_or(0);
            track.first_sample = Some(offset);
        }
        summary.samples += 1;
        summary.sync_samples += u64::from(flags & NON_SYNC == 0);
        summary.duration = summary.duration.saturating_add(u64::from(duration));
        summary.bytes = summary.bytes.saturating_add(u64::from(size));
        track.rate.see(duration);
        if let Some(samples) = &mut track.samples {
            let (time, sync) = (track.next_time, flags & NON_SYNC == 0);
            samples.push(SampleAt { offset, time, size, duration, sync });
        }
        track.next_time = track.next_time.saturating_add(u64::from(duration));
        offset = end;
        true
    };

    let mut index = 0;
    let mut sample = |words: &[u32; 4]| {
        let duration = if fields[0] { words[0] } else { header.defaults.duration };
        let size = if fields[1] { words[1] } else { header.defaults.size };
        let own = if fields[2] { words[2] } else { header.defaults.flags };
        let flags = first_flags.filter(|_| index == 0).unwrap_or(own);
        index += 1;
        one(duration, size, flags)
    };
    if words == 0 {
        // No table bounds the count; a sample has at least one byte, so the file does.
        let most = if header.defaults.size == 0 { 0 } else { count };
        for _ in 0..most {
            if !sample(&[0; 4]) {
                break;
            }
        }
        return Ok(whole && most == count);
    }
    let mut gathered = [0; 4];
    let present: Vec<usize> = (0..4).filter(|field| fields[*field]).collect();
    let mut filled = 0;
    input.entries::<4>(table, trun.end, count * words, |word| {
        gathered[present[filled]] = u32::from_be_bytes(*word);
        filled += 1;
        if filled < present.len() {
            return true;
        }
        filled = 0;
        sample(&gathered)
    })?;
    Ok(whole)
}
