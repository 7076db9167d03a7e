//! Queries about a running container: `ps`.

use kit::{Case, Test, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        ps_prints_pids_as_json,
        ps_prints_a_table,
        ps_passes_options_to_ps,
        ps_of_a_stopped_container_is_empty,
        ps_of_an_unknown_container_is_refused,
        ps_reports_errors_of_ps,
    ]
}

fn ps_prints_pids_as_json(t: &Test) {
    let container = t.bundle().probe("spawn sleep , say ready , sleep").start();
    t.wait_for("the child", || container.stdout().contains("ready"));
    for flags in [&["--format", "json"][..], &["-f", "json"], &["--format=json"]] {
        let output = t.runtime(["ps"]).args(flags.iter().copied()).arg(container.id()).output().success();
        let pids: Vec<i64> = serde_pids(&output.json());
        assert_eq!(pids.len(), 2, "{output}");
        assert!(pids.contains(&i64::from(container.pid())), "{output}");
        for pid in pids {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(line.contains("probe"), "{pid} is {line:?}");
        }
        assert_eq!(output.stdout.lines().count(), 1, "{output}");
    }
}

fn serde_pids(value: &kit::Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap()).collect()
}

/// Skips if the host has no ps(1).
fn needs_ps() {
    if std::process::Command::new("ps").arg("--version").output().is_err() {
        kit::skip("no ps(1) on this machine");
    }
}

fn ps_prints_a_table(t: &Test) {
    needs_ps();
    let container = t.bundle().probe("sleep").start();
    for flags in [&[][..], &["--format", "table"]] {
        let output = t.runtime(["ps"]).args(flags.iter().copied()).arg(container.id()).output().success();
        let lines: Vec<Vec<&str>> =
            output.stdout.lines().map(|l| l.split_ascii_whitespace().collect()).collect();
        assert_eq!(lines[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"], "{output}");
        assert_eq!(lines.len(), 2, "{output}");
        assert_eq!(lines[1][1], container.pid().to_string(), "{output}");
        assert!(lines[1].contains(&"/probe"), "{output}");
    }
}

fn ps_passes_options_to_ps(t: &Test) {
    needs_ps();
    let container = t.bundle().probe("sleep").start();
    let output = container.command("ps", &["-e", "-x"]).output().success();
    let head: Vec<&str> = output.stdout.lines().next().unwrap().split_ascii_whitespace().collect();
    assert_eq!(head, ["PID", "TTY", "STAT", "TIME", "COMMAND"], "{output}");
    let output = container.command("ps", &["-e", "-o", "pid,args"]).output().success();
    assert_eq!(output.stdout.lines().count(), 2, "{output}");
    assert!(output.stdout.contains(&format!("{} /probe sleep", container.pid())), "{output}");
}

fn ps_of_a_stopped_container_is_empty(t: &Test) {
    let container = t.bundle().probe("exit 0").start();
    container.wait();
    assert_eq!(container.command("ps", &[]).output().success().stdout, "");
    let output = t.runtime(["ps", "--format", "json", container.id()]).output().success();
    assert_eq!(output.json(), json!([]));
}

fn ps_of_an_unknown_container_is_refused(t: &Test) {
    t.runtime(["ps", "no-such-container"]).output().refused(&["does not exist"]);
    t.runtime(["ps", "--format", "xml", "x"]).output().refused(&["--format", "table or json"]);
}

fn ps_reports_errors_of_ps(t: &Test) {
    needs_ps();
    t.only_orlop("its messages differ");
    let container = t.bundle().probe("sleep").start();
    container
        .command("ps", &["-e", "-o", "args"])
        .output()
        .refused(&["couldn't find PID field in ps output"]);
    container.command("ps", &["--no-such-option"]).output().refused(&["ps: exit status: 1"]);
    t.runtime(["ps", "-f", "json", container.id(), "-e"]).output().refused(&["--format table"]);
}
