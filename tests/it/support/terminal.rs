//! The real program on a terminal of its own: keys go in, what the screen shows comes out.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::process::LIMIT;

const ROWS: u16 = 30;
const COLUMNS: u16 = 100;

/// What programs have copied into the terminal's clipboard (OSC 52), base64; the newest last.
#[derive(Default)]
struct Clipboard(Vec<String>);

impl vt100::Callbacks for Clipboard {
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.0.push(String::from_utf8_lossy(data).into_owned());
    }
}

/// See the module.
pub struct Terminal {
    screen: Arc<(Mutex<vt100::Parser<Clipboard>>, Condvar)>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    /// Starts `hyperzoom ARGS`; `adjust` has a hand on the command before.
    pub fn start(args: &[String], adjust: impl FnOnce(&mut CommandBuilder)) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_hyperzoom"));
        command.args(args);
        Self::run(command, adjust)
    }

    /// The same behind another program's words (`net-lab exec host_a`), which must become it.
    #[cfg(target_os = "linux")]
    pub fn start_through(
        args: &[String],
        through: &[&std::ffi::OsStr],
        adjust: impl FnOnce(&mut CommandBuilder),
    ) -> Self {
        let mut command = CommandBuilder::from_argv(through.iter().map(Into::into).collect());
        command.arg(env!("CARGO_BIN_EXE_hyperzoom"));
        command.args(args);
        Self::run(command, adjust)
    }

    /// Starts a shell with jobs.
    pub fn shell(adjust: impl FnOnce(&mut CommandBuilder)) -> Self {
        let mut command = CommandBuilder::new("bash");
        command.args(["--norc", "--noprofile", "-i"]);
        Self::run(command, adjust)
    }

    fn run(mut command: CommandBuilder, adjust: impl FnOnce(&mut CommandBuilder)) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a pseudo-terminal can be opened");
        command.env("HYPERZOOM_CONFIG", "");
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR", "HYPERZOOM_INVITE"] {
            command.env_remove(name);
        }
        adjust(&mut command);
        let child = pty.slave.spawn_command(command).expect("the program starts");
        drop(pty.slave);
        let (rows, columns) = (ROWS.try_into(), COLUMNS.try_into());
        let parser = vt100::Parser::new_with_callbacks(
            rows.expect("not 0"),
            columns.expect("not 0"),
            0,
            Clipboard::default(),
        );
        let screen = Arc::new((Mutex::new(parser), Condvar::new()));
        let theirs = screen.clone();
        let mut reader = pty.master.try_clone_reader().expect("the master can be read");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                theirs.0.lock().expect("no panic").process(&bytes[..n]);
                theirs.1.notify_all();
            }
        });
        let keys = pty.master.take_writer().expect("the master can be written");
        Self { screen, keys, child, _master: pty.master }
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.wait(&format!("'{text}'"), |contents| contents.contains(text));
    }

    /// Whether the screen shows a text now.
    pub fn has(&self, text: &str) -> bool {
        self.screen.0.lock().expect("no panic").screen().contents().contains(text)
    }

    /// So many characters behind a text that the screen shows.
    pub fn text_after(&self, text: &str, length: usize) -> String {
        let contents = self.screen.0.lock().expect("no panic").screen().contents();
        let at = contents.find(text).expect("it is on the screen") + text.len();
        contents[at..].chars().take(length).collect()
    }

    /// Waits until it does not show it any more.
    #[track_caller]
    pub fn hides(&self, text: &str) {
        self.wait(&format!("screen without '{text}'"), |contents| !contents.contains(text));
    }

    #[track_caller]
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let parser = self.screen.0.lock().expect("no panic");
        let missing = |p: &mut vt100::Parser<Clipboard>| !wanted(&p.screen().contents());
        let (parser, timeout) =
            self.screen.1.wait_timeout_while(parser, LIMIT, missing).expect("no panic");
        assert!(!timeout.timed_out(), "no {what} on:\n{}", parser.screen().contents());
    }

    /// Waits until the alternate screen is left and the cursor is seen: what a program that has ended
    /// wrote last may still be on its way here.
    #[track_caller]
    pub fn is_restored(&self) {
        let parser = self.screen.0.lock().expect("no panic");
        let taken = |p: &mut vt100::Parser<Clipboard>| {
            let screen = p.screen();
            screen.alternate_screen() || screen.hide_cursor() || screen.bracketed_paste()
        };
        let (_parser, timeout) =
            self.screen.1.wait_timeout_while(parser, LIMIT, taken).expect("no panic");
        assert!(!timeout.timed_out(), "the terminal is not given back");
    }

    /// Waits until something was copied; the newest of it.
    #[track_caller]
    pub fn copied(&self) -> String {
        let parser = self.screen.0.lock().expect("no panic");
        let none = |p: &mut vt100::Parser<Clipboard>| p.callbacks().0.is_empty();
        let (parser, timeout) =
            self.screen.1.wait_timeout_while(parser, LIMIT, none).expect("no panic");
        assert!(!timeout.timed_out(), "nothing was copied:\n{}", parser.screen().contents());
        let data = parser.callbacks().0.last().expect("there is one").clone();
        let bytes = data_encoding::BASE64.decode(data.as_bytes()).expect("it is base64");
        String::from_utf8(bytes).expect("it is text")
    }

    /// The program's process.
    pub fn id(&self) -> i32 {
        let id = self.child.process_id().expect("it runs");
        i32::try_from(id).expect("process ids are small")
    }

    /// Presses keys, as bytes.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call; the process is our child and not yet waited for.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }

    /// Waits for the program's end.
    pub fn exit_code(&mut self) -> u32 {
        self.child.wait().expect("it is our child").exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
