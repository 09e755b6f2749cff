//! Descriptor 2 as a pipe while the dashboard is up: sound and graphics libraries print there, and
//! would smear the screen. A thread (`stderr`) reads the pipe and hands on lines.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use super::inputs::Input;

/// Longest line handed on; a library that prints without newlines is cut here.
const LONGEST_LINE: usize = 1_000;

/// The real descriptor 2, while it is redirected.
static REAL: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Redirects descriptor 2 until [`restore`]. Its lines arrive as [`Input::Stderr`].
pub fn redirect(to: Sender<Input>) -> io::Result<()> {
    let mut real = REAL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if real.is_some() {
        return Ok(());
    }
    let kept = duplicate(libc::STDERR_FILENO)?;
    let (reader, writer) = io::pipe()?;
    std::thread::Builder::new().name("stderr".to_owned()).spawn(move || {
        read_lines(reader, |line| to.send(Input::Stderr(line)).is_ok());
    })?;
    // SAFETY: both descriptors are open; 2 is replaced in one step.
    if unsafe { libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO) } < 0 {
        return Err(io::Error::last_os_error());
    }
    *real = Some(kept);
    Ok(())
}

/// Puts the real descriptor 2 back, if it is redirected. The reading thread then sees the end.
pub fn restore() {
    let mut real = REAL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(kept) = real.take() {
        // SAFETY: `kept` is open. Nothing can be done about a failure here.
        unsafe { libc::dup2(kept.as_raw_fd(), libc::STDERR_FILENO) };
    }
}

/// A copy that child processes do not inherit.
fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: asks for a new descriptor, which is ours when the call succeeds.
    unsafe {
        match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) {
            new if new >= 0 => Ok(File::from_raw_fd(new).into()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Reads until the end, also when nobody takes the lines any more: a full pipe would block the
/// library that prints.
fn read_lines(mut from: impl Read, mut to: impl FnMut(String) -> bool) {
    let mut bytes = [0; 4096];
    let mut line = Vec::new();
    let mut wanted = true;
    loop {
        let n = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for &byte in &bytes[..n] {
            if byte == b'\n' || line.len() == LONGEST_LINE {
                wanted = wanted && hand_on(&mut line, &mut to);
            }
            if byte != b'\n' {
                line.push(byte);
            }
        }
    }
    if wanted {
        hand_on(&mut line, &mut to);
    }
}

fn hand_on(line: &mut Vec<u8>, to: &mut impl FnMut(String) -> bool) -> bool {
    let text = super::format::printable(&String::from_utf8_lossy(line));
    line.clear();
    text.trim().is_empty() || to(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_long_ones_in_pieces() {
        let mut text = b"one\n\n\x1b[31mtwo\n".to_vec();
        text.extend([b'x'; 1_500]);
        let mut lines = Vec::new();
        read_lines(&text[..], |line| {
            lines.push(line);
            true
        });
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(&lines[..2], ["one", "[31mtwo"]);
        assert_eq!(lengths, [3, 7, 1_000, 500]);
    }

    #[test]
    fn reading_goes_on_when_nobody_takes_the_lines() {
        let mut offered = 0;
        let mut text = &b"one\ntwo\nthree\n"[..];
        read_lines(&mut text, |_| {
            offered += 1;
            false
        });
        assert_eq!(offered, 1);
        assert!(text.is_empty());
    }
}
