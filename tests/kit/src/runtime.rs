//! The runtime's command line, as a caller sees it.

use crate::counted::{self, Deed, Span, Trace};
use crate::{Test, Value, sys, within, wrap};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest time that a command of a test may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test: ORLOP_TEST_RUNTIME, or the one that cargo has built.
pub(crate) fn under_test(built: &str) -> PathBuf {
    std::env::var_os("ORLOP_TEST_RUNTIME").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// One call of the runtime.
pub struct Runtime<'t> {
    test: &'t Test,
    program: PathBuf,
    wrap: Vec<String>,
    globals: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: PathBuf,
    stdin: Stdio,
    stdio: Option<(Stdio, Stdio)>,
}

impl<'t> Runtime<'t> {
    pub(crate) fn new(test: &'t Test, program: &Path) -> Self {
        let env = vec![
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("TMPDIR".to_owned(), test.dir().join("tmp").to_string_lossy().into_owned()),
        ];
        let (wrap, globals, args) = Default::default();
        let (program, cwd) = (program.to_owned(), test.dir().to_owned());
        Self { test, program, wrap, globals, args, env, cwd, stdin: Stdio::null(), stdio: None }
    }

    /// `--root DIR` before the command.
    pub fn root(self, dir: &Path) -> Self {
        self.global("--root").global(&dir.to_string_lossy())
    }

    /// A word before the command.
    pub fn global(mut self, word: &str) -> Self {
        self.globals.push(word.to_owned());
        self
    }

    /// A word after the command.
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.args.push(word.into());
        self
    }

    /// Words after the command.
    pub fn args<A: Into<String>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(words.into_iter().map(Into::into));
        self
    }

    /// Sets a variable in the runtime's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the whole environment of the runtime.
    pub fn only_env(mut self, variables: &[(&str, &str)]) -> Self {
        self.env.clear();
        variables.iter().fold(self, |call, (name, value)| call.env(name, value))
    }

    /// The runtime's working directory.
    pub fn cwd(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.cwd);
        self
    }

    /// The runtime's standard input.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.stdin = from.into();
        self
    }

    /// Text on standard input.
    pub fn input(self, text: &str) -> Self {
        let path = self.test.dir().join(format!("input-{}", serial()));
        fs::write(&path, text).unwrap();
        self.stdin(File::open(path).unwrap())
    }

    /// All three standard descriptors from the caller, for example a terminal; nothing is captured.
    pub fn stdio(
        mut self,
        input: impl Into<Stdio>,
        output: impl Into<Stdio>,
        error: impl Into<Stdio>,
    ) -> Self {
        self.stdin = input.into();
        self.stdio = Some((output.into(), error.into()));
        self
    }

    /// A property of the calling process, see [`wrap`].
    pub fn wrap(mut self, word: &str) -> Self {
        self.wrap.push(word.to_owned());
        self
    }

    /// Uses another file of the same program.
    pub fn program(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.program);
        self
    }

    /// Starts it.
    pub fn spawn(self) -> Running<'t> {
        let Prepared { test, mut command, words, out, err } = self.prepare();
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Running { test, child, words, out, err }
    }

    /// Runs it under a tracer on this thread until it exits: its system calls are counted, and one of them may
    /// fail, see [`counted`].
    pub fn traced(self, deed: Deed) -> (Output, Trace) {
        let span = Span::FromPoll { after_wrap: !self.wrap.is_empty() };
        let Prepared { mut command, words, out, err, .. } = self.prepare();
        let begun = Instant::now();
        let (status, trace) = counted::run(&mut command, span, deed, within(PATIENCE));
        let (stdout, stderr) = (text(&out), text(&err));
        (Output { status, stdout, stderr, words, out, took: begun.elapsed() }, trace)
    }

    fn prepare(self) -> Prepared<'t> {
        let words: Vec<String> = self.globals.into_iter().chain(self.args).collect();
        let mut command = if self.wrap.is_empty() {
            Command::new(&self.program)
        } else {
            let mut command = Command::new("/proc/self/exe");
            command.arg(wrap::NAME).args(&self.wrap).arg("--").arg(&self.program);
            command
        };
        let n = serial();
        let (out, err) = (self.test.dir().join(format!("out-{n}")), self.test.dir().join(format!("err-{n}")));
        let files = (File::create(&out).unwrap().into(), File::create(&err).unwrap().into());
        let (stdout, stderr) = self.stdio.unwrap_or(files);
        command.args(&words).env_clear().envs(self.env).current_dir(self.cwd);
        command.stdin(self.stdin).stdout(stdout).stderr(stderr);
        Prepared { test: self.test, command, words, out, err }
    }

    /// Runs it until it exits.
    pub fn output(self) -> Output {
        self.spawn().wait()
    }

    /// Runs it until it exits, unless it takes too long.
    pub(crate) fn try_run(self) -> Option<Output> {
        self.spawn().wait_within(within(PATIENCE))
    }
}

/// A call of the runtime that is ready to be started.
struct Prepared<'t> {
    test: &'t Test,
    command: Command,
    words: Vec<String>,
    out: PathBuf,
    err: PathBuf,
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A running call of the runtime.
pub struct Running<'t> {
    test: &'t Test,
    child: Child,
    words: Vec<String>,
    out: PathBuf,
    err: PathBuf,
}

impl Running<'_> {
    /// The runtime's own pid.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends the runtime a signal.
    pub fn signal(&self, signal: i32) {
        sys::kill(self.pid(), signal);
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits until standard output has a complete line that contains `text`.
    pub fn wait_for(&self, text: &str) {
        self.test.wait_for(text, || {
            self.stdout().split_inclusive('\n').any(|l| l.ends_with('\n') && l.contains(text))
        });
    }

    /// Whether it has exited.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its exit.
    pub fn wait(self) -> Output {
        let words = self.words.join(" ");
        let err = self.err.clone();
        self.wait_within(within(PATIENCE)).unwrap_or_else(|| {
            panic!(
                "still running after {} s: {words}\n{}",
                within(PATIENCE).as_secs(),
                fs::read_to_string(err).unwrap_or_default()
            )
        })
    }

    fn wait_within(mut self, limit: Duration) -> Option<Output> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (stdout, stderr) = (text(&self.out), text(&self.err));
                return Some(Output {
                    status,
                    stdout,
                    stderr,
                    words: self.words,
                    out: self.out,
                    took: begun.elapsed(),
                });
            }
            if begun.elapsed() > limit {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }
}

/// The result of a call of the runtime.
pub struct Output {
    status: ExitStatus,
    words: Vec<String>,
    out: PathBuf,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The time that it took.
    pub took: Duration,
}

impl Output {
    /// The exit code; 128 + n if a signal killed it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Requires success.
    pub fn success(self) -> Self {
        assert!(self.status.success(), "should have succeeded: {self}");
        self
    }

    /// Requires this exit code.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// Requires exit code 1 and a message with each of these fragments.
    pub fn refused(self, fragments: &[&str]) -> Self {
        self.fails_with(1, fragments)
    }

    /// Requires this exit code and a message with each of these fragments.
    pub fn fails_with(self, code: i32, fragments: &[&str]) -> Self {
        assert_eq!(self.code(), code, "should have failed with {code}: {self}");
        for fragment in fragments {
            assert!(self.stderr.contains(fragment), "no {fragment:?} in {self}");
        }
        assert!(!self.stderr.trim().is_empty(), "failed without a message: {self}");
        self
    }

    /// The current content of standard output: a container that the call created may still write to it.
    pub fn stdout_by_now(&self) -> String {
        text(&self.out)
    }

    /// The first line of standard output, as JSON.
    pub fn json(&self) -> Value {
        self.lines().into_iter().next().unwrap_or_else(|| panic!("no JSON in {self}"))
    }

    /// Every line of standard output, as JSON.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The whole of standard output, as one JSON document.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A whole report would hide the message.
        let start: String = self.stdout.chars().take(600).collect();
        let words = self.words.join(" ");
        write!(f, "{words} ({})\n-- stdout:\n{start}\n-- stderr:\n{}", self.status, self.stderr)
    }
}

/// A container that exists.
pub struct Container<'t> {
    test: &'t Test,
    id: String,
    pid: i32,
    out: PathBuf,
    callers: Vec<String>,
}

impl<'t> Container<'t> {
    pub(crate) fn new(test: &'t Test, id: &str, pid: i32, created: Output, callers: Vec<String>) -> Self {
        Self { test, id: id.to_owned(), pid, out: created.out, callers }
    }

    fn called(&self, runtime: Runtime<'t>) -> Runtime<'t> {
        self.callers.iter().fold(runtime, |runtime, word| runtime.wrap(word))
    }

    /// The host's pid of its init process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A command on it: `VERB ID ARGS`.
    pub fn command(&self, verb: &str, args: &[&str]) -> Runtime<'t> {
        self.called(self.test.runtime([verb, &self.id]).args(args.iter().copied()))
    }

    /// `start`, which must succeed.
    pub fn start(&self) -> Output {
        self.command("start", &[]).output().success()
    }

    /// `state`, as JSON.
    pub fn state(&self) -> Value {
        self.command("state", &[]).output().success().document()
    }

    /// The status that `state` prints.
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or("").to_owned()
    }

    /// `kill ID SIGNAL`, which must succeed.
    pub fn kill(&self, signal: &str) -> Output {
        self.command("kill", &[signal]).output().success()
    }

    /// `delete`, which must succeed.
    pub fn delete(&self) -> Output {
        self.command("delete", &[]).output().success()
    }

    /// `exec ID /probe WORDS`.
    pub fn exec(&self, words: &str) -> Output {
        self.called(self.test.runtime(["exec", &self.id, "/probe"]).args(words.split_whitespace())).output()
    }

    /// What its process has printed.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits until its process has printed a complete line, and returns the first one as JSON.
    pub fn first_line(&self) -> Value {
        self.test.wait_for("a line from the container", || self.stdout().contains('\n'));
        serde_json::from_str(self.stdout().lines().next().unwrap_or("")).unwrap()
    }

    /// Waits for its init process, a child of this process since `create` exited: code or 128 + signal.
    pub fn wait(&self) -> i32 {
        let code = sys::reap(self.pid, within(PATIENCE))
            .unwrap_or_else(|| panic!("{} does not exit, or is not a child", self.id));
        self.test.inits.lock().unwrap().retain(|pid| *pid != self.pid);
        code
    }
}
