//! One scenario: commands under a tracer, and what a container could see of their processes.

use super::rule::{Breach, Rule, identity, is_stub, link, shares_memory, status, step};
use kit::trace::{self, At, Next, Tracer};
use kit::{Bundle, Container, Score, Test};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Capabilities of the template's program: CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE.
const FEW: u64 = 1 << 29 | 1 << 5 | 1 << 10;

/// Breaches in the order in which they were first seen, with their counts.
type Breaches = Vec<(String, u64)>;

fn note(breaches: &mut Breaches, what: String) {
    match breaches.iter_mut().find(|(known, _)| *known == what) {
        Some((_, count)) => *count += 1,
        None => breaches.push((what, 1)),
    }
}

/// One scenario: the commands that are traced, and what was seen of their processes.
pub(super) struct Steps<'t> {
    test: &'t Test,
    tracer: Tracer,
    pub(super) rule: Rule,
    pub(super) env: Vec<(String, String)>,
    /// Pid namespaces with a process of a container, and that process.
    watched: BTreeMap<i32, String>,
    /// Everything that is traced, except for the commands.
    known: BTreeSet<i32>,
    /// The version of Linux that uname(2) returns.
    pub(super) release: Option<&'static str>,
    /// The number of stops.
    looked: u64,
    pub(super) seen: u64,
    held: Breaches,
    power: Breaches,
    trail: Vec<String>,
}

impl<'t> Steps<'t> {
    pub(super) fn new(test: &'t Test) -> Self {
        let given = ["/dev/null"].iter().filter_map(identity).collect();
        let rule = Rule { roots: Vec::new(), given, capabilities: FEW, host_root: false, helped: 0 };
        let path = std::env::var("PATH").unwrap_or_default();
        let env = vec![
            ("PATH".to_owned(), path),
            ("TMPDIR".to_owned(), test.dir().join("tmp").display().to_string()),
        ];
        let (watched, known, held, power) = Default::default();
        Self {
            test,
            tracer: Tracer::new(),
            rule,
            env,
            watched,
            known,
            release: None,
            looked: 0,
            seen: 0,
            held,
            power,
            trail: Vec::new(),
        }
    }

    /// Adds a running container that can see processes.
    pub(super) fn watcher(&mut self, container: &Container<'_>) {
        self.watched.insert(container.pid(), link(container.pid(), "ns/pid"));
        self.rule.roots.extend(identity(format!("/proc/{}/root", container.pid())));
    }

    /// Adds a container that is going to be created.
    pub(super) fn bundle(&mut self, bundle: &Bundle<'_>) {
        bundle.write();
        self.rule.roots.extend(identity(bundle.path("/")));
        self.test.adopt(bundle.id());
    }

    /// Traces one command until it exits: its exit code, and its messages.
    pub(super) fn call(&mut self, words: &[&str]) -> (i32, String) {
        let root = self.test.root().to_string_lossy().into_owned();
        let words: Vec<String> =
            ["--root", &root].iter().chain(words).map(|word| (*word).to_owned()).collect();
        let files = ["out", "err"].map(|name| self.test.dir().join(format!("step-{name}")));
        let program = self.test.program().to_owned();
        let command = self.tracer.start(&program, &words, &self.env, self.test.dir(), [&files[0], &files[1]]);
        self.rule.given.extend(files.iter().filter_map(identity));
        let mut tracer = std::mem::take(&mut self.tracer);
        let code = tracer.follow(Some(command), |pid, at| self.observe(pid, at, command));
        self.tracer = tracer;
        (code.unwrap_or(-1), fs::read_to_string(&files[1]).unwrap_or_default())
    }

    pub(super) fn run(&mut self, bundle: &Bundle<'_>, flags: &[&str]) {
        self.bundle(bundle);
        let dir = bundle.dir().to_string_lossy().into_owned();
        let words = [&["run", "--bundle", &dir], flags, &[bundle.id()]].concat();
        let (code, said) = self.call(&words);
        assert_eq!(code, 0, "{said}");
    }

    pub(super) fn create_and_start(&mut self, bundle: &Bundle<'_>) {
        self.bundle(bundle);
        let dir = bundle.dir().to_string_lossy().into_owned();
        for words in [
            &["create", "--bundle", &dir, bundle.id()][..],
            &["start", bundle.id()],
            &["delete", "--force", bundle.id()],
        ] {
            let (code, said) = self.call(words);
            assert_eq!(code, 0, "{words:?}: {said}");
        }
    }

    fn observe(&mut self, pid: i32, at: At, command: i32) -> Next {
        if at == At::End {
            self.watched.remove(&pid);
            self.known.remove(&pid);
            return Next::Run;
        }
        if let (At::Call(libc::SYS_uname), Some(release)) = (at, self.release) {
            trace::pretend(pid, release);
        }
        if pid == command {
            return Next::Step;
        }
        self.looked += 1;
        self.known.insert(pid);
        let space = link(pid, "ns/pid");
        let program = at == At::Execution && !is_stub(pid);
        if self.watched.iter().any(|(other, watched)| *other != pid && *watched == space) || program {
            self.inspect(pid, at, &space);
        }
        if program && space != link(std::process::id() as i32, "ns/pid") {
            self.watched.insert(pid, space);
        }
        match program {
            // criu traces what it restores, and no process of a container can see criu, or a restored process
            // before criu has detached.
            true if link(pid, "exe").ends_with("/criu") => Next::Leave,
            true => Next::Run,
            false => Next::Step,
        }
    }

    pub(super) fn inspect(&mut self, pid: i32, at: At, space: &str) {
        if space == link(std::process::id() as i32, "ns/pid") {
            return;
        }
        self.seen += 1;
        let place = place(pid, at);
        self.trail.push(format!(
            "{place}: CapPrm {} CapEff {} Seccomp {} NoNewPrivs {} Uid {}",
            status(pid, "CapPrm"),
            status(pid, "CapEff"),
            status(pid, "Seccomp"),
            status(pid, "NoNewPrivs"),
            status(pid, "Uid"),
        ));
        let found = self.rule.check(pid);
        // Of a process that the container does not see.
        let shares =
            |other: &&i32| **other != pid && link(**other, "ns/pid") != space && shares_memory(pid, **other);
        if self.known.iter().any(|other| shares(&other)) {
            note(&mut self.held, format!("{place}: the memory of a process outside"));
        }
        let held: BTreeSet<&str> = found
            .iter()
            .filter_map(|breach| match breach {
                Breach::Held(what) => Some(what.as_str()),
                Breach::Power(_) => None,
            })
            .collect();
        if !held.is_empty() {
            let told = held.into_iter().collect::<Vec<_>>().join(", ");
            note(&mut self.held, format!("{place}: {told}"));
        }
        for breach in found {
            if let Breach::Power(extra) = breach {
                note(&mut self.power, format!("{place}: CapPrm has {extra:#x} more"));
            }
        }
    }

    /// Lets the remaining processes exit, and counts.
    pub(super) fn end(mut self, what: &str) {
        let mut tracer = std::mem::take(&mut self.tracer);
        tracer.follow(None, |pid, at| self.observe(pid, at, 0));
        drop(tracer);
        self.show_trail();
        let (looked, seen) = (self.looked, self.seen);
        let score = |part: &str, what: String, won: &Breaches| {
            let mut score = Score::part(self.test, part, &what);
            (0..looked).for_each(|_| score.round());
            for (how, count) in won {
                (0..*count).for_each(|_| score.win(how.clone()));
            }
            score
        };
        let host = score(
            "host",
            format!("stepping {what}: something of the host at one of {seen} visible stops"),
            &self.held,
        );
        let power =
            score("power", format!("stepping {what}: a capability too many at one of them"), &self.power);
        Score::end_all([host, power]);
    }

    /// ORLOP_ATTACK_TRAIL prints what each visible stop showed.
    fn show_trail(&self) {
        if std::env::var_os("ORLOP_ATTACK_TRAIL").is_some() {
            println!("---- {}\n{}", self.test.name(), self.trail.join("\n"));
        }
    }
}

/// What a process has just done, in words that do not differ from one run to the next.
fn place(pid: i32, at: At) -> String {
    let native = orlop::seccomp::Arch::native();
    let done = match at {
        At::Birth => "born".to_owned(),
        At::Execution => "has executed its program".to_owned(),
        At::End => "ended".to_owned(),
        At::Call(number) => {
            let name = native.and_then(|arch| arch.call_name(number as u32)).unwrap_or("?");
            format!("after {name} ({number})")
        }
    };
    match step(pid) {
        Some(step) if step < 0xffff => format!("step {step}, {done}"),
        _ => done,
    }
}
