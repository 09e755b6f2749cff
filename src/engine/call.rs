//! A running call or recording: opens everything, starts the threads, hands out events.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;

use super::addresses::AddressWatch;
use super::av_offset::{self, Remembered};
use super::call_state::CallState;
use super::capture::{MicEnds, MicTap};
use super::config::{CallConfig, GuestConfig, HostConfig, Role};
use super::congestion::Congestion;
use super::control::{self, Ask, Control};
use super::error::EngineError;
use super::events::Events;
use super::folder::SessionFolder;
use super::live_video::{self, LiveVideo};
use super::offer::Offer;
use super::paths::Paths;
use super::playback::{Playback, ToneCue};
use super::portmap::{self, Inviting};
use super::quiet::Quiet;
use super::receive::{Receive, UNSEALED};
use super::record::{self, CameraTap, Parts, RecordShared, Recorder, SoundOptions, Start};
use super::safety::{self, Safety, SafetyNews, SafetyTap};
use super::shared::Shared;
use super::sleep::SleepSensor;
use super::supervise::{Outcome, Supervisor, Threads};
use super::talk::{Talk, VideoOut};
use super::threads::spawn;
use super::window::Window;
use super::{devices, net, recovery};
use crate::audio::codec::TalkEncoder;
use crate::audio::mixer::{PeerFeed, PlayoutGauge, mixer};
use crate::clock::Follower;
use crate::net::portmap::PortMapper;
use crate::net::socket::CallSocket;
use crate::platform::timers::FineTimers;
use crate::platform::{clock, priority};
use crate::protocol::handshake::SessionStart;
use crate::protocol::mesh::Mesh;
use crate::ui::format::quoted;
use crate::ui::model::{Command, Event, Snapshot, Stamped};
use crate::ui::notice::Notice;
use crate::units::{MAX_PARTICIPANTS, ParticipantId, SessionMicros};
use crate::video::vp8::Vp8Encoder;

/// A running call or recording. It goes on until [`Command::End`], whoever looks.
pub struct Call {
    events: mpsc::Receiver<Stamped>,
    /// See [`Supervisor::commands`].
    commands: mpsc::Sender<Option<Command>>,
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    shared: Arc<Shared>,
    log: Events,
    supervisor: JoinHandle<Outcome>,
    // Held to the end of the call: its threads wait for milliseconds.
    _timers: FineTimers,
}

impl Call {
    /// Opens devices, socket and folder and starts. Nothing is left behind when it fails.
    ///
    /// `window`: the preview window, perhaps open already from before the call.
    pub fn start(config: CallConfig, window: Arc<Window>) -> Result<Self, EngineError> {
        record::check_output(&config.output)?;
        let timers = FineTimers::ask();
        let shared = Arc::new(Shared::default());
        let (_, _, asleep) = clock::sleep_reading();
        shared.watch_sleep(asleep);
        shared.muted.store(config.mute, Relaxed);
        shared.camera_off.store(config.camera_off, Relaxed);
        let (events, event_end) = Events::new(shared.clone());
        let log = events.clone();
        let offer = Arc::new(Offer::default());
        if config.find_unfinished {
            tell_of_unfinished(&config.output, &events, offer.clone());
        }
        let result = assemble(config, window, shared.clone(), events, offer).and_then(
            |(supervisor, commands)| {
                let snapshot = supervisor.snapshot.clone();
                let (shared, news) = (shared.clone(), log.clone());
                let run = move || supervise(supervisor, &shared, &news);
                let supervisor = spawn("hz-supervise", priority::Role::Normal, run)?;
                Ok((supervisor, commands, snapshot))
            },
        );
        if result.is_err() {
            // Threads that did start see this and end.
            shared.abort.store(true, Relaxed);
            shared.stop.store(true, Relaxed);
        }
        let (supervisor, commands, snapshot) = result?;
        Ok(Self { events: event_end, commands, snapshot, shared, log, supervisor, _timers: timers })
    }

    /// Where events come out; [`Event::Ended`] is the last.
    pub fn events(&self) -> &mpsc::Receiver<Stamped> {
        &self.events
    }

    /// The newest picture of everything.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Asks for something; returns at once. Mute and camera have changed when it returns.
    pub fn command(&self, command: Command) {
        let switched = self.shared.switch(&command);
        // An ended call has nobody who would obey.
        let _ = self.commands.send((!switched).then_some(command));
    }

    /// Adds a line to the session's log: what libraries print, say.
    pub fn log(&self, line: &str) {
        self.log.log(line);
    }

    /// Stops without finishing the file, which stays recoverable.
    pub fn abort(&self) {
        self.shared.abort.store(true, Relaxed);
    }

    /// Waits for the end.
    pub fn join(self) -> Outcome {
        self.supervisor.join().unwrap_or_else(|_| Outcome::failed())
    }
}

/// Recordings told of one by one at a start; of more only how many.
const MOST_TOLD: usize = 3;

/// Tells of recordings in the output folder that an earlier run could not end, and how to save
/// them. On a thread of its own: a slow disk delays no call, and no answer is waited for.
fn tell_of_unfinished(output: &Path, events: &Events, offer: Arc<Offer>) {
    let (output, events) = (output.to_owned(), events.clone());
    let look = move || {
        let found = recovery::unfinished(&output);
        // A session's files are one recording to a person.
        let sessions: Vec<&[PathBuf]> = found.chunk_by(|a, b| a.parent() == b.parent()).collect();
        for session in sessions.iter().take(MOST_TOLD) {
            let path = match session {
                [path] => path,
                [path, ..] => path.parent().unwrap_or(path),
                [] => continue,
            };
            let command = format!("hyperzoom recover {}", quoted(path));
            let path = path.display().to_string();
            events.notice(&Notice::Unfinished { path, command });
        }
        if sessions.len() > MOST_TOLD {
            let command = format!("hyperzoom recover {}", quoted(&output));
            events.notice(&Notice::ManyUnfinished { count: sessions.len(), command });
        }
        offer.make(found);
    };
    // Without the thread nobody is told this time; nothing is lost by it.
    let _ = spawn("hz-find", priority::Role::Low, look);
}

/// Runs the supervisor. Whatever becomes of it, whoever waits for the end hears of it.
fn supervise(supervisor: Supervisor, shared: &Shared, events: &Events) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(|| supervisor.run())).unwrap_or_else(|_| {
        shared.abort.store(true, Relaxed);
        shared.stop.store(true, Relaxed);
        events.notice(&Notice::ProgramFault);
        events.send(Event::Ended { reason: "error".to_owned() });
        Outcome::failed()
    });
    events.close_log();
    outcome
}

/// The network side of a call, until its threads run.
struct Network {
    socket: Arc<CallSocket>,
    mesh: Mesh,
    host: bool,
    start: Option<SessionStart>,
    port_mapping: bool,
    inviting: Option<Inviting>,
}

fn assemble(
    config: CallConfig,
    window: Arc<Window>,
    shared: Arc<Shared>,
    events: Events,
    offer: Arc<Offer>,
) -> Result<(Supervisor, mpsc::Sender<Option<Command>>), EngineError> {
    let (device_events, device_news) = devices::events();
    let state = Arc::new(Mutex::new(CallState::default()));
    let record_shared = Arc::new(RecordShared::default());
    let (frame_in, frame_out) = mpsc::channel();
    let newest = Arc::new(Mutex::new(None));
    let live_thread = Arc::new(OnceLock::new());
    let camera_tap =
        CameraTap::new(record_shared.clone(), frame_in, newest.clone(), live_thread.clone())
            .later_by({
                let (asked, events) = (config.av_offset, events.clone());
                move |info| av_offset::settle(asked, info, &Remembered::here(), &events)
            });
    let camera = devices::open_camera(&config, camera_tap, device_events.clone())?;
    let video_parameters = camera.as_ref().map(|c| {
        let info = c.info();
        record::video_parameters(info.width, info.height)
    });
    let encoder = match &video_parameters {
        Some(p) => Some(record::open_encoder(config.encoder.as_deref(), p)?),
        None => None,
    };
    let network = match &config.role {
        Role::Alone => None,
        Role::Host(host) => Some(open_host(host, &config, &shared, &events, &state)?),
        Role::Guest(guest) => Some(open_guest(guest, &config, &events)?),
    };

    let (tap, mic_ends) = MicTap::new(network.is_some());
    let MicEnds { live, record: record_samples, meter, losses, talk: talk_thread } = mic_ends;

    let (playback, feeds) = mixer(MAX_PARTICIPANTS).map_err(|e| EngineError::Codec {
        what: "cannot open the Opus decoder",
        reason: e.to_string(),
        remedy: "please report this",
    })?;

    let cue = Arc::new(ToneCue::default());
    let microphone = devices::open_microphone(&config, tap, device_events.clone())?;
    let speaker = match network {
        Some(_) => Some(devices::open_speaker(
            &config,
            Playback::new(playback, cue.clone()),
            device_events,
        )?),
        None => None,
    };

    let folder = Arc::new(SessionFolder::new(
        config.output.clone(),
        config.session.clone(),
        config.name.clone(),
    ));
    let (make_folder, told) = (folder.clone(), state.clone());
    let (encoder_name, parameters) = (config.encoder.clone(), video_parameters);
    let make_encoder = move || {
        let parameters = parameters.expect("only a camera's pictures are encoded");
        record::open_encoder(encoder_name.as_deref(), &parameters)
    };
    let recorder = Recorder::start(Parts {
        shared: shared.clone(),
        record: record_shared.clone(),
        events: events.clone(),
        samples: record_samples,
        camera: video_parameters.zip(encoder).map(|(p, e)| (frame_out, p, e)),
        encoders: Box::new(make_encoder),
        folder: Arc::new(move |start: &Start, file: &str| {
            let session = told.lock().unwrap_or_else(|e| e.into_inner()).session.clone();
            make_folder.make(start, session.and_then(|s| s.name).as_deref(), file)
        }),
        sound: SoundOptions {
            format: config.audio_format,
            raw: config.raw_audio,
            keep_muted: config.record_while_muted,
            tone: config.tone,
            duration: config.duration,
            cue,
        },
        microphone: microphone.info().name.clone(),
        log: Some(folder.clone()),
    })?;

    let mut tracks = None;
    let mut ends = None;
    if network.is_some() && config.safety_tracks {
        let parts = safety::Parts {
            shared: shared.clone(),
            record: record_shared.clone(),
            events: events.clone(),
            folder: folder.clone(),
        };
        match Safety::start(parts) {
            Ok((safety, tap, news)) => (tracks, ends) = (Some(safety), Some((tap, news))),
            Err(e) => events.notice(&Notice::NoSafetyTracks { why: e.to_string() }),
        }
    }

    let mut threads = Threads::default();
    let mut video_out: Option<VideoOut> = None;
    let mut ask = None;
    let mut feeds_stats: Vec<_> = Vec::new();
    let (mut port_mapper, mut addresses) = (None, None);
    let mut alone = None;
    if let (Some(network), Some(live)) = (network, live) {
        let (listen, inviting) = (network.socket.local_addr(), network.inviting.clone());
        if network.port_mapping {
            port_mapper = portmap::start(listen, inviting, &events, &state);
        } else {
            portmap::without(listen, inviting.as_ref(), &events);
        }
        let started = start_network(NetworkParts {
            network,
            live,
            feeds,
            config: &config,
            shared: &shared,
            events: &events,
            state: &state,
            record: &record_shared,
            window: &window,
            talk_thread: &talk_thread,
            safety: ends,
        })?;
        video_out = Some(started.video);
        addresses = watch_addresses(listen, started.ask.clone(), port_mapper.as_ref(), &events)?;
        ask = Some(started.ask);
        feeds_stats = started.stats;
        threads = started.threads;
    } else {
        // A recorder alone: the local clock is the session's, and T0 is now.
        let zero = clock::now();
        shared.set_clock_offset(-zero.0);
        alone = Some((SleepSensor::new(&shared), Follower::holder(zero)));
        let (epoch_utc_micros, utc_offset_seconds) = net::utc_now();
        state.lock().unwrap_or_else(|e| e.into_inner()).session = Some(SessionStart {
            session_id: net::random(),
            epoch_utc_micros,
            utc_offset_seconds,
            name: config.session.clone(),
        });
        Recorder::begin(
            &record_shared,
            Start { t0: SessionMicros(0), first_slot: 0, epoch_utc_micros, utc_offset_seconds },
        );
        events.send(Event::Ready { listen: String::new(), invite: None, public: None });
    }

    if camera.is_some() {
        let vp8 = match video_out {
            Some(out) => {
                let encoder = Vp8Encoder::new(&live_video::config(config.video_kbps));
                let encoder = encoder.map_err(|e| EngineError::Codec {
                    what: "cannot open the VP8 encoder",
                    reason: e.to_string(),
                    remedy: "try another --video-bitrate",
                })?;
                Some((encoder, out))
            }
            None => None,
        };
        let live =
            LiveVideo { shared: shared.clone(), newest, encoder: vp8, window: window.clone() };
        let handle = spawn("hz-live-video", priority::Role::Low, move || live.run())?;
        let _ = live_thread.set(handle.thread().clone());
        threads.finishing.push(handle);
    }

    if config.window
        && !window.is_open()
        && let Err(e) = window.open()
    {
        events.notice(&Notice::WindowNotStarted { why: e.to_string() });
    }

    let (commands, command_end) = mpsc::channel();
    let supervisor = Supervisor {
        config,
        shared,
        events,
        state,
        record: record_shared,
        recorder: Some(recorder),
        tracks,
        folder,
        offer,
        window,
        microphone: Some(microphone),
        speaker,
        camera,
        meter,
        losses,
        feeds: feeds_stats,
        device_news,
        commands: command_end,
        ask,
        threads,
        port_mapper,
        addresses,
        snapshot: Arc::default(),
        disk_silent: false,
        quiet: Quiet::default(),
        alone,
        closing: None,
        second: 0,
    };
    Ok((supervisor, commands))
}

fn open_host(
    host: &HostConfig,
    config: &CallConfig,
    shared: &Shared,
    events: &Events,
    state: &Mutex<CallState>,
) -> Result<Network, EngineError> {
    let socket = net::bind(host.listen, Some(7_000))?;
    let listen = socket.local_addr();
    let (epoch_utc_micros, utc_offset_seconds) = net::utc_now();
    let zero = clock::now();
    shared.set_clock_offset(-zero.0);
    let start = SessionStart {
        session_id: net::random(),
        epoch_utc_micros,
        utc_offset_seconds,
        name: config.session.clone(),
    };
    let key = crate::protocol::invite::InviteKey(host.key.unwrap_or_else(net::random));
    let local = net::local(config, listen);
    let invite = net::invite(host.public.as_deref(), listen, &local.addresses, &key);
    let mesh =
        Mesh::host(local, host.admit, key, start.clone(), host.record_now, zero, net::randomness());
    {
        let mut state = state.lock().unwrap_or_else(|e| e.into_inner());
        state.own_id = Some(ParticipantId::HOST);
        state.session = Some(start.clone());
    }
    state.lock().unwrap_or_else(|e| e.into_inner()).invite_line =
        Some(format!("hyperzoom join '{invite}'"));
    events.send(Event::Ready {
        listen: listen.to_string(),
        invite: Some(invite.to_string()),
        public: host.public.clone(),
    });
    let inviting = Some(Inviting { key, public_told: host.public.is_some() });
    let port_mapping = host.port_mapping;
    Ok(Network {
        socket: Arc::new(socket),
        mesh,
        host: true,
        start: Some(start),
        port_mapping,
        inviting,
    })
}

fn open_guest(
    guest: &GuestConfig,
    config: &CallConfig,
    events: &Events,
) -> Result<Network, EngineError> {
    let addresses = net::resolve(&guest.address, guest.port)?;
    // A call within this machine passes no router.
    let port_mapping = guest.port_mapping && !addresses.iter().all(|a| a.ip().is_loopback());
    let socket = net::bind(guest.listen, None)?;
    let listen = socket.local_addr();
    let key = guest.key.map(crate::protocol::invite::InviteKey);
    let mesh =
        Mesh::guest(net::local(config, listen), addresses, key, clock::now(), net::randomness());
    events.send(Event::Ready { listen: listen.to_string(), invite: None, public: None });
    Ok(Network {
        socket: Arc::new(socket),
        mesh,
        host: false,
        start: None,
        port_mapping,
        inviting: None,
    })
}

/// Tells the mesh and the port mapper of interfaces that come and go.
fn watch_addresses(
    listen: SocketAddr,
    ask: tokio::sync::mpsc::UnboundedSender<Ask>,
    mapper: Option<&PortMapper>,
    events: &Events,
) -> Result<Option<AddressWatch>, EngineError> {
    let (waker, events) = (mapper.map(PortMapper::waker), events.clone());
    AddressWatch::start(listen, move |addresses, first| {
        if !first {
            events.log("this computer's network has changed");
            if let Some(waker) = &waker {
                waker.network_changed();
            }
        }
        // The first ones too: they may have changed since the call was made ready.
        let _ = ask.send(Ask::Addresses(addresses));
    })
}

struct NetworkParts<'a> {
    network: Network,
    live: super::capture::Captured,
    feeds: Vec<PeerFeed>,
    config: &'a CallConfig,
    shared: &'a Arc<Shared>,
    events: &'a Events,
    state: &'a Arc<Mutex<CallState>>,
    record: &'a Arc<RecordShared>,
    window: &'a Arc<Window>,
    talk_thread: &'a OnceLock<std::thread::Thread>,
    safety: Option<(SafetyTap, SafetyNews)>,
}

struct NetworkStarted {
    video: VideoOut,
    ask: tokio::sync::mpsc::UnboundedSender<Ask>,
    stats: Vec<PlayoutGauge>,
    threads: Threads,
}

fn start_network(parts: NetworkParts<'_>) -> Result<NetworkStarted, EngineError> {
    let NetworkParts {
        network,
        live,
        feeds,
        config,
        shared,
        events,
        state,
        record,
        window,
        talk_thread,
        safety,
    } = parts;
    let (tap, news) = safety.unzip();
    let encoder = TalkEncoder::with_dtx(config.audio.start_kbps() as i32 * 1_000).map_err(|e| {
        EngineError::Codec {
            what: "cannot open the Opus encoder",
            reason: e.to_string(),
            remedy: "try another --audio-bitrate",
        }
    })?;
    let (mut talk, talk_control, video) = {
        let encoder = (encoder, config.audio.frame);
        Talk::new(shared.clone(), network.socket.clone(), live, encoder, config.video_kbps)
    };
    let stats = feeds.iter().map(PeerFeed::gauge).collect();
    let gauges = feeds.iter().map(PeerFeed::gauge).collect();
    let (control_in, incoming) = tokio::sync::mpsc::channel(1_024);
    let (unsealed_in, unsealed) = tokio::sync::mpsc::channel(UNSEALED);
    let (receive_commands, commands) = mpsc::channel();
    let (ask, asks) = tokio::sync::mpsc::unbounded_channel();
    let receive = Receive {
        shared: shared.clone(),
        socket: network.socket.clone(),
        commands,
        carry: talk.carry(),
        control: control_in,
        unsealed: unsealed_in,
        feeds,
        safety: tap,
        drops: Arc::default(),
    };
    let drops = receive.drops.clone();
    let control = Control {
        shared: shared.clone(),
        events: events.clone(),
        state: state.clone(),
        record: record.clone(),
        socket: network.socket,
        mesh: network.mesh,
        host: network.host,
        public: match &config.role {
            Role::Host(host) => host.public.clone(),
            Role::Guest(_) | Role::Alone => None,
        },
        talk: talk_control,
        receive: receive_commands,
        incoming,
        unsealed,
        asks,
        ask: ask.clone(),
        paths: Paths::new(config.audio, config.video_kbps, gauges),
        congestion: Congestion::new(config.video_kbps),
        window: window.clone(),
        safety: news,
    };
    let start = network.start;
    let talk = spawn("hz-talk", priority::Role::Talk, move || talk.run())?;
    let _ = talk_thread.set(talk.thread().clone());
    let receive = spawn("hz-receive", priority::Role::Receive, move || receive.run())?;
    let news = events.clone();
    let work = move || control::guarded(&news, move || control.run(start));
    let control = spawn("hz-control", priority::Role::Normal, work)?;
    let threads = Threads { control: Some(control), finishing: vec![talk, receive], drops };
    Ok(NetworkStarted { video, ask, stats, threads })
}
