//! Sends a WAV (48 kHz) through the live audio path in virtual time and writes what is heard: encoder,
//! copies and silence, a line that loses and delays, playout. `scripts/measure-quality` listens.
//!
//! `degrade IN OUT [loss=0.05] [burst=1] [jitter=10] [lines=1] [copies=1,3] [frame=5|2.5] [kbps=32] [seed=1]
//! [dtx=1] [block=64] [alone=1]`; with `block` a card calls back for so many samples, else one is written
//! when it must be; with `alone` the decoder gets the same frames without a playout buffer.

use std::error::Error;

use hyperzoom::audio::redundancy::{Packer, Plan, Said};
use hyperzoom::audio::{
    FrameLength, MAX_AUDIO_PAYLOAD, PlayoutBuffer, ReceivedAudio, TalkDecoder, TalkEncoder,
    parse_payload,
};
use hyperzoom::units::Micros;

/// Samples written at a time at least where a card is written when it must be.
const LEAST: usize = 4;
/// And at most.
const MOST: usize = 240;

struct Options(Vec<(String, String)>);

impl Options {
    fn get(&self, name: &str, default: f64) -> Result<f64, Box<dyn Error>> {
        match self.0.iter().find(|(key, _)| key == name) {
            Some((_, value)) => Ok(value.parse()?),
            None => Ok(default),
        }
    }
}

/// Evenly spread from 0 to 1, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(output)) = (args.next(), args.next()) else {
        return Err("usage: degrade IN.wav OUT.wav [NAME=VALUE ...]".into());
    };
    let options = args.filter_map(|a| a.split_once('=').map(|(k, v)| (k.into(), v.into())));
    let options = Options(options.collect());
    let copies: Vec<u8> = match options.0.iter().find(|(key, _)| key == "copies") {
        Some((_, list)) => list
            .split(',')
            .filter(|k| !k.is_empty())
            .map(str::parse::<u8>)
            .collect::<Result<Vec<u8>, _>>()?,
        None => Vec::new(),
    };
    let half = options.get("frame", 5.0)? == 2.5;
    let length = if half { FrameLength::Half } else { FrameLength::Full };

    let mut reader = hound::WavReader::open(input)?;
    let said: Vec<f32> = reader
        .samples::<i16>()
        .map(|s| s.map(|s| f32::from(s) / 32_768.0))
        .collect::<Result<_, _>>()?;

    // Encode, lose, delay.
    let bitrate = options.get("kbps", 32.0)? as i32 * 1_000;
    let dtx = options.get("dtx", 0.0)? != 0.0;
    let mut encoder =
        if dtx { TalkEncoder::with_dtx(bitrate)? } else { TalkEncoder::new(bitrate)? };
    let (mut talk, mut packer) = (Said::new(length), Packer::new());
    packer.set_plan(Plan::copies(&copies));
    let (loss, jitter) = (options.get("loss", 0.0)?, options.get("jitter", 0.0)? * 1e3);
    let burst = options.get("burst", 1.0)?.max(1.0 / (1.0 - loss));
    let mut random = Random(options.get("seed", 1.0)? as u64);
    // Each line behind the other draws its own jitter and keeps the order.
    let mut lines = vec![0.0f64; options.get("lines", 1.0)? as usize];
    let (mut bad, mut wire, mut arrivals) = (false, 0, Vec::new());
    let samples = length.samples();
    for (n, pcm) in said.chunks_exact(samples).enumerate() {
        let (mut frame, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
        let len = encoder.encode(pcm, &mut frame)?;
        if !talk.say(n as u64, &frame[..len], TalkEncoder::is_silence(&frame[..len])) {
            continue;
        }
        while let Some((number, len)) = packer.next(&talk, n as u64, &mut payload) {
            // IPv4, UDP, header, tag.
            wire += 20 + 8 + 12 + 16 + len;
            let draw = random.next();
            bad = if bad { draw >= 1.0 / burst } else { draw < loss / (burst * (1.0 - loss)) };
            let mut at = ((n + 1) * samples) as f64 / 0.048 + 5_000.0;
            for last in &mut lines {
                at += random.next() * jitter;
                if !bad {
                    *last = at.max(*last);
                    at = *last;
                }
            }
            if !bad {
                arrivals.push((at, number, payload[..len].to_vec()));
            }
        }
    }
    let seconds = said.len() as f64 / 48_000.0;
    let heard = if options.get("alone", 0.0)? != 0.0 {
        decode_alone(&arrivals, said.len() / samples, samples)?
    } else {
        play(&arrivals, said.len(), options.get("block", 0.0)? as usize)?
    };

    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(output, spec)?;
    for sample in heard {
        writer.write_sample((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16)?;
    }
    writer.finalize()?;
    println!("{:.0} kbit/s on the wire", f64::from(wire as u32) * 8.0 / 1e3 / seconds);
    Ok(())
}

/// The decoder with every frame that any packet brought, and concealment for the others.
fn decode_alone(
    arrivals: &[(f64, u64, Vec<u8>)],
    frames: usize,
    samples: usize,
) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut held: Vec<Option<Vec<u8>>> = vec![None; frames];
    for (_, number, payload) in arrivals {
        for frame in parse_payload(payload)?.frames() {
            let at = *number as usize - usize::from(frame.back);
            held[at].get_or_insert_with(|| frame.data.to_vec());
        }
    }
    let mut decoder = TalkDecoder::new()?;
    let mut heard = vec![0.0; frames * samples];
    for (frame, pcm) in held.iter().zip(heard.chunks_exact_mut(samples)) {
        match frame {
            Some(data) => decoder.decode(data, pcm)?,
            None => decoder.conceal(pcm),
        }
    }
    Ok(heard)
}

fn play(
    arrivals: &[(f64, u64, Vec<u8>)],
    samples: usize,
    block: usize,
) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut arrivals = arrivals.iter().peekable();
    let mut buffer = PlayoutBuffer::new()?;
    let mut heard = Vec::new();
    let mut depth = 0.0;
    while heard.len() < samples + 48_000 / 10 {
        let now = heard.len() as f64 / 0.048;
        while let Some((at, number, payload)) = arrivals.next_if(|a| a.0 <= now) {
            buffer.push(&ReceivedAudio { sequence: *number, payload }, Micros(*at as i64));
        }
        let (mut out, now) = (vec![0.0; block.max(LEAST)], Micros(now as i64));
        if block > 0 {
            buffer.pull(&mut out, now);
        } else {
            buffer.pull_on_time(&mut out, now);
            out.resize((LEAST + buffer.settled()).min(MOST), 0.0);
            buffer.go_on(&mut out[LEAST..]);
        }
        heard.extend_from_slice(&out);
        depth += f64::from(buffer.stats().depth_ms) * out.len() as f64;
    }
    let stats = buffer.stats();
    let concealed = stats.concealed_samples as f64 * 100.0 / stats.played_samples.max(1) as f64;
    let depth = depth / heard.len() as f64;
    println!("depth {depth:.1} ms, concealed {concealed:.2} %, late {}", stats.late);
    Ok(heard)
}
