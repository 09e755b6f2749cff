//! The call's end of the preview window: starts the child, feeds it, hears of its keys and death.
//!
//! Threads: `window-feed` writes to the child, `window-events` reads from it and reaps it,
//! `window-stderr` keeps the end of what it complains about. Nobody who shows a picture ever
//! waits for the child: each tile has one slot, and a newer picture replaces an older one.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::lock;
use super::wire::{self, Key, MAX_TILES, Overlay, Reply, TileInfo, WireError};
use crate::video::image::I420;

/// Bytes of the child's complaints that are kept.
const MAX_STDERR: usize = 2048;
/// How long a child whose output has ended may take to exit before it is ended, and how often
/// that is looked at.
const EXIT_PATIENCE: Duration = Duration::from_millis(1000);
const EXIT_POLL: Duration = Duration::from_millis(10);

/// What the window tells the call. After `Closed`, `NotOpened` or `Died` nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowEvent {
    /// A person pressed a key in it.
    Key(Key),
    /// The space bar, of which a [`Self::Key`] told, was let go.
    Released,
    /// A person closed it, or its [`WindowProcess`] was dropped.
    Closed,
    /// There is none.
    NotOpened {
        /// For a person: `no X server answers at :7`.
        why: String,
    },
    /// It ended by itself: killed, display lost.
    Died {
        /// For a person: `its display went away`.
        why: String,
    },
}

impl WindowEvent {
    /// The window is gone.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Key(_) | Self::Released)
    }
}

/// The window could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the preview window could not be started ({0}); the call goes on without it")]
pub struct SpawnError(#[from] pub std::io::Error);

#[derive(Default)]
struct Outbox {
    pictures: [Option<Arc<I420>>; MAX_TILES],
    infos: [Option<TileInfo>; MAX_TILES],
    layout: Option<Vec<u8>>,
    overlay: Option<Overlay>,
    ended: bool,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.layout.is_none()
            && self.overlay.is_none()
            && self.pictures.iter().all(Option::is_none)
            && self.infos.iter().all(Option::is_none)
    }
}

#[derive(Default)]
struct Shared {
    outbox: Mutex<Outbox>,
    wake: Condvar,
}

impl Shared {
    fn put(&self, put: impl FnOnce(&mut Outbox)) {
        put(&mut lock(&self.outbox));
        self.wake.notify_one();
    }

    fn end(&self) {
        self.put(|outbox| outbox.ended = true);
    }
}

/// A running preview window. Dropping it ends the child.
pub struct WindowProcess {
    shared: Arc<Shared>,
    child: Arc<Mutex<Child>>,
    events: Receiver<WindowEvent>,
    threads: Vec<JoinHandle<()>>,
    alive: Arc<Mutex<bool>>,
}

impl WindowProcess {
    /// Starts `exe window` with pipes.
    pub fn spawn(exe: &Path) -> Result<Self, SpawnError> {
        let mut command = Command::new(exe);
        command.arg("window");
        Self::spawn_command(command)
    }

    /// Starts a command that speaks the window's protocol.
    pub fn spawn_command(mut command: Command) -> Result<Self, SpawnError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The terminal's Ctrl-C is for the call, which then ends its window.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(windows)]
        {
            /// CREATE_NEW_PROCESS_GROUP and CREATE_NO_WINDOW of CreateProcess's flags.
            const FLAGS: u32 = 0x0000_0200 | 0x0800_0000;
            std::os::windows::process::CommandExt::creation_flags(&mut command, FLAGS);
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let child = Arc::new(Mutex::new(child));
        let shared = Arc::new(Shared::default());
        let alive = Arc::new(Mutex::new(true));
        let (sender, events) = mpsc::channel();
        let mut window = Self {
            shared: Arc::clone(&shared),
            child: Arc::clone(&child),
            events,
            threads: Vec::new(),
            alive: Arc::clone(&alive),
        };
        // From here on an error drops `window`, which ends the child.
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&complaints);
        let listener = spawn("window-stderr", move || keep_end(stderr, &kept))?;
        let feeder = Arc::clone(&shared);
        window.threads.push(spawn("window-feed", move || feed(&feeder, stdin))?);
        window.threads.push(spawn("window-events", move || {
            let last = forward_keys(stdout, &sender);
            let status = reap(&child);
            // The child is gone, so its standard error has ended.
            let _ = listener.join();
            let dropped = lock(&shared.outbox).ended;
            shared.end();
            *lock(&alive) = false;
            let stderr = String::from_utf8_lossy(&lock(&complaints)).trim().to_owned();
            if !stderr.is_empty() {
                tracing::info!("the preview window's last words: {stderr}");
            }
            let _ = sender.send(match (last, status) {
                (Some(Reply::Closed), Some(status)) if status.success() => WindowEvent::Closed,
                _ if dropped => WindowEvent::Closed,
                (Some(Reply::Unopened(why)), _) => WindowEvent::NotOpened { why },
                (Some(Reply::Lost), _) => {
                    WindowEvent::Died { why: "its display went away".to_owned() }
                }
                (_, status) => WindowEvent::Died { why: why(status, &stderr) },
            });
        })?);
        Ok(window)
    }

    /// Shows a picture in a tile, below [`MAX_TILES`]. Never waits; an older picture that is
    /// still on its way is dropped.
    pub fn show(&self, tile: u8, image: Arc<I420>) {
        self.shared.put(|outbox| {
            if let Some(slot) = outbox.pictures.get_mut(usize::from(tile)) {
                *slot = Some(image);
            }
        });
    }

    /// Sets a tile's name and state. Never waits.
    pub fn set_info(&self, tile: u8, info: TileInfo) {
        self.shared.put(|outbox| {
            if let Some(slot) = outbox.infos.get_mut(usize::from(tile)) {
                *slot = Some(info);
            }
        });
    }

    /// Sets which tiles are shown, the first top left. Never waits.
    pub fn set_layout(&self, tiles: &[u8]) {
        let tiles: Vec<u8> =
            tiles.iter().copied().filter(|&t| usize::from(t) < MAX_TILES).take(MAX_TILES).collect();
        self.shared.put(|outbox| outbox.layout = Some(tiles));
    }

    /// Sets what lies over the pictures. Never waits.
    pub fn set_overlay(&self, overlay: Overlay) {
        self.shared.put(|outbox| outbox.overlay = Some(overlay));
    }

    /// The next event, if there is one.
    pub fn try_event(&self) -> Option<WindowEvent> {
        self.events.try_recv().ok()
    }

    /// Waits for the next event; `None` when the time is over or nothing more can come.
    pub fn wait_event(&self, limit: Duration) -> Option<WindowEvent> {
        self.events.recv_timeout(limit).ok()
    }

    /// Whether the child runs. Its end is also an event.
    pub fn is_alive(&self) -> bool {
        *lock(&self.alive)
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }
}

impl Drop for WindowProcess {
    fn drop(&mut self) {
        self.shared.end();
        // There is nothing in the window to save, and a hung one would not answer anything else.
        let _ = lock(&self.child).kill();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Writes what is in the outbox until the call ends or the pipe breaks.
fn feed(shared: &Shared, stdin: ChildStdin) {
    let mut out = BufWriter::with_capacity(1 << 16, stdin);
    loop {
        let mut outbox = lock(&shared.outbox);
        while outbox.is_empty() && !outbox.ended {
            outbox = shared.wake.wait(outbox).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if outbox.ended {
            return;
        }
        let waiting = std::mem::take(&mut *outbox);
        drop(outbox);
        // A broken pipe is told by whoever reaps the child.
        if write_all(&mut out, waiting).is_err() {
            return;
        }
    }
}

fn write_all(out: &mut impl Write, waiting: Outbox) -> Result<(), WireError> {
    let Outbox { pictures, infos, layout, overlay, .. } = waiting;
    if let Some(layout) = layout {
        wire::write_layout(out, &layout)?;
    }
    for (tile, info) in (0u8..).zip(infos) {
        if let Some(info) = info {
            wire::write_info(out, tile, &info)?;
        }
    }
    if let Some(overlay) = overlay {
        wire::write_overlay(out, &overlay)?;
    }
    for (tile, image) in (0u8..).zip(pictures) {
        match image.map(|image| wire::write_picture(out, tile, &image)) {
            // A picture that cannot be shown is no reason to stop showing others.
            None | Some(Ok(()) | Err(WireError::Format(_))) => {}
            Some(Err(error)) => return Err(error),
        }
    }
    out.flush()?;
    Ok(())
}

/// Passes keys on until the child's output ends; gives what it said about its end.
fn forward_keys(stdout: impl Read, events: &Sender<WindowEvent>) -> Option<Reply> {
    let mut last = None;
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        let event = match Reply::read(&line) {
            Some(Reply::Key(key)) => WindowEvent::Key(key),
            Some(Reply::Released) => WindowEvent::Released,
            None => continue,
            end => {
                last = end;
                continue;
            }
        };
        let _ = events.send(event);
    }
    last
}

/// Why it ended, where it did not say so itself.
fn why(status: Option<ExitStatus>, stderr: &str) -> String {
    let how = match status {
        Some(status) => format!("its process ended ({status})"),
        None => "its process hangs and cannot be ended".to_owned(),
    };
    match stderr.lines().last() {
        Some(line) => format!("{how} and said last: {line}"),
        None => how,
    }
}

/// Waits for the child's end, and helps when it does not come. `None` when it cannot be had.
fn reap(child: &Mutex<Child>) -> Option<ExitStatus> {
    let mut waited = Duration::ZERO;
    loop {
        match lock(child).try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => {}
            Err(_) => return None,
        }
        if waited == EXIT_PATIENCE {
            let _ = lock(child).kill();
        }
        if waited > EXIT_PATIENCE * 2 {
            return None;
        }
        thread::sleep(EXIT_POLL);
        waited += EXIT_POLL;
    }
}

/// Reads to the end and keeps the last bytes.
fn keep_end(mut input: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 512];
    while let Ok(read) = input.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let mut kept = lock(kept);
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..surplus);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> WindowProcess {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        WindowProcess::spawn_command(command).expect("a shell")
    }

    #[test]
    fn keys_and_closing_are_events() {
        let window = shell(
            "echo 'key m'; echo 'key  '; echo 'release  '; echo 'key tab'; echo nonsense; echo closed",
        );
        let events: Vec<_> = std::iter::from_fn(|| window.wait_event(LIMIT)).collect();
        let key = WindowEvent::Key;
        let keys = [key(Key::Char('m')), key(Key::Char(' ')), WindowEvent::Released, key(Key::Tab)];
        assert_eq!(events, [&keys[..], &[WindowEvent::Closed]].concat());
        assert!(!window.is_alive());
    }

    #[test]
    fn a_death_is_told_with_its_last_words() {
        let window = shell("echo 'no display' >&2; exit 1");
        let died = |why: &str| Some(WindowEvent::Died { why: why.to_owned() });
        let said = "its process ended (exit status: 1) and said last: no display";
        assert_eq!(window.wait_event(LIMIT), died(said));
        window.show(0, Arc::new(I420::black(64, 64)));
        let window = shell("kill -9 $$");
        assert_eq!(window.wait_event(LIMIT), died("its process ended (signal: 9 (SIGKILL))"));
        let window = shell("echo XIO: fatal >&2; echo lost; exit 1");
        assert_eq!(window.wait_event(LIMIT), died("its display went away"));
        let window = shell("echo 'unopened nobody is there'; echo 'error: x' >&2; exit 1");
        let why = "nobody is there".to_owned();
        assert_eq!(window.wait_event(LIMIT), Some(WindowEvent::NotOpened { why }));
    }

    #[test]
    fn a_hung_child_never_makes_the_call_wait_and_ends_when_dropped() {
        let window = shell("exec sleep 1000");
        let picture = Arc::new(I420::black(854, 480));
        // Far more than a pipe holds.
        for n in 0..2000u32 {
            window.show((n % 4) as u8, Arc::clone(&picture));
        }
        assert!(window.is_alive());
        assert!(Arc::strong_count(&picture) <= 10, "older pictures were dropped");
        drop(window);
        assert_eq!(Arc::strong_count(&picture), 1);
    }

    #[test]
    fn the_child_gets_the_bytes_of_the_wire() {
        let window = shell("head -c 18 | od -An -v -tx1 | tr -d ' \\n' | sed 's/^/key /' >&2");
        window.set_layout(&[0]);
        window.set_info(0, TileInfo { name: "A".into(), ..TileInfo::default() });
        let Some(WindowEvent::Died { why }) = window.wait_event(LIMIT) else {
            panic!("a shell says nothing")
        };
        // Either order of arrival is one message each; the layout leads when both wait.
        assert!(why.contains("key 687a03000000000100"), "{why}");
    }
}
