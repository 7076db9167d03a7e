//! What is measured: a lane for each kind of work.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::bench::{Bench, CREATORS, DONE, KILLED, LEFT, Step, attempt};
use crate::bundle::Role;
use crate::creator::Creator;
use crate::subject::{Container, Kind, Subject};
use crate::table::Unit;

/// Containers per sample of the parallel lane.
const BATCH: u16 = 40;
/// The memory of the large program in the creator lane.
const LARGE_MB: usize = 1024;
/// A subject that fails this often in a lane is excluded from it.
const PATIENCE: usize = 3;

impl Bench<'_> {
    /// Runs every selected lane.
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
            self.creator(rounds)?;
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
                    // What fails the first time is not tried again.
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

    /// Commands on a running container.
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
        // `ps` has no floor: the kernel's part of it is one file to read.
        if subject.kind == Kind::Runtime {
            let ps = attempt!(self.stopwatch.run(DONE, &subject.ps(layout, container)));
            self.table.add("ps", Unit::Milliseconds, index, round, ps);
        }
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
        // Clean pages belong to the page cache: a program's file, which is there without the process as well.
        for (name, what) in [("waiting init, private", "Private_Dirty:"), ("waiting init, PSS", "Pss:")] {
            self.table.add(name, Unit::Kibibytes, index, round, field(&maps, what));
        }
        Ok(Ok(()))
    }

    /// The same container with and without Docker's profile, one after the other.
    fn seccomp(&mut self, index: usize, round: usize) -> Step {
        if let Some(reason) = self.no_filter[index].clone() {
            return Ok(Err(reason));
        }
        let filter_first = self.random().is_multiple_of(2);
        let mut taken = [0.0; 2];
        for filtered in [filter_first, !filter_first] {
            let role = if filtered { Role::FilteredLeave } else { Role::Leave };
            let container = self.next(index, role);
            let command = self.subjects[index].run(self.layout(), &container);
            taken[usize::from(filtered)] = attempt!(self.stopwatch.run(LEFT, &command));
            self.settle();
        }
        self.table.add("run, Docker's seccomp profile", Unit::Milliseconds, index, round, taken[1]);
        self.table.add("- added", Unit::MillisecondsAdded, index, round, taken[1] - taken[0]);
        Ok(Ok(()))
    }

    fn parallel(&mut self, index: usize, round: usize) -> Step {
        let id = format!("creator-{round}-@");
        let container = self.container(index, Role::Leave, "creator-%", &id);
        let command = self.subjects[index].run(self.layout(), &container);
        let taken = attempt!(self.stopwatch.burst(LEFT, CREATORS, usize::from(BATCH), &command));
        self.table.add(
            &format!("run, {CREATORS} at a time"),
            Unit::PerSecond,
            index,
            round,
            f64::from(BATCH) * 1e3 / taken,
        );
        Ok(Ok(()))
    }

    /// Each subject holds `count` containers while `list` is timed.
    fn list(&mut self, count: usize, rounds: usize) -> Result<()> {
        eprintln!("runtimes: {} list, {count} containers each", self.layout().name());
        let mut held: Vec<Vec<Container>> = vec![Vec::new(); self.subjects.len()];
        // Interleaved, since the kernel walks old and new containers at different speeds.
        for number in 0..count {
            for index in self.shuffled() {
                if self.untimed[index].is_none() && held[index].len() == number {
                    held[index].extend(self.hold(index, number)?);
                }
            }
        }
        for round in 0..rounds {
            for index in self.shuffled() {
                let Some(container) = held[index].first().filter(|_| held[index].len() == count).cloned()
                else {
                    continue;
                };
                self.settle();
                let command = self.subjects[index].list(self.layout(), &container);
                match self.stopwatch.run(DONE, &command)? {
                    Ok(taken) => {
                        self.table.add(&format!("list of {count}"), Unit::Milliseconds, index, round, taken);
                    }
                    Err(reason) => self.table.note("list", &self.subjects[index].name, &reason),
                }
            }
        }
        self.beside(&held, count, rounds)?;
        for (index, containers) in held.into_iter().enumerate() {
            for container in containers {
                self.dispose(index, &container);
            }
        }
        Ok(())
    }

    /// `create` and `state` in the state directory of all those containers, and in an empty one.
    fn beside(&mut self, held: &[Vec<Container>], count: usize, rounds: usize) -> Result<()> {
        for round in 0..rounds {
            for index in self.shuffled() {
                if held[index].len() != count {
                    continue;
                }
                let alone_first = self.random().is_multiple_of(2);
                let mut taken = [[0.0; 2]; 2];
                let mut failed = None;
                for alone in [alone_first, !alone_first] {
                    self.settle();
                    match self.create_and_state(index, alone)? {
                        Ok(both) => taken[usize::from(alone)] = both,
                        Err(reason) => failed = Some(reason),
                    }
                }
                if let Some(reason) = failed {
                    self.table.note("list", &self.subjects[index].name, &reason);
                    continue;
                }
                for (at, what) in ["create", "state"].into_iter().enumerate() {
                    let (beside, alone) = (taken[0][at], taken[1][at]);
                    let row = format!("{what} beside {count}");
                    self.table.add(&row, Unit::Milliseconds, index, round, beside);
                    let row = format!("- {what}, added");
                    self.table.add(&row, Unit::MillisecondsAdded, index, round, beside - alone);
                }
            }
        }
        Ok(())
    }

    /// How long it takes to create one more container, and to query it.
    fn create_and_state(
        &mut self,
        index: usize,
        alone: bool,
    ) -> Result<std::result::Result<[f64; 2], String>> {
        let mut container = self.next(index, Role::Wait);
        if alone {
            container.root.as_mut_os_string().push("-alone");
        }
        // The bundle was used for another container's cgroup meanwhile.
        self.bundles.write(&container.bundle, Role::Wait, &container.cgroup)?;
        let subject = &self.subjects[index];
        let create = self.stopwatch.run(DONE, &subject.create(self.layout(), &container))?;
        let state = self.stopwatch.run(DONE, &subject.simple(self.layout(), &container, "state"))?;
        self.dispose(index, &container);
        Ok(create.and_then(|create| Ok([create, state?])))
    }

    /// A created container in a cgroup of its own; none, and a note, if that failed.
    fn hold(&mut self, index: usize, number: usize) -> Result<Option<Container>> {
        let place = format!("held-{number}");
        let mut container = self.container(index, Role::Wait, &place, &place);
        container.bundle = self.bundle_dir().join(&self.subjects[index].name).join(Role::Wait.name());
        container.pid_file = container.bundle.join(format!("{number}.pid"));
        self.bundles.write(&container.bundle, Role::Wait, &container.cgroup)?;
        let create = self.subjects[index].create(self.layout(), &container);
        Ok(match self.stopwatch.run(DONE, &create)? {
            Ok(_) => Some(container),
            Err(reason) => {
                self.table.note("list", &self.subjects[index].name, &reason);
                None
            }
        })
    }

    /// The library in a small program and in a large one.
    fn creator(&mut self, rounds: usize) -> Result<()> {
        let own = (0..self.subjects.len())
            .find(|index| self.subjects[*index].name == "orlop" && self.untimed[*index].is_none());
        let Some(index) = own else { return Ok(()) };
        eprintln!("runtimes: {} creator, {rounds} rounds", self.layout().name());
        let place = self.container(index, Role::Leave, Role::Leave.name(), "");
        let mut small = Creator::start(1, &place.root, &place.bundle)?;
        let mut large = Creator::start(LARGE_MB, &place.root, &place.bundle)?;
        for round in 0..rounds {
            let large_first = self.random().is_multiple_of(2);
            let mut taken = [0.0; 2];
            for is_large in [large_first, !large_first] {
                self.settle();
                let id = self.next(index, Role::Leave).id;
                let creator = if is_large { &mut large } else { &mut small };
                match creator.create(&id)? {
                    Ok(milliseconds) => taken[usize::from(is_large)] = milliseconds,
                    Err(reason) => {
                        self.table.note("creator", "orlop", &reason);
                        return Ok(());
                    }
                }
            }
            self.table.add("library, create in a small program", Unit::Milliseconds, index, round, taken[0]);
            self.table.add(
                &format!("- in one of {LARGE_MB} MB, added"),
                Unit::MillisecondsAdded,
                index,
                round,
                taken[1] - taken[0],
            );
        }
        Ok(())
    }
}

/// A figure of /proc/PID/smaps_rollup in KiB.
fn field(maps: &str, name: &str) -> f64 {
    let line = maps.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}
