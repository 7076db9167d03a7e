//! A program that embeds the library is not killed for the lock that it holds; the processes that act for it are.

use crate::{load, output_to, runtime};
use kit::criu::Criu as Talker;
use kit::{Case, Test, json, within};
use orlop::ErrorKind;
use orlop::bundle::mounts_from_json;
use orlop::container::{CheckpointOptions, CreateOptions, Criu, Signal, Stdio};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![a_hanging_hook_is_killed, a_stopped_helper_is_killed, a_hanging_criu_is_killed]
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

/// In another container's pid namespace, whose process stops the helper: the helper does not die with this
/// container.
fn a_stopped_helper_is_killed(t: &Test) {
    let out = t.dir().join("out");
    let pod = t.bundle().set("/root/readonly", false).probe("await /go , stop_others");
    let gate = pod.path("/go");
    let pod_id = pod.id().to_owned();
    let pod = runtime(t).run(&pod_id, &load(&pod), &output_to(&out)).unwrap();
    let path = format!("/proc/{}/ns/pid", pod.pid().unwrap());
    let bundle = t.bundle().set("/root/readonly", false).join("pid", &path).probe("sleep");
    let id = bundle.id().to_owned();
    let options = CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() };
    let container = runtime(t).run(&id, &load(&bundle), &options).unwrap();
    fs::write(gate, "").unwrap();
    t.wait_for("the pod's process", || fs::read_to_string(&out).is_ok_and(|text| text.contains("stops")));
    let mounts = mounts_from_json(
        json!([{"destination": "/m", "type": "tmpfs", "source": "tmpfs"}]).to_string().as_bytes(),
    )
    .unwrap();
    std::thread::scope(|scope| {
        let container = &container;
        let add = scope.spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) {
                let once = Instant::now();
                let done = container.add_mounts(&mounts);
                if once.elapsed() > within(Duration::from_millis(500)) {
                    return Some(done);
                }
            }
            None
        });
        // A helper that is stopped stays so: the container is deleted after that.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) && !is_stopped(t, &id) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(within(Duration::from_millis(600)));
        delete(t, &id);
        let done = add.join().unwrap();
        let Some(done) = done else { kit::skip("no helper could be stopped in 20 s") };
        done.unwrap_err();
    });
    pod.kill(Signal::KILL, false).unwrap();
    pod.wait().unwrap();
    pod.delete(false).unwrap();
}

/// Whether the last recorded helper of a container is stopped.
fn is_stopped(t: &Test, id: &str) -> bool {
    let text = fs::read_to_string(t.root().join(id).join("helpers")).unwrap_or_default();
    let pid = text.lines().last().and_then(|line| line.split(' ').next()).unwrap_or("0");
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
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
