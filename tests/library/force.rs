//! A program that embeds the library is not killed for the lock that it holds; the processes that act for it are.

use crate::{load, output_to, runtime};
use kit::criu::Criu as Talker;
use kit::{Case, Test, within};
use orlop::ErrorKind;
use orlop::container::{CheckpointOptions, CreateOptions, Criu, ExecOptions, Signal, Stdio};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![a_hanging_hook_is_killed, a_stopped_exec_is_killed, a_hanging_criu_is_killed]
}

/// Deletes the container from another thread, within a second.
fn delete(t: &Test, id: &str) {
    let begun = Instant::now();
    runtime(t).delete(id, true).unwrap();
    assert!(begun.elapsed() < within(Duration::from_secs(1)), "{:?}", begun.elapsed());
    assert_eq!(t.leaks_of(id), Vec::<String>::new());
    assert_eq!(runtime(t).load(id).unwrap_err().kind(), ErrorKind::NotFound);
}

fn exists(file: &Path) -> impl FnMut() -> bool {
    || file.exists()
}

fn a_hanging_hook_is_killed(t: &Test) {
    let file = t.dir().join("hook");
    let words = format!("pid {} , sleep", file.display());
    let bundle = t.bundle().host_hook("createRuntime", &words).probe("sleep");
    let (id, loaded) = (bundle.id().to_owned(), load(&bundle));
    std::thread::scope(|scope| {
        let options = CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() };
        let (id, loaded) = (&id, &loaded);
        let create = scope.spawn(move || runtime(t).create(id, loaded, &options).unwrap_err());
        t.wait_for("the hook", exists(&file));
        delete(t, id);
        let error = create.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
        assert!(error.to_string().contains("signal 9"), "{error}");
    });
    let pid = fs::read_to_string(&file).unwrap();
    assert!(!Path::new("/proc").join(pid).exists(), "the hook was not reaped");
}

/// In another container's pid namespace, whose process stops the process of `exec` before its program is executed: it
/// does not die with this container's first process.
fn a_stopped_exec_is_killed(t: &Test) {
    let out = t.dir().join("out");
    let pod = t.bundle().set("/root/readonly", false).probe("await /go , stop_others");
    let gate = pod.path("/go");
    let pod_id = pod.id().to_owned();
    let pod = runtime(t).run(&pod_id, &load(&pod), &output_to(&out)).unwrap();
    let path = format!("/proc/{}/ns/pid", pod.pid().unwrap());
    let bundle = t.bundle().join("pid", &path).probe("sleep");
    let id = bundle.id().to_owned();
    let options = CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() };
    let container = runtime(t).run(&id, &load(&bundle), &options).unwrap();
    fs::write(gate, "").unwrap();
    t.wait_for("the pod's process", || fs::read_to_string(&out).is_ok_and(|text| text.contains("stops")));
    let mut process = container.spec().unwrap().process.unwrap();
    process.args = ["/probe", "exit", "0"].map(String::from).to_vec();
    let begun = AtomicU64::new(0);
    let hangs = std::thread::scope(|scope| {
        let (container, begun) = (&container, &begun);
        let exec = scope.spawn(move || {
            let options = ExecOptions { stdio: Stdio::Null, ..ExecOptions::default() };
            let mut children = Vec::new();
            // Until the container is gone.
            while let Ok(child) = container.exec(&process, &options) {
                children.push(child);
                begun.fetch_add(1, Ordering::SeqCst);
            }
            children
        });
        // An attempt that takes longer than this one hangs.
        let (mut last, mut since, first) = (0, Instant::now(), Instant::now());
        while since.elapsed() < within(Duration::from_millis(500))
            && first.elapsed() < Duration::from_secs(20)
        {
            let now = begun.load(Ordering::SeqCst);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let hangs = since.elapsed() >= within(Duration::from_millis(500));
        delete(t, &id);
        // Those that were stopped later have died with the container.
        for child in exec.join().unwrap() {
            child.wait().unwrap();
        }
        hangs
    });
    pod.kill(Signal::KILL, false).unwrap();
    pod.wait().unwrap();
    pod.delete(false).unwrap();
    if !hangs {
        kit::skip("no process was stopped before its program was executed in 20 s");
    }
}

fn a_hanging_criu_is_killed(t: &Test) {
    let criu = Talker::new(t).with("hang", "");
    let (program, env) = criu.program();
    let bundle = t.bundle().probe("sleep");
    let id = bundle.id().to_owned();
    let options = CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() };
    let container = runtime(t).run(&id, &load(&bundle), &options).unwrap();
    let options = CheckpointOptions {
        criu: Criu { program, env, config: None },
        image_path: t.dir().join("images"),
        ..CheckpointOptions::default()
    };
    std::thread::scope(|scope| {
        let container = &container;
        let checkpoint = scope.spawn(move || container.checkpoint(&options).unwrap_err());
        t.wait_for("criu", exists(&t.dir().join("criu/pid")));
        delete(t, &id);
        let error = checkpoint.join().unwrap();
        assert!(error.to_string().contains("criu has ended"), "{error}");
    });
}
