//! A program with threads that runs a container with the library from creation to deletion; one thread is traced.

use kit::counted::mark;
use kit::{Value, json};
use orlop::bundle::Bundle;
use orlop::container::{Container, CreateOptions, ExecOptions, Exit, Runtime, Signal, Stdio};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first argument that makes the test program this one.
pub(crate) const NAME: &str = "--life";

/// `--life ROOT ID BUNDLE PID_FILE`: prints the step that failed, why, and what has changed in this process.
pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let [root, id, bundle, pid_file] = words.as_slice() else { return ExitCode::from(2) };
    let done = AtomicBool::new(false);
    let (result, changed) = std::thread::scope(|scope| {
        for _ in 0..2 {
            // These threads hold the allocator's locks from time to time, and must not be affected.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(std::hint::black_box(vec![1_u8; 4096]));
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            });
        }
        // Also if this thread panics.
        let end = End(&done);
        let before = process_state();
        mark();
        let result = live(Path::new(root), id, Path::new(bundle), Path::new(pid_file));
        mark();
        let after = process_state();
        drop(end);
        (result, before.symmetric_difference(&after).cloned().collect::<Vec<_>>())
    });
    let failed = result.as_ref().err();
    let document = json!({
        "step": failed.map(|(step, _)| step),
        "error": failed.map(|(_, error)| error.to_string()),
        "errno": failed.and_then(|(_, error)| error.errno()).map(|errno| format!("{errno:?}")),
        "changed": changed,
    });
    println!("{document}");
    ExitCode::from(u8::from(failed.is_some()))
}

/// Tells the other threads to exit.
struct End<'d>(&'d AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Step = (&'static str, orlop::Error);

/// The whole life of a container.
fn live(root: &Path, id: &str, bundle: &Path, pid_file: &Path) -> Result<(), Step> {
    let at = |step: &'static str| move |error: orlop::Error| (step, error);
    let bundle = Bundle::load(bundle).map_err(at("load"))?;
    let runtime = Runtime::new(root).map_err(at("new"))?;
    let options =
        CreateOptions { pid_file: Some(pid_file.to_owned()), stdio: Stdio::Null, ..CreateOptions::default() };
    let container = runtime.create(id, &bundle, &options).map_err(at("create"))?;
    container.start().map_err(at("start"))?;
    assert_eq!(exec(&container)?, Exit::Code(3));
    container.kill(Signal::KILL, false).map_err(at("kill"))?;
    assert_eq!(container.wait().map_err(at("wait"))?, Exit::Signal(libc::SIGKILL));
    container.delete(false).map_err(at("delete"))
}

fn exec(container: &Container) -> Result<Exit, Step> {
    let at = |step: &'static str| move |error: orlop::Error| (step, error);
    let mut process = container.spec().map_err(at("spec"))?.process.unwrap_or_default();
    process.args = ["/probe", "exit", "3"].map(str::to_owned).to_vec();
    let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
    let child = container.exec(&process, &options).map_err(at("exec"))?;
    child.wait().map_err(at("exec wait"))
}

/// What a library must not change, and the descriptors that it must not leave open.
fn process_state() -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let target = fs::read_link(entry.path()).map(|to| to.display().to_string()).unwrap_or_default();
        // The stub's file is kept for the next container: in memory, or else an unlinked file.
        let program = target.contains("orlop-init") || target.starts_with("/run/#");
        if !target.is_empty() && !program {
            seen.insert(format!("descriptor {} {target}", entry.file_name().display()));
        }
    }
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let fields = ["Umask:", "SigBlk:", "SigIgn:", "SigCgt:", "CapEff:", "NoNewPrivs:", "Threads:"];
    seen.extend(
        status.lines().filter(|line| fields.iter().any(|name| line.starts_with(name))).map(str::to_owned),
    );
    for link in ["/proc/thread-self/cwd", "/proc/thread-self/root", "/proc/thread-self/ns/mnt"] {
        seen.insert(format!("{link} {}", fs::read_link(link).unwrap().display()));
    }
    seen
}

/// The output of the program, as [`main`] prints it.
pub(crate) fn said(text: &str) -> Value {
    text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}
