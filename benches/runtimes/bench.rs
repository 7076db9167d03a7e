//! What all lanes share: the bundles, the checks by the witness, and the order of the subjects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use orlop::bundle::spec;
use orlop::seccomp::Profile;
use serde_json::Value;

use crate::Result;
use crate::bundle::{Bundles, Role};
use crate::layout::{self, Cgroups, Layout};
use crate::options::Options;
use crate::programs::Programs;
use crate::stopwatch::Stopwatch;
use crate::subject::{Container, Kind, Subject};
use crate::table::Table;

/// Exit codes: success, the container's program has exited, it was killed.
pub(crate) const DONE: i32 = 0;
pub(crate) const LEFT: i32 = 42;
pub(crate) const KILLED: i32 = 128 + 9;
/// How many containers are created at the same time in the parallel lane.
pub(crate) const CREATORS: usize = 4;
/// How many more gaps a sample waits on a machine that is busy with other programs.
const PAUSES: usize = 10;

/// The outer error stops the bench, the inner one is the reason why this sample is missing.
pub(crate) type Step = Result<std::result::Result<(), String>>;

/// Returns the value that a step needs, or ends the step with the reason.
macro_rules! attempt {
    ($sample:expr) => {
        match $sample? {
            Ok(value) => value,
            Err(reason) => return Ok(Err(reason)),
        }
    };
}

pub(crate) use attempt;

/// All lanes of one layout.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) programs: &'a Programs,
    pub(crate) subjects: &'a [Subject],
    cgroups: &'a Cgroups,
    pub(crate) bundles: Bundles<'a>,
    /// Docker's profile as a BPF program, for the floors.
    filter: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) stopwatch: Stopwatch,
    /// Why a subject is not timed at all, or not in these lanes.
    pub(crate) untimed: Vec<Option<String>>,
    pub(crate) no_exec: Vec<Option<String>>,
    pub(crate) no_filter: Vec<Option<String>>,
    random: u64,
    made: usize,
    pub(crate) table: Table,
}

impl<'a> Bench<'a> {
    /// Writes the bundles of all subjects and starts the stopwatch.
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
            filter: compile_filter(&profile, work)?,
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
        const ROLES: [Role; 5] =
            [Role::Leave, Role::FilteredLeave, Role::Wait, Role::Witness, Role::FilteredWitness];
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

    pub(crate) fn bundle_dir(&self) -> PathBuf {
        self.work.join("bundles").join(self.layout().name())
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        &self.cgroups.layout
    }

    fn write_bundle(&self, index: usize, role: Role, place: &str) -> Result<()> {
        let container = self.container(index, role, place, place);
        fs::create_dir_all(&container.bundle)?;
        self.bundles.write(&container.bundle, role, &container.cgroup)
    }

    /// A container with the bundle and cgroup `place`.
    pub(crate) fn container(&self, index: usize, role: Role, place: &str, id: &str) -> Container {
        let name = &self.subjects[index].name;
        let cgroup = format!("{}/{name}/{place}", self.cgroups.parent);
        let root = layout::state_dir(&self.work).join(name);
        Container {
            id: id.into(),
            bundle: self.bundle_dir().join(name).join(place),
            pid_file: layout::state_dir(&self.work).join(format!("{name}.pid")),
            root,
            arguments: self.bundles.arguments(role, &cgroup),
            filter: role.is_filtered().then(|| self.filter.clone()),
            cgroup,
        }
    }

    /// A container with a new ID.
    pub(crate) fn next(&mut self, index: usize, role: Role) -> Container {
        self.made += 1;
        self.container(index, role, role.name(), &format!("{}-{}", role.name(), self.made))
    }

    // ---- checks ----

    /// Runs the witness in a container of each subject.
    pub(crate) fn witnesses(&mut self) -> Result<()> {
        for index in 0..self.subjects.len() {
            self.untimed[index] = self.witness_run(index, Role::Witness);
            if let Some(reason) = self.untimed[index].clone() {
                self.table.note("all", &self.subjects[index].name, &reason);
                continue;
            }
            self.no_filter[index] = self.witness_run(index, Role::FilteredWitness);
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
    pub(crate) fn dispose(&mut self, index: usize, container: &Container) {
        let subject = &self.subjects[index];
        let kill = subject.kill(self.layout(), container);
        let mut delete = subject.simple(self.layout(), container, "delete");
        delete.insert(delete.len() - 1, "--force".into());
        let _ = self.stopwatch.run(DONE, &kill);
        let _ = self.stopwatch.reap(KILLED, &container.pid_file);
        let delete = if subject.kind == Kind::Floor {
            subject.simple(self.layout(), container, "delete")
        } else {
            delete
        };
        let _ = self.stopwatch.run(DONE, &delete);
    }

    // ---- fairness ----

    /// Lets the kernel finish its work on the last container, and waits for other programs to finish, within
    /// reason.
    pub(crate) fn settle(&self) {
        thread::sleep(self.options.gap);
        for _ in 0..PAUSES {
            if running() <= 1 {
                break;
            }
            thread::sleep(self.options.gap);
        }
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    pub(crate) fn shuffled(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.subjects.len()).collect();
        for last in (1..order.len()).rev() {
            let other = (self.random() % (last as u64 + 1)) as usize;
            order.swap(last, other);
        }
        order
    }

    /// The figures so far.
    pub(crate) fn figures(&self) -> String {
        self.table.to_string()
    }
}

/// How many tasks of the machine are runnable, including this one.
fn running() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().find_map(|line| line.strip_prefix("procs_running ")?.trim().parse().ok()).unwrap_or(1)
}

/// The complaints of the witness that `command` runs.
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
    Some(format!("not timed, since the witness failed ({}): {}", output.status, said.join("; ")))
}

/// Docker's profile as a program that the floors can load, compiled by this project's library.
fn compile_filter(profile: &Value, work: &Path) -> Result<PathBuf> {
    let profile = spec::Seccomp::from_json(profile.to_string().as_bytes())?;
    let program = Profile::try_from(&profile)?.compile()?;
    let file = work.join("seccomp.bpf");
    fs::write(&file, program.to_bytes())?;
    Ok(file)
}
