//! Copying by way of the terminal (OSC 52): it works over ssh, where the clipboard is on another
//! machine than the program. A terminal that does not know it, or forbids it, does nothing. tmux
//! passes it on only if it was told to, so it gets the text in its own way, too.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use data_encoding::BASE64;

/// What a terminal is told, so that its clipboard holds the text.
fn sequence(text: &str) -> String {
    format!("\u{1b}]52;c;{}\u{7}", BASE64.encode(text.as_bytes()))
}

/// Puts the text into the clipboard of the terminal on standard output.
pub fn copy(text: &str) -> io::Result<()> {
    if std::env::var_os("TMUX").is_some() {
        // A tmux before 3.2 refuses it; the sequence may still do.
        let _ = into_tmux(text);
    }
    let mut out = io::stdout();
    out.write_all(sequence(text).as_bytes())?;
    out.flush()
}

/// Into tmux' buffer, and from there (`-w`) into the clipboard of the terminal that it runs in.
fn into_tmux(text: &str) -> io::Result<()> {
    let mut tmux = Command::new("tmux")
        .args(["load-buffer", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let written = tmux.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
    tmux.wait()?;
    written
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_travels_as_base64() {
        assert_eq!(super::sequence("/r/a.mp4"), "\u{1b}]52;c;L3IvYS5tcDQ=\u{7}");
    }
}
