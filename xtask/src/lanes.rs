//! The suites, each by one name. docs/TESTING.md says what each of them proves.

use crate::program::{Failure, cargo, script};

/// A suite: name, duration on two processors once it is built, needs, and the command.
struct Lane {
    name: &'static str,
    takes: &'static str,
    needs: &'static str,
    command: &'static [&'static str],
}

const fn lane(
    name: &'static str,
    takes: &'static str,
    needs: &'static str,
    command: &'static [&'static str],
) -> Lane {
    Lane { name, takes, needs, command }
}

/// A command that begins with a slash is a script of this repository, any other one of cargo.
const LANES: [Lane; 26] = [
    lane("unit", "20 s", "", &["test", "-p", "orlop", "--lib"]),
    lane("binary", "2 s", "", &["test", "-p", "orlop-runtime", "--bin", "orlop"]),
    lane("house", "10 s", "", &["test", "-p", "orlop", "--test", "house"]),
    lane("golden", "1 s", "", &["test", "-p", "orlop", "--test", "golden_plans"]),
    lane("api", "1 s", "", &["test", "-p", "orlop", "--test", "public_api"]),
    lane("safe", "5 s", "", &["test", "-p", "orlop", "--test", "safe"]),
    lane("corpora", "10 s", "", &["test", "-p", "orlop", "--test", "fuzz_corpora"]),
    lane("stub", "5 s", "", &["test", "-p", "orlop", "--test", "stub_targets"]),
    lane("threads", "5 s", "root", &["test", "-p", "orlop", "--test", "threads"]),
    lane("cgroup", "10 s", "root", &["test", "-p", "orlop", "--test", "cgroup"]),
    lane("examples", "10 s", "root", &["test", "-p", "orlop", "--test", "examples"]),
    lane("library", "1 min", "root", &["test", "-p", "orlop", "--test", "library"]),
    lane("runtime", "2 min", "root", &["test", "-p", "orlop-runtime", "--test", "runtime"]),
    lane("differential", "15 s", "root", &["test", "-p", "orlop-runtime", "--test", "differential"]),
    lane("attacks", "2 min", "root", &["test", "-p", "orlop-runtime", "--test", "attacks"]),
    lane("sweep", "2 min", "root", &["test", "-p", "orlop-runtime", "--test", "sweep"]),
    lane(
        "managers",
        "6 min",
        "root, Debian packages",
        &["test", "-p", "orlop-runtime", "--test", "managers"],
    ),
    lane("xtask", "1 s", "", &["test", "-p", "xtask"]),
    lane("doc-tests", "1 min", "", &["test", "-p", "orlop", "--doc"]),
    lane("attacks-long", "a night", "root", &["/tests/attacks/run", "--rounds", "100000"]),
    lane("sweep-all", "1 h or more", "root", &["/tests/sweep/run"]),
    lane("suites", "7 min", "root, Debian packages", &["/tests/suites/run"]),
    lane("suites-quick", "1 min", "root, Debian packages", &["/tests/suites/run", "--quick"]),
    lane("vm", "3 min", "root, QEMU, Debian packages", &["/tests/vm/run"]),
    lane("vm-systemd", "3 min", "root, QEMU, Debian packages", &["/tests/vm/run", "--systemd"]),
    lane("vm-managers", "20 min", "root, QEMU, Debian packages", &["/tests/vm/managers"]),
];

/// Runs the lane that the first argument names; the others choose among its tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some((name, words)) = arguments.split_first() else {
        for lane in LANES {
            println!("{:<13} {:<12} {}", lane.name, lane.takes, lane.needs);
        }
        return Ok(());
    };
    let lane = LANES.iter().find(|lane| lane.name == name);
    let lane = lane.ok_or_else(|| format!("there is no lane '{name}'; cargo xtask lane lists them"))?;
    match lane.command[0].strip_prefix('/') {
        Some(path) => script(path).arguments(&lane.command[1..]).arguments(words).run(),
        None => cargo(lane.command).separated(words).run(),
    }
}

#[test]
fn every_lane_leads_to_a_suite() {
    for lane in LANES {
        let exists =
            |path: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).exists();
        if let Some(path) = lane.command[0].strip_prefix('/') {
            assert!(exists(path), "{}: {path}", lane.name);
        }
        if let Some(at) = lane.command.iter().position(|word| *word == "--test") {
            let suite = lane.command[at + 1];
            let files = [
                format!("tests/{suite}.rs"),
                format!("tests/{suite}/main.rs"),
                format!("tests/{suite}/suite.rs"),
            ];
            assert!(files.iter().any(|file| exists(file)), "{}: {suite}", lane.name);
        }
    }
}
