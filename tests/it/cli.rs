//! The command line from outside: help, versions, and what a wrong flag leads to.

use std::process::{Command, Output, Stdio};

fn hyperzoom(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hyperzoom"))
        .args(args)
        .env_remove("HYPERZOOM_INVITE")
        .stdin(Stdio::null())
        .output()
        .expect("the program was built and starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 2, nothing on standard output, one line on standard error that says what to try.
fn refuses(args: &[&str]) -> String {
    let output = hyperzoom(args);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
    assert!(error.starts_with("error: ") && error.contains("; try "), "{args:?}: {error}");
    error
}

#[test]
fn help_works_everywhere_and_names_every_flag() {
    for sub in [
        &[][..],
        &["host"],
        &["join"],
        &["record"],
        &["devices"],
        &["doctor"],
        &["recover"],
        &["render"],
        &["verify"],
    ] {
        for flag in ["--help", "-h"] {
            let args: Vec<&str> = sub.iter().copied().chain([flag]).collect();
            let output = hyperzoom(&args);
            assert_eq!(output.status.code(), Some(0), "{args:?}");
            assert!(text(&output.stdout).contains("Usage: hyperzoom"), "{args:?}");
        }
    }
    let help = text(&hyperzoom(&["host", "--help"]).stdout);
    for flag in [
        "--listen",
        "--admit",
        "--key",
        "--public",
        "--record-now",
        "--name",
        "--session",
        "--output",
        "--mic",
        "--camera",
        "--speaker",
        "--period",
        "--audio-bitrate",
        "--video-bitrate",
        "--loop-files",
        "--duration",
        "--record-while-muted",
        "--encoder",
        "--window",
        "--no-window",
        "--no-tui",
        "--json",
        "--mute",
        "--camera-off",
        "--log",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn without_a_subcommand_it_shows_help_and_is_a_usage_error() {
    let output = hyperzoom(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage: hyperzoom"));
}

#[test]
fn the_version_is_the_crate_s() {
    let output = hyperzoom(&["--version"]);
    assert_eq!(text(&output.stdout), concat!("hyperzoom ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn bad_flags_are_one_line_and_code_2() {
    for args in [
        &["fly"][..],
        &["host", "--nosuch"],
        &["host", "--listen", "7000"],
        &["host", "--admit", "nobody"],
        &["host", "--public", ""],
        &["host", "--name", ""],
        &["host", "--name", "a\u{7}b"],
        &["record", "--audio-bitrate", "23"],
        &["record", "--audio-bitrate", "97"],
        &["record", "--video-bitrate", "fast"],
        &["record", "--duration", "soon"],
        &["record", "--duration", "0s"],
        &["record", "--period", "3"],
        &["record", "--camera", "test:641x360"],
        &["record", "--mic", "file:"],
        &["record", "--no-tui", "--json"],
        &["record", "--output", ""],
        &["record", "extra"],
        &["join"],
    ] {
        refuses(args);
    }
}

#[test]
fn a_malformed_key_or_address_is_a_usage_error() {
    for wrong in ["1.2.3.4#", "1.2.3.4#SHORT", "1.2.3.4:0", "1.2.3.4:x", "[::1", "a b", ""] {
        refuses(&["join", wrong]);
    }
    // 0, 1, 8 and 9 are no letters of base32; 27 characters are one too many.
    refuses(&["host", "--key", "0AAQEAYEAUDAOCAJBIFQYDIOB4"]);
    refuses(&["join", "1.2.3.4#AAAQEAYEAUDAOCAJBIFQYDIOB4A"]);
}

#[test]
fn an_invite_that_is_not_on_standard_input_is_a_usage_error() {
    assert!(refuses(&["join", "-"]).contains("standard input"));
}

#[test]
fn the_key_in_the_environment_never_shows_in_help() {
    let output = Command::new(env!("CARGO_BIN_EXE_hyperzoom"))
        .args(["join", "--help"])
        .env("HYPERZOOM_INVITE", "secret-place#SECRETKEY")
        .output()
        .expect("the program was built and starts");
    let help = text(&output.stdout);
    assert!(help.contains("HYPERZOOM_INVITE") && !help.to_lowercase().contains("secret"));
}

#[test]
fn a_bad_invite_in_the_environment_is_a_usage_error_too() {
    let output = Command::new(env!("CARGO_BIN_EXE_hyperzoom"))
        .arg("join")
        .env("HYPERZOOM_INVITE", "1.2.3.4#SHORT")
        .output()
        .expect("the program was built and starts");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn devices_are_one_json_object_with_the_three_kinds() {
    let output = hyperzoom(&["devices", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let list: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    for kind in ["microphones", "speakers", "cameras"] {
        assert!(list[kind].is_array(), "{kind}: {list}");
    }
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().to_str().expect("a plain name");
    let common = ["doctor", "--speaker", "off", "--no-port-mapping"];
    let doctor = |more: &[&str]| hyperzoom(&[&common[..], more].concat());
    let report = doctor(&["--mic", "test", "--output", output, "--json"]);
    assert_eq!(report.status.code(), Some(0), "{}", text(&report.stdout));
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!((&report["ok"], &report["problems"]), (&true.into(), &0.into()));
    let findings = report["findings"].as_array().expect("findings");
    for (area, name) in [
        ("sound", "microphone"),
        ("sound", "speaker"),
        ("camera", "camera"),
        ("encoder", "trial"),
        ("disk", "space"),
        ("disk", "speed"),
        ("system", "priority"),
        ("network", "addresses"),
        ("network", "socket"),
        ("terminal", "terminal"),
    ] {
        let found = findings.iter().find(|f| f["area"] == area && f["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{area} {name}: {report}"));
        assert_eq!(found["state"] != "ok", found["try"].is_string(), "{found}");
    }

    // A folder that takes nothing and a microphone that is not there.
    let report = doctor(&["--mic", "no such microphone", "--output", "/proc/self"]);
    assert_eq!(report.status.code(), Some(1));
    let report = text(&report.stdout);
    for words in ["PROBLEM  microphone", "PROBLEM  speed", "another --output folder", "problems, "]
    {
        assert!(report.contains(words), "no '{words}' in\n{report}");
    }
}
