//! Guests that come without the key, and the person who lets them in, or not, or takes one out again.

use serde_json::Value;

use super::{guest, host, party};
use crate::support::process::{Program, side_by_side};

/// The knock of somebody of that name at `host`, and that `knocking` shows the same code.
#[track_caller]
fn knock(host: &Program, knocking: &Program, name: &str) -> Value {
    let (_, knock) = host.wait_for(name, |e| e["event"] == "knock" && e["name"] == name);
    let shown = knocking.wait("knock_code");
    assert_eq!(knock["code"], shown["code"]);
    let code = knock["code"].as_str().expect("it is text");
    let digits = code.chars().filter(char::is_ascii_digit).count();
    assert_eq!((digits, code.len()), (6, 7), "two groups of three: {code}");
    knock
}

/// What the person at `program` decides about that id.
fn decide(program: &mut Program, what: &str, id: &Value) {
    program.line(&format!("{{\"do\": \"{what}\", \"id\": {id}}}"));
}

/// How the knock of that id ended.
#[track_caller]
fn over(host: &Program, id: &Value) -> Value {
    host.wait_for("its end", |e| e["event"] == "knock_over" && e["id"] == *id).1["admitted"].clone()
}

#[test]
fn who_knocks_is_let_in_or_not_by_a_person_and_who_is_removed_stays_out() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let flags = |name: &str| party("test", "test:320x180@15", "off", &room.path().join(name));
    let asking = ["--admit", "ask", "--record-now"].map(str::to_owned);
    let (mut host, invite) = host([flags("host"), asking.to_vec()].concat());
    let (address, key) = invite.split_once('#').expect("a key");

    let bob = guest("Bob", address, flags("bob"));
    let first = knock(&host, &bob, "Bob");
    let from = first["address"].as_str().expect("it is text");
    assert!(from.starts_with("127.0.0.1:"), "{from}");
    host.more_stats(2);
    assert_eq!(bob.all("peer_joined"), [Value::Null; 0], "nobody has said yes");
    decide(&mut host, "admit", &first["id"]);
    assert_eq!(over(&host, &first["id"]), true);
    bob.wait("peer_joined");
    let (_, joined) = host.wait_for("Bob", |e| e["event"] == "peer_joined" && e["name"] == "Bob");
    bob.recorded(1.0);
    // Whoever is in may pass the invite on.
    let told = bob.wait("invite")["invite"].as_str().expect("it is text").to_owned();
    assert!(told.ends_with(key), "{told}");

    let mut eve = guest("Eve", address, flags("eve"));
    let second = knock(&host, &eve, "Eve");
    assert_ne!(second["id"], first["id"]);
    decide(&mut host, "refuse", &second["id"]);
    assert_eq!(eve.exit_code(), Some(3), "{}", eve.account());
    assert!(eve.wait("error")["what"].as_str().is_some_and(|w| w.contains("let this guest in")));
    assert_eq!(over(&host, &second["id"]), false);
    // Too late, and nothing comes of it.
    decide(&mut host, "admit", &second["id"]);
    host.wait_for("a word on that", |e| e["event"] == "warning" && e["code"] == "knock-over");

    decide(&mut host, "remove", &joined["id"]);
    let (_, left) = host.wait_for("Bob's end", |e| e["event"] == "peer_left");
    assert_eq!((&left["id"], &left["reason"]), (&joined["id"], &"removed".into()));
    // It is told, and its recording is its own.
    let lost = |e: &Value| e["event"] == "warning" && e["code"] == "call-lost";
    let (_, lost) = bob.wait_for("a word on that", lost);
    assert!(lost["what"].as_str().is_some_and(|w| w.contains("removed")), "{lost}");
    bob.more_stats(2);
    let another = |e: &Value| {
        e["event"] == "invite" && e["invite"].as_str().is_some_and(|i| !i.ends_with(key))
    };
    let (_, changed) = host.wait_for("an invite with another key", another);
    let mut again = guest("Bob", &invite, flags("again"));
    assert_eq!(again.exit_code(), Some(3), "{}", again.account());
    assert!(again.wait("error")["what"].as_str().is_some_and(|w| w.contains("key")));
    // Who has the new one needs nobody.
    let carl = guest("Carl", changed["invite"].as_str().expect("it is text"), flags("carl"));
    carl.wait("peer_joined");
    host.wait_for("Carl", |e| e["event"] == "peer_joined" && e["name"] == "Carl");
    assert_eq!(host.all("knock").len(), 2);
    let mut programs = [bob, carl, host];
    for program in &mut programs {
        program.command("end");
    }
    for program in &mut programs {
        program.finished().assert_nothing_lost();
    }
}
