//! Helpers of the attacks: a canary on the host, a lock for races, and calls that leave no files.

use crate::moments::Moment;
use kit::{Bundle, Container, Test, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One race at a time: each needs both processors.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory of the host that no container may reach, with the file `bird` in it.
pub(crate) struct Canary {
    pub(crate) dir: PathBuf,
}

impl Canary {
    pub(crate) fn new(t: &Test) -> Self {
        let dir = t.dir().join("canary");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("bird"), "sings").unwrap();
        Self { dir }
    }

    /// What has appeared in it or changed; new files are removed.
    pub(crate) fn hurt(&self) -> Option<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).unwrap().flatten() {
            if entry.file_name() == "bird" {
                continue;
            }
            let path = entry.path();
            found.push(format!("{} ({:?})", path.file_name().unwrap().display(), entry.file_type().unwrap()));
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
        let bird = fs::read_to_string(self.dir.join("bird")).unwrap_or_default();
        if bird != "sings" {
            found.push(format!("the file bird has {bird:?}"));
            fs::write(self.dir.join("bird"), "sings").unwrap();
        }
        found.sort();
        (!found.is_empty()).then(|| format!("on the host: {}", found.join(", ")))
    }
}

/// The result of a call of the runtime.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit code; -1 if it was killed.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// Thousands of calls of the runtime: their output goes to the same two files.
#[derive(Clone)]
pub(crate) struct Caller<'t> {
    test: &'t Test,
    out: PathBuf,
    err: PathBuf,
    env: Vec<(String, String)>,
    moment: Option<Rc<Moment>>,
}

impl<'t> Caller<'t> {
    pub(crate) fn new(test: &'t Test) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| test.dir().join(format!("said-{what}-{number}"));
        Self { test, out: name("out"), err: name("err"), env: Vec::new(), moment: None }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Traces the commands that are called.
    pub(crate) fn traced(mut self, moment: Rc<Moment>) -> Self {
        self.moment = Some(moment);
        self
    }

    /// Starts `orlop --root ROOT WORDS…` in the test's directory.
    pub(crate) fn begin(&self, words: &[&str]) -> Child {
        let mut command = Command::new(self.test.program());
        command.arg("--root").arg(self.test.root()).args(words).current_dir(self.test.dir());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TMPDIR", self.test.dir().join("tmp")).envs(self.env.iter().cloned());
        let file = |path: &Path| Stdio::from(fs::File::create(path).unwrap());
        command.stdin(Stdio::null()).stdout(file(&self.out)).stderr(file(&self.err));
        command.spawn().unwrap()
    }

    /// Waits for the exit, for a limited time.
    pub(crate) fn end(&self, mut child: Child) -> Said {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            if begun.elapsed() > kit::within(Duration::from_secs(20)) {
                let _ = child.kill();
                let _ = child.wait();
                break -1;
            }
            std::thread::sleep(Duration::from_micros(100));
        };
        self.said(status, begun)
    }

    fn said(&self, code: i32, begun: Instant) -> Said {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Said { code, stdout: read(&self.out), stderr: read(&self.err), took: begun.elapsed() }
    }

    pub(crate) fn call(&self, words: &[&str]) -> Said {
        match &self.moment {
            Some(moment) => self.call_traced(moment, words),
            None => self.end(self.begin(words)),
        }
    }

    fn call_traced(&self, moment: &Moment, words: &[&str]) -> Said {
        let (begun, root) = (Instant::now(), self.test.root().to_string_lossy().into_owned());
        let words: Vec<String> =
            ["--root", &root].iter().chain(words).map(|word| (*word).to_owned()).collect();
        let fixed = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("TMPDIR", self.test.dir().join("tmp").display().to_string()),
        ];
        let mut env: Vec<_> = fixed.map(|(name, value)| (name.to_owned(), value)).into();
        env.extend(self.env.iter().cloned());
        let files = [&self.out, &self.err].map(PathBuf::as_path);
        let code = moment.follow(self.test.program(), &words, &env, self.test.dir(), files);
        self.said(code, begun)
    }

    /// `run` of a bundle that is already written.
    pub(crate) fn run(&self, bundle: &Bundle<'_>) -> Said {
        self.call(&["run", "--bundle", &bundle.dir().to_string_lossy(), bundle.id()])
    }
}

/// Capabilities for the container's program, and for the programs that it executes.
pub(crate) fn with_capabilities<'t>(bundle: Bundle<'t>, names: &[&str]) -> Bundle<'t> {
    let names = kit::json!(names);
    ["bounding", "effective", "permitted"]
        .iter()
        .fold(bundle, |bundle, set| bundle.set(&format!("/process/capabilities/{set}"), names.clone()))
}

/// The complete lines that a container's program has printed.
pub(crate) fn lines(container: &Container<'_>) -> Vec<Value> {
    let text = container.stdout();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Ends a container, however busy it is.
pub(crate) fn end(t: &Test, container: &Container<'_>) {
    let said = Caller::new(t).call(&["delete", "--force", container.id()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    container.wait();
}
