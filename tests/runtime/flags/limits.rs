//! `events`, `update`.

use super::Effect;
use kit::{Container, Test, json};
use std::fs;

pub(super) const EFFECTS: &[Effect] = &[
    ("events", "interval", |t| {
        let events = container(t).command("events", &["--interval", "10ms"]).spawn();
        t.wait_for("lines long before the default interval", || events.stdout().lines().count() > 2);
        events.signal(15);
        events.wait();
    }),
    ("events", "stats", |t| {
        assert_eq!(container(t).command("events", &["--stats"]).output().success().lines().len(), 1);
    }),
    ("update", "resources", resources),
    ("update", "blkio-weight", blkio_weight),
    ("update", "cpu-period", |t| {
        reads_back(t, &["--cpu-period", "200000"], "cpu", "cpu.cfs_period_us", "200000");
    }),
    ("update", "cpu-quota", |t| reads_back(t, &["--cpu-quota", "60000"], "cpu", "cpu.cfs_quota_us", "60000")),
    ("update", "cpu-burst", |t| {
        reads_back(t, &["--cpu-quota", "60000", "--cpu-burst", "20000"], "cpu", "cpu.cfs_burst_us", "20000");
    }),
    ("update", "cpu-share", |t| reads_back(t, &["--cpu-share", "200"], "cpu", "cpu.shares", "200")),
    ("update", "cpu-rt-period", |t| {
        reads_back(t, &["--cpu-rt-period", "900000"], "cpu", "cpu.rt_period_us", "900000");
    }),
    ("update", "cpu-rt-runtime", |t| {
        reads_back(t, &["--cpu-rt-runtime", "0"], "cpu", "cpu.rt_runtime_us", "0");
    }),
    ("update", "cpu-idle", |t| reads_back(t, &["--cpu-idle", "1"], "cpu", "cpu.idle", "1")),
    ("update", "cpuset-cpus", |t| reads_back(t, &["--cpuset-cpus", "0"], "cpuset", "cpuset.cpus", "0")),
    ("update", "cpuset-mems", |t| reads_back(t, &["--cpuset-mems", "0"], "cpuset", "cpuset.mems", "0")),
    ("update", "memory", |t| {
        reads_back(t, &["--memory", "50M"], "memory", "memory.limit_in_bytes", "52428800");
    }),
    ("update", "memory-reservation", |t| {
        reads_back(t, &["--memory-reservation", "50M"], "memory", "memory.soft_limit_in_bytes", "52428800");
    }),
    ("update", "memory-swap", |t| {
        let flags = ["--memory", "50M", "--memory-swap", "60M"];
        reads_back(t, &flags, "memory", "memory.memsw.limit_in_bytes", "62914560");
    }),
    ("update", "kernel-memory", |t| warns(t, "--kernel-memory")),
    ("update", "kernel-memory-tcp", |t| warns(t, "--kernel-memory-tcp")),
    ("update", "pids-limit", |t| reads_back(t, &["--pids-limit", "33"], "pids", "pids.max", "33")),
    ("update", "l3-cache-schema", |t| refused(t, "--l3-cache-schema")),
    ("update", "mem-bw-schema", |t| refused(t, "--mem-bw-schema")),
];

fn container(t: &Test) -> Container<'_> {
    t.bundle().probe("sleep").start()
}

fn reads_back(t: &Test, flags: &[&str], controller: &str, file: &str, value: &str) {
    let container = container(t);
    let path = t.v1(controller, container.id()).join(file);
    if !path.exists() {
        kit::skip(format!("this kernel has no {file}"));
    }
    container.command("update", flags).output().success();
    assert_eq!(fs::read_to_string(path).unwrap().trim(), value);
}

fn resources(t: &Test) {
    let container = container(t);
    t.v1("pids", "");
    let text = json!({"pids": {"limit": 44}}).to_string();
    container.command("update", &["--resources=-"]).input(&text).output().success();
    assert_eq!(t.v1_value("pids", container.id(), "pids.max"), "44");
}

fn blkio_weight(t: &Test) {
    let container = container(t);
    let directory = t.v1("blkio", container.id());
    let found = ["blkio.weight", "blkio.bfq.weight"]
        .map(|file| directory.join(file))
        .into_iter()
        .find(|p| p.exists());
    let Some(path) = found else {
        // A kernel without such weights is reported.
        container.command("update", &["--blkio-weight", "300"]).output().refused(&["weight"]);
        return;
    };
    container.command("update", &["--blkio-weight", "300"]).output().success();
    assert!(fs::read_to_string(path).unwrap().contains("300"));
}

fn warns(t: &Test, flag: &str) {
    let output = container(t).command("update", &[flag, "50M"]).output().success();
    assert!(output.stderr.contains("level=warning") && output.stderr.contains("kernel"), "{output}");
}

fn refused(t: &Test, flag: &str) {
    container(t).command("update", &[flag, "L3:0=f"]).output().refused(&[flag]);
}
