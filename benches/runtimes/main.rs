//! `cargo bench --bench runtimes`: the cost of a container with this runtime, with its peers, and with the *floor*,
//! a program that makes the kernel do the same work and nothing else. It builds and fetches all that it needs, runs
//! all subjects interleaved, and prints medians and paired ratios. `docs/PERFORMANCE.md` says what is measured and
//! how to read it.

mod bench;
mod bundle;
mod creator;
mod lanes;
mod layout;
mod options;
mod packages;
mod programs;
mod stopwatch;
mod subject;
mod table;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use layout::Layout;
use options::Options;
use programs::Programs;
use subject::{Kind, Subject};

/// Any failure in a bench stops it with a sentence.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == creator::MODE) {
        return finish(creator::serve(&arguments[1..]));
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("skipped: this is a benchmark, not a test; run it with `cargo bench --bench runtimes`");
        return ExitCode::SUCCESS;
    }
    finish(Options::parse(&arguments).and_then(|options| options.map_or(Ok(()), |options| bench(&options))))
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runtimes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err("containers of every peer are compared as root: run it as root (sudo -E cargo bench --bench runtimes)".into());
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor");
    let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runtimes");
    fs::create_dir_all(&work)?;
    let programs = Programs::build(&sources, &work.join("programs"))?;
    let peers = packages::find(options, &work);
    let mut subjects = subjects(options, &programs, &peers)?;
    for subject in &mut subjects {
        subject.path = programs::install(&subject.path, &work.join("installed").join(&subject.name))?;
    }
    let layouts = layout::choose(options.layout.as_deref())?;

    // From here on only the peers are dynamically linked: their libraries may hide the host's.
    layout::enter(&work, peers.libraries.as_deref())?;
    for subject in &mut subjects {
        subject.ask_version();
    }
    print!("{}", table::preamble(options, &subjects, &peers));
    for layout in layouts {
        layout::show(&layout)?;
        measure(options, &programs, &subjects, &layout, &work)?;
    }
    Ok(())
}

fn subjects(options: &Options, programs: &Programs, peers: &packages::Peers) -> Result<Vec<Subject>> {
    let mut subjects = vec![Subject::new("floor", &programs.floor, Kind::Floor)];
    for name in &options.runtimes {
        let given = options.subjects.iter().any(|subject| subject.name == *name);
        match name.as_str() {
            _ if given => {}
            "floor" => {}
            "orlop" => subjects.push(Subject::new("orlop", &programs::build_orlop()?, Kind::Runtime)),
            _ => match peers.programs.iter().find(|(peer, _)| peer == name) {
                Some((_, path)) => subjects.push(Subject::new(name, path, Kind::Runtime)),
                None => eprintln!("runtimes: no {name} here: {}", packages::ADVICE),
            },
        }
    }
    subjects.extend(options.subjects.iter().cloned());
    Ok(subjects)
}

fn measure(
    options: &Options,
    programs: &Programs,
    subjects: &[Subject],
    layout: &Layout,
    work: &Path,
) -> Result<()> {
    let cgroups = layout.make_parent()?;
    let mut bench = bench::Bench::new(options, programs, subjects, &cgroups, work)?;
    bench.witnesses()?;
    bench.all()?;
    print!("{}", bench.figures());
    Ok(())
}
