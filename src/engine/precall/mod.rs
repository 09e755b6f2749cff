//! Before the call: opens what is chosen, listens, looks, and shows it to the screen.
//!
//! Threads: `hz-before` takes levels and pictures twenty times a second, and feeds the window; one a device
//! (`hz-before-mic`, `-spk`, `-cam`) opens and closes, because some systems take seconds for that;
//! `hz-before-list` and `hz-before-net` ask the system and the router. The screen waits for none of
//! them, nor for a lip-sync check (`clapping`). [`Precall::finish`] has closed every device when it returns.

mod choices;
mod clapping;
mod headphones;
mod look;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::av_offset::Remembered;
use super::config::{CallConfig, Role};
use super::doctor::hearing::Speech;
use super::doctor::lipsync::Clapped;
use super::doctor::{self, Finding, Verdict};
use super::events::Events;
use super::offer::Offer;
use super::shared::Shared;
use super::threads::spawn;
use super::window::Window;
use super::{devices, record, recovery};
use crate::audio::meter::{Level, SharedMeter};
use crate::devices::list::SoundDevice;
use crate::devices::spec::{CameraSpec, MicSpec, SpeakerSpec};
use crate::devices::{DeviceEvent, DeviceEvents};
use crate::platform::priority;
use crate::protocol::invite::DEFAULT_PORT;
use crate::recording::h264::{self, VideoParameters};
use crate::recording::sound::SoundFormat;
use crate::recording::{aac, space};
use crate::ui::format;
use crate::ui::model::{Snapshot, Stamped};
use crate::ui::precall::{Checks, DeviceState, Mood, Part, Remark, View, Voice};
use crate::ui::window::process::WindowEvent;
use crate::ui::window::wire::Key;
use choices::Choices;
use clapping::Clapping;
use headphones::Notice;
use look::{Ear, Eye, Pictures, Tone};

/// How often levels are taken.
const TICK: Duration = Duration::from_millis(50);
/// Levels that the test of the microphone takes: six seconds.
const SPEECH: usize = 120;
/// What a minute of FLAC takes is not known before: the PRD's figure (4.3.2), bit/s.
const FLAC_BPS: u64 = 700_000;

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// `--mic`.
    pub mic: MicSpec,
    /// `--speaker`.
    pub speaker: SpeakerSpec,
    /// `--camera`.
    pub camera: CameraSpec,
    /// The camera's delay was measured and kept: it goes before `--av-offset`.
    pub measured: bool,
}

/// What the threads share.
struct Inner {
    config: CallConfig,
    view: Mutex<Arc<View>>,
    choices: Mutex<Choices>,
    stop: AtomicBool,
    meter: Arc<SharedMeter>,
    /// Clipped samples of microphones that were open before.
    clipped_before: AtomicU64,
    pictures: Arc<Pictures>,
    /// The speaker is to play its tone.
    tone: Arc<AtomicBool>,
    /// The one that the call goes on with.
    window: Arc<Window>,
    /// It is to be opened, or closed.
    toggle_window: AtomicBool,
    speech: Mutex<Option<Speech>>,
    clapping: Clapping,
    /// The open microphone's name.
    heard_by: Mutex<String>,
    /// What else could be spoken into.
    microphones: Mutex<Vec<SoundDevice>>,
    offer: Arc<Offer>,
    events: Events,
}

impl Inner {
    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock().unwrap_or_else(|e| e.into_inner());
        change(Arc::make_mut(&mut view));
    }

    fn device(&self, part: Part, state: DeviceState) {
        self.change(|view| view.devices[part as usize].state = state);
    }
}

/// Orders for the thread of a device.
struct Slots {
    mic: mpsc::Sender<MicSpec>,
    speaker: mpsc::Sender<SpeakerSpec>,
    camera: mpsc::Sender<CameraSpec>,
}

impl Slots {
    fn order(&self, part: Part, choices: &Choices) {
        // A thread that could not be started opens nothing; its device says so.
        match part {
            Part::Microphone => drop(self.mic.send(choices.mics.spec())),
            Part::Speaker => drop(self.speaker.send(choices.speakers.spec())),
            Part::Camera => drop(self.camera.send(choices.cameras.spec())),
        }
    }
}

/// See the module.
pub struct Precall {
    inner: Arc<Inner>,
    slots: Arc<Slots>,
    /// Those that have devices open, or open them for a moment.
    threads: Vec<JoinHandle<()>>,
    router: Option<JoinHandle<()>>,
    notice: Notice,
}

impl Precall {
    /// Begins to look at what a call with this configuration would use.
    pub fn start(config: CallConfig) -> Self {
        let (events, news) = Events::new(Arc::new(Shared::default()));
        let offer = Arc::new(Offer::default());
        let output = config.output.clone();
        let inner = Arc::new(Inner {
            choices: Mutex::new(Choices::asked(&config)),
            config,
            view: Mutex::default(),
            stop: AtomicBool::new(false),
            meter: Arc::default(),
            clipped_before: AtomicU64::new(0),
            pictures: Arc::default(),
            tone: Arc::default(),
            window: Arc::default(),
            toggle_window: AtomicBool::new(false),
            speech: Mutex::default(),
            clapping: Clapping::default(),
            heard_by: Mutex::default(),
            microphones: Mutex::default(),
            offer: offer.clone(),
            events,
        });
        let find = move || offer.make(recovery::unfinished(&output));
        // Without the thread nobody is told this time; nothing is lost by it.
        let _ = spawn("hz-find", priority::Role::Low, find);
        let mut threads = Vec::new();
        let slots = Arc::new(open_slots(&inner, &mut threads));
        let (theirs, orders) = (inner.clone(), slots.clone());
        let look = move || list(&theirs, &orders);
        threads.extend(spawn("hz-before-list", priority::Role::Low, look));
        let theirs = inner.clone();
        threads.extend(spawn("hz-before", priority::Role::Normal, move || watch(&theirs, &news)));
        let router = look_at_router(&inner);
        Self { inner, slots, threads, router, notice: Notice::here() }
    }

    /// The person has not read about headphones yet.
    pub fn headphones_asked(&self) -> bool {
        !self.notice.known()
    }

    /// Closes every device; what is still being recovered goes on. `waits`: also for the router,
    /// which then has its port back. The window is as the person left it.
    pub fn finish(self, waits: bool) -> (Chosen, Arc<Window>) {
        let Self { inner, slots, threads, router, .. } = self;
        inner.stop.store(true, Relaxed);
        let measured = inner.clapping.kept();
        clapping::stop(&inner);
        drop(slots);
        for thread in threads {
            let _ = thread.join();
        }
        if let (Some(router), true) = (router, waits) {
            let _ = router.join();
        }
        let chosen = inner.choices.lock().unwrap_or_else(|e| e.into_inner()).chosen();
        (Chosen { measured, ..chosen }, inner.window.clone())
    }
}

impl Checks for Precall {
    fn view(&self) -> Arc<View> {
        self.inner.view.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn choose(&self, part: Part, index: usize) {
        clapping::forget(&self.inner, part);
        let mut choices = self.inner.choices.lock().unwrap_or_else(|e| e.into_inner());
        choices.choose(part, index);
        self.slots.order(part, &choices);
        self.inner.change(|view| {
            let device = &mut view.devices[part as usize];
            device.chosen = index;
            device.state = DeviceState::Opening;
            if part == Part::Microphone {
                view.voice = Voice::Untested;
            }
            if part == Part::Camera {
                view.lipsync = None;
            }
        });
        if part == Part::Microphone {
            *self.inner.speech.lock().unwrap_or_else(|e| e.into_inner()) = None;
            let clipped = self.inner.meter.clipped();
            self.inner.clipped_before.store(clipped, Relaxed);
        }
    }

    fn listen(&self) {
        *self.inner.speech.lock().unwrap_or_else(|e| e.into_inner()) = Some(Speech::new());
        self.inner.change(|view| view.voice = Voice::Listening(0.0));
    }

    fn clap(&self) {
        clapping::toggle(&self.inner);
    }

    fn play(&self) {
        self.inner.tone.store(true, Relaxed);
    }

    fn toggle_window(&self) {
        self.inner.toggle_window.store(true, Relaxed);
    }

    fn recover(&self) {
        self.inner.offer.accept(&self.inner.events, None);
    }

    fn leave_unfinished(&self) {
        self.inner.offer.decline();
    }

    fn headphones_known(&self) {
        if let Err(e) = self.notice.keep() {
            tracing::warn!("the notice about headphones comes again: {e}");
        }
    }
}

/// A finding as the screen shows it.
fn remark(finding: Finding) -> Remark {
    let mood = match finding.state {
        Verdict::Ok => Mood::Good,
        Verdict::Warning => Mood::Caution,
        Verdict::Problem => Mood::Bad,
    };
    Remark { mood, text: finding.detail, remedy: finding.remedy }
}

fn failed(e: &impl ToString) -> DeviceState {
    DeviceState::Failed(remark_of(e, Mood::Bad))
}

/// An error as the screen shows it.
fn remark_of(e: &impl ToString, mood: Mood) -> Remark {
    let text = e.to_string();
    let (what, remedy) = match text.split_once("; ") {
        Some((what, remedy)) => (what.to_owned(), Some(remedy.to_owned())),
        None => (text, None),
    };
    Remark { mood, text: what, remedy }
}

/// Opens and closes one kind of device as it is told to, until nobody tells any more.
fn slot<S: Send + 'static, D: 'static>(
    name: &str,
    part: Part,
    inner: &Arc<Inner>,
    threads: &mut Vec<JoinHandle<()>>,
    open: impl Fn(&Inner, &S, DeviceEvents) -> Result<Option<(D, String)>, super::EngineError>
    + Send
    + 'static,
) -> mpsc::Sender<S> {
    let (orders, ordered) = mpsc::channel();
    let theirs = inner.clone();
    let work = move || {
        let inner = theirs;
        let mut device: Option<D> = None;
        while let Ok(mut wanted) = ordered.recv() {
            // Who goes through a list fast wants the last one.
            while let Ok(newer) = ordered.try_recv() {
                wanted = newer;
            }
            // What is chosen again has to be closed first.
            drop(device.take());
            inner.device(part, DeviceState::Opening);
            let state = match open(&inner, &wanted, fate(&inner, part)) {
                Ok(Some((opened, text))) => {
                    device = Some(opened);
                    DeviceState::Open(text)
                }
                Ok(None) => DeviceState::Off,
                Err(e) => failed(&e),
            };
            inner.device(part, state);
        }
    };
    match spawn(name, priority::Role::Normal, work) {
        Ok(thread) => threads.push(thread),
        Err(e) => inner.device(part, failed(&e)),
    }
    orders
}

/// Tells of a device that goes and comes back while it is looked at.
fn fate(inner: &Arc<Inner>, part: Part) -> DeviceEvents {
    let inner = Arc::downgrade(inner);
    Arc::new(move |event| {
        let Some(inner) = inner.upgrade() else { return };
        match event {
            DeviceEvent::Lost { message, .. } => inner.device(
                part,
                DeviceState::Failed(Remark {
                    mood: Mood::Bad,
                    text: format!("it is gone ({message})"),
                    remedy: Some("plug it in again, or choose another one".to_owned()),
                }),
            ),
            DeviceEvent::Returned { .. } => {
                inner.device(part, DeviceState::Open("it is back".to_owned()));
            }
            _ => {}
        }
    })
}

fn open_slots(inner: &Arc<Inner>, threads: &mut Vec<JoinHandle<()>>) -> Slots {
    let mic = slot("hz-before-mic", Part::Microphone, inner, threads, |inner, spec, events| {
        let config = CallConfig { mic: MicSpec::clone(spec), ..inner.config.clone() };
        inner.clapping.hears(None);
        if config.mic == MicSpec::Off {
            return Ok(None);
        }
        let (clapped, claps) = Clapped::new();
        let ear = Ear(inner.meter.clone(), clapped);
        let microphone = devices::open_microphone(&config, ear, events)?;
        inner.clapping.hears(Some(claps));
        let info = microphone.info();
        *inner.heard_by.lock().unwrap_or_else(|e| e.into_inner()) = info.name.clone();
        let text = info.to_string();
        Ok(Some((microphone, text)))
    });
    let speaker = slot("hz-before-spk", Part::Speaker, inner, threads, |inner, spec, events| {
        let config = CallConfig { speaker: SpeakerSpec::clone(spec), ..inner.config.clone() };
        // A file is for what is heard in the call; opening it now would write one without.
        match &config.speaker {
            SpeakerSpec::Off => return Ok(None),
            SpeakerSpec::File(path) => {
                let text = format!("writes {}", path.display());
                return Ok(Some((None, text)));
            }
            _ => {}
        }
        let speaker = devices::open_speaker(&config, Tone::new(inner.tone.clone()), events)?;
        let text = speaker.info().to_string();
        Ok(Some((Some(speaker), text)))
    });
    let camera = slot("hz-before-cam", Part::Camera, inner, threads, |inner, spec, events| {
        let config = CallConfig { camera: CameraSpec::clone(spec), ..inner.config.clone() };
        inner.pictures.clear();
        inner.clapping.sees(None);
        let camera = devices::open_camera(&config, Eye(inner.pictures.clone()), events)?;
        inner.clapping.sees(camera.as_ref().map(|camera| camera.info().clone()));
        let parameters = camera.as_ref().map(|camera| {
            let info = camera.info();
            record::video_parameters(info.width, info.height)
        });
        let offset = camera
            .as_ref()
            .filter(|camera| !camera.info().synthetic)
            .map(|camera| lipsync(config.av_offset, Remembered::here().get(&camera.info().name)));
        let rate = rate(&inner.config, parameters.as_ref());
        let space = remark(doctor::space(&inner.config.output, Some(rate)));
        inner.change(|view| {
            view.picture = None;
            view.size = format!("about {} an hour", format::bytes(space::hour(rate)));
            view.encoder = encoder(&inner.config, parameters.as_ref());
            (view.space, view.lipsync) = (Some(space), offset);
        });
        Ok(camera.map(|camera| {
            let text = camera.info().to_string();
            (camera, text)
        }))
    });
    Slots { mic, speaker, camera }
}

/// What a recording takes, bit/s.
fn rate(config: &CallConfig, video: Option<&VideoParameters>) -> u64 {
    let sound = match config.audio_format {
        SoundFormat::Aac => u64::from(aac::BITRATE),
        SoundFormat::Flac => FLAC_BPS,
    };
    sound + video.map_or(0, |video| u64::from(video.bitrate_bps))
}

/// What makes it.
fn encoder(config: &CallConfig, video: Option<&VideoParameters>) -> String {
    let format = match config.audio_format {
        SoundFormat::Aac => "AAC",
        SoundFormat::Flac => "FLAC",
    };
    match video {
        Some(video) => {
            let name = config.encoder.as_deref().unwrap_or(h264::available()[0]);
            format!("{name}, {}x{}, {format}", video.width, video.height)
        }
        None => format!("sound alone, {format}"),
    }
}

/// How the picture is placed against the sound: by the offset that was asked for, else by the one that is
/// kept for this camera, microseconds; and how that is found out.
fn lipsync(asked: Option<i64>, kept: Option<i64>) -> Remark {
    let text = match (asked, asked.or(kept).unwrap_or(0)) {
        (Some(_), 0) => "picture as the camera sends it, by --av-offset 0".to_owned(),
        (None, 0) => "this camera's delay is not known; press l and clap to measure it".to_owned(),
        (_, micros) => {
            let way = if micros < 0 { "earlier" } else { "later" };
            let from = if asked.is_some() { "by --av-offset" } else { "as kept for this camera" };
            let ms = micros.abs() as f64 / 1e3;
            format!("picture {ms} ms {way}, {from}; press l and clap to measure it")
        }
    };
    Remark { mood: Mood::Open, text, remedy: None }
}

/// Asks the system what there is, then has opened what is chosen: some sound systems refuse a device
/// to one of the two otherwise.
fn list(inner: &Arc<Inner>, slots: &Slots) {
    let space = remark(doctor::space(&inner.config.output, None));
    inner.change(|view| view.space = Some(space));
    let list = crate::devices::list();
    let mut choices = inner.choices.lock().unwrap_or_else(|e| e.into_inner());
    *inner.microphones.lock().unwrap_or_else(|e| e.into_inner()) = list.microphones.clone();
    choices.take(list);
    let shown = choices.shown();
    inner.change(|view| {
        for (device, (names, chosen)) in view.devices.iter_mut().zip(shown) {
            (device.names, device.chosen) = (names, chosen);
        }
    });
    if !inner.stop.load(Relaxed) {
        for part in [Part::Microphone, Part::Speaker, Part::Camera] {
            slots.order(part, &choices);
        }
    }
}

/// Asks what the router does for a host, or for a guest; nothing where that is not wanted.
fn look_at_router(inner: &Arc<Inner>) -> Option<JoinHandle<()>> {
    let (listen, port_mapping, hosts) = match &inner.config.role {
        Role::Host(host) => (host.listen, host.port_mapping, true),
        Role::Guest(guest) => (guest.listen, guest.port_mapping, false),
        Role::Alone => return None,
    };
    // A socket that listens on one address only is not reached through a router.
    if !port_mapping || listen.is_some_and(|listen| listen.ip().is_loopback()) {
        return None;
    }
    let open = |text: String| Remark { mood: Mood::Open, text, remedy: None };
    let whom = if hosts { "guests" } else { "the others" };
    let asking = open(format!("asking the router to let {whom} in …"));
    inner.change(|view| view.router = Some(asking));
    let theirs = inner.clone();
    let look = move || {
        let found = if hosts {
            let port = listen.map_or(DEFAULT_PORT, |listen| listen.port());
            doctor::reachable(port, &theirs.stop).map(remark)
        } else {
            doctor::opens(&theirs.stop).map(|found| match found {
                Ok(found) => remark(found),
                Err(why) => open(format!("{why}; joining works without the router, too")),
            })
        };
        theirs.change(|view| view.router = found);
    };
    spawn("hz-before-net", priority::Role::Low, look).ok()
}

/// Takes levels and pictures until the end.
fn watch(inner: &Arc<Inner>, news: &mpsc::Receiver<Stamped>) {
    let mut clipped = 0;
    let mut thumbnails = look::Thumbnails::default();
    while !inner.stop.load(Relaxed) {
        std::thread::sleep(TICK);
        let level = inner.meter.take();
        let fresh = level.clipped - clipped;
        clipped = level.clipped;
        let voice = hear(inner, Level { clipped: fresh, ..level });
        show(inner, level);
        let picture = thumbnails.next(&inner.pictures, &inner.window);
        let unfinished = inner.offer.view();
        let told = news.try_iter().last();
        inner.change(|view| {
            view.level = level;
            view.clipped = level.clipped - inner.clipped_before.load(Relaxed);
            view.unfinished = unfinished;
            if let Some(voice) = voice {
                view.voice = voice;
            }
            if let Some(picture) = picture {
                view.picture = Some(Arc::new(picture));
            }
            if let Some(stamped) = told {
                view.news = format::describe(&stamped.event, &format::Names::default());
            }
        });
    }
}

/// Opens, labels or closes the window, and hears what it tells.
fn show(inner: &Inner, level: Level) {
    let window = &inner.window;
    // In the words of a screen that has no call to go on.
    let trouble = |why: String| {
        let text = format!("no preview window: {why}");
        let remedy = Some("press w to try again".to_owned());
        inner.change(|view| view.window = Some(Remark { mood: Mood::Caution, text, remedy }));
    };
    if inner.toggle_window.swap(false, Relaxed) {
        inner.change(|view| view.window = None);
        if window.is_open() {
            window.close();
        } else if let Err(e) = window.open() {
            trouble(e.to_string());
        }
    }
    while let Some(event) = window.poll() {
        match event {
            WindowEvent::Key(Key::Char('w' | 'W')) => window.close(),
            WindowEvent::Key(_) => {
                window.say("before the call: w closes this window, f is the whole screen");
            }
            WindowEvent::Released | WindowEvent::Closed => {}
            WindowEvent::NotOpened { why } | WindowEvent::Died { why } => trouble(why),
        }
    }
    if window.is_open() {
        let view = inner.view.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let camera = &view.devices[Part::Camera as usize].state;
        window.tiles(&Snapshot {
            own_name: inner.config.name.clone(),
            camera_off: matches!(camera, DeviceState::Off | DeviceState::Failed(_)),
            mic_rms_db: level.rms_db,
            ..Snapshot::default()
        });
    }
}

/// Goes on with the test of the microphone, if there is one.
fn hear(inner: &Inner, level: Level) -> Option<Voice> {
    let mut speech = inner.speech.lock().unwrap_or_else(|e| e.into_inner());
    let heard = speech.as_mut()?;
    heard.push(level);
    if heard.levels() < SPEECH {
        return Some(Voice::Listening(heard.levels() as f32 / SPEECH as f32));
    }
    let name = inner.heard_by.lock().unwrap_or_else(|e| e.into_inner()).clone();
    let others = inner.microphones.lock().unwrap_or_else(|e| e.into_inner());
    let found = heard.judge(&name, &others);
    *speech = None;
    Some(Voice::Heard(found.into_iter().map(remark).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_picture_is_placed_and_what_measures_it_is_told() {
        let text = |asked, kept| lipsync(asked, kept).text;
        assert_eq!(
            text(None, Some(-43_000)),
            "picture 43 ms earlier, as kept for this camera; press l and clap to measure it"
        );
        assert!(text(Some(12_500), Some(-43_000)).starts_with("picture 12.5 ms later, by --av"));
        assert!(text(Some(0), Some(-43_000)).starts_with("picture as the camera sends it"));
        assert!(text(None, None).contains("not known; press l and clap"));
    }
}
