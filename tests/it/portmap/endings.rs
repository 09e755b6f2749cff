//! Routers that make the end difficult.

use super::{Homes, Scripted, wait_for};

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
