//! Containers whose init process is a `sleep` of the test's.
use super::*;
use crate::container::liveness::{self, Identity};
use crate::container::store::Directory;
use crate::container::{Runtime, State};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

struct Scratch {
    path: PathBuf,
    runtime: Runtime,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("orlop-end-{}-{n}", std::process::id()));
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&warnings);
        let runtime = Runtime::new(&path)
            .unwrap()
            .with_warnings(move |e: &Error| sink.lock().unwrap().push(e.to_string()));
        Self { path, runtime, warnings }
    }

    /// A container in this stage, as another process would find it.
    fn make(&self, id: &str, stage: Stage, config: &str) -> (Container, Child) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let (directory, _lock) = Directory::create(self.runtime.state_root(), id).unwrap();
        let record = Record {
            stage,
            init: Identity::of(child.id() as i32).unwrap(),
            boot: liveness::boot_id().unwrap().to_owned(),
            poststop: !config.is_empty(),
            hooked: true,
            own_pid_namespace: true,
            bundle: self.path.clone(),
            ..Record::new(id)
        };
        directory.write_first(&record).unwrap();
        directory.write_config(config.as_bytes(), b"").unwrap();
        (self.runtime.load(id).unwrap(), child)
    }

    fn ids(&self) -> Vec<String> {
        self.runtime.list().unwrap().into_iter().map(|s| s.id).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn status(container: &Container) -> (Status, bool) {
    let State { status, pid, .. } = container.state().unwrap();
    (status, pid != 0)
}

#[test]
fn a_running_container_is_killed_and_then_deleted() {
    let scratch = Scratch::new();
    let (container, mut child) = scratch.make("run", Stage::Started, "");
    assert_eq!(status(&container), (Status::Running, true));
    let e = container.delete(false).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongState);
    assert!(e.to_string().starts_with("cannot delete container run that is not stopped: running"), "{e}");
    container.kill("0".parse().unwrap(), false).unwrap();
    container.kill(Signal::TERM, false).unwrap();
    assert!(sys::process::poll_in(container.pidfd().unwrap_or_else(|_| dup(&container)), 5000).unwrap());
    assert_eq!(status(&container), (Status::Stopped, false), "a zombie has stopped");
    for signal in ["0", "KILL", "TERM"] {
        let e = container.kill(signal.parse().unwrap(), false).unwrap_err();
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::NotRunning, "container not running".into()));
        container.kill(signal.parse().unwrap(), true).unwrap();
    }
    assert_eq!(container.wait().unwrap(), Exit::Signal(libc::SIGTERM));
    container.delete(false).unwrap();
    assert_eq!(scratch.ids(), Vec::<String>::new());
    for e in [
        container.state().unwrap_err(),
        container.delete(true).unwrap_err(),
        container.kill(Signal::KILL, false).unwrap_err(),
        scratch.runtime.load("run").unwrap_err(),
    ] {
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::NotFound, "container does not exist: run".into()));
    }
    let _ = child.wait();
}

/// Any pidfd of the container's process, also of a zombie.
fn dup(container: &Container) -> OwnedFd {
    presence(container.directory.read().unwrap().as_ref()).unwrap().any().unwrap()
}

#[test]
fn delete_kills_what_runs_only_by_force() {
    let scratch = Scratch::new();
    // Stage::Created: a program that runs already, whose `start` was killed before it could say so.
    for stage in [Stage::Created, Stage::Started, Stage::Creating] {
        let (container, child) = scratch.make("box", stage, "");
        assert_eq!(container.delete(false).unwrap_err().kind(), ErrorKind::WrongState);
        container.delete(true).unwrap();
        // It was killed, and reaped by its parent, which is this process.
        assert_eq!(sys::process::pidfd_open(child.id() as i32).unwrap_err(), Errno::ESRCH);
        assert!(scratch.ids().is_empty());
    }
}

#[test]
fn poststop_hooks_run_once_with_the_stopped_state_and_only_warn() {
    let scratch = Scratch::new();
    let out = scratch.path.join("seen");
    let config = format!(
        r#"{{"ociVersion":"1.3.0","hooks":{{"poststop":[
            {{"path":"/bin/sh","args":["sh","-c","exit 4"]}},
            {{"path":"/bin/sh","args":["sh","-c","cat >> {}"]}}]}}}}"#,
        out.display()
    );
    let (container, _child) = scratch.make("hooked", Stage::Started, &config);
    container.delete(true).unwrap();
    let state: State = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((state.status, state.pid, state.id.as_str()), (Status::Stopped, 0, "hooked"));
    let warnings = scratch.warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("error running poststop hook #0: exit status 4"), "{warnings:?}");
}

#[test]
fn a_configuration_that_cannot_be_read_does_not_keep_a_container() {
    let scratch = Scratch::new();
    let (container, _child) = scratch.make("odd", Stage::Started, "{ not json");
    container.delete(true).unwrap();
    assert!(scratch.ids().is_empty());
    assert_eq!(scratch.warnings.lock().unwrap().len(), 1);
}

#[test]
fn whatever_a_crash_leaves_is_stopped_and_can_be_deleted() {
    let scratch = Scratch::new();
    // Killed right after mkdir, and in the middle of the first record.
    for (id, content) in [("empty", None), ("torn", Some("{\"format\":1,\"st"))] {
        let (directory, lock) = Directory::create(scratch.runtime.state_root(), id).unwrap();
        if let Some(content) = content {
            std::fs::write(scratch.path.join(id).join("state.json"), content).unwrap();
        }
        let container = scratch.runtime.load(id).unwrap();
        assert_eq!(status(&container), (Status::Creating, false));
        drop((directory, lock));
        assert_eq!(status(&container), (Status::Stopped, false));
        assert_eq!(scratch.ids(), [id]);
        container.delete(false).unwrap();
        assert!(scratch.ids().is_empty());
    }
    // Killed after the hooks of a delete.
    let (container, mut child) = scratch.make("half", Stage::Deleting, "{ not json");
    child.kill().unwrap();
    child.wait().unwrap();
    container.delete(false).unwrap();
    assert!(scratch.warnings.lock().unwrap().is_empty(), "the hooks do not run again");
    // Another version's record.
    let (container, mut child) = scratch.make("new", Stage::Started, "");
    std::fs::write(scratch.path.join("new/state.json"), "{\"format\":77}").unwrap();
    assert_eq!(scratch.ids(), ["new"], "it hides no other one");
    assert_eq!(container.delete(false).unwrap_err().kind(), ErrorKind::Corrupt);
    container.delete(true).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_deletes_at_once() {
    let scratch = Scratch::new();
    for _ in 0..20 {
        let (container, _child) = scratch.make("twice", Stage::Started, "");
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| container.delete(true))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        });
        // More than one succeeds if the machine is so slow that one of them begins to end another.
        assert!(results.iter().any(Result::is_ok), "{results:?}");
        assert_eq!(scratch.runtime.load("twice").unwrap_err().kind(), ErrorKind::NotFound);
        for e in results.into_iter().filter_map(Result::err) {
            assert_eq!(e.kind(), ErrorKind::NotFound);
        }
    }
}

/// A cgroup of the test's own for a container, or none where this machine lets us make none.
fn cgroup(name: &str) -> Option<crate::cgroup::Cgroup> {
    use crate::cgroup::{Cgroup, CgroupOptions, CgroupPath, Layout};
    let path = CgroupPath::new(&format!("/orlop-container-{}-{name}", std::process::id())).unwrap();
    let options = CgroupOptions { device_filter: false, optional: false };
    let made = Layout::require().and_then(|layout| {
        Cgroup::create(&layout, &path, &crate::bundle::spec::Resources::default(), &options)
    });
    match made {
        Ok((cgroup, _)) => Some(cgroup),
        Err(e) => {
            println!("skipped: no cgroup can be made here: {e}");
            None
        }
    }
}

#[test]
fn members_die_with_a_container_that_shares_its_pid_namespace() {
    let scratch = Scratch::new();
    for with_init in [true, false] {
        let Some(cgroup) = cgroup("shared") else { return };
        let (container, mut init) = scratch.make("shared", Stage::Started, "");
        let mut other = Command::new("sleep").arg("600").spawn().unwrap();
        cgroup.add(init.id() as i32).unwrap();
        cgroup.add(other.id() as i32).unwrap();
        let mut record = container.directory.read().unwrap().unwrap();
        record.cgroup = cgroup.record().clone();
        record.own_pid_namespace = false;
        container.directory.write(&record).unwrap();
        let mut both = vec![init.id() as i32, other.id() as i32];
        both.sort_unstable();
        assert_eq!(container.processes().unwrap(), both);
        if !with_init {
            init.kill().unwrap();
            init.wait().unwrap();
            // Also when init is gone, the rest is killed.
            container.kill(Signal::KILL, false).unwrap();
            other.wait().unwrap();
            assert_eq!(container.kill(Signal::KILL, false).unwrap_err().kind(), ErrorKind::NotRunning);
            container.kill(Signal::KILL, true).unwrap();
        }
        container.delete(true).unwrap();
        assert!(!cgroup.exists().unwrap());
        let _ = (init.wait(), other.wait());
    }
}

#[test]
fn a_paused_container() {
    let scratch = Scratch::new();
    let Some(cgroup) = cgroup("paused") else { return };
    let (container, mut init) = scratch.make("paused", Stage::Started, "");
    cgroup.add(init.id() as i32).unwrap();
    let mut record = container.directory.read().unwrap().unwrap();
    record.cgroup = cgroup.record().clone();
    container.directory.write(&record).unwrap();
    assert_eq!(container.resume().unwrap_err().to_string(), "container not paused");
    container.pause().unwrap();
    assert_eq!(status(&container), (Status::Paused, true));
    assert_eq!(container.pause().unwrap_err().kind(), ErrorKind::WrongState);
    let e = container.delete(false).unwrap_err().to_string();
    assert!(e.contains("is not stopped: paused"), "{e}");
    container.resume().unwrap();
    assert_eq!(status(&container), (Status::Running, true));
    container.pause().unwrap();
    container.kill(Signal::KILL, false).unwrap();
    init.wait().unwrap();
    assert_eq!(container.pause().unwrap_err().to_string(), "container not running");
    container.delete(false).unwrap();
    assert!(!cgroup.exists().unwrap());
    // Killed while it stands still, by delete.
    let Some(cgroup) = self::cgroup("paused") else { return };
    let (container, mut init) = scratch.make("paused", Stage::Started, "");
    cgroup.add(init.id() as i32).unwrap();
    let mut record = container.directory.read().unwrap().unwrap();
    record.cgroup = cgroup.record().clone();
    container.directory.write(&record).unwrap();
    container.pause().unwrap();
    container.delete(true).unwrap();
    assert!(!cgroup.exists().unwrap());
    let _ = init.wait();
}
