//! NAT-PMP and PCP, the order of the languages, and what lasts: renewals, restarted routers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Homes, Scripted, wait_for};

/// How often a router is asked, and what the asking and mapping may take on a busy machine. The half of
/// the lease would be five minutes.
const CHECK: Duration = Duration::from_secs(30 + 10);

fn lease(asked: &Value) -> Option<u64> {
    // A number by NAT-PMP and PCP, a text by UPnP.
    asked["lease"].as_u64().or_else(|| asked["NewLeaseDuration"].as_str()?.parse().ok())
}

/// The requests for a mapping.
fn requests(router: &Scripted) -> Vec<Value> {
    router.asked().into_iter().filter(|a| lease(a).is_some_and(|lease| lease > 0)).collect()
}

/// A lease of 20 s is renewed when half of it is over, and again after the router has forgotten all.
fn lives_on(homes: &Homes, place: &str, router: &Scripted, method: &str) {
    let mut host = homes.host_at(place, &[]);
    let mapped = host.event("port_mapping");
    assert_eq!((&mapped["state"], &mapped["method"]), (&"mapped".into(), &method.into()));
    assert_eq!(mapped["external"], "11.1.1.2:7000");
    assert_eq!(router.mappings().len(), 1);
    let renewed = wait_for("renewal", || Some(requests(router)).filter(|r| r.len() > 1));
    let at = |n: usize| renewed[n]["t"].as_f64().expect("a time");
    let after = at(1) - at(0);
    eprintln!("{method}: renewed after {after:.1} s of 20");
    assert!((9.0..20.0).contains(&after), "renewed after {after} s of 20");
    assert_eq!(renewed[0]["nonce"], renewed[1]["nonce"], "or it would be a stranger's");

    router.restart();
    let mapped = host.event("port_mapping");
    assert_eq!(
        (&mapped["state"], &mapped["external"]),
        (&"mapped".into(), &"11.1.1.77:7000".into())
    );
    let invite = mapped["invite"].as_str().expect("an invite");
    assert!(invite.starts_with("11.1.1.77:7000#"), "{invite}");
    assert_eq!(router.mappings().len(), 1, "mapped anew");
    assert_eq!(host.end()["state"], "removed");
    assert!(router.mappings().is_empty());
}

#[test]
fn leases_are_renewed_at_half_time_and_a_router_that_has_forgotten_is_asked_anew() {
    let Some(two) = Homes::up("hpg", "none") else { return };
    let Some(one) = Homes::up("hph", "none") else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let router = Scripted::nat(&two, "router_a", "nat-pmp", "short");
            lives_on(&two, "host_a", &router, "nat-pmp");
        });
        scope.spawn(|| {
            let router = Scripted::nat(&two, "router_b", "pcp", "short");
            lives_on(&two, "host_b", &router, "pcp");
        });
        scope.spawn(|| {
            let router = Scripted::igd(&one, "short");
            lives_on(&one, "host_a", &router, "upnp");
        });
    });
}

/// A lease of ten minutes, of which a router knows nothing any more: nobody waits for its half.
fn is_back(homes: &Homes, place: &str, router: &Scripted, method: &str) {
    let mut host = homes.host_at(place, &[]);
    let mapped = host.event("port_mapping");
    assert_eq!((&mapped["state"], &mapped["method"]), (&"mapped".into(), &method.into()));
    router.restart();
    wait_for("restart", || router.mappings().is_empty().then_some(()));
    let gone = Instant::now();
    while router.mappings().is_empty() {
        assert!(gone.elapsed() < CHECK, "{method}: nothing after {:?}", gone.elapsed());
        host.event("stats");
    }
    eprintln!("{method}: mapped again {:.1} s after the restart", gone.elapsed().as_secs_f64());
    // The same port at the same address: there is no news until it is given back.
    assert_eq!(host.end()["state"], "removed");
    assert!(router.mappings().is_empty());
}

#[test]
fn a_router_that_restarts_or_gets_another_address_is_noticed_within_half_a_minute() {
    let Some(two) = Homes::up("hpp", "none") else { return };
    let Some(one) = Homes::up("hpm", "none") else { return };
    let Some(third) = Homes::up("hpn", "none") else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let router = Scripted::nat(&two, "router_a", "nat-pmp", "plain");
            is_back(&two, "host_a", &router, "nat-pmp");
        });
        scope.spawn(|| {
            let router = Scripted::nat(&two, "router_b", "pcp", "plain");
            is_back(&two, "host_b", &router, "pcp");
        });
        scope.spawn(|| {
            let router = Scripted::igd(&one, "plain");
            is_back(&one, "host_a", &router, "upnp");
        });
        scope.spawn(|| {
            let router = Scripted::igd(&third, "plain");
            let mut host = third.host(&[]);
            assert_eq!(host.event("port_mapping")["external"], "11.1.1.2:7000");
            router.renumber();
            let since = Instant::now();
            let mapped = host.event("port_mapping");
            assert_eq!(mapped["state"], "mapped", "{mapped}");
            let invite = mapped["invite"].as_str().expect("an invite");
            assert!(invite.starts_with("11.1.1.88:7000#"), "{invite}");
            assert!(since.elapsed() < CHECK, "{:?}", since.elapsed());
        });
    });
}

#[test]
fn servers_of_nat_pmp_and_pcp_that_behave_badly_are_handled_each_in_its_way() {
    let Some(homes) = Homes::up("hpi", "none") else { return };
    for language in ["nat-pmp", "pcp"] {
        let server = |mode| Scripted::nat(&homes, "router_a", language, mode);

        let router = server("other");
        let mut host = homes.host(&[]);
        let mapped = host.event("port_mapping");
        assert_eq!(mapped["method"], language);
        assert_eq!(mapped["external"], "11.1.1.2:8000", "{language}: as the router wants it");
        let invite = mapped["invite"].as_str().expect("an invite");
        assert!(invite.starts_with("11.1.1.2:8000#"), "{invite}");
        assert_eq!(host.end()["state"], "removed");
        assert!(router.mappings().is_empty());
        drop(router);

        let router = server("refuse");
        let mut host = homes.host(&[]);
        assert_eq!(host.event("port_mapping")["state"], "failed");
        host.warning("the router refuses");
        drop((host, router));

        for mode in ["garbage", "late"] {
            let router = server(mode);
            let mut host = homes.host(&[]);
            let failed = host.event("port_mapping");
            assert_eq!(failed["state"], "failed", "{language}, {mode}");
            assert!(failed["t"].as_f64().is_some_and(|t| t < 3.0), "{language}, {mode}: {failed}");
            assert_eq!(router.mappings().len(), 1, "{language}, {mode}: it has mapped");
            host.ask_for_the_end();
            host.rest();
            if mode == "late" {
                assert!(
                    router.mappings().is_empty(),
                    "{language}: what may be there is taken back"
                );
            }
        }
    }
    // An answer to somebody else's request is none.
    let router = Scripted::nat(&homes, "router_a", "pcp", "foreign");
    let mut host = homes.host(&[]);
    assert_eq!(host.event("port_mapping")["state"], "failed");
    host.warning("nonce");
    drop((host, router));
}

#[test]
fn a_router_that_refuses_in_one_language_is_asked_in_the_next() {
    let Some(homes) = Homes::up("hpj", "none") else { return };
    for (language, mode, method) in
        [("nat-pmp", "plain", "nat-pmp"), ("both", "half", "pcp"), ("pcp", "plain", "pcp")]
    {
        let igd = Scripted::igd(&homes, "refuse");
        let nat = Scripted::nat(&homes, "router_a", language, mode);
        let mut host = homes.host(&[]);
        let mapped = host.event("port_mapping");
        let expected = (&Value::from("mapped"), &Value::from(method));
        assert_eq!((&mapped["state"], &mapped["method"]), expected, "{language}, {mode}");
        let refused = igd.asked().iter().filter(|a| a["action"] == "AddPortMapping").count();
        assert_eq!(refused, 0, "it does not even tell what is free");
        assert_eq!(nat.mappings().len(), 1);
        assert_eq!(host.end()["state"], "removed");
        assert!(nat.mappings().is_empty());
    }
}
