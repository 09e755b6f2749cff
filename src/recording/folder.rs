//! Names of session folders (PRD section 7): `2026-02-27_20-15-00_SessionName`.
//!
//! Pure: the UTC start comes in, and whether a name is taken is asked of a closure.

use chrono::DateTime;

/// Longest session or participant name inside a folder name, in bytes. With the time and both
/// names a folder stays under 160 bytes: file systems allow 255, old Windows paths 260 in all.
const LONGEST_NAME: usize = 60;

/// Names that Windows keeps for devices, whatever follows a dot (MSDN, "Naming Files").
const RESERVED: [&str; 32] = [
    "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM0", "COM1", "COM2", "COM3", "COM4",
    "COM5", "COM6", "COM7", "COM8", "COM9", "COM¹", "COM²", "COM³", "LPT0", "LPT1", "LPT2", "LPT3",
    "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9", "LPT¹", "LPT²", "LPT³",
];

/// The name of a new session's folder.
///
/// `exists` tells whether a name is taken; then the participant's `name` is added, then `-2`,
/// `-3` and so on. The caller creates the folder and, should somebody have been faster, asks again.
pub fn session_folder(
    start_utc_seconds: u64,
    session: Option<&str>,
    name: &str,
    mut exists: impl FnMut(&str) -> bool,
) -> String {
    let session = session.map(sanitise).filter(|s| !s.is_empty());
    let plain = format!("{}_{}", stamp(start_utc_seconds), session.as_deref().unwrap_or("session"));
    if !exists(&plain) {
        return plain;
    }
    let name = sanitise(name);
    let named = if name.is_empty() { plain } else { format!("{plain}-{name}") };
    // A nameless participant has only the numbers left.
    if !name.is_empty() && !exists(&named) {
        return named;
    }
    let mut number: u64 = 2;
    loop {
        let numbered = format!("{named}-{number}");
        if !exists(&numbered) {
            return numbered;
        }
        number += 1;
    }
}

/// `2026-02-27_20-15-00`, UTC.
fn stamp(utc_seconds: u64) -> String {
    let seconds = i64::try_from(utc_seconds).unwrap_or(0);
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().format("%Y-%m-%d_%H-%M-%S").to_string()
}

/// A text as one part of a file name that Linux, macOS and Windows all take: no separators,
/// control or reserved characters, no dot, space or dash at its ends, no device name, not too
/// long. May be empty.
pub fn sanitise(text: &str) -> String {
    let mut clean = String::new();
    for c in text.chars() {
        let c = match c {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '-',
            c if c.is_control() || is_invisible(c) => continue,
            c if c.is_whitespace() => '_',
            c => c,
        };
        // One separator for many: "a / b" is "a_b".
        let separates = |c: char| c == '-' || c == '_';
        if separates(c) && clean.chars().next_back().is_some_and(separates) {
            continue;
        }
        if clean.len() + c.len_utf8() > LONGEST_NAME {
            break;
        }
        clean.push(c);
    }
    let trimmed = clean.trim_matches(['.', '-', '_', '~', ' ']);
    let stem = trimmed.split('.').next().unwrap_or("");
    if RESERVED.iter().any(|reserved| stem.eq_ignore_ascii_case(reserved)) {
        return format!("{trimmed}_").replacen('.', "_", 1);
    }
    trimmed.to_owned()
}

/// Characters that show nothing or turn the writing direction, so that two names look the same.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 1_772_223_300; // 2026-02-27 20:15:00 UTC

    #[test]
    fn a_folder_is_named_by_its_utc_start_and_the_session() {
        let name = |session| session_folder(START, session, "Bob", |_| false);
        assert_eq!(name(Some("SessionName")), "2026-02-27_20-15-00_SessionName");
        assert_eq!(name(None), "2026-02-27_20-15-00_session");
        assert_eq!(name(Some("...")), "2026-02-27_20-15-00_session");
        assert_eq!(
            name(Some("Folge 12: Äpfel/Birnen")),
            "2026-02-27_20-15-00_Folge_12-Äpfel-Birnen"
        );
    }

    #[test]
    fn a_taken_name_gets_the_participants_and_then_numbers() {
        let mut taken = Vec::new();
        for _ in 0..4 {
            let name = session_folder(START, Some("S"), "Bob", |n| taken.iter().any(|t| t == n));
            taken.push(name);
        }
        let ends: Vec<&str> = taken.iter().map(|t| &t[20..]).collect();
        assert_eq!(ends, ["S", "S-Bob", "S-Bob-2", "S-Bob-3"]);
        let nameless = session_folder(START, None, "", |n| !n.ends_with("-2"));
        assert_eq!(nameless, "2026-02-27_20-15-00_session-2");
    }

    #[test]
    fn what_windows_reserves_is_changed() {
        assert_eq!(sanitise("con"), "con_");
        assert_eq!(sanitise("NUL.txt"), "NUL_txt_");
        assert_eq!(sanitise("../../etc/passwd"), "etc-passwd");
        assert_eq!(sanitise("a<b>c|d\0e"), "a-b-c-de");
        assert_eq!(sanitise("ends with a dot. "), "ends_with_a_dot");
    }

    proptest! {
        #[test]
        fn any_name_is_one_safe_part_of_a_path(text in any::<String>()) {
            let clean = sanitise(&text);
            prop_assert!(clean.len() <= LONGEST_NAME + 1);
            prop_assert!(!clean.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0']));
            prop_assert!(!clean.starts_with('.') && !clean.ends_with('.') && !clean.ends_with(' '));
            let stem = clean.split('.').next().unwrap_or("");
            prop_assert!(!RESERVED.iter().any(|r| stem.eq_ignore_ascii_case(r)));
        }
    }
}
