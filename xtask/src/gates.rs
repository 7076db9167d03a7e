//! What CI runs: each gate once, whatever the others said, and a table at the end.

use crate::dependencies;
use crate::program::{Failure, Program, cargo, is_installed, named, script};
use std::fs;
use std::time::Instant;

/// The README's test command. It is the gate that is never skipped.
pub(crate) const README_TESTS: &str = "cargo test --workspace --no-fail-fast";

/// What became of a gate.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl From<Result<(), Failure>> for Outcome {
    fn from(result: Result<(), Failure>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(failure) => Self::Failed(failure.to_string()),
        }
    }
}

/// A gate: its name, what it checks, and how.
struct Gate {
    name: &'static str,
    checks: &'static str,
    run: fn() -> Outcome,
}

/// The cheap ones first.
const GATES: [Gate; 15] = [
    Gate { name: "fmt", checks: "the code is formatted", run: || fmt().run().into() },
    Gate { name: "dependencies", checks: "licences, duplicates, sources, reasons", run: check_dependencies },
    Gate { name: "typos", checks: "spelling", run: typos },
    Gate { name: "clippy", checks: "lints, pedantic ones too", run: || clippy().run().into() },
    Gate { name: "house", checks: "layers, circles, sizes, unsafe, words", run: || suite("house") },
    Gate { name: "api", checks: "the public API is the recorded one", run: || suite("public_api") },
    Gate { name: "docs", checks: "rustdoc without warnings", run: || documentation().run().into() },
    Gate {
        name: "features",
        checks: "the library without default features",
        run: || features().run().into(),
    },
    Gate { name: "msrv", checks: "the oldest compiler of Cargo.toml", run: msrv },
    Gate { name: "targets", checks: "other processors and C libraries", run: targets },
    Gate { name: "fuzz", checks: "the fuzz targets compile", run: fuzz_targets },
    Gate { name: "tests", checks: "the README's test command", run: || readme_tests().run().into() },
    Gate { name: "suites", checks: "suites of others: docs/CONFORMANCE.md holds", run: suites_of_others },
    Gate { name: "guest", checks: "cgroup v2 alone", run: || guest(GUEST) },
    Gate { name: "guest-systemd", checks: "cgroup v2 with systemd", run: || guest(GUEST_SYSTEMD) },
];

/// Runs all gates, or those that the options choose.
pub(crate) fn run(options: &[String]) -> Result<(), Failure> {
    let mut chosen: Vec<&Gate> = GATES.iter().collect();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut names = || -> Result<Vec<&str>, Failure> {
            let list: Vec<&str> = options.next().ok_or("--only and --skip need names")?.split(',').collect();
            match list.iter().find(|name| GATES.iter().all(|gate| gate.name != **name)) {
                Some(unknown) => Err(format!("there is no gate '{unknown}'; --list names them").into()),
                None => Ok(list),
            }
        };
        match option.as_str() {
            "--list" => {
                for gate in &GATES {
                    println!("{:<14} {}", gate.name, gate.checks);
                }
                return Ok(());
            }
            "--only" => {
                let names = names()?;
                chosen.retain(|gate| names.contains(&gate.name));
            }
            "--skip" => {
                let names = names()?;
                chosen.retain(|gate| !names.contains(&gate.name));
            }
            other => return Err(format!("gates: unknown option '{other}'").into()),
        }
    }
    let mut rows = Vec::new();
    for gate in chosen {
        eprintln!("== {}: {}", gate.name, gate.checks);
        let start = Instant::now();
        let outcome = (gate.run)();
        rows.push((gate.name, start.elapsed().as_secs(), outcome));
    }
    report(&rows)
}

fn report(rows: &[(&str, u64, Outcome)]) -> Result<(), Failure> {
    println!("\n{:<14} {:>7}  result", "gate", "seconds");
    let mut failed = Vec::new();
    for (name, seconds, outcome) in rows {
        let result = match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Skipped(reason) => format!("skipped: {reason}"),
            Outcome::Failed(reason) => {
                failed.push(*name);
                format!("FAILED: {}", reason.lines().map(str::trim).collect::<Vec<_>>().join(" "))
            }
        };
        println!("{name:<14} {seconds:>7}  {result}");
    }
    let total: u64 = rows.iter().map(|(_, seconds, _)| seconds).sum();
    println!("{:<14} {total:>7}", "all");
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn fmt() -> Program {
    cargo(&["fmt", "--all", "--check"])
}

fn clippy() -> Program {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn suite(name: &str) -> Outcome {
    cargo(&["test", "-p", "orlop", "--test", name]).run().into()
}

/// rustdoc, with its warnings denied. The variable replaces the flags of .cargo/config.toml, so it repeats them.
pub(crate) fn documentation() -> Program {
    let flags = "-C target-feature=+crt-static -C relocation-model=static -D warnings";
    cargo(&["doc", "--workspace", "--no-deps"]).variable("RUSTDOCFLAGS", flags)
}

fn features() -> Program {
    cargo(&["clippy", "-p", "orlop", "--no-default-features", "--all-targets", "--", "-D", "warnings"])
}

fn readme_tests() -> Program {
    let words: Vec<&str> = README_TESTS.split(' ').collect();
    named(words[0]).arguments(&words[1..])
}

fn check_dependencies() -> Outcome {
    if let Err(failure) = dependencies::check() {
        println!("{failure}");
        return Outcome::Failed(failure.to_string());
    }
    if !is_installed("cargo-deny") {
        return Outcome::Passed;
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"]).run().into()
}

fn typos() -> Outcome {
    if !is_installed("typos") {
        return Outcome::Skipped(
            "typos is not installed; the gate house has a list of common misspellings".into(),
        );
    }
    named("typos").run().into()
}

/// The value of `rust-version` in Cargo.toml, as the name of a toolchain.
fn oldest_compiler() -> Result<String, Failure> {
    let manifest = fs::read_to_string("Cargo.toml").map_err(|error| format!("Cargo.toml: {error}"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    Ok(line.ok_or("Cargo.toml has no rust-version")?.trim_end_matches('"').to_owned())
}

fn msrv() -> Outcome {
    let check = || -> Result<Outcome, Failure> {
        let version = oldest_compiler()?;
        let installed = if is_installed("rustup") {
            named("rustup").arguments(&["toolchain", "list"]).output()?
        } else {
            String::new()
        };
        let Some(toolchain) = installed.lines().find(|line| line.starts_with(&version)) else {
            let install = format!("rustup toolchain install {version}.0 --profile minimal");
            return Ok(Outcome::Skipped(format!("Rust {version} is not installed ({install})")));
        };
        let toolchain = toolchain.split_whitespace().next().unwrap_or(toolchain);
        // `host-tuple` in .cargo/config.toml is younger than the compiler.
        let host = toolchain.split_once('-').map_or("x86_64-unknown-linux-gnu", |(_, host)| host);
        let plus = format!("+{toolchain}");
        let arguments =
            [&*plus, "check", "--workspace", "--all-targets", "--locked", "--target-dir", "target/msrv"];
        Ok(named("cargo").arguments(&arguments).variable("CARGO_BUILD_TARGET", host).run().into())
    };
    check().unwrap_or_else(|failure| Outcome::Failed(failure.to_string()))
}

/// The library and the binary for every other target that is installed, and for which there is a linker.
fn targets() -> Outcome {
    let check = || -> Result<Outcome, Failure> {
        if !is_installed("rustup") {
            return Ok(Outcome::Skipped("rustup, which lists the targets, is not installed".into()));
        }
        let host = named("rustc").arguments(&["-vV"]).output()?;
        let installed = named("rustup").arguments(&["target", "list", "--installed"]).output()?;
        let others = installed.lines().filter(|target| target.contains("-linux-") && !host.contains(*target));
        let mut without_linker = Vec::new();
        let mut checked = 0;
        for target in others {
            let processor = target.split('-').next().unwrap_or(target);
            let linker = format!("{processor}-linux-gnu-gcc");
            let mut program = cargo(&["check", "-p", "orlop", "-p", "orlop-runtime", "--target", target]);
            // build.rs links the stub for the target.
            if !host.contains(&format!("host: {processor}-")) {
                if !is_installed(&linker) {
                    without_linker.push(format!("{target} needs {linker}"));
                    continue;
                }
                let variable = target.replace('-', "_").to_uppercase();
                program = program.variable(&format!("CARGO_TARGET_{variable}_LINKER"), &linker);
            }
            program.run()?;
            checked += 1;
        }
        Ok(match (checked, without_linker.is_empty()) {
            (0, true) => Outcome::Skipped(
                "no other target is installed (rustup target add aarch64-unknown-linux-gnu)".into(),
            ),
            (0, false) => Outcome::Skipped(without_linker.join(", ")),
            _ => Outcome::Passed,
        })
    };
    check().unwrap_or_else(|failure| Outcome::Failed(failure.to_string()))
}

/// The fuzz targets compile private files of the library, so a rename breaks them.
fn fuzz_targets() -> Outcome {
    if !is_installed("c++") {
        return Outcome::Skipped("libFuzzer needs a C++ compiler, and there is no c++".into());
    }
    let arguments = ["check", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"];
    cargo(&arguments).run().into()
}

/// How long the suites of others may take, beside building their root.
const SUITES_SECONDS: u32 = 1500;

/// runc's integration tests and runtime-tools, if this host is like the one that docs/CONFORMANCE.md was recorded on.
fn suites_of_others() -> Outcome {
    if let Err(failure) = script("tests/suites/run").arguments(&["--ready"]).output() {
        return Outcome::Skipped(failure.to_string());
    }
    if let Err(failure) = cargo(&["build", "-p", "orlop-runtime"]).run() {
        return Outcome::Failed(failure.to_string());
    }
    script("tests/suites/run").within(SUITES_SECONDS).run().into()
}

/// What runs in the emulated guest on every change: what no host with cgroup v1 shows, in a few minutes. The rest is
/// `tests/vm/run` without names.
const GUEST: &[&str] = &["unified", "rootless", "witness", "lifecycle", "namespaces", "activation"];
/// The same with systemd.
const GUEST_SYSTEMD: &[&str] = &["--systemd", "systemd", "rootless"];

/// How long the tests in the guest may take, beside building its image.
const GUEST_SECONDS: u32 = 600;

/// The suites in a virtual machine with unified cgroups.
fn guest(options: &[&str]) -> Outcome {
    if let Err(failure) = script("tests/vm/build").within(GUEST_SECONDS).output() {
        return Outcome::Skipped(format!("the guest's image cannot be built: {failure}"));
    }
    // What is built is built before the clock runs.
    if let Err(failure) = cargo(&["test", "--workspace", "--no-run"]).run() {
        return Outcome::Failed(failure.to_string());
    }
    script("tests/vm/run").arguments(options).within(GUEST_SECONDS).run().into()
}

#[test]
fn a_failed_gate_fails_and_a_skipped_one_does_not() {
    let skipped = || ("a", 1, Outcome::Skipped("why".into()));
    assert!(report(&[skipped(), ("b", 2, Outcome::Passed)]).is_ok());
    let failure =
        report(&[skipped(), ("b", 2, Outcome::Failed("broken".into()))]).err().map(|error| error.to_string());
    assert_eq!(failure.as_deref(), Some("failed: b"));
}
