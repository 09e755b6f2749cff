//! Man pages, completions and the list of messages in the repository are what the program generates.
//! `HYPERZOOM_UPDATE=1 cargo test` rewrites them.

use std::collections::BTreeSet;
use std::path::Path;

/// Files in a folder that may hold others.
fn among(folder: &str, files: &[(String, Vec<u8>)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if std::env::var_os("HYPERZOOM_UPDATE").is_some() {
        std::fs::create_dir_all(&folder).expect("the repository can be written");
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).expect("the repository can be written");
        }
    }
    for (name, bytes) in files {
        let committed = std::fs::read(folder.join(name)).unwrap_or_default();
        assert!(
            committed == *bytes,
            "{}/{name} is not what the program generates; HYPERZOOM_UPDATE=1 cargo test rewrites it",
            folder.display()
        );
    }
}

/// Files that are all that the folder holds.
fn matches(folder: &str, files: Vec<(String, Vec<u8>)>) {
    among(folder, &files);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let generated: BTreeSet<String> = files.into_iter().map(|(name, _)| name).collect();
    let present: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("and can be read").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(present, generated, "files that nothing generates, or the other way round");
}

#[test]
fn man_pages_are_current() {
    matches("man", hyperzoom::cli::man::pages());
}

#[test]
fn the_list_of_messages_is_current() {
    among("docs", &[("messages.md".to_owned(), hyperzoom::cli::explain::page().into_bytes())]);
}

#[test]
fn completions_are_current() {
    matches("completions", hyperzoom::cli::scripts());
}

/// Every event of every test is held against the schema where it is read; this shows that it would be told.
#[test]
#[cfg(unix)]
fn the_schema_of_events_refuses_what_is_none() {
    use crate::support::schema::event_complaint;
    use serde_json::json;
    assert_eq!(
        event_complaint(&json!({"event": "peer_back", "t": 1.5, "id": 2, "seconds": 1.0})),
        None
    );
    for wrong in [
        json!({"event": "peer_back", "t": 1.5, "id": 2}),
        json!({"event": "peer_back", "t": 1.5, "id": "2", "seconds": 1.0}),
        json!({"event": "peer_back", "id": 2, "seconds": 1.0}),
        json!({"event": "peer_back", "t": 1.5, "id": 2, "seconds": null}),
        json!({"event": "no_such_thing", "t": 1.5}),
    ] {
        assert!(event_complaint(&wrong).is_some(), "{wrong}");
    }
}

#[test]
#[cfg(unix)]
fn the_schemas_of_commands_and_reports_refuse_what_is_none() {
    use crate::support::schema::{check_reports, command_complaint};
    use serde_json::json;
    assert_eq!(command_complaint(&json!({"do": "marker", "note": "cut here"})), None);
    for wrong in [json!({"do": "dance"}), json!({"do": "admit"}), json!({"do": "admit", "id": "7"})]
    {
        assert!(command_complaint(&wrong).is_some(), "{wrong}");
    }
    let refused = |args: &[&'static str], report: &serde_json::Value| {
        let (args, line) = (args.to_vec(), report.to_string());
        std::panic::catch_unwind(move || check_reports(&args, &line)).is_err()
    };
    let failed = json!({"event": "recovered", "path": "a.mp4", "state": "failed", "error": "full"});
    assert!(!refused(&["recover", "a.mp4", "--json"], &failed));
    for (args, wrong) in [
        (["recover", "--json"], json!({"event": "recovered", "path": "a.mp4", "state": "failed"})),
        (["recover", "--json"], json!({"event": "recovered", "path": "a.mp4", "state": "lost"})),
        (["verify", "--json"], json!({"event": "checked", "path": "a.mp4", "ok": true})),
        (["doctor", "--json"], json!({"ok": true, "problems": 0, "warnings": 0})),
        (["devices", "--json"], json!({"microphones": [], "speakers": []})),
        (["explain", "--json"], json!({"code": "disk-silent"})),
        (["config", "--json"], json!({"path": "c.toml", "exists": 1, "command": "host"})),
    ] {
        assert!(refused(&args, &wrong), "{wrong}");
    }
}
