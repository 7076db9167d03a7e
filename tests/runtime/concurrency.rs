//! Several commands at the same time.

use kit::{Case, Test};
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        one_of_several_creates_succeeds,
        one_of_several_starts_succeeds,
        all_of_several_deletes_succeed,
        many_containers_run_at_the_same_time,
    ]
}

fn one_of_several_creates_succeeds(t: &Test) {
    t.only_orlop("the calls that fail do not say why");
    let bundle = t.bundle().probe("sleep");
    let calls: Vec<_> = (0..4).map(|_| bundle.command("create", &[])).collect();
    let calls: Vec<_> = calls.into_iter().map(kit::Runtime::spawn).collect();
    let ends: Vec<_> = calls.into_iter().map(kit::Running::wait).collect();
    let good = ends.iter().filter(|end| end.code() == 0).count();
    assert_eq!(good, 1, "one wins: {}", ends.iter().map(ToString::to_string).collect::<String>());
    for end in ends.iter().filter(|end| end.code() != 0) {
        assert!(end.stderr.contains("exists") || end.stderr.contains("another"), "{end}");
    }
    bundle.try_create().refused(&["exists"]);
    let pid = t.runtime(["state", bundle.id()]).output().success().document()["pid"].as_i64().unwrap() as i32;
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, Duration::from_secs(5));
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
}

fn one_of_several_starts_succeeds(t: &Test) {
    t.only_orlop("the calls that fail wait for ever");
    let container = t.bundle().probe("say alive , sleep").create();
    let calls: Vec<_> = (0..4).map(|_| container.command("start", &[]).spawn()).collect();
    let good = calls.into_iter().map(kit::Running::wait).filter(|end| end.code() == 0).count();
    assert_eq!(good, 1);
    assert_eq!(container.status(), "running");
    t.wait_for("the process", || container.stdout() == "[\"alive\"]\n");
}

fn all_of_several_deletes_succeed(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let calls: Vec<_> = (0..3).map(|_| container.command("delete", &["--force"]).spawn()).collect();
    for end in calls.into_iter().map(kit::Running::wait) {
        end.success();
    }
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
}

fn many_containers_run_at_the_same_time(t: &Test) {
    let bundles: Vec<_> = (0..12).map(|n| t.bundle().probe(&format!("exit {n}"))).collect();
    let calls: Vec<_> = bundles.iter().map(kit::Bundle::spawn).collect();
    for (n, call) in calls.into_iter().enumerate() {
        call.wait().exits(n as i32);
    }
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
}
