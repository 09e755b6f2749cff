//! Port mapping against real and scripted routers, in network namespaces of the laboratory.
//!
//! Needs root and the packages of tests/lab/README.md; says so and does nothing without them.
#![cfg(target_os = "linux")]

mod endings;
mod languages;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::LIMIT;

struct Homes {
    folder: tempfile::TempDir,
    prefix: String,
}

impl Homes {
    /// Two homes; `None` where the laboratory cannot be.
    fn up(name: &str, portmap: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let homes = Self { folder, prefix: format!("{name}{}", std::process::id() % 10_000) };
        let output = homes.lab().args(["up", "--portmap", portmap]).output().expect("bash is here");
        if output.status.success() {
            return Some(homes);
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        eprintln!("laboratory not available, nothing tested: {}", why.trim());
        None
    }

    fn lab(&self) -> Command {
        let mut command = Command::new(tool("net-lab"));
        command
            .env("NETLAB_PREFIX", &self.prefix)
            .env("NETLAB_DIR", self.folder.path().join("net"));
        command
    }

    fn at(&self, host: &str, program: &str) -> Command {
        let mut command = self.lab();
        command.args(["exec", host, program]);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A host in the first home.
    fn host(&self, flags: &[&str]) -> Running {
        self.host_at("host_a", flags)
    }

    fn host_at(&self, place: &str, flags: &[&str]) -> Running {
        let mut command = self.at(place, env!("CARGO_BIN_EXE_hyperzoom"));
        command.args(["host", "--json", "--mic", "test", "--camera", "off", "--speaker", "off"]);
        command.arg("--output").arg(self.path("out")).args(flags);
        command.env("XDG_STATE_HOME", self.path("state")).env("HYPERZOOM_CONFIG", "");
        Running::start(command)
    }

    /// The router's rules that let somebody in.
    fn forwarded(&self) -> Vec<String> {
        let output = self.at("router_a", "nft").args(["list", "ruleset"]).output().expect("nft");
        let rules = String::from_utf8_lossy(&output.stdout).into_owned();
        rules.lines().filter(|l| l.contains("dnat")).map(str::to_owned).collect()
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        let _ = self.lab().arg("down").output();
    }
}

fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name)
}

struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, lines: BufReader::new(stdout).lines() }
    }

    /// The next event of that name.
    fn event(&mut self, name: &str) -> Value {
        let began = Instant::now();
        loop {
            // Something is said each second at least.
            assert!(began.elapsed() < LIMIT, "no {name}");
            let line = self.lines.next().unwrap_or_else(|| panic!("it ended before {name}"));
            let line = line.expect("text");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["event"] == name {
                return event;
            }
        }
    }

    /// What it says until its end.
    fn rest(&mut self) -> Vec<Value> {
        let lines = self.lines.by_ref().map(|line| line.expect("text"));
        let rest = lines.map(|line| serde_json::from_str(&line).expect("JSON")).collect();
        self.child.wait().expect("it ends");
        rest
    }

    /// The next warning that speaks of `word`.
    fn warning(&mut self, word: &str) -> Value {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < LIMIT, "no warning of '{word}'");
            let warning = self.event("warning");
            if warning["what"].as_str().is_some_and(|what| what.contains(word)) {
                return warning;
            }
        }
    }

    /// Ends the call by command; the events until then are passed over.
    fn end(&mut self) -> Value {
        self.ask_for_the_end();
        let removed = self.event("port_mapping");
        self.event("ended");
        self.child.wait().expect("it ends");
        removed
    }

    fn ask_for_the_end(&mut self) {
        use std::io::Write;
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        writeln!(stdin, r#"{{"do":"end"}}"#).expect("it listens");
    }

    fn signal(&self, signal: i32) {
        send_signal(&self.child, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_signal(child: &Child, signal: i32) {
    let id = i32::try_from(child.id()).expect("process ids are small");
    // SAFETY: a plain system call; the process is our child and not yet waited for.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
}

/// Waits until there is something of that kind.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "no {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A scripted router in a home, and its list of mappings.
struct Scripted {
    child: Child,
    list: PathBuf,
}

impl Scripted {
    /// A UPnP router in the first home.
    fn igd(homes: &Homes, mode: &str) -> Self {
        Self::start(homes, "router_a", "scripted-router", &["192.168.1.1", mode])
    }

    /// A NAT-PMP or PCP server: in the first home, and for `router_b` in the second.
    fn nat(homes: &Homes, place: &str, language: &str, mode: &str) -> Self {
        let address = if place == "router_b" { "192.168.2.1" } else { "192.168.1.1" };
        Self::start(homes, place, "scripted-nat", &[address, language, mode])
    }

    fn start(homes: &Homes, place: &str, script: &str, args: &[&str]) -> Self {
        let list = homes.path(&format!("{place}-{script}.json"));
        let mut child = homes
            .at(place, "python3")
            .arg(tool(script))
            .args(args)
            .arg(&list)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is here");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it tells that it is ready");
        assert_eq!(line.trim(), "ready");
        Self { child, list }
    }

    fn mappings(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.list).expect("a list");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What it was asked.
    fn asked(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.list.with_extension("json.asked"));
        // The last line may still be in the writing.
        text.unwrap_or_default().lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    fn restart(&self) {
        send_signal(&self.child, libc::SIGUSR1);
    }

    fn renumber(&self) {
        send_signal(&self.child, libc::SIGUSR2);
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.list.with_extension("json.asked"));
    }
}

#[test]
fn a_real_routers_port_is_mapped_during_the_call_and_given_back() {
    for (portmap, method) in [("upnp", "upnp"), ("natpmp", "nat-pmp")] {
        let Some(homes) = Homes::up("hpa", portmap) else { return };
        let mut host = homes.host(&[]);
        let mapped = host.event("port_mapping");
        assert_eq!((&mapped["state"], &mapped["method"]), (&"mapped".into(), &method.into()));
        assert_eq!(mapped["external"], "11.1.1.2:7000");
        let invite = mapped["invite"].as_str().expect("an invite");
        assert!(invite.starts_with("11.1.1.2:7000#"), "{invite}");
        let rules = homes.forwarded();
        assert!(rules.iter().any(|r| r.contains("192.168.1.10:7000")), "{rules:?}");
        assert_eq!(host.end()["state"], "removed");
        assert_eq!(homes.forwarded(), [""; 0]);
    }
}

#[test]
fn without_a_router_that_maps_the_person_learns_what_to_do() {
    let Some(homes) = Homes::up("hpb", "none") else { return };
    let mut host = homes.host(&[]);
    let failed = host.event("port_mapping");
    assert_eq!(failed["state"], "failed");
    assert!(failed["t"].as_f64().is_some_and(|t| t < 3.0), "within three seconds: {failed}");
    let warning = host.warning("cannot reach this computer");
    assert!(warning["try"].as_str().is_some_and(|t| t.contains("forward UDP port 7000")));
    drop(host);
    // Told not to ask, it does not, but nobody outside gets in by that.
    let mut host = homes.host(&["--no-port-mapping"]);
    let warning = host.warning("cannot reach this computer");
    assert!(warning["what"].as_str().is_some_and(|w| w.contains("switched off")), "{warning}");
    assert!(warning["try"].as_str().is_some_and(|t| t.contains("--public ADDRESS")), "{warning}");
    drop(host);
    // Told where it is reached from outside, nobody has to be warned.
    let mut host = homes.host(&["--public", "203.0.113.5", "--no-port-mapping"]);
    let ready = host.event("ready");
    assert!(ready["invite"].as_str().is_some_and(|i| i.starts_with("203.0.113.5:7000#")));
    host.event("stats");
    host.ask_for_the_end();
    let rest = host.rest();
    assert!(rest.iter().all(|e| e["code"] != "port-not-mapped"), "{rest:?}");
}

#[test]
fn a_router_that_takes_its_time_is_told_of_within_three_seconds_and_waited_for() {
    let Some(homes) = Homes::up("hpe", "none") else { return };
    // A question about the port, the mapping, its confirmation: a second each.
    let router = Scripted::igd(&homes, "slow");
    let mut host = homes.host(&[]);
    let failed = host.event("port_mapping");
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["t"].as_f64().is_some_and(|t| t < 3.0), "within three seconds: {failed}");
    let warning = host.warning("has not answered yet");
    assert!(warning["try"].as_str().is_some_and(|t| t.contains("forward UDP port 7000")));
    let mapped = host.event("port_mapping");
    assert_eq!(
        (&mapped["state"], &mapped["external"]),
        (&"mapped".into(), &"11.1.1.2:7000".into())
    );
    assert_eq!(host.end()["state"], "removed");
    assert!(router.mappings().is_empty());
}

#[test]
fn another_programs_port_is_left_alone_however_much_the_router_has_mapped() {
    let Some(homes) = Homes::up("hpf", "none") else { return };
    for mode in ["crowded", "listed"] {
        let router = Scripted::igd(&homes, mode);
        let before = router.mappings();
        assert!(before.len() > 128);
        let mut host = homes.host(&[]);
        let mapped = host.event("port_mapping");
        assert_eq!(mapped["state"], "mapped", "{mode}: {mapped}");
        assert_ne!(mapped["external"], "11.1.1.2:7000", "{mode}");
        assert_eq!(host.end()["state"], "removed");
        assert_eq!(router.mappings(), before, "{mode}");
    }
    // Nobody says whose the port is: it is not asked for, nor any other one.
    let router = Scripted::igd(&homes, "secretive");
    let before = router.mappings();
    let mut host = homes.host(&[]);
    assert_eq!(host.event("port_mapping")["state"], "failed");
    host.warning("does not tell which of its ports are free");
    host.ask_for_the_end();
    host.rest();
    assert_eq!(router.mappings(), before);
    assert!(router.asked().iter().all(|a| a["action"] != "AddPortMapping"));
}

#[test]
fn routers_that_behave_badly_are_handled_each_in_its_way() {
    let Some(homes) = Homes::up("hpc", "none") else { return };
    let run = |mode: &str, look: &mut dyn FnMut(&mut Running, &Scripted)| {
        let router = Scripted::igd(&homes, mode);
        let mut host = homes.host(&[]);
        look(&mut host, &router);
    };
    let note = homes.path("state").join("hyperzoom/port-mappings.json");

    run("permanent", &mut |host, router| {
        assert_eq!(host.event("port_mapping")["external"], "11.1.1.2:7000");
        assert_eq!(router.mappings()[0]["NewLeaseDuration"], "0");
        assert!(note.exists(), "a mapping without an end is noted");
        assert_eq!(host.end()["state"], "removed");
        assert!(router.mappings().is_empty() && !note.exists());
    });
    // Without an answer nobody knows that there is one, but for the note.
    run("silent", &mut |host, router| {
        assert_eq!(host.event("port_mapping")["state"], "failed");
        assert_eq!(router.mappings()[0]["NewLeaseDuration"], "0");
        assert!(note.exists());
        std::fs::remove_file(&note).expect("it is there");
    });
    run("taken", &mut |host, router| {
        let mapped = host.event("port_mapping");
        assert_eq!(mapped["state"], "mapped");
        assert_ne!(mapped["external"], "11.1.1.2:7000", "another program's port is left alone");
        assert_eq!(host.end()["state"], "removed");
        let left = router.mappings();
        assert_eq!((left.len(), &left[0]["NewPortMappingDescription"]), (1, &"Game".into()));
    });
    run("refuse", &mut |host, _| {
        assert_eq!(host.event("port_mapping")["state"], "failed");
        host.warning("refuses");
    });
    for mode in ["late", "garbage"] {
        run(mode, &mut |host, _| {
            let failed = host.event("port_mapping");
            assert_eq!(failed["state"], "failed", "{mode}");
            assert!(failed["t"].as_f64().is_some_and(|t| t < 3.0), "{mode}: {failed}");
        });
    }
    for (mode, word) in [("private", "another router"), ("carrier", "carrier-grade")] {
        run(mode, &mut |host, _| {
            let mapped = host.event("port_mapping");
            assert!(mapped["state"] == "mapped" && mapped["invite"].is_null(), "{mapped}");
            host.warning(word);
        });
    }
}

#[test]
fn a_host_with_a_providers_shared_address_is_told_at_once_and_invites_by_any_better_one() {
    let Some(homes) = Homes::up("hpo", "none") else { return };
    let ip = |words: &[&str]| {
        let done = homes.at("host_a", "ip").args(words).status().expect("ip is here");
        assert!(done.success(), "{words:?}");
    };
    // As with a modem: no router of one's own, and an address that nobody else can send to.
    ip(&["addr", "flush", "dev", "eth0"]);
    ip(&["addr", "add", "100.64.0.9/24", "dev", "eth0"]);
    ip(&["route", "add", "default", "via", "100.64.0.1"]);
    let invite = |ready: &Value| ready["invite"].as_str().expect("an invite").to_owned();
    for flags in [&[][..], &["--no-port-mapping"]] {
        let mut host = homes.host(flags);
        assert!(invite(&host.event("ready")).starts_with("100.64.0.9:7000#"));
        let warning = host.warning("carrier-grade NAT");
        assert!(warning["t"].as_f64().is_some_and(|t| t < 3.0), "within three seconds: {warning}");
        assert!(warning["try"].as_str().is_some_and(|t| t.contains("let somebody else host")));
        host.ask_for_the_end();
        let rest = host.rest();
        assert!(rest.iter().all(|e| e["code"] != "port-not-mapped"), "no router here: {rest:?}");
    }
    // A home's address lets in whoever is at home, one of IPv6 everybody.
    for (address, expected) in
        [("192.168.7.9/24", "192.168.7.9:7000#"), ("2001:db8:7::9/64", "[2001:db8:7::9]:7000#")]
    {
        let mut more = vec!["addr", "add", address, "dev", "eth0"];
        if address.contains("::") {
            more.push("nodad");
        }
        ip(&more);
        let mut host = homes.host(&["--no-port-mapping"]);
        let invite = invite(&host.event("ready"));
        assert!(invite.starts_with(expected), "{invite}");
    }
}

#[test]
fn what_a_killed_run_left_on_a_router_without_leases_is_removed_at_the_next_start() {
    let Some(homes) = Homes::up("hpd", "none") else { return };
    let router = Scripted::igd(&homes, "permanent");
    let mut host = homes.host(&["--listen", "0.0.0.0:7100"]);
    assert_eq!(host.event("port_mapping")["external"], "11.1.1.2:7100");
    drop(host);
    assert_eq!(router.mappings().len(), 1, "SIGKILL leaves it");
    let mut host = homes.host(&[]);
    assert_eq!(host.event("port_mapping")["external"], "11.1.1.2:7000");
    let ports: Vec<Value> =
        router.mappings().iter().map(|m| m["NewExternalPort"].clone()).collect();
    assert_eq!(ports, ["7000"]);
    host.end();
}
