//! Copying by way of the terminal (OSC 52): it works over ssh, where the clipboard is on another
//! machine than the program. A terminal that does not know it, or forbids it, does nothing.

use std::io::{self, Write};

use data_encoding::BASE64;

/// What a terminal is told, so that its clipboard holds the text.
fn sequence(text: &str) -> String {
    format!("\u{1b}]52;c;{}\u{7}", BASE64.encode(text.as_bytes()))
}

/// Puts the text into the clipboard of the terminal on standard output.
pub fn copy(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(sequence(text).as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_travels_as_base64() {
        assert_eq!(super::sequence("/r/a.mp4"), "\u{1b}]52;c;L3IvYS5tcDQ=\u{7}");
    }
}
