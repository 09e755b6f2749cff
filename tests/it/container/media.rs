//! Real H.264 and AAC for the container's tests, and the writer fed with them as a call would.

use std::collections::VecDeque;
use std::io;
use std::sync::OnceLock;

use hyperzoom::recording::h264::{OpenH264, Planes, VideoEncoder, VideoParameters};
use hyperzoom::recording::journal::{self, Record};
use hyperzoom::recording::mp4::{
    AudioCoding, AudioTrack, MemoryFile, MovieParameters, Mp4Writer, Operation, RecordingFile,
    Timecode, VideoTrack,
};

pub const WIDTH: u16 = 128;
pub const HEIGHT: u16 = 96;
/// 20:15:00:12.
pub const START_FRAME: u32 = (20 * 3600 + 15 * 60) * 30 + 12;
/// 2026-02-27 20:15:00 UTC.
pub const CREATED: u64 = 1_772_223_300;
pub const SECONDS: usize = 4;
pub const FRAMES: usize = SECONDS * 30;
/// 4 s are 187.5 packets.
pub const PACKETS: usize = 188;

/// A length-prefixed sample, and whether it is a keyframe.
pub type Picture = (Vec<u8>, bool);

/// Four seconds of encoded picture and sound.
pub struct Media {
    pub sps: Vec<u8>,
    pub pps: Vec<u8>,
    pub video: Vec<Picture>,
    pub asc: Vec<u8>,
    pub audio: Vec<Vec<u8>>,
}

pub fn media() -> &'static Media {
    static MEDIA: OnceLock<Media> = OnceLock::new();
    MEDIA.get_or_init(|| {
        let (sps, pps, video) = encode_video();
        let (asc, audio) = encode_audio();
        assert_eq!(video.len(), FRAMES);
        Media { sps, pps, video, asc, audio }
    })
}

fn encode_video() -> (Vec<u8>, Vec<u8>, Vec<Picture>) {
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let parameters = VideoParameters::for_size(WIDTH.into(), HEIGHT.into());
    let mut encoder = OpenH264::with_threads(&parameters, 1).unwrap();
    let mut samples = Vec::new();
    let chroma = vec![128; width * height / 4];
    for frame in 0..FRAMES {
        let luma: Vec<u8> = (0..width * height)
            .map(|at| 40 + ((at % width + at / width + 3 * frame) % 160) as u8)
            .collect();
        let planes =
            Planes { y: &luma, u: &chroma, v: &chroma, stride_y: width, stride_uv: width / 2 };
        encoder.submit(planes, frame as i64).unwrap();
        samples.extend(std::iter::from_fn(|| encoder.poll()).map(|s| (s.data, s.keyframe)));
    }
    for (frame, (_, keyframe)) in samples.iter().enumerate() {
        assert_eq!(*keyframe, frame % 30 == 0, "a keyframe each second");
    }
    let (sps, pps) = encoder.parameter_sets().unwrap();
    (sps, pps, samples)
}

fn encode_audio() -> (Vec<u8>, Vec<Vec<u8>>) {
    use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};
    let encoder = Encoder::new(EncoderParams {
        bit_rate: BitRate::Cbr(192_000),
        sample_rate: 48_000,
        transport: Transport::Raw,
        channels: ChannelMode::Mono,
        audio_object_type: AudioObjectType::Mpeg4LowComplexity,
    })
    .unwrap();
    let info = encoder.info().unwrap();
    let asc = info.confBuf[..info.confSize as usize].to_vec();
    let mut packets = Vec::new();
    let mut sample = 0_u32;
    while packets.len() < PACKETS {
        let pcm: Vec<i16> = (0..1024)
            .map(|n| (f64::from(sample + n) * 440.0 * 0.000_130_9).sin() * 8000.0)
            .map(|value| value as i16)
            .collect();
        sample += 1024;
        let mut out = [0; 2048];
        let encoded = encoder.encode(&pcm, &mut out).unwrap();
        if encoded.output_size > 0 {
            packets.push(out[..encoded.output_size].to_vec());
        }
    }
    (asc, packets)
}

pub fn parameters() -> MovieParameters {
    let media = media();
    MovieParameters {
        video: Some(VideoTrack {
            width: WIDTH,
            height: HEIGHT,
            sps: media.sps.clone(),
            pps: media.pps.clone(),
            bitrate: 18_000_000,
        }),
        audio: Some(AudioTrack {
            coding: AudioCoding::Aac,
            configuration: media.asc.clone(),
            bitrate: 192_000,
            priming_samples: 0,
            samples_per_packet: 1024,
        }),
        timecode: Timecode { start_frame: START_FRAME },
        created_utc_seconds: CREATED,
    }
}

/// A writer that got everything, interleaved by time, but was not ended.
pub fn written(parameters: MovieParameters) -> Mp4Writer<MemoryFile> {
    let media = media();
    let mut writer = Mp4Writer::create(MemoryFile::new(), parameters.clone()).unwrap();
    let mut packets = media.audio.iter().enumerate().peekable();
    for (frame, (sample, keyframe)) in media.video.iter().enumerate() {
        if parameters.video.is_some() {
            writer.video(sample, frame as i64, *keyframe).unwrap();
        }
        let until = (frame + 1) * 1600;
        while let Some((_, packet)) = packets.next_if(|(n, _)| n * 1024 < until) {
            if parameters.audio.is_some() {
                writer.audio(packet, 1024).unwrap();
            }
        }
    }
    writer
}

/// One thing that a recorder does to the file or to the journal beside it.
#[derive(Clone, Debug)]
pub enum Deed {
    File(Operation),
    Journal(Vec<u8>),
}

/// Everything that a recorder does to make the four seconds, in order. What it orders comes about
/// `lag` writes later, as where a thread waits for the disk. `ended`: up to the clean end.
pub fn deeds(lag: usize, ended: bool) -> Vec<Deed> {
    let media = media();
    let parameters = parameters();
    let mut deeds = vec![Deed::Journal(journal::header(&parameters).unwrap())];
    let mut writer = Mp4Writer::create(Late::new(lag), parameters).unwrap();
    let timecode = writer.timecode_placed();
    let mut note = |writer: &mut Mp4Writer<Late>, placed, sample: &[u8]| {
        deeds.extend(writer.file_mut().inner.log.drain(..).map(Deed::File));
        deeds.push(Deed::Journal(Record::new(placed, sample).to_bytes().to_vec()));
    };
    note(&mut writer, timecode, &START_FRAME.to_be_bytes());
    let mut packets = media.audio.iter().enumerate().peekable();
    for (frame, (sample, keyframe)) in media.video.iter().enumerate() {
        let placed = writer.video(sample, frame as i64, *keyframe).unwrap();
        note(&mut writer, placed, sample);
        while let Some((_, packet)) = packets.next_if(|(n, _)| n * 1024 < (frame + 1) * 1600) {
            let placed = writer.audio(packet, 1024).unwrap();
            note(&mut writer, placed, packet);
        }
    }
    if ended {
        writer.end_audio(FRAMES as u64 * 1600);
        writer.finalise().unwrap();
    }
    deeds.extend(writer.into_file().inner.log.into_iter().map(Deed::File));
    deeds
}

/// What lies on the disk after these deeds: file and journal.
pub fn done(deeds: &[Deed]) -> (MemoryFile, Vec<u8>) {
    let (mut file, mut journal) = (MemoryFile::new(), Vec::new());
    for deed in deeds {
        match deed {
            Deed::File(operation) => operation.apply(&mut file.bytes),
            Deed::Journal(bytes) => journal.extend_from_slice(bytes),
        }
    }
    (file, journal)
}

/// A file in memory that does what was ordered some writes later.
pub struct Late {
    pub inner: MemoryFile,
    orders: VecDeque<Option<(u64, Vec<u8>)>>,
    lag: usize,
    waited: usize,
}

impl Late {
    pub fn new(lag: usize) -> Self {
        Self { inner: MemoryFile::new(), orders: VecDeque::new(), lag, waited: 0 }
    }

    fn one(&mut self) -> io::Result<()> {
        match self.orders.pop_front() {
            Some(Some((offset, data))) => self.inner.write_at(offset, &data),
            Some(None) => self.inner.sync(),
            None => Ok(()),
        }
    }

    fn enqueue(&mut self, order: Option<(u64, Vec<u8>)>) -> io::Result<()> {
        if self.orders.is_empty() {
            self.waited = 0;
        }
        self.orders.push_back(order);
        if self.lag == 0 { self.one() } else { Ok(()) }
    }
}

impl RecordingFile for Late {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, data)?;
        self.waited += 1;
        if self.waited >= self.lag { self.one() } else { Ok(()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        while !self.orders.is_empty() {
            self.one()?;
        }
        self.inner.sync()
    }
    fn order(&mut self) -> io::Result<()> {
        self.enqueue(None)
    }
    fn write_ordered(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.enqueue(Some((offset, data.to_vec())))
    }
    fn reserve(&mut self, until: u64) -> io::Result<()> {
        self.inner.reserve(until)
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }
    fn len(&mut self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }
}
