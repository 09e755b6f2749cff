//! Reading one `trak`: headers, sample description, and the sums of its tables.
//!
//! Pure but for the reader that comes in as a parameter.

use std::io::{Read, Seek};

use super::input::{BoxAt, Input, children, u16_at, u32_at, u64_at};
use super::parameters::{aac_codec, avc_codec};
use super::samples::Tables;
use super::{Defaults, ReadError, SMALL_BOX, TrackKind, TrackState, TrackSummary};

/// Whether all samples seen so far have one duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Constant {
    /// No sample yet.
    #[default]
    None,
    /// All had this one.
    One(u32),
    /// They differ.
    Varies,
}

impl Constant {
    /// One more sample.
    pub fn see(&mut self, duration: u32) {
        *self = match *self {
            Self::None => Self::One(duration),
            Self::One(known) if known == duration => Self::One(known),
            _ => Self::Varies,
        };
    }

    /// The one duration.
    pub fn get(self) -> Option<u32> {
        match self {
            Self::One(duration) => Some(duration),
            _ => None,
        }
    }
}

/// Reads a `trak`; `None` when it lacks what every track has.
pub fn track<R: Read + Seek>(
    input: &mut Input<'_, R>,
    trak: BoxAt,
    collect: bool,
) -> Result<Option<TrackState>, ReadError> {
    let mut state = TrackState {
        summary: TrackSummary {
            id: 0,
            kind: TrackKind::Other,
            codec: String::new(),
            timescale: 0,
            samples: 0,
            sync_samples: 0,
            duration: 0,
            first_time: 0,
            bytes: 0,
            constant_duration: None,
            edit_start: 0,
            edit_delay: 0,
            width: 0,
            height: 0,
            channels: 0,
            sample_rate: 0,
        },
        defaults: Defaults::default(),
        first_sample: None,
        timecode: None,
        rate: Constant::None,
        samples: collect.then(Vec::new),
        next_time: 0,
        faults: Vec::new(),
        description: Vec::new(),
    };
    for part in children(input, trak.content, trak.end)? {
        match &part.kind {
            b"tkhd" => {
                let b = input.load(part, SMALL_BOX)?;
                let at = if b.first() == Some(&1) { 20 } else { 12 };
                state.summary.id = u32_at(&b, at).unwrap_or(0);
            }
            b"edts" => {
                for elst in children(input, part.content, part.end)? {
                    if &elst.kind == b"elst" {
                        edit_list(input, elst, &mut state)?;
                    }
                }
            }
            b"mdia" => media(input, part, &mut state)?,
            _ => {}
        }
    }
    state.summary.constant_duration = state.rate.get();
    let usable = state.summary.id != 0 && state.summary.timescale != 0;
    Ok(usable.then_some(state))
}

fn edit_list<R: Read + Seek>(
    input: &mut Input<'_, R>,
    elst: BoxAt,
    state: &mut TrackState,
) -> Result<(), ReadError> {
    let mut head = [0; 8];
    if !input.read_exact_at(elst.content, &mut head)? {
        return Ok(());
    }
    let count = u64::from(u32_at(&head, 4).unwrap_or(0));
    let (mut start, mut delay) = (0, 0_u64);
    let mut edit = |duration: u64, media_time: i64| {
        start = media_time;
        if media_time == -1 {
            delay = delay.saturating_add(duration);
        }
        true
    };
    if head[0] == 1 {
        input.entries::<20>(elst.content + 8, elst.end, count, |entry| {
            edit(u64_at(entry, 0).unwrap_or(0), u64_at(entry, 8).unwrap_or(0) as i64)
        })?;
    } else {
        input.entries::<12>(elst.content + 8, elst.end, count, |entry| {
            let duration = u64::from(u32_at(entry, 0).unwrap_or(0));
            edit(duration, i64::from(u32_at(entry, 4).unwrap_or(0) as i32))
        })?;
    }
    state.summary.edit_start = start;
    state.summary.edit_delay = delay;
    Ok(())
}

fn media<R: Read + Seek>(
    input: &mut Input<'_, R>,
    mdia: BoxAt,
    state: &mut TrackState,
) -> Result<(), ReadError> {
    let parts = children(input, mdia.content, mdia.end)?;
    for part in &parts {
        match &part.kind {
            b"mdhd" => {
                let b = input.load(*part, SMALL_BOX)?;
                let at = if b.first() == Some(&1) { 20 } else { 12 };
                state.summary.timescale = u32_at(&b, at).unwrap_or(0);
            }
            b"hdlr" => {
                let b = input.load(*part, SMALL_BOX)?;
                state.summary.kind = match b.get(8..12) {
                    Some(b"vide") => TrackKind::Video,
                    Some(b"soun") => TrackKind::Audio,
                    Some(b"tmcd") => TrackKind::Timecode,
                    _ => TrackKind::Other,
                };
            }
            _ => {}
        }
    }
    for minf in parts.iter().filter(|part| &part.kind == b"minf") {
        for stbl in children(input, minf.content, minf.end)? {
            if &stbl.kind == b"stbl" {
                sample_table(input, stbl, state)?;
            }
        }
    }
    Ok(())
}

fn sample_table<R: Read + Seek>(
    input: &mut Input<'_, R>,
    stbl: BoxAt,
    state: &mut TrackState,
) -> Result<(), ReadError> {
    let mut sync = None;
    let mut tables = Tables::default();
    for part in children(input, stbl.content, stbl.end)? {
        let mut head = [0; 12];
        let read = part.end.saturating_sub(part.content).min(12) as usize;
        if !input.read_exact_at(part.content, &mut head[..read])? {
            continue;
        }
        let count = u64::from(u32_at(&head, 4).unwrap_or(0));
        let table = part.content + 8;
        if state.samples.is_some() {
            tables.read(input, part, count)?;
        }
        match &part.kind {
            b"stsd" => {
                if let Some(entry) = input.box_at(table, part.end)? {
                    sample_entry(input, entry, state)?;
                }
            }
            b"stts" => {
                let (summary, rate) = (&mut state.summary, &mut state.rate);
                input.entries::<8>(table, part.end, count, |entry| {
                    let samples = u32_at(entry, 0).unwrap_or(0);
                    let duration = u32_at(entry, 4).unwrap_or(0);
                    if samples > 0 {
                        rate.see(duration);
                    }
                    let ticks = u64::from(samples) * u64::from(duration);
                    summary.duration = summary.duration.saturating_add(ticks);
                    true
                })?;
            }
            b"stss" => sync = Some(count.min((part.end - table.min(part.end)) / 4)),
            b"stsz" => {
                let fixed = u64::from(u32_at(&head, 4).unwrap_or(0));
                let count = u64::from(u32_at(&head, 8).unwrap_or(0));
                if fixed != 0 {
                    state.summary.samples = count;
                    state.summary.bytes = count.saturating_mul(fixed);
                } else {
                    let summary = &mut state.summary;
                    input.entries::<4>(table + 4, part.end, count, |size| {
                        summary.samples += 1;
                        summary.bytes += u64::from(u32::from_be_bytes(*size));
                        true
                    })?;
                }
            }
            b"stco" if count > 0 => {
                state.first_sample = u32_at(&head, 8).map(u64::from);
            }
            b"co64" if count > 0 => {
                let mut offset = [0; 8];
                if input.read_exact_at(table, &mut offset)? {
                    state.first_sample = Some(u64::from_be_bytes(offset));
                }
            }
            _ => {}
        }
    }
    state.summary.sync_samples = sync.unwrap_or(state.summary.samples);
    if let Some(samples) = &mut state.samples {
        tables.combine(samples, &mut state.faults);
    }
    Ok(())
}

fn sample_entry<R: Read + Seek>(
    input: &mut Input<'_, R>,
    entry: BoxAt,
    state: &mut TrackState,
) -> Result<(), ReadError> {
    let b = input.load(entry, SMALL_BOX)?;
    let summary = &mut state.summary;
    summary.codec = String::from_utf8_lossy(&entry.kind).into_owned();
    let fixed = match summary.kind {
        TrackKind::Video => {
            summary.width = u16_at(&b, 24).unwrap_or(0);
            summary.height = u16_at(&b, 26).unwrap_or(0);
            78
        }
        TrackKind::Audio => {
            summary.channels = u16_at(&b, 16).unwrap_or(0);
            summary.sample_rate = u32_at(&b, 24).unwrap_or(0) >> 16;
            28
        }
        TrackKind::Timecode => {
            let flags = u32_at(&b, 12).unwrap_or(0);
            state.timecode = b.get(24).map(|fps| (*fps, flags));
            return Ok(());
        }
        TrackKind::Other => return Ok(()),
    };
    for child in children(input, entry.content.saturating_add(fixed), entry.end)? {
        if !matches!(&child.kind, b"avcC" | b"esds" | b"dfLa" | b"dOps" | b"btrt") {
            continue;
        }
        let content = input.load(child, SMALL_BOX)?;
        let codec = match &child.kind {
            b"avcC" => avc_codec(&content),
            b"esds" => aac_codec(&content),
            _ => None,
        };
        if let Some(codec) = codec {
            state.summary.codec = codec;
        }
        state.description.push((child.kind, content));
    }
    Ok(())
}
