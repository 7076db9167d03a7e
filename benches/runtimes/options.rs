//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::subject::{Kind, Subject};

const HELP: &str = "\
cargo bench --bench runtimes -- [OPTION...]
  --quick                few rounds and a short list, for a first impression
  --rounds N             how often each lane is run (60)
  --layout v1|v2|auto    cgroup layout that the containers see (auto: each layout of this host)
  --runtimes A,B         runtimes to measure beside the floor (orlop,crun,runc)
  --subject NAME=PATH    another runtime, or another build of one of these
  --floor NAME=PATH      another floor program
  --lanes A,B            only these (run,life,live,memory,seccomp,parallel,list,creator)
  --suite NAME           the Debian suite that crun and runc are taken from, without installing them (sid);
                         `host`: the installed ones; missing ones are installed with apt
  --gap MS               time for the kernel's teardown before each sample (20)
";

/// What to run.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    /// `v1` or `v2`; `None` for what the host has.
    pub(crate) layout: Option<String>,
    pub(crate) runtimes: Vec<String>,
    pub(crate) subjects: Vec<Subject>,
    /// Empty: all.
    pub(crate) lanes: Vec<String>,
    pub(crate) suite: String,
    pub(crate) gap: Duration,
}

impl Options {
    /// `None` if help was requested and has been printed.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            rounds: 0,
            quick: false,
            layout: None,
            runtimes: names("orlop,crun,runc"),
            subjects: Vec::new(),
            lanes: Vec::new(),
            suite: "sid".into(),
            gap: Duration::from_millis(20),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = value()?.parse()?,
                "--layout" => options.layout = Some(value()?.clone()).filter(|layout| layout != "auto"),
                "--runtimes" => options.runtimes = names(value()?),
                "--lanes" => options.lanes = names(value()?),
                "--subject" => options.subjects.push(subject(value()?, Kind::Runtime)?),
                "--floor" => options.subjects.push(subject(value()?, Kind::Floor)?),
                "--suite" => options.suite.clone_from(value()?),
                "--gap" => options.gap = Duration::from_millis(value()?.parse()?),
                "--help" | "-h" => {
                    print!("{HELP}");
                    return Ok(None);
                }
                _ => return Err(format!("unknown option {argument}\n{HELP}").into()),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 10 } else { 60 };
        }
        Ok(Some(options))
    }

    /// Whether this lane was selected.
    pub(crate) fn wants(&self, lane: &str) -> bool {
        self.lanes.is_empty() || self.lanes.iter().any(|name| name == lane)
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn subject(pair: &str, kind: Kind) -> Result<Subject> {
    let (name, path) = pair.split_once('=').ok_or_else(|| format!("{pair}: expected NAME=PATH"))?;
    let path = PathBuf::from(path).canonicalize().map_err(|error| format!("{path}: {error}"))?;
    Ok(Subject::new(name, &path, kind))
}
