//! Every example succeeds, prints what it promises, and leaves nothing: no file in the temporary directory, no
//! cgroup.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use kit::Case;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// What some of them print if they can do their work.
const SHOWN: [(&str, &[&str]); 6] = [
    ("cgroup", &["processes: [", "removed: true"]),
    ("container", &["is created", "inside: pid 1, host name example", "Code(7)", "containers left: 0"]),
    ("init", &["1 (", "[\"ready\", \"HUP\", \"TERM\"]", "makes PID 1 exit with 137"]),
    ("namespaces", &["host name new, up for 1000 days", "host name held", "host name mixed", "ENOENT"]),
    ("overlay_rootfs", &["200 layers: merged"]),
    ("seccomp", &["in the main thread: mkdir -> Ok"]),
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() -> ExitCode {
    let mut names: Vec<String> = std::fs::read_dir(top().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let case = |name: String| Case::plain(&format!("examples::{name}"), move || runs(&name));
    kit::main_plain(names.into_iter().map(case).collect())
}

fn runs(name: &str) {
    let temporary = std::env::temp_dir().join(format!("orlop-example-{name}-{}", std::process::id()));
    std::fs::create_dir(&temporary).unwrap();
    // Through cargo: it knows the program's path, and rebuilds it if it is out of date.
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "orlop", "--example", name]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.current_dir(top()).env("TMPDIR", &temporary).spawn().unwrap();
    // cargo executes the example in its own process.
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {}\n{text}\n{error}", output.status);
    assert!(!text.trim().is_empty(), "{name} prints nothing");
    let left: Vec<_> =
        std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{name} leaves {left:?}");
    std::fs::remove_dir(temporary).unwrap();
    let left = cgroups(pid);
    assert!(left.is_empty(), "{name} leaves {left:?}");
    if let Some((_, why)) = text.split_once("skipped: ") {
        kit::skip(why.lines().next().unwrap_or_default());
    }
    let shown = SHOWN.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, shown)| shown);
    for part in shown {
        assert!(text.contains(part), "{name} does not print {part:?}:\n{text}");
    }
}

/// Cgroups near the top of a hierarchy that are named after a process.
fn cgroups(pid: u32) -> Vec<PathBuf> {
    let below = |directory: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let top = below(Path::new("/sys/fs/cgroup"));
    let all: Vec<_> = top.iter().flat_map(|directory| below(directory)).chain(top.iter().cloned()).collect();
    all.into_iter().filter(|path| path.to_string_lossy().ends_with(&format!("-{pid}"))).collect()
}
