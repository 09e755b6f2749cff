//! A member that changes its network in the middle of a call: from one home to another, to another
//! address family.

use hyperzoom::platform::clock;
use hyperzoom::units::Micros;
use serde_json::Value;

use super::{Cable, D, Homes, L, all_hear, end, ip};
use crate::support::process::{Program, side_by_side};

/// A new way must carry within so long of its being there, microseconds.
const FOLLOWED: i64 = 1_000_000;

/// Does something to the network; when that was done, and when `program` found another way.
#[track_caller]
fn finds_another_way(program: &Program, change: impl FnOnce()) -> (Micros, i64) {
    let mut left = program.all("peer_path").len() + 1;
    change();
    let changed = clock::now();
    let (at, _) = program.wait_for("another way", |e| {
        left -= usize::from(e["event"] == "peer_path");
        left == 0
    });
    (changed, at.since(changed))
}

/// Waits until `program` shows an invite to that address.
#[track_caller]
fn invites_to(program: &Program, address: &str) -> Micros {
    let there = |e: &Value| {
        e["event"] == "invite" && e["invite"].as_str().is_some_and(|i| i.starts_with(address))
    };
    program.wait_for(&format!("an invite to {address}"), there).0
}

/// Waits until `program` has a port mapped on the router of that address.
#[track_caller]
fn mapped_at(program: &Program, router: &str) -> Micros {
    let there = |e: &Value| {
        e["state"] == "mapped" && e["external"].as_str().is_some_and(|at| at.starts_with(router))
    };
    program.wait_for(&format!("a port of {router}"), there).0
}

#[track_caller]
fn nobody_left(programs: &[&Program]) {
    for program in programs {
        assert_eq!(program.all("peer_left"), [Value::Null; 0], "{}", program.account());
    }
}

#[test]
fn who_goes_from_one_home_to_another_is_followed_and_asks_the_other_router_at_once() {
    let _place = side_by_side();
    let Some(homes) = Homes::up("nlm", &["--portmap", "upnp"]) else { return };
    let host = homes.start("host_x", "Xenia", &["host", "--no-port-mapping", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let guest = homes.start("host_a", "Ann", &["join", &invite]);
    mapped_at(&guest, "11.1.1.2:");
    all_hear(&[&host, &guest], &[["", D, "", ""], [D, "", "", ""]]);
    invites_to(&guest, "11.1.1.2:");
    let (plugged, took) = finds_another_way(&host, || {
        let done = homes.lab().args(["replug", "host_a", "b", "192.168.2.20"]).status();
        assert!(done.expect("bash is here").success());
    });
    let asked = mapped_at(&guest, "11.2.2.2:").since(plugged);
    let invited = invites_to(&guest, "11.2.2.2:").since(plugged);
    eprintln!(
        "another home: followed after {took} us, mapped after {asked} us, invite after {invited} us"
    );
    assert!(took < FOLLOWED, "{took}");
    // A lease is looked after each five minutes, a router that did not answer each half a minute.
    assert!(asked < 25_000_000, "{asked}");
    all_hear(&[&host, &guest], &[["", D, "", ""], [D, "", "", ""]]);
    assert_eq!(homes.forwarded("router_b").len(), 1);
    nobody_left(&[&host, &guest]);
    end(&mut [host, guest]);
    assert_eq!(homes.forwarded("router_b"), [""; 0], "and gives it back");
}

#[test]
fn addresses_that_come_in_a_call_are_offered_and_carry_when_the_old_ones_go() {
    let _place = side_by_side();
    let (four, six) = (["10.9.0.1/24", "10.9.0.2/24"], ["2001:db8:7::1/64", "2001:db8:7::2/64"]);
    let Some(cable) = Cable::plug("nln", [&four[..1], &four[1..]]) else { return };
    let [a, b] = &cable.names;
    let host = cable.start(0, "Ann", &["host", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let guest = cable.start(1, "Bob", &["join", &invite]);
    all_hear(&[&host, &guest], &[["", L, "", ""], [L, "", "", ""]]);

    let (_, took) = finds_another_way(&host, || {
        assert!(ip(&["-n", a, "route", "add", "10.9.1.0/24", "dev", "eth0"]));
        assert!(ip(&["-n", b, "addr", "del", four[1], "dev", "eth0"]));
        assert!(ip(&["-n", b, "addr", "add", "10.9.1.2/24", "dev", "eth0"]));
        assert!(ip(&["-n", b, "route", "add", "10.9.0.0/24", "dev", "eth0"]));
    });
    eprintln!("another address: followed after {took} us");
    assert!(took < FOLLOWED, "{took}");
    invites_to(&guest, "10.9.1.2:");
    all_hear(&[&host, &guest], &[["", L, "", ""], [L, "", "", ""]]);

    // Both get a second family, and tell of it; then the host loses the first one.
    for (end, address) in [(a, six[0]), (b, six[1])] {
        assert!(ip(&["-n", end, "addr", "add", address, "dev", "eth0", "nodad"]));
    }
    invites_to(&host, "[2001:db8:7::1]:7000");
    invites_to(&guest, "[2001:db8:7::2]:");
    host.more_stats(2);
    let (_, took) = finds_another_way(&guest, || {
        assert!(ip(&["-n", a, "addr", "del", four[0], "dev", "eth0"]));
    });
    eprintln!("the other family: carries {took} us after the first one was gone");
    all_hear(&[&host, &guest], &[["", D, "", ""], [D, "", "", ""]]);
    nobody_left(&[&host, &guest]);
    end(&mut [host, guest]);
}

#[test]
fn who_is_cut_off_until_it_is_given_up_comes_back_with_its_id_and_goes_on_in_its_file() {
    let _place = side_by_side();
    let Some(cable) = Cable::plug("nlp", [&["10.9.0.1/24"], &["10.9.0.2/24"]]) else { return };
    let b = &cable.names[1];
    let host = cable.start(0, "Ann", &["host", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let guest = cable.start(1, "Bob", &["join", &invite]);
    all_hear(&[&host, &guest], &[["", L, "", ""], [L, "", "", ""]]);
    let id = host.wait("peer_joined")["id"].clone();

    assert!(ip(&["-n", b, "link", "set", "eth0", "down"]));
    let left = host.wait("peer_left");
    assert_eq!((&left["id"], &left["reason"]), (&id, &"timeout".into()));
    assert!(ip(&["-n", b, "link", "set", "eth0", "up"]));
    let plugged = clock::now();
    let mut joined = 0;
    let (at, again) = host.wait_for("its return", |e| {
        joined += usize::from(e["event"] == "peer_joined");
        joined == 2
    });
    eprintln!("back {} us after the cable", at.since(plugged));
    assert_eq!(again["id"], id);
    all_hear(&[&host, &guest], &[["", L, "", ""], [L, "", "", ""]]);
    assert_eq!(guest.all("recording_started").len(), 1, "{}", guest.account());
    end(&mut [host, guest]);
}
