//! `linux.netDevices`: devices of the host that are moved into the container's network namespace.

use kit::{Bundle, Case, Test, Value, json};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_device_is_moved_renamed_and_up,
        several_devices_are_moved,
        a_device_is_moved_into_a_user_namespace,
        a_device_is_moved_into_a_joined_namespace,
        a_missing_device_is_refused,
        a_name_that_exists_in_the_namespace_is_refused,
        moving_into_the_hosts_namespace_is_refused,
        moving_is_refused_without_root,
    ]
}

/// One end of a veth pair on the host, until it is dropped or removed with the container.
struct Pair {
    name: String,
    other: String,
}

fn ip(words: &str) -> bool {
    let mut command = Command::new("ip");
    let done = command.args(words.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Pair {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id() % 1_000_000;
        let pair = Self { name: format!("ot{process}a{n}"), other: format!("ot{process}b{n}") };
        if !ip(&format!("link add {} type veth peer name {}", pair.name, pair.other)) {
            kit::skip("no veth devices, or no ip(8)");
        }
        pair
    }

    fn with(self, words: &str) -> Self {
        assert!(ip(&words.replace("DEV", &self.name)), "ip {words}");
        self
    }

    fn there(&self) -> bool {
        ip(&format!("link show {}", self.name))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {}", self.other));
    }
}

fn addresses<'v>(seen: &'v Value, name: &str) -> Vec<&'v str> {
    seen["addresses"][name].as_array().into_iter().flatten().map(|one| one.as_str().unwrap()).collect()
}

fn moves<'t>(bundle: Bundle<'t>, pair: &Pair, new: &Value) -> Bundle<'t> {
    bundle.set("/linux/netDevices", json!({ pair.name.as_str(): new }))
}

/// Its permanent addresses of global scope are kept, others are not.
fn a_device_is_moved_renamed_and_up(t: &Test) {
    t.only_orlop("it does not support network devices");
    let pair = Pair::new()
        .with("addr add 198.51.100.2/24 brd 198.51.100.255 dev DEV")
        .with("addr add 198.51.100.9/32 dev DEV scope link")
        .with("addr add 203.0.113.1 peer 203.0.113.7/32 dev DEV")
        .with("addr add 2001:db8::5/64 dev DEV nodad")
        .with("addr add 198.51.100.77/24 dev DEV valid_lft 1000 preferred_lft 1000")
        .with("link set DEV up");
    let bundle = moves(t.bundle(), &pair, &json!({"name": "eth7"}));
    let seen = bundle.report();
    assert_eq!(seen["interfaces"]["eth7"], true, "{}", seen["interfaces"]);
    assert!(seen["interfaces"].get(pair.name.as_str()).is_none());
    let found = addresses(&seen, "eth7");
    for kept in ["198.51.100.2/24", "203.0.113.1/32", "2001:db8::5/64"] {
        assert!(found.contains(&kept), "{kept}: {found:?}");
    }
    for left in ["198.51.100.9/32", "198.51.100.77/24"] {
        assert!(!found.contains(&left), "{left}: {found:?}");
    }
    assert!(!pair.there(), "the device is still on the host");
}

fn several_devices_are_moved(t: &Test) {
    t.only_orlop("it does not support network devices");
    let (one, two, three) = (Pair::new(), Pair::new(), Pair::new());
    let devices = json!({
        one.name.as_str(): {}, two.name.as_str(): {"name": "net%d"}, three.name.as_str(): {"name": "net%d"}
    });
    let seen = t.bundle().set("/linux/netDevices", devices).report();
    for name in [one.name.as_str(), "net0", "net1", "lo"] {
        assert_eq!(seen["interfaces"][name], true, "{name}: {}", seen["interfaces"]);
    }
}

fn a_device_is_moved_into_a_user_namespace(t: &Test) {
    t.only_orlop("it does not support network devices");
    let pair = Pair::new().with("addr add 198.51.100.2/24 dev DEV");
    let container = moves(t.bundle().user_namespace(200_000), &pair, &json!({"name": "eth0"}));
    let container = container.probe("sleep").start();
    let seen = container.exec("report").success().json();
    assert_eq!(seen["interfaces"]["eth0"], true);
    assert_eq!(addresses(&seen, "eth0"), ["198.51.100.2/24"]);
}

fn a_device_is_moved_into_a_joined_namespace(t: &Test) {
    t.only_orlop("it does not support network devices");
    let pair = Pair::new();
    let first = t.bundle().probe("sleep").start();
    let path = format!("/proc/{}/ns/net", first.pid());
    let seen = moves(t.bundle().join("network", &path), &pair, &json!({"name": "eth0"})).report();
    assert_eq!(seen["interfaces"]["eth0"], true);
    let seen = first.exec("report").success().json();
    assert_eq!(seen["interfaces"]["eth0"], true, "the device is not in the joined namespace");
}

fn a_missing_device_is_refused(t: &Test) {
    t.only_orlop("it does not support network devices");
    let bundle = t.bundle().set("/linux/netDevices", json!({"no-such-dev": {}}));
    bundle.try_run().refused(&["link not found", "no-such-dev", "ENODEV", "/linux/netDevices"]);
}

fn a_name_that_exists_in_the_namespace_is_refused(t: &Test) {
    t.only_orlop("it does not support network devices");
    let pair = Pair::new();
    moves(t.bundle(), &pair, &json!({"name": "lo"})).try_run().refused(&[&pair.name, "as lo", "EEXIST"]);
    assert!(pair.there());
}

fn moving_into_the_hosts_namespace_is_refused(t: &Test) {
    t.only_orlop("it does not support network devices");
    let bundle = t.bundle().without_namespace("network").set("/linux/netDevices", json!({"no-such-dev": {}}));
    bundle.try_run().refused(&["unable to move network devices without a private network namespace"]);
}

fn moving_is_refused_without_root(t: &Test) {
    t.only_orlop("it does not support network devices");
    let bundle = t.bundle().owned_by(1000).namespace("user").set("/linux/netDevices", json!({"eth9": {}}));
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    let bundle = bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let bundle = bundle.remove("/linux/cgroupsPath").remove("/linux/resources");
    let output = bundle.command("run", &[]).wrap("uid=1000").output();
    output.refused(&["CAP_NET_ADMIN", "rootless", "/linux/netDevices"]);
}
