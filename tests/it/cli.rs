//! The command line from outside: help, versions, and what a wrong flag leads to.

use std::process::{Command, Output, Stdio};

use crate::support::schema::check_reports;

fn hyperzoom(args: &[&str]) -> Output {
    with(args, |command| {
        command.env_remove("HYPERZOOM_INVITE").env("HYPERZOOM_CONFIG", "");
    })
}

fn with(args: &[&str], adjust: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
    command.args(args).stdin(Stdio::null());
    adjust(&mut command);
    let output = command.output().expect("the program was built and starts");
    check_reports(args, &text(&output.stdout));
    output
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
        .env("HYPERZOOM_CONFIG", "")
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
    let ran = doctor(&["--mic", "test", "--output", output, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    // A machine with other work to do may be too slow to encode, and is told so.
    let problems = report["problems"].as_u64().expect("a number");
    assert_eq!(ran.status.code(), Some(i32::from(problems > 0)), "{report}");
    assert_eq!(report["ok"], problems == 0);
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
        ("network", "NAT"),
        ("network", "socket"),
        ("terminal", "terminal"),
    ] {
        let found = findings.iter().find(|f| f["area"] == area && f["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{area} {name}: {report}"));
        assert_eq!(found["state"] != "ok", found["try"].is_string(), "{found}");
        assert!(found["state"] != "problem" || name == "trial", "{found}");
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

#[test]
fn a_file_and_variables_set_what_flags_do_and_config_says_which_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("below/config.toml");
    let hyperzoom = |args: &[&str], variables: &[(&str, &str)]| {
        with(args, |command| {
            command.env("HYPERZOOM_CONFIG", &path).envs(variables.iter().copied());
        })
    };
    let output = hyperzoom(&["config", "--init"], &[]);
    assert_eq!(text(&output.stdout).trim(), path.display().to_string());
    // Written once, never over what is there.
    assert_eq!(hyperzoom(&["config", "--init"], &[]).status.code(), Some(1));
    let template = std::fs::read_to_string(&path).expect("it was written");
    assert!(template.contains("# video-bitrate = 400\n") && template.contains("# [host]\n"));

    std::fs::write(&path, "camera = \"test:64x64\"\n[record]\nmic = \"test\"\n").unwrap();
    let output = hyperzoom(&["config", "record", "--json"], &[("HYPERZOOM_NAME", "Ada")]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let values = report["values"].as_array().expect("a list");
    let of = |key: &str| values.iter().find(|v| v["key"] == key).expect(key).clone();
    let value = |key: &str, value: &str, from: &str, at: serde_json::Value| {
        assert_eq!(
            of(key),
            serde_json::json!({"key": key, "value": value, "from": from, "at": at})
        );
    };
    value("camera", "test:64x64", "file", 1.into());
    value("mic", "test", "file", 3.into());
    value("name", "Ada", "environment", "HYPERZOOM_NAME".into());
    value("speaker", "default", "default", serde_json::Value::Null);

    // A command really runs by it.
    let output = folder.path().join("recordings");
    let room = output.to_str().expect("it is text");
    let args = ["record", "--duration", "300ms", "--json", "--output", room, "--no-window"];
    let run = hyperzoom(&args, &[("HYPERZOOM_NAME", "Ada"), ("HYPERZOOM_SPEAKER", "off")]);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
    let session = std::fs::read_dir(&output).unwrap().next().expect("one session").unwrap();
    let metadata = std::fs::read_to_string(session.path().join("session_metadata.json")).unwrap();
    assert!(metadata.contains("\"Ada\"") && metadata.contains("64"), "{metadata}");

    // What is wrong there stops a call before it begins, and nothing that saves a recording.
    std::fs::write(&path, "mic = \"test\"\nvideo-bitrate = 5\n").unwrap();
    let refused = hyperzoom(&["host"], &[]);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    let place = format!("error: {}:2: video-bitrate = \"5\": ", path.display());
    assert!(error.starts_with(&place) && error.contains("; try "), "{error}");
    assert_eq!(hyperzoom(&["host", "--help"], &[]).status.code(), Some(0));
    let nothing = hyperzoom(&["recover", room], &[]);
    assert_ne!(nothing.status.code(), Some(2), "{}", text(&nothing.stderr));
}

#[test]
fn a_message_is_explained_by_its_name_and_all_of_them_without_one() {
    let one = hyperzoom(&["explain", "device-busy", "--json"]);
    let entry: serde_json::Value = serde_json::from_slice(&one.stdout).expect("one object");
    assert_eq!(entry["kind"], "exit code 4");
    for field in ["code", "what", "try", "cause"] {
        assert!(entry[field].as_str().is_some_and(|text| !text.is_empty()), "{entry}");
    }
    let all = text(&hyperzoom(&["explain"]).stdout);
    assert!(all.contains("disk-silent (warning)") && all.contains("refused-full (exit code 3)"));
    let none = hyperzoom(&["explain", "nothing"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("; try "), "{none:?}");
}

#[test]
fn without_a_file_config_tells_what_counts_and_a_slip_in_a_variable_is_told() {
    let none = hyperzoom(&["config", "--json"]);
    assert_eq!(none.status.code(), Some(0), "{none:?}");
    let report: serde_json::Value = serde_json::from_slice(&none.stdout).expect("JSON");
    assert_eq!((&report["path"], &report["exists"]), (&serde_json::Value::Null, &false.into()));
    let shown = text(&hyperzoom(&["config"]).stdout);
    assert!(shown.starts_with("# hyperzoom host, without a file: HYPERZOOM_CONFIG is empty\n"));
    // There is no file to write, or to name.
    for flag in ["--init", "--path"] {
        refuses(&["config", flag]);
    }
    let slip = |args: &[&str]| {
        let output = with(args, |command| {
            command.env("HYPERZOOM_CONFIG", "").env("HYPERZOOM_NAEM", "Ada");
        });
        text(&output.stderr)
    };
    let warning = "warning: HYPERZOOM_NAEM sets nothing; try HYPERZOOM_NAME\n";
    assert_eq!(slip(&["config"]), warning);
    assert!(slip(&["record", "--duration", "soon"]).starts_with(warning));
    assert_eq!(slip(&["explain", "variable-unknown"]), "", "no command that takes settings");
}

#[test]
#[cfg(unix)]
fn the_doctor_asks_the_terminal_whether_it_tells_of_keys_that_are_let_go() {
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().to_str().expect("a plain name");
    let args =
        ["doctor", "--mic", "off", "--speaker", "off", "--no-port-mapping", "--output", output];
    let mut terminal = crate::support::terminal::Terminal::start(&args.map(str::to_owned), |_| ());
    // The answer of one that knows kitty's protocol, and then what every terminal answers.
    terminal.press("\u{1b}[?0u\u{1b}[?62;c");
    terminal.shows("push-to-talk is holding the space bar");
}
