//! Holds the code to the map in `src/lib.rs`: who may import whom, and what pure rooms may not
//! touch. Test code inside the crate is free.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A room and the rooms that it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("protocol", &["units"]),
    ("clock", &["units"]),
    ("audio", &["units"]),
    ("video", &["units"]),
    ("recording", &["units", "audio", "video", "clock"]),
    ("platform", &["units"]),
    ("devices", &["units", "audio", "video", "clock", "protocol", "recording", "platform"]),
    ("net", &["units", "audio", "video", "clock", "protocol", "recording", "platform"]),
    ("ui", &["units", "audio", "video", "clock", "protocol", "recording", "platform"]),
    (
        "engine",
        &[
            "units",
            "audio",
            "video",
            "clock",
            "protocol",
            "recording",
            "platform",
            "devices",
            "net",
            "ui",
        ],
    ),
    (
        "cli",
        &[
            "units",
            "audio",
            "video",
            "clock",
            "protocol",
            "recording",
            "platform",
            "devices",
            "net",
            "ui",
            "engine",
        ],
    ),
];

/// Rooms that know no clock, socket, device, file, thread or randomness.
const PURE: &[&str] = &["units", "protocol", "clock", "audio", "video", "recording"];

/// Words that betray one. Address types of `std::net` are values and allowed.
const IMPURE: &[&str] = &[
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "ToSocketAddrs",
    "std::fs",
    "fs::File",
    "std::thread",
    "thread::",
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "Utc::now",
    "Local::now",
    "std::env",
    "std::process",
    "stdin()",
    "stdout()",
    "stderr()",
    "println!",
    "print!(",
    "dbg!",
    "tokio",
    "socket2",
    "cpal",
    "nokhwa",
    "v4l",
    "minifb",
    "crossterm",
    "ratatui",
    "getrandom",
    "rand::",
    "libc::",
    "nix::",
    "windows_sys",
    "mach2",
    "if_addrs",
    "fs4",
];

/// The one exception: a library's threads must be given time before its encoder ends.
const EXCEPT: (&str, [&str; 2]) = ("recording/h264/openh264.rs", ["std::thread", "thread::"]);

/// More lines than this and a file wants to be two.
const LONGEST_FILE: usize = 800;

struct Source {
    /// Path below `src`.
    path: PathBuf,
    text: String,
    /// The same without comments, string contents and test modules; lines as in `text`.
    code: String,
}

impl Source {
    fn room(&self) -> String {
        let first = self.path.components().next().expect("a file below src has a name");
        Path::new(first.as_os_str()).with_extension("").to_string_lossy().into_owned()
    }

    fn is_test(&self) -> bool {
        self.path.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            matches!(part.as_ref(), "tests" | "tests.rs" | "fake.rs") || part.ends_with("_tests.rs")
        })
    }

    fn place(&self, offset: usize) -> String {
        let line = self.code[..offset].matches('\n').count() + 1;
        format!("src/{}:{line}", self.path.display())
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in std::fs::read_dir(folder).expect("the sources can be read") {
            let path = entry.expect("the sources can be read").path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                let code = without_tests(&without_comments(&text));
                let path = path.strip_prefix(root).expect("it was found there").to_owned();
                found.push(Source { path, text, code });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Blanks comments and what stands in string literals; keeps every newline.
fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    while i < chars.len() {
        let rest = &chars[i..];
        let before_is_name = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !before_is_name => raw_string(rest).unwrap_or(0),
            ['b', 'r', '"' | '#', ..] if !before_is_name => {
                raw_string(&rest[1..]).map_or(0, |n| n + 1)
            }
            ['"', ..] => string(rest),
            ['\'', '\\', ..] => {
                rest.iter().skip(3).position(|c| *c == '\'').map_or(rest.len(), |n| n + 4)
            }
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if length == 0 {
            out.push(rest[0]);
            i += 1;
        } else {
            out.extend(rest[..length].iter().map(|c| blank(*c)));
            i += length;
        }
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut i = 0;
    while i < rest.len() {
        match &rest[i..] {
            ['/', '*', ..] => {
                depth += 1;
                i += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let mut i = 2 + hashes;
    while i < rest.len() {
        let closes = rest[i] == '"' && rest[i + 1..].iter().take(hashes).all(|c| *c == '#');
        if closes && rest.len() > i + hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(rest.len())
}

/// Blanks every item under `#[cfg(test)]`, up to its closing brace or semicolon.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let mut depth = 0_usize;
        let mut end = out.len();
        for (i, c) in out[start + "#[cfg(test)]".len()..].char_indices() {
            let at = start + "#[cfg(test)]".len() + i + c.len_utf8();
            match c {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        end = at;
                        break;
                    }
                }
                ';' if depth == 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let blank: String =
            out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Rooms named after each `crate::`, also inside braces, with their offsets.
fn named_rooms(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let at = start + "crate::".len();
        let rest = &code[at..];
        if !rest.starts_with('{') {
            found.push((at, name_at(rest)));
            continue;
        }
        let mut depth = 0_usize;
        let mut fresh = false;
        for (i, c) in rest.char_indices() {
            match c {
                '{' => {
                    depth += 1;
                    fresh = depth == 1;
                }
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                ',' if depth == 1 => fresh = true,
                c if fresh && (c.is_alphabetic() || c == '_') => {
                    fresh = false;
                    found.push((at + i, name_at(&rest[i..])));
                }
                _ => {}
            }
        }
    }
    found
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn expect_none(complaints: &str) {
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn imports_go_one_way() {
    let mut complaints = String::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let room = source.room();
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == room) else { continue };
        for (offset, named) in named_rooms(&source.code) {
            let is_room = ALLOWED.iter().any(|(name, _)| *name == named);
            if is_room && named != room && !allowed.contains(&named.as_str()) {
                let _ = writeln!(complaints, "{}: {room} imports {named}", source.place(offset));
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn pure_rooms_touch_no_clock_socket_file_or_thread() {
    let mut complaints = String::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        if !PURE.contains(&source.room().as_str()) {
            continue;
        }
        let (file, words) = EXCEPT;
        let excepted = |word: &str| source.path == Path::new(file) && words.contains(&word);
        for word in IMPURE.iter().filter(|word| !excepted(word)) {
            for (offset, _) in source.code.match_indices(word) {
                let before = source.code[..offset].chars().next_back();
                let after = source.code[offset + word.len()..].chars().next();
                let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                let whole = !inside(before) && (!inside(after) || word.ends_with("::"));
                if whole {
                    let _ = writeln!(complaints, "{}: {word} in a pure room", source.place(offset));
                }
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn every_room_is_on_the_map() {
    let mut complaints = String::new();
    for source in sources() {
        let room = source.room();
        if !["lib", "main"].contains(&room.as_str()) && ALLOWED.iter().all(|(n, _)| *n != room) {
            let _ = writeln!(complaints, "src/{}: no such room", source.path.display());
        }
    }
    expect_none(&complaints);
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    let mut complaints = String::new();
    for source in sources() {
        let path = source.path.display();
        if !source.text.starts_with("//! ") {
            let _ = writeln!(complaints, "src/{path}:1: does not open with //!");
        }
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            let _ = writeln!(complaints, "src/{path}: {lines} lines; split it");
        }
    }
    expect_none(&complaints);
}

#[test]
fn the_reader_of_sources_knows_comments_strings_and_tests() {
    let text = "use crate::{units::Micros, video}; // crate::engine\n\
                let a = \"crate::net\"; let b = r#\"crate::cli\"#; /* crate::ui */\n\
                let c: &'static str = '\"'; crate::audio::x();\n\
                #[cfg(test)]\nmod tests { use crate::engine; fn f() {} }\nuse crate::clock;";
    let code = without_tests(&without_comments(text));
    let rooms: Vec<String> = named_rooms(&code).into_iter().map(|(_, room)| room).collect();
    assert_eq!(rooms, ["units", "video", "audio", "clock"]);
    assert_eq!(code.matches('\n').count(), text.matches('\n').count());
}

/// Two tests that share a laboratory's name tear down each other's, when they meet.
#[test]
fn every_laboratory_has_a_name_of_its_own() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut folders = vec![tests];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of tests") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let begun = text.split("Homes::up(\"").skip(1);
                names.extend(begun.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    // This file's own line of search is no name.
    names.retain(|name| name.chars().all(|c| c.is_ascii_alphanumeric()));
    let count = names.len();
    assert!(count > 10, "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}
