//! `events`: the form of its lines, and when they are printed.

use kit::{Case, Container, Test, Value, json};
use std::process::{Command, Stdio};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        statistics_have_the_form_that_managers_parse,
        statistics_match_the_cgroup_files,
        another_runtime_prints_the_same,
        statistics_are_printed_at_intervals,
        an_oom_kill_is_reported,
        an_oom_kill_of_a_child_is_reported,
        usage_errors_are_refused,
        stopped_and_unknown_containers_are_refused,
        a_paused_container_is_measured,
        a_container_without_a_cgroup_is_refused,
    ]
}

/// A running container with limits.
fn limited(t: &Test) -> Container<'_> {
    t.needs_limits("memory");
    let resources = json!({
        "memory": {"limit": 33_554_432}, "cpu": {"quota": 50_000, "cpus": "0"}, "pids": {"limit": 20}
    });
    t.bundle().probe("sleep 600").set("/linux/resources", resources).start()
}

fn statistics(container: &Container<'_>) -> (String, Value) {
    let output = container.command("events", &["--stats"]).output().success();
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    (output.stdout.clone(), output.document())
}

/// The names of all members in the order of the text, except names that are data.
fn names(text: &str) -> Vec<String> {
    let (head, rest) = text.split_once("\"raw\":{").unwrap();
    let tail = rest.split_once('}').unwrap().1;
    let both = format!("{head}{tail}");
    let mut words = both.split('"').peekable();
    let mut names = Vec::new();
    words.next();
    while let Some(word) = words.next() {
        if words.peek().is_some_and(|next| next.starts_with(':')) {
            names.push(word.to_owned());
        }
        words.next();
    }
    names
}

fn statistics_have_the_form_that_managers_parse(t: &Test) {
    t.v1("memory", "");
    let container = limited(t);
    let (text, stats) = statistics(&container);
    let start =
        format!("{{\"type\":\"stats\",\"id\":\"{}\",\"data\":{{\"cpu\":{{\"usage\":{{", container.id());
    assert!(text.starts_with(&start), "{text}");
    assert!(text.ends_with("\"intel_rdt\":{},\"network_interfaces\":null}}\n"), "{text}");
    let data = stats["data"].as_object().unwrap();
    for key in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        assert!(data.contains_key(key), "{key}");
    }
    let mut at = 0;
    for name in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        let place = names(&text)[at..].iter().position(|n| n == name);
        at += place.unwrap_or_else(|| panic!("{name} comes too early: {text}"));
    }
    for entry in ["usage", "swap", "kernel", "kernelTCP"] {
        let entry = &data["memory"][entry];
        assert!(entry["limit"].is_u64() && entry["failcnt"].is_u64(), "{text}");
    }
    assert_eq!(data["cpuset"]["cpus"], json!([0]));
}

fn statistics_match_the_cgroup_files(t: &Test) {
    let container = limited(t);
    let data = statistics(&container).1["data"].take();
    let id = container.id();
    assert_eq!(data["memory"]["usage"]["limit"], json!(33_554_432));
    assert_eq!(data["pids"], json!({"current": 1, "limit": 20}));
    let unlimited: u64 = t.v1_value("memory", id, "memory.kmem.tcp.limit_in_bytes").parse().unwrap();
    assert_eq!(data["memory"]["kernelTCP"]["limit"], json!(unlimited));
    let usage: u64 = t.v1_value("memory", id, "memory.usage_in_bytes").parse().unwrap();
    let told = data["memory"]["usage"]["usage"].as_u64().unwrap();
    assert!(usage.abs_diff(told) < 1 << 20, "{usage} {told}");
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    let raw = t.v1_value("memory", id, "memory.stat");
    assert_eq!(data["memory"]["raw"].as_object().unwrap().len(), raw.lines().count());
}

/// The same container, measured by the runtime that defined the form.
fn another_runtime_prints_the_same(t: &Test) {
    t.only_orlop("it would be compared with itself");
    t.v1("memory", "");
    let Ok(version) = Command::new("runc").arg("--version").output() else { kit::skip("no runc in PATH") };
    assert!(version.status.success());
    let container = limited(t);
    let ours = statistics(&container).0;
    let theirs = t.bundle().probe("sleep 600").set(
        "/linux/resources",
        json!({"memory": {"limit": 33_554_432}, "cpu": {"quota": 50_000, "cpus": "0"}, "pids": {"limit": 20}}),
    );
    theirs.write();
    let root = t.dir().join("other").display().to_string();
    let other = |words: &[&str]| {
        let mut command = Command::new("runc");
        command.args(["--root", &root]).args(words).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    // In the foreground: it reaps its own process.
    let mut run = other(&["run", "--bundle"]);
    let mut run = run.arg(theirs.dir()).arg(theirs.id()).stdout(Stdio::null()).spawn().unwrap();
    let mut text = String::new();
    t.wait_for("statistics of the other runtime", || {
        text =
            String::from_utf8(other(&["events", "--stats", theirs.id()]).output().unwrap().stdout).unwrap();
        !text.is_empty() || run.try_wait().unwrap().is_some()
    });
    other(&["delete", "--force", theirs.id()]).output().unwrap();
    run.wait().unwrap();
    if text.is_empty() {
        kit::skip("runc cannot create this container here");
    }
    // Whether a zero is left out depends on what has happened so far.
    let counts = ["periods", "throttledPeriods", "throttledTime", "cache", "usage", "max", "psi"];
    let without = |text: &str| {
        let mut all = names(text);
        all.retain(|name| !counts.contains(&name.as_str()));
        all
    };
    assert_eq!(without(&ours), without(&text), "{ours}{text}");
}

fn statistics_are_printed_at_intervals(t: &Test) {
    let container = limited(t);
    let mut events = container.command("events", &["--interval", "50ms"]).spawn();
    t.wait_for("three lines", || events.stdout().lines().count() >= 3);
    assert!(!events.has_ended());
    container.command("delete", &["--force"]).output().success();
    let output = events.wait().success();
    assert!(output.lines().iter().all(|line| line["type"] == "stats" && line["id"] == container.id()));
    assert!(output.stderr.is_empty(), "{output}");
}

fn an_oom_kill_is_reported(t: &Test) {
    t.needs_limits("memory");
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let bundle =
        t.bundle().directory("go").probe("await /go/now , alloc 200").set("/linux/resources", resources);
    let container = bundle.start();
    let events = container.command("events", &["--interval", "20ms"]).spawn();
    events.wait_for("stats");
    std::fs::write(bundle.path("/go/now"), "").unwrap();
    assert_eq!(container.wait(), 137);
    let output = events.wait().success();
    let line = format!("{{\"type\":\"oom\",\"id\":\"{}\"}}\n", container.id());
    assert!(output.stdout.contains(&line), "the OOM event is printed: {output}");
}

fn an_oom_kill_of_a_child_is_reported(t: &Test) {
    t.needs_limits("memory");
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let container = t.bundle().probe("sleep 600").set("/linux/resources", resources).start();
    let mut events = container.command("events", &["--interval", "20ms"]).spawn();
    events.wait_for("stats");
    for n in 1..=2 {
        assert_eq!(container.exec("alloc 200").code(), 137);
        t.wait_for("an oom line", || {
            events.stdout().lines().filter(|l| l.starts_with("{\"type\":\"oom\"")).count() >= n
        });
    }
    assert!(!events.has_ended(), "events exits before the container");
    container.kill("KILL");
    events.wait().success();
}

fn usage_errors_are_refused(t: &Test) {
    let container = limited(t);
    for interval in ["0", "0s", "-5s"] {
        let told = ["--interval", "duration interval must be greater than 0"];
        container.command("events", &["--interval", interval]).output().refused(&told);
    }
    for interval in ["5", "soon", "", "1x"] {
        container.command("events", &["--interval", interval]).output().refused(&["--interval", "5s"]);
    }
    container
        .command("events", &["--no-such"])
        .output()
        .refused(&["flag provided but not defined: -no-such"]);
}

fn stopped_and_unknown_containers_are_refused(t: &Test) {
    let container = t.bundle().start();
    container.wait();
    let told = format!("container with id {} is not running", container.id());
    for flags in [&[][..], &["--stats"]] {
        container.command("events", flags).output().refused(&[&told]);
    }
    t.runtime(["events", "no-such-container"]).output().refused(&["container does not exist"]);
    t.runtime(["events"]).output().refused(&["exactly 1 argument"]);
}

fn a_paused_container_is_measured(t: &Test) {
    t.needs_freezer();
    let container = limited(t);
    container.command("pause", &[]).output().success();
    assert_eq!(statistics(&container).1["data"]["pids"]["current"], json!(1));
}

fn a_container_without_a_cgroup_is_refused(t: &Test) {
    let bundle = t.bundle().global("--cgroup-manager=disabled").probe("sleep 600");
    let container = bundle.remove("/linux/cgroupsPath").remove("/linux/resources").start();
    for (command, flags, told) in [
        ("pause", &[][..], "container cannot be paused: it is in no cgroup"),
        ("resume", &[], "container not paused"),
        ("update", &["--pids-limit", "5"], "container cannot be updated: it is in no cgroup"),
        ("events", &["--stats"], "container cannot be measured: it is in no cgroup"),
        ("events", &[], "container cannot be measured: it is in no cgroup"),
    ] {
        container.command(command, flags).output().refused(&[told]);
    }
    assert_eq!(container.status(), "running");
}
