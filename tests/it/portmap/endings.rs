//! Every way to end, with a real router: what was mapped during the call is not there after it, but
//! for a kill, after which the lease ends by itself. And routers that make the end difficult.

use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Homes, Running, Scripted, tool, wait_for};
use crate::support::process::Guard;
use crate::support::terminal::Terminal;

impl Homes {
    /// Waits until the router lets somebody in to the first home.
    fn wait_until_mapped(&self) {
        let rule = |r: &String| r.contains("192.168.1.10:7000");
        wait_for("mapping", || self.forwarded().iter().any(rule).then_some(()));
    }

    #[track_caller]
    fn nothing_is_mapped(&self, after: &str) {
        assert_eq!(self.forwarded(), [""; 0], "after {after}");
    }

    /// The words that start a host with a dashboard.
    fn dashboard(&self) -> Vec<String> {
        let words = ["host", "--yes", "--mic", "test", "--camera", "off", "--speaker", "off"];
        let output = self.path("out").display().to_string();
        words.map(str::to_owned).into_iter().chain(["--output".to_owned(), output]).collect()
    }
}

fn mapped_host(homes: &Homes) -> Running {
    let mut host = homes.host(&[]);
    assert_eq!(host.event("port_mapping")["state"], "mapped");
    homes.wait_until_mapped();
    host
}

fn by_key(homes: &Homes) {
    let lab = tool("net-lab");
    let through = [lab.as_os_str(), "exec".as_ref(), "host_a".as_ref()];
    let mut host = Terminal::start_through(&homes.dashboard(), &through, |command| {
        command.env("NETLAB_PREFIX", &homes.prefix);
        command.env("NETLAB_DIR", homes.path("net"));
        command.env("XDG_STATE_HOME", homes.path("state"));
    });
    // The invite, once it is the one that leads in from outside.
    host.shows("11.1.1.2:7000");
    homes.wait_until_mapped();
    host.press("q");
    host.shows("End the call?");
    host.press("q");
    assert_eq!(host.exit_code(), 0);
    homes.nothing_is_mapped("the end key");
}

fn by_signal(homes: &Homes, signal: i32) {
    let mut host = mapped_host(homes);
    host.signal(signal);
    let rest = host.rest();
    let removed = rest.iter().find(|e| e["event"] == "port_mapping");
    assert_eq!(removed.map(|e| &e["state"]), Some(&"removed".into()), "{rest:?}");
    homes.nothing_is_mapped(&format!("signal {signal}"));
}

/// The terminal's other end goes, as when its window is closed.
fn by_closed_terminal(homes: &Homes) {
    let mut command = Command::new("python3");
    command.args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"]).arg(tool("net-lab"));
    command.args(["exec", "host_a", env!("CARGO_BIN_EXE_hyperzoom")]).args(homes.dashboard());
    command.env("NETLAB_PREFIX", &homes.prefix).env("NETLAB_DIR", homes.path("net"));
    command.env("XDG_STATE_HOME", homes.path("state")).env("HYPERZOOM_CONFIG", "");
    command.env("TERM", "xterm-256color").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let terminal = Guard(command.spawn().expect("python3 is here"));
    homes.wait_until_mapped();
    drop(terminal);
    wait_for("end of the mapping", || homes.forwarded().is_empty().then_some(()));
}

/// A fault of the thread that all hangs on.
fn by_panic(homes: &Homes) {
    if !cfg!(debug_assertions) {
        eprintln!("a release has no fault on demand, that end is not tested");
        return;
    }
    let fault = homes.path("fault");
    let mut command = homes.at("host_a", env!("CARGO_BIN_EXE_hyperzoom"));
    command.args(["host", "--json", "--mic", "test", "--camera", "off", "--speaker", "off"]);
    command.arg("--output").arg(homes.path("out")).env("XDG_STATE_HOME", homes.path("state"));
    command.env("HYPERZOOM_CONFIG", "").env("HYPERZOOM_TEST_FAULT", &fault);
    let mut host = Running::start(command);
    assert_eq!(host.event("port_mapping")["state"], "mapped");
    homes.wait_until_mapped();
    std::fs::write(&fault, "").expect("the disk has room");
    let rest = host.rest();
    std::fs::remove_file(&fault).expect("it is there");
    assert!(rest.iter().any(|e| e["code"] == "program-fault"), "{rest:?}");
    homes.nothing_is_mapped("a panic");
}

/// Nothing runs any more that could take it back.
fn by_kill(homes: &Homes) {
    drop(mapped_host(homes));
    homes.wait_until_mapped();
    // protocol:external:client:internal:end:name, the end in seconds of 1970, 0 for none.
    let leases = std::fs::read_to_string(homes.path("net/router_a/leases")).expect("a file");
    let lease = leases.lines().find(|l| l.starts_with("UDP:7000:")).expect("it is there");
    let end: u64 = lease.split(':').nth(4).and_then(|end| end.parse().ok()).expect("a number");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    assert!((now..=now + 600).contains(&end), "{lease} at {now}");
    // The next run of the same machine takes it over and back.
    assert_eq!(mapped_host(homes).end()["state"], "removed");
    homes.nothing_is_mapped("the next run");
}

#[test]
fn every_way_to_end_gives_the_port_back() {
    let Some(homes) = Homes::up("hpk", "upnp") else { return };
    by_key(&homes);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        by_signal(&homes, signal);
    }
    by_closed_terminal(&homes);
    by_panic(&homes);
    by_kill(&homes);
}

#[test]
fn a_router_that_does_not_answer_holds_up_no_end() {
    let Some(homes) = Homes::up("hpl", "none") else { return };
    // It has mapped, and nobody knows: what was asked for is taken back all the same.
    let router = Scripted::igd(&homes, "mute");
    let mut host = homes.host(&[]);
    wait_for("mapping", || (!router.mappings().is_empty()).then_some(()));
    host.ask_for_the_end();
    let rest = host.rest();
    let ended = rest.iter().find(|e| e["event"] == "ended").expect("it says so");
    // Twenty seconds would be the router's.
    assert!(ended["t"].as_f64().is_some_and(|t| t < 10.0), "{ended}");
    assert!(router.mappings().is_empty(), "{:?}", router.mappings());
    drop(router);

    // Nothing is taken back, which is said.
    let _router = Scripted::igd(&homes, "stuck");
    let mut host = homes.host(&[]);
    let mapped = host.event("port_mapping");
    assert_eq!(mapped["state"], "mapped");
    host.ask_for_the_end();
    let rest = host.rest();
    let state = rest.iter().find(|e| e["event"] == "port_mapping").map(|e| &e["state"]);
    assert_eq!(state, Some(&"left".into()), "{rest:?}");
    assert!(rest.iter().any(|e| e["code"] == "port-left-open"), "{rest:?}");
    let ended = rest.iter().find(|e| e["event"] == "ended").expect("it says so");
    let took = |e: &serde_json::Value| e["t"].as_f64().expect("a time");
    assert!(took(ended) - took(&mapped) < 10.0, "{rest:?}");
}
