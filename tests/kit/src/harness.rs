//! Runs the cases in parallel and prints what `cargo test` prints; a case may skip itself.

use crate::test::{Skip, Test};
use crate::{criu, leak, probe, wrap};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// One test: a name and a body.
pub struct Case {
    name: String,
    body: Body,
}

enum Body {
    /// Needs root, and gets a [`Test`].
    WithContainers(Box<dyn Fn(&Test) + Send + Sync>),
    /// Needs neither.
    Plain(Box<dyn Fn() + Send + Sync>),
}

impl Case {
    /// A case; the crate's own name is left off the front of `name`.
    pub fn new(name: impl Into<String>, body: impl Fn(&Test) + Send + Sync + 'static) -> Self {
        Self { name: below_crate(&name.into()), body: Body::WithContainers(Box::new(body)) }
    }

    /// A case for [`main_plain`], without containers.
    pub fn plain(name: &str, body: impl Fn() + Send + Sync + 'static) -> Self {
        Self { name: below_crate(name), body: Body::Plain(Box::new(body)) }
    }
}

fn below_crate(name: &str) -> String {
    name.split_once("::").map_or(name, |(_, rest)| rest).to_owned()
}

/// The common arguments of libtest; others are accepted and ignored.
#[derive(Default)]
struct Args {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    only_ignored: bool,
    threads: Option<usize>,
}

impl Args {
    fn read(mut words: impl Iterator<Item = String>) -> Self {
        let mut args = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => args.exact = true,
                "--list" => args.list = true,
                "--ignored" => args.only_ignored = true,
                "--skip" => args.skips.extend(words.next()),
                "--test-threads" => args.threads = words.next().and_then(|n| n.parse().ok()),
                "--format" | "--color" | "--logfile" | "-Z" => drop(words.next()),
                _ => match word.strip_prefix("--test-threads=") {
                    Some(n) => args.threads = n.parse().ok(),
                    None if word.starts_with('-') => {}
                    None => args.filters.push(word),
                },
            }
        }
        args
    }

    fn wants(&self, name: &str) -> bool {
        let hit = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skips.iter().any(hit)
    }
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

thread_local! {
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
    static RUNS_CASES: Cell<bool> = const { Cell::new(false) };
}

/// Whether the command line selects the case with that name: for code that prepares many cases at once.
pub fn chosen(name: &str) -> bool {
    let args = Args::read(std::env::args().skip(1));
    !args.list && !args.only_ignored && args.wants(name)
}

fn is_caller(words: &[String]) -> bool {
    words.get(1).is_some_and(|first| first == wrap::NAME)
}

fn is_probe(words: &[String]) -> bool {
    words[0].ends_with("probe") || std::env::var_os(probe::MARKER).is_some()
}

/// Whether this process is not the one that runs the tests.
pub(crate) fn is_not_the_runner(words: &[String]) -> bool {
    is_caller(words) || is_probe(words) || words[0] == "criu"
}

/// Runs the cases; `runtime` is the path of the program under test, which ORLOP_TEST_RUNTIME overrides.
pub fn main(runtime: &str, cases: fn() -> Vec<Case>) -> ExitCode {
    let default = std::thread::available_parallelism().map_or(2, |n| 2 * n.get());
    main_with_threads(runtime, cases, default)
}

/// [`main`] for cases that run alone in this process, so every child of the process belongs to the current case.
pub fn main_in_turn(runtime: &str, cases: fn() -> Vec<Case>) -> ExitCode {
    main_with_threads(runtime, cases, 1)
}

fn main_with_threads(runtime: &str, cases: fn() -> Vec<Case>, default: usize) -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if is_caller(&words) {
        return wrap::main(&words[2..]);
    }
    if is_probe(&words) {
        return probe::main(&words[1..]);
    }
    if words[0] == "criu" {
        return criu::main(&words[1..]);
    }
    let watch = || {
        let watch = leak::Watch::begin(&crate::runtime::under_test(runtime));
        move || watch.end()
    };
    main_of(runtime, cases(), default, watch)
}

/// Runs [plain](Case::plain) cases, as the standard harness does, but lets them [`skip`](crate::skip) themselves.
pub fn main_plain(cases: Vec<Case>) -> ExitCode {
    let default = std::thread::available_parallelism().map_or(2, usize::from);
    main_of("", cases, default, || Vec::new)
}

/// `watch` is called before the first case; what it returns lists what the run has left behind.
fn main_of<W: FnOnce() -> Vec<String>>(
    runtime: &str,
    cases: Vec<Case>,
    default: usize,
    watch: impl FnOnce() -> W,
) -> ExitCode {
    let args = Args::read(std::env::args().skip(1));
    let all = cases.len();
    let chosen: Vec<Case> = cases.into_iter().filter(|case| args.wants(&case.name)).collect();
    if args.list {
        for case in &chosen {
            println!("{}: test", case.name);
        }
        println!("\n{} tests, 0 benchmarks", chosen.len());
        return ExitCode::SUCCESS;
    }
    // Whether a case is skipped is known only when it runs; `--ignored` therefore runs nothing.
    let chosen = if args.only_ignored { Vec::new() } else { chosen };
    std::panic::set_hook(Box::new(|info| {
        if RUNS_CASES.get() {
            MESSAGE.with(|message| *message.borrow_mut() = info.to_string());
        } else {
            eprintln!("{info}");
        }
    }));
    let left = watch();
    let threads = if default == 1 { 1 } else { args.threads.unwrap_or(default) };
    run_all(&chosen, runtime, threads.max(1), all - chosen.len(), left)
}

fn run_all(
    cases: &[Case],
    runtime: &str,
    threads: usize,
    filtered: usize,
    left: impl FnOnce() -> Vec<String>,
) -> ExitCode {
    let begun = Instant::now();
    println!("\nrunning {} tests", cases.len());
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(cases.len()) {
            scope.spawn(|| {
                RUNS_CASES.set(true);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run_one(case, runtime);
                    print_line(case, &outcome);
                    outcomes.lock().unwrap().push((case.name.clone(), outcome));
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let failed: Vec<(&str, &str)> = outcomes
        .iter()
        .filter_map(|(name, outcome)| match outcome {
            Outcome::Failed(why) => Some((name.as_str(), why.as_str())),
            _ => None,
        })
        .collect();
    let skipped = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Skipped(_))).count();
    let passed = outcomes.len() - failed.len() - skipped;
    let left = left();
    if !failed.is_empty() {
        println!("\nfailures:");
        for (name, why) in &failed {
            println!("\n---- {name} ----\n{why}");
        }
        println!("\nfailures:");
        for (name, _) in &failed {
            println!("    {name}");
        }
    }
    for thing in &left {
        println!("left behind by the run: {thing}");
    }
    let good = failed.is_empty() && left.is_empty();
    println!(
        "\ntest result: {}. {passed} passed; {} failed; {skipped} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        if good { "ok" } else { "FAILED" },
        failed.len() + usize::from(!left.is_empty()),
        begun.elapsed().as_secs_f64()
    );
    if good { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn run_one(case: &Case, runtime: &str) -> Outcome {
    let (result, left) = match &case.body {
        Body::Plain(body) => (catch_unwind(AssertUnwindSafe(body)), Vec::new()),
        Body::WithContainers(_) if !nix::unistd::geteuid().is_root() => {
            return Outcome::Skipped("needs root".to_owned());
        }
        Body::WithContainers(body) => {
            let test = Test::new(&case.name, runtime);
            let result = catch_unwind(AssertUnwindSafe(|| body(&test)));
            (result, test.finish())
        }
    };
    let message = MESSAGE.with(|message| std::mem::take(&mut *message.borrow_mut()));
    match result {
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => Outcome::Skipped(skip.0),
            Err(_) => Outcome::Failed(message),
        },
        Ok(()) if left.is_empty() => Outcome::Passed,
        Ok(()) => Outcome::Failed(format!("left behind:\n  {}", left.join("\n  "))),
    }
}

fn print_line(case: &Case, outcome: &Outcome) {
    match outcome {
        Outcome::Passed => println!("test {} ... ok", case.name),
        Outcome::Failed(_) => println!("test {} ... FAILED", case.name),
        Outcome::Skipped(why) => println!("test {} ... ignored, skipped: {why}", case.name),
    }
}
