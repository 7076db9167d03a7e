//! What is measured, one lane a kind of work: everybody in turn, in an order which changes from round to round.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::Result;
use crate::bundle::{Bundles, Role};
use crate::layout::{self, Cgroups, Layout};
use crate::options::Options;
use crate::programs::Programs;
use crate::stopwatch::Stopwatch;
use crate::subject::{Container, Kind, Subject};
use crate::table::{Table, Unit};

const DONE: i32 = 0;
const LEFT: i32 = 42;
const KILLED: i32 = 128 + 9;
const CREATORS: usize = 4;
const BATCH: usize = 40;
/// A subject which fails so often in a lane is out of it.
const PATIENCE: usize = 3;

/// The outer error ends the bench, the inner one is the reason why this sample is missing.
type Step = Result<std::result::Result<(), String>>;

/// Takes what a step needs, or ends the step with its reason.
macro_rules! attempt {
    ($sample:expr) => {
        match $sample? {
            Ok(value) => value,
            Err(reason) => return Ok(Err(reason)),
        }
    };
}

/// All lanes of one layout.
pub(crate) struct Bench<'a> {
    options: &'a Options,
    programs: &'a Programs,
    subjects: &'a [Subject],
    cgroups: &'a Cgroups,
    bundles: Bundles<'a>,
    /// Docker's profile as a program, for the floors.
    filter: std::result::Result<PathBuf, String>,
    work: PathBuf,
    stopwatch: Stopwatch,
    /// Why a subject is not timed at all, or not in these lanes.
    untimed: Vec<Option<String>>,
    no_exec: Vec<Option<String>>,
    no_filter: Vec<Option<String>>,
    random: u64,
    made: usize,
    table: Table,
}

impl<'a> Bench<'a> {
    /// Writes the bundles of everybody and starts the stopwatch.
    pub(crate) fn new(
        options: &'a Options,
        programs: &'a Programs,
        subjects: &'a [Subject],
        cgroups: &'a Cgroups,
        work: &Path,
    ) -> Result<Self> {
        let profile: Value = serde_json::from_str(include_str!("../floor/seccomp.json"))?;
        let layout = &cgroups.layout;
        let names = subjects.iter().map(|subject| subject.name.clone()).collect();
        let bench = Self {
            options,
            programs,
            subjects,
            cgroups,
            filter: compile_filter(&profile, work),
            bundles: Bundles { programs, layout, profile },
            work: work.to_owned(),
            stopwatch: Stopwatch::start(&programs.stopwatch, work)?,
            untimed: vec![None; subjects.len()],
            no_exec: vec![None; subjects.len()],
            no_filter: vec![None; subjects.len()],
            random: 0x9e37_79b9_7f4a_7c15,
            made: 0,
            table: Table::new(layout.name(), names),
        };
        bench.write_bundles()?;
        Ok(bench)
    }

    fn write_bundles(&self) -> Result<()> {
        const ROLES: [Role; 5] = [Role::Leave, Role::FilteredLeave, Role::Wait, Role::Witness, Role::FilteredWitness];
        let _ = fs::remove_dir_all(self.bundle_dir());
        for (index, subject) in self.subjects.iter().enumerate() {
            self.cgroups.make(&format!("{}/{}", self.cgroups.parent, subject.name))?;
            for role in ROLES {
                self.write_bundle(index, role, role.name())?;
            }
            for creator in 0..CREATORS {
                self.write_bundle(index, Role::Leave, &format!("creator-{creator}"))?;
            }
        }
        Ok(())
    }

    fn bundle_dir(&self) -> PathBuf {
        self.work.join("bundles").join(self.layout().name())
    }

    fn layout(&self) -> &'a Layout {
        &self.cgroups.layout
    }

    fn write_bundle(&self, index: usize, role: Role, place: &str) -> Result<()> {
        let container = self.container(index, role, place, place);
        fs::create_dir_all(&container.bundle)?;
        self.bundles.write(&container.bundle, role, &container.cgroup)
    }

    /// A container of the bundle and cgroup `place`.
    fn container(&self, index: usize, role: Role, place: &str, id: &str) -> Container {
        let name = &self.subjects[index].name;
        let cgroup = format!("{}/{name}/{place}", self.cgroups.parent);
        let root = layout::state_dir(&self.work).join(name);
        Container {
            id: id.into(),
            bundle: self.bundle_dir().join(name).join(place),
            pid_file: layout::state_dir(&self.work).join(format!("{name}.pid")),
            root,
            arguments: self.bundles.arguments(role, &cgroup),
            filter: self.filter.as_ref().ok().filter(|_| role.is_filtered()).cloned(),
            cgroup,
        }
    }

    /// One with an id that no container had before.
    fn next(&mut self, index: usize, role: Role) -> Container {
        self.made += 1;
        self.container(index, role, role.name(), &format!("{}-{}", role.name(), self.made))
    }

    // ---- who may take part ----

    /// Runs the witness in a container of everybody.
    pub(crate) fn witnesses(&mut self) -> Result<()> {
        for index in 0..self.subjects.len() {
            self.untimed[index] = self.witness_run(index, Role::Witness);
            if let Some(reason) = self.untimed[index].clone() {
                self.table.note("all", &self.subjects[index].name, &reason);
                continue;
            }
            self.no_filter[index] = match (&self.filter, self.subjects[index].kind) {
                (Err(reason), Kind::Floor) => Some(reason.clone()),
                _ => self.witness_run(index, Role::FilteredWitness),
            };
            self.no_exec[index] = self.witness_exec(index)?.err();
        }
        Ok(())
    }

    fn witness_run(&mut self, index: usize, role: Role) -> Option<String> {
        let container = self.next(index, role);
        let command = self.subjects[index].run(self.layout(), &container);
        let verdict = witnessed(&command);
        if verdict.is_some() {
            self.dispose(index, &container);
        }
        verdict
    }

    fn witness_exec(&mut self, index: usize) -> Step {
        let container = self.next(index, Role::Wait);
        let subject = &self.subjects[index];
        let arguments = self.bundles.witness("exec", &container.cgroup);
        let file = self.bundles.write_process(&container.bundle.join("witness.json"), &arguments)?;
        let create = subject.create(self.layout(), &container);
        attempt!(self.stopwatch.run(DONE, &create));
        let start = subject.simple(self.layout(), &container, "start");
        attempt!(self.stopwatch.run(DONE, &start));
        let verdict = witnessed(&subject.exec(self.layout(), &container, &file, &arguments));
        self.dispose(index, &container);
        Ok(verdict.map_or(Ok(()), Err))
    }

    /// Removes what a failure may have left.
    fn dispose(&mut self, index: usize, container: &Container) {
        let subject = &self.subjects[index];
        let kill = subject.kill(self.layout(), container);
        let mut delete = subject.simple(self.layout(), container, "delete");
        delete.insert(delete.len() - 1, "--force".into());
        let _ = self.stopwatch.run(DONE, &kill);
        let _ = self.stopwatch.reap(KILLED, &container.pid_file);
        let delete = if subject.kind == Kind::Floor { subject.simple(self.layout(), container, "delete") } else { delete };
        let _ = self.stopwatch.run(DONE, &delete);
    }

    // ---- the lanes ----

    /// Runs every lane that was asked for.
    pub(crate) fn all(&mut self) -> Result<()> {
        let rounds = self.options.rounds;
        let few = rounds.min(5);
        self.lane("run", rounds, Self::run)?;
        self.lane("life", rounds, Self::life)?;
        self.lane("live", rounds, Self::live)?;
        self.lane("memory", few, Self::memory)?;
        self.lane("seccomp", rounds, Self::seccomp)?;
        self.lane("parallel", rounds.div_ceil(6), Self::parallel)?;
        if self.options.wants("list") {
            self.list(if self.options.quick { 50 } else { 500 }, rounds.min(20))?;
        }
        if self.options.wants("creator") {
            self.table.note("creator", "orlop", "the library's container cannot be created yet");
        }
        Ok(())
    }

    fn lane(&mut self, name: &str, rounds: usize, step: fn(&mut Self, usize, usize) -> Step) -> Result<()> {
        if !self.options.wants(name) {
            return Ok(());
        }
        eprintln!("runtimes: {} {name}, {rounds} rounds", self.layout().name());
        let mut failures = vec![0; self.subjects.len()];
        for round in 0..rounds {
            for index in self.shuffled() {
                if self.untimed[index].is_some() || failures[index] == PATIENCE {
                    continue;
                }
                self.settle();
                if let Err(reason) = step(self, index, round)? {
                    self.table.note(name, &self.subjects[index].name, &reason);
                    // What cannot be done once will not be done later.
                    failures[index] = if round == 0 { PATIENCE } else { failures[index] + 1 };
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, index: usize, round: usize) -> Step {
        let container = self.next(index, Role::Leave);
        let command = self.subjects[index].run(self.layout(), &container);
        let taken = attempt!(self.stopwatch.run(LEFT, &command));
        self.table.add("run", Unit::Milliseconds, index, round, taken);
        Ok(Ok(()))
    }

    fn life(&mut self, index: usize, round: usize) -> Step {
        let container = self.next(index, Role::Leave);
        let subject = &self.subjects[index];
        let commands = [
            ("create", subject.create(self.layout(), &container)),
            ("start", subject.simple(self.layout(), &container, "start")),
            ("delete", subject.simple(self.layout(), &container, "delete")),
        ];
        let mut taken = [0.0; 3];
        for (step, (name, command)) in commands.iter().enumerate() {
            match self.stopwatch.run(DONE, command)? {
                Ok(milliseconds) => taken[step] = milliseconds,
                Err(reason) => {
                    self.dispose(index, &container);
                    return Ok(Err(format!("{name}: {reason}")));
                }
            }
            if *name == "start" {
                attempt!(self.stopwatch.reap(LEFT, &container.pid_file));
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.table.add("create+start+delete", Unit::Milliseconds, index, round, taken.iter().sum());
        for ((name, _), milliseconds) in commands.iter().zip(taken) {
            self.table.add(&format!("- {name}"), Unit::Milliseconds, index, round, milliseconds);
        }
        Ok(Ok(()))
    }

    /// What is done to a container that runs.
    fn live(&mut self, index: usize, round: usize) -> Step {
        let container = self.next(index, Role::Wait);
        let subject = &self.subjects[index];
        let outcome = self.live_steps(subject, &container, index, round)?;
        match outcome {
            Ok(()) => {
                attempt!(self.stopwatch.reap(KILLED, &container.pid_file));
                let delete = subject.simple(self.layout(), &container, "delete");
                attempt!(self.stopwatch.run(DONE, &delete));
                Ok(Ok(()))
            }
            Err(reason) => {
                self.dispose(index, &container);
                Ok(Err(reason))
            }
        }
    }

    fn live_steps(&mut self, subject: &Subject, container: &Container, index: usize, round: usize) -> Step {
        let layout = self.layout();
        attempt!(self.stopwatch.run(DONE, &subject.create(layout, container)));
        attempt!(self.stopwatch.run(DONE, &subject.simple(layout, container, "start")));
        let state = attempt!(self.stopwatch.run(DONE, &subject.simple(layout, container, "state")));
        self.table.add("state", Unit::Milliseconds, index, round, state);
        match self.no_exec[index].clone() {
            Some(reason) if round == 0 => self.table.note("exec", &subject.name, &reason),
            Some(_) => {}
            None => {
                let arguments = self.bundles.arguments(Role::Leave, "");
                let file = self.bundles.write_process(&container.bundle.join("process.json"), &arguments)?;
                let command = subject.exec(layout, container, &file, &arguments);
                let exec = attempt!(self.stopwatch.run(LEFT, &command));
                self.table.add("exec", Unit::Milliseconds, index, round, exec);
            }
        }
        let kill = attempt!(self.stopwatch.run(DONE, &subject.kill(layout, container)));
        self.table.add("kill", Unit::Milliseconds, index, round, kill);
        Ok(Ok(()))
    }

    fn memory(&mut self, index: usize, round: usize) -> Step {
        let container = self.next(index, Role::Leave);
        let subject = &self.subjects[index];
        let output = Command::new(&self.programs.peak)
            .args(subject.run(self.layout(), &container))
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(peak) = said.lines().last().and_then(|line| line.parse().ok()) else {
            return Ok(Err("no peak".into()));
        };
        self.table.add("run, peak memory", Unit::Kibibytes, index, round, peak);

        let container = self.next(index, Role::Wait);
        let create = subject.create(self.layout(), &container);
        attempt!(self.stopwatch.run(DONE, &create));
        let pid = fs::read_to_string(&container.pid_file)?;
        let maps = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.trim()));
        self.dispose(index, &container);
        let maps = match maps {
            Ok(maps) => maps,
            Err(error) => return Ok(Err(format!("the waiting process: {error}"))),
        };
        let own = field(&maps, "Private_Clean:") + field(&maps, "Private_Dirty:");
        self.table.add("waiting init, of its own", Unit::Kibibytes, index, round, own);
        self.table.add("waiting init, its share (PSS)", Unit::Kibibytes, index, round, field(&maps, "Pss:"));
        Ok(Ok(()))
    }

    /// The same container with and without Docker's profile, one after the other.
    fn seccomp(&mut self, index: usize, round: usize) -> Step {
        if let Some(reason) = self.no_filter[index].clone() {
            return Ok(Err(reason));
        }
        let filter_first = self.random() % 2 == 0;
        let mut taken = [0.0; 2];
        for filtered in [filter_first, !filter_first] {
            let role = if filtered { Role::FilteredLeave } else { Role::Leave };
            let container = self.next(index, role);
            let command = self.subjects[index].run(self.layout(), &container);
            taken[usize::from(filtered)] = attempt!(self.stopwatch.run(LEFT, &command));
            self.settle();
        }
        self.table.add("run, Docker's seccomp profile", Unit::Milliseconds, index, round, taken[1]);
        self.table.add("- which adds", Unit::MillisecondsAdded, index, round, taken[1] - taken[0]);
        Ok(Ok(()))
    }

    fn parallel(&mut self, index: usize, round: usize) -> Step {
        let id = format!("creator-{round}-@");
        let container = self.container(index, Role::Leave, "creator-%", &id);
        let command = self.subjects[index].run(self.layout(), &container);
        let taken = attempt!(self.stopwatch.burst(LEFT, CREATORS, BATCH, &command));
        self.table.add(&format!("run, {CREATORS} at a time"), Unit::PerSecond, index, round, BATCH as f64 * 1e3 / taken);
        Ok(Ok(()))
    }

    /// Everybody holds `count` containers while `list` is timed.
    fn list(&mut self, count: usize, rounds: usize) -> Result<()> {
        eprintln!("runtimes: {} list, {count} containers each", self.layout().name());
        let mut held: Vec<Vec<Container>> = Vec::new();
        for index in 0..self.subjects.len() {
            let wanted = if self.untimed[index].is_some() { 0 } else { count };
            held.push(self.hold(index, wanted)?);
        }
        for round in 0..rounds {
            for index in self.shuffled() {
                let Some(container) = held[index].first().filter(|_| held[index].len() == count).cloned() else { continue };
                self.settle();
                let command = self.subjects[index].list(self.layout(), &container);
                match self.stopwatch.run(DONE, &command)? {
                    Ok(taken) => self.table.add(&format!("list of {count}"), Unit::Milliseconds, index, round, taken),
                    Err(reason) => self.table.note("list", &self.subjects[index].name, &reason),
                }
            }
        }
        for (index, containers) in held.into_iter().enumerate() {
            for container in containers {
                self.dispose(index, &container);
            }
        }
        Ok(())
    }

    fn hold(&mut self, index: usize, count: usize) -> Result<Vec<Container>> {
        let mut held = Vec::new();
        for number in 0..count {
            let mut container = self.container(index, Role::Wait, &format!("held-{number}"), &format!("held-{number}"));
            container.bundle = self.bundle_dir().join(&self.subjects[index].name).join(Role::Wait.name());
            container.pid_file = container.bundle.join(format!("{number}.pid"));
            self.bundles.write(&container.bundle, Role::Wait, &container.cgroup)?;
            let create = self.subjects[index].create(self.layout(), &container);
            if let Err(reason) = self.stopwatch.run(DONE, &create)? {
                self.table.note("list", &self.subjects[index].name, &reason);
                break;
            }
            held.push(container);
        }
        Ok(held)
    }

    // ---- fairness ----

    /// Lets the kernel finish what the last container left to it, and others finish what they compute, within reason.
    fn settle(&self) {
        thread::sleep(self.options.gap);
        for _ in 0..3 {
            if running() <= 1 {
                break;
            }
            thread::sleep(self.options.gap);
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn shuffled(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.subjects.len()).collect();
        for last in (1..order.len()).rev() {
            let other = (self.random() % (last as u64 + 1)) as usize;
            order.swap(last, other);
        }
        order
    }

    /// The figures so far.
    pub(crate) fn table(&self) -> String {
        self.table.to_string()
    }
}

/// How many tasks of the machine want a processor, this one among them.
fn running() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().find_map(|line| line.strip_prefix("procs_running ")?.trim().parse().ok()).unwrap_or(1)
}

/// A figure of /proc/PID/smaps_rollup in KiB.
fn field(maps: &str, name: &str) -> f64 {
    let line = maps.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// What the witness which `command` runs complains of.
fn witnessed(command: &[String]) -> Option<String> {
    let output = match Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return Some(format!("{}: {error}", command[0])),
    };
    if output.status.code() == Some(LEFT) {
        return None;
    }
    let said = [output.stdout, output.stderr].concat();
    let said: Vec<_> = String::from_utf8_lossy(&said).lines().take(4).map(str::to_owned).collect();
    Some(format!("not timed, since the witness does not pass ({}): {}", output.status, said.join("; ")))
}

/// Docker's profile as a program which the floors can install.
fn compile_filter(_profile: &Value, work: &Path) -> std::result::Result<PathBuf, String> {
    let file = work.join("seccomp.bpf");
    if file.exists() { Ok(file) } else { Err("the library cannot compile a profile yet".into()) }
}
