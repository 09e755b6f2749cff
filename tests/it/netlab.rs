//! Whole calls of real processes through the laboratory's routers: homes behind NATs of every kind,
//! with and without port mapping.
//!
//! Needs root and the packages of tests/lab/README.md; says so and does nothing without them. Those
//! that take a minute and more run with `HYPERZOOM_SOAK=1` (`make soak`).
#![cfg(target_os = "linux")]

mod roaming;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Program, run, side_by_side};

/// Two homes behind two routers.
struct Homes {
    folder: tempfile::TempDir,
    prefix: String,
}

impl Homes {
    /// `None` where the laboratory cannot be.
    fn up(name: &str, options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let homes = Self { folder, prefix: format!("{name}{}", std::process::id() % 10_000) };
        let output = homes.lab().arg("up").args(options).output().expect("bash is here");
        if output.status.success() {
            return Some(homes);
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("laboratory not available, nothing tested: {}", why.trim());
        None
    }

    fn lab(&self) -> Command {
        let mut command = Command::new(lab());
        command
            .env("NETLAB_PREFIX", &self.prefix)
            .env("NETLAB_DIR", self.folder.path().join("net"));
        command
    }

    /// Starts the program at that place.
    fn start(&self, place: &str, name: &str, flags: &[&str]) -> Program {
        let folder = self.folder.path().join(name);
        let common = ["--name", name, "--mic", "test", "--speaker", "off", "--no-window"];
        let output = folder.to_str().expect("a plain name");
        let more = ["--camera", "test:320x180@15", "--output", output];
        let args: Vec<&str> = flags.iter().chain(&common).chain(&more).copied().collect();
        Program::start_through(
            name,
            &args,
            &[lab().as_os_str(), "exec".as_ref(), place.as_ref()],
            |c| {
                c.env("NETLAB_PREFIX", &self.prefix)
                    .env("NETLAB_DIR", self.folder.path().join("net"))
                    .env("XDG_STATE_HOME", folder.join("state"));
            },
        )
    }

    /// The rules of a router that let somebody in.
    fn forwarded(&self, router: &str) -> Vec<String> {
        let mut nft = self.lab();
        let output = nft.args(["exec", router, "nft", "list", "ruleset"]).output().expect("nft");
        let rules = String::from_utf8_lossy(&output.stdout).into_owned();
        let dnat = |l: &&str| l.contains("dnat ip");
        rules.lines().filter(dnat).map(|l| l.trim().to_owned()).collect()
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        let _ = self.lab().arg("down").stdout(Stdio::null()).output();
    }
}

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/net-lab")
}

fn soak() -> bool {
    std::env::var_os("HYPERZOOM_SOAK").is_some()
}

/// The invite that the host prints once it knows how it is reached.
fn mapped_invite(host: &Program) -> String {
    let invite = |e: &Value| e["event"] == "port_mapping" && e["invite"].is_string();
    let (_, event) = host.wait_for("an invite with the router's address", invite);
    event["invite"].as_str().expect("it is text").to_owned()
}

/// The way that `program` has to that participant now.
fn way(program: &Program, id: u64) -> Option<String> {
    let told = program.all("peer_path").into_iter().rev().find(|e| e["id"] == id)?;
    told["path"].as_str().map(str::to_owned)
}

/// Waits until everybody hears all others and has these ways to them; the time that took. Ids are as
/// in `programs`.
#[track_caller]
fn all_hear(programs: &[&Program], ways: &[[&str; 4]]) -> Duration {
    let members: Vec<_> = programs.iter().copied().enumerate().collect();
    members_hear(&members, ways)
}

/// The same for members of any ids.
#[track_caller]
fn members_hear(members: &[(usize, &Program)], ways: &[[&str; 4]]) -> Duration {
    let began = Instant::now();
    let heard = |program: &Program, id: u64| {
        let stats = program.all("stats");
        let peers = stats.last().map(|s| s["peers"].clone());
        let peers = peers.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        peers
            .iter()
            .any(|p| p["id"] == id && p["received_kbps"].as_f64().is_some_and(|kbps| kbps > 60.0))
    };
    loop {
        let fine = members.iter().zip(ways).all(|((own, program), ways)| {
            members.iter().map(|(id, _)| *id).filter(|id| id != own).all(|id| {
                let wanted = ways[id];
                heard(program, id as u64) && way(program, id as u64).as_deref() == Some(wanted)
            })
        });
        if fine {
            return began.elapsed();
        }
        if began.elapsed() > Duration::from_secs(40) {
            for (id, program) in members {
                eprintln!("{id}: {:?}", [0, 1, 2, 3].map(|id| way(program, id)));
            }
            panic!("they do not all hear each other");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// All end, by key, and nothing of their recordings is lost.
fn end(programs: &mut [Program]) {
    for program in programs.iter_mut() {
        program.command("end");
    }
    for program in programs {
        program.finished().assert_nothing_lost();
    }
}

const D: &str = "direct";
const L: &str = "local";
const R: &str = "relay";

#[test]
fn two_homes_without_port_mapping_open_to_each_other_and_local_members_stay_local() {
    let _place = side_by_side();
    // Only the host's port is forwarded, by hand; the others open their NATs at the same time.
    let Some(homes) = Homes::up("nla", &["--portmap", "none", "--nat-a", "open"]) else { return };
    let flags = ["host", "--public", "11.1.1.2", "--no-port-mapping", "--record-now"];
    let host = homes.start("host_a", "Ann", &flags);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let b = homes.start("host_b", "Bob", &["join", &invite, "--no-port-mapping"]);
    b.wait("peer_joined");
    let d = homes.start("host_d", "Dora", &["join", &invite, "--no-port-mapping"]);
    let took = all_hear(&[&host, &b, &d], &[["", D, D, ""], [D, "", L, ""], [D, L, "", ""]]);
    eprintln!("two homes, one forwarded port, two behind one NAT: all hear after {took:.1?}");
    end(&mut [host, b, d]);
}

#[test]
fn two_homes_with_nothing_mapped_on_either_side_open_to_each_other() {
    let _place = side_by_side();
    // A third member brings them together; neither router lets anybody in who was not written to.
    let Some(homes) = Homes::up("nlh", &["--portmap", "none", "--nat", "cone"]) else { return };
    let host = homes.start("host_x", "Xenia", &["host", "--no-port-mapping", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let a = homes.start("host_a", "Ann", &["join", &invite, "--no-port-mapping"]);
    a.wait("peer_joined");
    let b = homes.start("host_b", "Bob", &["join", &invite, "--no-port-mapping"]);
    let took = all_hear(&[&host, &a, &b], &[["", D, D, ""], [D, "", D, ""], [D, D, "", ""]]);
    eprintln!("two homes, nothing mapped: all hear after {took:.1?}");
    assert_eq!(["router_a", "router_b"].map(|r| homes.forwarded(r)), [[""; 0]; 2]);
    end(&mut [host, a, b]);
}

#[test]
fn a_third_joins_by_a_guests_invite_after_the_host_has_left() {
    let _place = side_by_side();
    let Some(homes) = Homes::up("nli", &["--portmap", "upnp"]) else { return };
    let mut host = homes.start("host_x", "Xenia", &["host", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let a = homes.start("host_a", "Ann", &["join", &invite]);
    a.wait("peer_joined");
    let b = homes.start("host_b", "Bob", &["join", &invite]);
    all_hear(&[&host, &a, &b], &[["", D, D, ""], [D, "", D, ""], [D, D, "", ""]]);
    host.command("end");
    host.finished().assert_nothing_lost();
    for guest in [&a, &b] {
        let (_, left) = guest.wait_for("the host's leaving", |e| e["event"] == "peer_left");
        assert_eq!((&left["id"], &left["reason"]), (&0.into(), &"bye".into()));
        guest.more_stats(2);
    }
    let guests = [(1, &a), (2, &b)];
    members_hear(&guests, &[["", "", D, ""], ["", D, "", ""]]);
    // Bob's invite, who is not the one that lets in: his router's address.
    let outside = |e: &Value| {
        let invite = e["invite"].as_str();
        e["event"] == "invite" && invite.is_some_and(|i| i.starts_with("11.2.2.2:"))
    };
    let (_, told) = b.wait_for("an invite with the router's address", outside);
    let invite = told["invite"].as_str().expect("it is text");
    let c = homes.start("host_x", "Cleo", &["join", invite]);
    let came = |e: &Value| e["event"] == "peer_joined" && e["name"] == "Cleo";
    let (_, came) = a.wait_for("Cleo", came);
    assert_eq!(came["id"], 3, "the host's id is not given again so soon");
    let members = [(1, &a), (2, &b), (3, &c)];
    let took = members_hear(&members, &[["", "", D, D], ["", D, "", D], ["", D, D, ""]]);
    eprintln!("joined by a guest's invite without the host: all hear after {took:.1?}");
    end(&mut [a, b, c]);
    assert_eq!(["router_a", "router_b"].map(|r| homes.forwarded(r)), [[""; 0]; 2]);
}

#[test]
fn symmetric_on_both_sides_goes_through_a_member() {
    let _place = side_by_side();
    // The host is on the internet itself; two homes whose routers take another port for everybody.
    let Some(homes) = Homes::up("nlb", &["--portmap", "none", "--nat", "symmetric"]) else {
        return;
    };
    let flags = ["host", "--no-port-mapping", "--record-now"];
    let host = homes.start("host_x", "Xenia", &flags);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    assert!(invite.starts_with("11.3.3.10"), "{invite}");
    let a = homes.start("host_a", "Ann", &["join", &invite, "--no-port-mapping"]);
    a.wait("peer_joined");
    let b = homes.start("host_b", "Bob", &["join", &invite, "--no-port-mapping"]);
    let took = all_hear(&[&host, &a, &b], &[["", D, D, ""], [D, "", R, ""], [D, R, "", ""]]);
    eprintln!("symmetric on both sides: relayed after {took:.1?}");
    // Audio comes, and of the picture one small layer.
    let (_, stats) = a.wait_for("a picture through the member", |e| {
        let peers = e["peers"].as_array().cloned().unwrap_or_default();
        e["event"] == "stats"
            && peers.iter().any(|p| p["id"] == 2 && p["video"]["width"].as_u64() == Some(640))
    });
    let relayed = stats["peers"].as_array().and_then(|p| p.iter().find(|p| p["id"] == 2));
    let relayed = relayed.expect("it was just there");
    eprintln!("relayed: {relayed}");
    assert!(relayed["received_kbps"].as_f64().is_some_and(|kbps| kbps < 400.0), "{relayed}");
    // The carrier's own pictures and those that it carries go on beside each other.
    a.wait_for("pictures of both", |e| {
        let fps = |id: u64| {
            let peers = e["peers"].as_array()?;
            peers.iter().find(|p| p["id"] == id)?["video"]["fps"].as_f64()
        };
        e["event"] == "stats" && fps(0).is_some_and(|f| f > 13.0) && fps(2).is_some_and(|f| f > 5.0)
    });
    let delay = |p: &Value| p["video"]["delay_ms"].as_f64();
    let stats = a.all("stats");
    let last = stats.last().and_then(|s| s["peers"].as_array()).expect("peers");
    eprintln!("delays of the pictures, ms: {:?}", last.iter().map(delay).collect::<Vec<_>>());
    end(&mut [host, a, b]);
}

#[test]
fn four_in_two_homes_with_upnp_and_each_kind_of_end_gives_the_ports_back() {
    if !soak() {
        return;
    }
    let _place = side_by_side();
    let Some(homes) = Homes::up("nlc", &["--portmap", "upnp"]) else { return };
    let host = homes.start("host_a", "Ann", &["host", "--record-now"]);
    let outside = mapped_invite(&host);
    // In the host's own home its own address is used: few routers turn packets around.
    let inside = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let mut others = Vec::new();
    for (place, name) in [("host_b", "Bob"), ("host_c", "Cid"), ("host_d", "Dora")] {
        let invite = if name == "Cid" { &inside } else { &outside };
        // The second one of a home asks for another port by itself.
        let port = ["0.0.0.0:7000", "0.0.0.0:7001"][usize::from(name != "Bob")];
        let guest = homes.start(place, name, &["join", invite, "--listen", port]);
        guest.wait("peer_joined");
        others.push(guest);
    }
    let [b, c, d] = &others[..] else { unreachable!("three were started") };
    let ways = [["", D, L, D], [D, "", D, L], [L, D, "", D], [D, L, D, ""]];
    let took = all_hear(&[&host, b, c, d], &ways);
    let mapped = ["router_a", "router_b"].map(|r| homes.forwarded(r));
    eprintln!("four in two homes with UPnP: all hear after {took:.1?}; mapped: {mapped:?}");
    assert_eq!(mapped.each_ref().map(Vec::len), [2, 2]);
    let mut programs = vec![host];
    programs.append(&mut others);
    // The end key, SIGINT, SIGTERM, SIGHUP.
    programs[0].command("end");
    for (n, signal) in [(1, libc::SIGINT), (2, libc::SIGTERM), (3, libc::SIGHUP)] {
        programs[n].signal(signal);
    }
    for program in &mut programs {
        program.finished().assert_nothing_lost();
    }
    assert_eq!(["router_a", "router_b"].map(|r| homes.forwarded(r)), [[""; 0]; 2]);
}

#[test]
fn four_in_two_homes_of_which_one_has_no_port_mapping() {
    if !soak() {
        return;
    }
    let _place = side_by_side();
    let Some(homes) = Homes::up("nlj", &["--portmap", "upnp"]) else { return };
    let host = homes.start("host_a", "Ann", &["host", "--record-now"]);
    let outside = mapped_invite(&host);
    let inside = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let mut programs = vec![host];
    for (place, name, flags) in [
        ("host_b", "Bob", &["join", &outside, "--no-port-mapping"][..]),
        ("host_c", "Cid", &["join", &inside, "--listen", "0.0.0.0:7001"][..]),
        ("host_d", "Dora", &["join", &outside, "--no-port-mapping"][..]),
    ] {
        let guest = homes.start(place, name, flags);
        guest.wait("peer_joined");
        programs.push(guest);
    }
    let all: Vec<&Program> = programs.iter().collect();
    let ways = [["", D, L, D], [D, "", D, L], [L, D, "", D], [D, L, D, ""]];
    let took = all_hear(&all, &ways);
    eprintln!("four, one home without port mapping: all hear after {took:.1?}");
    let mapped = ["router_a", "router_b"].map(|r| homes.forwarded(r).len());
    assert_eq!(mapped, [2, 0]);
    end(&mut programs);
    assert_eq!(homes.forwarded("router_a"), [""; 0]);
}

#[test]
fn nat_pmp_alone_and_one_symmetric_side_are_enough() {
    if !soak() {
        return;
    }
    let _place = side_by_side();
    for (name, options) in [
        ("nld", &["--portmap", "natpmp"][..]),
        ("nle", &["--portmap", "upnp", "--nat-b", "symmetric"][..]),
    ] {
        let Some(homes) = Homes::up(name, options) else { return };
        let host = homes.start("host_a", "Ann", &["host", "--record-now"]);
        let invite = mapped_invite(&host);
        let no = if name == "nle" { &["--no-port-mapping"][..] } else { &[] };
        let flags = [&["join", &invite][..], no].concat();
        let b = homes.start("host_b", "Bob", &flags);
        let took = all_hear(&[&host, &b], &[["", D, "", ""], [D, "", "", ""]]);
        eprintln!("{options:?}: all hear after {took:.1?}; {:?}", homes.forwarded("router_a"));
        assert_eq!(homes.forwarded("router_a").len(), 1);
        end(&mut [host, b]);
        assert_eq!(homes.forwarded("router_a"), [""; 0]);
    }
}

/// Two computers on one cable, with the addresses that they are given.
struct Cable {
    folder: tempfile::TempDir,
    names: [String; 2],
}

impl Cable {
    /// `None` where there can be no namespaces.
    fn plug(name: &str, addresses: [&[&str]; 2]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let id = std::process::id() % 10_000;
        let cable = Self { folder, names: ["a", "b"].map(|end| format!("{name}{id}{end}")) };
        let [a, b] = &cable.names;
        let done = ip(&["netns", "add", a])
            && ip(&["netns", "add", b])
            && ip(&["-n", a, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", b])
            && cable.names.iter().zip(addresses).all(|(end, addresses)| {
                // Without waiting for duplicates of what was just made up.
                addresses.iter().all(|a| ip(&["-n", end, "addr", "add", a, "dev", "eth0", "nodad"]))
                    && ip(&["-n", end, "link", "set", "lo", "up"])
                    && ip(&["-n", end, "link", "set", "eth0", "up"])
            });
        if !done {
            eprintln!("no namespaces here, nothing tested");
        }
        done.then_some(cable)
    }

    fn start(&self, end: usize, name: &str, flags: &[&str]) -> Program {
        let output = self.folder.path().join(name);
        let output = output.to_str().expect("a plain name");
        let common = ["--name", name, "--mic", "test", "--speaker", "off", "--no-port-mapping"];
        let more = ["--no-window", "--camera", "test:320x180@15", "--output", output];
        let args: Vec<&str> = flags.iter().chain(&common).chain(&more).copied().collect();
        let through = ["ip", "netns", "exec", &self.names[end]].map(AsRef::as_ref);
        Program::start_through(name, &args, &through, |_| ())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&["netns", "del", name]);
        }
    }
}

fn ip(words: &[&str]) -> bool {
    let run = Command::new("ip").args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

#[test]
fn a_call_over_ipv6_alone_and_one_that_loses_its_ipv4_addresses() {
    let _place = side_by_side();
    let six = ["2001:db8:7::1/64", "2001:db8:7::2/64"];
    let Some(cable) = Cable::plug("nlf", [&[six[0]], &[six[1]]]) else { return };
    let host = cable.start(0, "Ann", &["host", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    assert!(invite.starts_with("[2001:db8:7::1]:7000#"), "{invite}");
    let guest = cable.start(1, "Bob", &["join", &invite]);
    let took = all_hear(&[&host, &guest], &[["", D, "", ""], [D, "", "", ""]]);
    eprintln!("IPv6 alone: both hear after {took:.1?}");
    end(&mut [host, guest]);

    // A home's addresses of both families; the invite has the old one's.
    let (four, local) = (["10.9.0.1/24", "10.9.0.2/24"], ["fd00:7::1/64", "fd00:7::2/64"]);
    let both = [[four[0], local[0]], [four[1], local[1]]];
    let Some(cable) = Cable::plug("nlg", both.each_ref().map(|a| &a[..])) else { return };
    let host = cable.start(0, "Ann", &["host", "--record-now"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let (_, key) = invite.split_once('#').expect("a key");
    let guest = cable.start(1, "Bob", &["join", &format!("10.9.0.1:7000#{key}")]);
    all_hear(&[&host, &guest], &[["", L, "", ""], [L, "", "", ""]]);
    let ways = guest.all("peer_path").len();
    assert!(ip(&["-n", &cable.names[0], "addr", "del", four[0], "dev", "eth0"]));
    let began = Instant::now();
    let mut left = ways + 1;
    guest.wait_for("another way", |e| {
        left -= usize::from(e["event"] == "peer_path");
        left == 0
    });
    eprintln!("dual stack: over IPv6 {:.1?} after the IPv4 address was gone", began.elapsed());
    host.more_stats(2);
    all_hear(&[&host, &guest], &[["", L, "", ""], [L, "", "", ""]]);
    for program in [&host, &guest] {
        assert_eq!(program.all("peer_left"), [Value::Null; 0], "without a new handshake");
    }
    end(&mut [host, guest]);
}

#[test]
fn packets_that_no_copy_replaces_are_gaps_of_the_safety_track() {
    let _place = side_by_side();
    let addresses: [&[&str]; 2] = [&["10.77.0.1/24"], &["10.77.0.2/24"]];
    let Some(cable) = Cable::plug("hzs", addresses) else { return };
    let host = cable.start(0, "host", &["host", "--listen", "10.77.0.1:7000"]);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    let guest = cable.start(1, "guest", &["join", &invite]);
    host.recorded(1.0);
    // Of a hundred packets eight in a row: no copy reaches so far.
    let rule = "table inet loss { chain in { type filter hook input priority 0; \
                udp dport 7000 numgen inc mod 100 < 8 drop; }; }";
    if !ip(&["netns", "exec", &cable.names[0], "nft", rule]) {
        eprintln!("no nft here, nothing tested");
        return;
    }
    host.recorded(6.0);
    let mut programs = [guest, host];
    end(&mut programs);
    let finished = programs[1].wait("recording_finished");
    let track = &finished["safety_tracks"][0];
    println!("{track}");
    let count = |key: &str| track[key].as_u64().expect("a number");
    let lost = count("lost");
    assert!(lost > 20 && count("gaps") > 5, "{track}");
    let ms = track["gap_ms"].as_f64().expect("a number");
    // Silence is kept back, too; what is lost is in the gaps with its whole length.
    assert!(ms >= lost as f64 * 5.0 - 1.0, "{ms} ms of gaps for {lost} frames of 5 ms");
    let path = track["path"].as_str().expect("a path");
    let (code, out, _) = run(&["verify", path], "");
    assert_eq!(code, Some(0), "{out}");
    let to = cable.folder.path().join("guest.wav").display().to_string();
    let (code, out, _) = run(&["render", path, "--to", &to, "--json"], "");
    assert_eq!(code, Some(0), "{out}");
    let answer: Value = serde_json::from_str(&out).expect("a JSON line");
    let concealed = answer["concealed_ms"].as_f64().expect("a number");
    assert!(concealed > 20.0 && concealed <= ms + 1.0, "{answer}");
}
