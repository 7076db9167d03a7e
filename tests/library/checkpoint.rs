//! Checkpoint and restore from a program with threads, with a simulated criu.

use crate::{load, runtime};
use kit::criu::Criu as Talker;
use kit::{Case, Test};
use orlop::ErrorKind;
use orlop::container::{CheckpointOptions, Criu, Exit, RestoreOptions, Signal, Status, Stdio};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_restored_process_is_a_child_of_the_caller,
        restores_run_concurrently,
        failures_leave_no_child,
        relative_paths_are_refused,
        a_checkpointed_container_stays_until_deleted,
    ]
}

fn criu(talker: &Talker) -> Criu {
    let (program, env) = talker.program();
    Criu { program, env, config: None }
}

fn images(t: &Test) -> PathBuf {
    let dir = t.dir().join("images");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("descriptors.json"), "[]").unwrap();
    dir
}

/// The probe's processes among the children of this thread, which created criu.
fn children() -> Vec<String> {
    let own = fs::read_to_string("/proc/thread-self/children").unwrap();
    own.split_whitespace().map(str::to_owned).collect()
}

fn options(talker: &Talker, images: &Path) -> RestoreOptions {
    RestoreOptions {
        criu: criu(talker),
        image_path: images.to_owned(),
        stdio: Stdio::Null,
        ..RestoreOptions::default()
    }
}

fn a_restored_process_is_a_child_of_the_caller(t: &Test) {
    let talker = Talker::new(t).with("init", "exit 7");
    let bundle = load(&t.bundle());
    let container = runtime(t).restore(&t.id(), &bundle, &options(&talker, &images(t))).unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Code(7));
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    container.delete(false).unwrap();
}

fn restores_run_concurrently(t: &Test) {
    let talker = Talker::new(t);
    let images = images(t);
    let bundles: Vec<_> = (0..8).map(|_| (t.id(), load(&t.bundle()))).collect();
    std::thread::scope(|scope| {
        for (id, bundle) in &bundles {
            scope.spawn(|| {
                let container = runtime(t).restore(id, bundle, &options(&talker, &images)).unwrap();
                assert_eq!(container.state().unwrap().status, Status::Running);
                container.kill(Signal::KILL, false).unwrap();
                assert_eq!(container.wait().unwrap(), Exit::Signal(9));
                container.delete(false).unwrap();
            });
        }
    });
}

/// Neither criu nor a process that it has begun to restore: the harness checks the children of this process.
fn failures_leave_no_child(t: &Test) {
    let images = images(t);
    let bundle = load(&t.bundle());
    let attempt =
        |talker: &Talker| runtime(t).restore(&t.id(), &bundle, &options(talker, &images)).unwrap_err();
    let before = children();
    let e = attempt(&Talker::new(t).with("fail", "Error (criu/x.c:1): no"));
    assert_eq!(children(), before, "what criu has killed is reaped");
    assert_eq!((e.kind(), e.operation()), (ErrorKind::System, "criu failed: restore"));
    assert!(e.to_string().contains("criu/x.c:1"), "{e}");
    fs::remove_file(t.dir().join("criu/fail")).unwrap();
    let e = attempt(&Talker::new(t).with("version", "3 4 0"));
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    let e = attempt(&Talker::new(t).with("die", ""));
    assert!(e.to_string().contains("criu has ended"), "{e}");
    let container = runtime(t).load("nobody");
    assert_eq!(container.unwrap_err().kind(), ErrorKind::NotFound);
    // A criu that does not exist.
    let mut options = options(&Talker::new(t), &images);
    options.criu.program = "/nowhere/criu".into();
    let e = runtime(t).restore(&t.id(), &bundle, &options).unwrap_err();
    assert_eq!((e.kind(), e.object()), (ErrorKind::Unsupported, Some("/nowhere/criu")));
}

fn relative_paths_are_refused(t: &Test) {
    let talker = Talker::new(t);
    let bundle = load(&t.bundle());
    let refused = |change: &dyn Fn(&mut RestoreOptions)| {
        let mut options = options(&talker, &images(t));
        change(&mut options);
        let e = runtime(t).restore(&t.id(), &bundle, &options).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{e}");
    };
    refused(&|options| options.image_path = "images".into());
    refused(&|options| options.work_path = Some("work".into()));
    refused(&|options| options.pid_file = Some("pid".into()));
    refused(&|options| options.criu.program = "criu".into());
}

fn a_checkpointed_container_stays_until_deleted(t: &Test) {
    let talker = Talker::new(t);
    let bundle = load(&t.bundle().probe("sleep"));
    let container = runtime(t).run(&t.id(), &bundle, &crate::output_to(&t.dir().join("out"))).unwrap();
    let options = CheckpointOptions {
        criu: criu(&talker),
        image_path: t.dir().join("made/here"),
        ..CheckpointOptions::default()
    };
    container.checkpoint(&options).unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Signal(9));
    assert_eq!(container.state().unwrap().status, Status::Stopped);
    let e = container.checkpoint(&options).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotRunning);
    container.delete(false).unwrap();
}
