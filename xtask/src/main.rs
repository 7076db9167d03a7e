//! The chores of this repository, as `cargo xtask COMMAND`. CONTRIBUTING.md says when to use which.

mod dependencies;
mod dist;
mod gates;
mod lanes;
mod license;
mod program;
#[cfg(test)]
mod suites;

use program::{Failure, cargo};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND [ARGUMENT...]

  check                 format, lints and the rules of the house: before each commit
  test [WORD...]        what the README says; WORDs choose among the tests by name
  lane [NAME [WORD...]] one suite; without a name: all lanes, with their times and needs
  golden [WHAT]         write golden plans (plans), the public API (api) or the limits of the house (limits) anew
  bench [OPTION...]     compare with other runtimes and with the kernel's own cost
  order                 record the order of the binary's functions anew
  fuzz TARGET [SECONDS] fuzz one target (60 seconds)
  docs                  the documentation of the library, without warnings
  dist [DIRECTORY]      what a release consists of: binary, manual pages, completions, checksums
  gates [OPTION...]     what CI runs, with a table at the end; --list, --only A,B, --skip A,B
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    std::env::set_current_dir(program::top()?).map_err(|error| format!("the repository: {error}"))?;
    match command.as_str() {
        "check" => gates::run(&["--only".into(), "fmt,clippy,house".into()]),
        "test" => test(rest),
        "lane" => lanes::run(rest),
        "golden" => golden(rest.first().map(String::as_str)),
        "bench" => cargo(&["bench", "--bench", "runtimes", "--"]).arguments(rest).run(),
        "order" => program::script("runtime-bin/order/record").run(),
        "fuzz" => fuzz(rest),
        "docs" => gates::documentation().run(),
        "dist" => dist::run(rest.first().map_or("target/dist", String::as_str)),
        "gates" => gates::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown command '{other}'; cargo xtask help lists them").into()),
    }
}

fn test(words: &[String]) -> Result<(), Failure> {
    let command: Vec<&str> = gates::README_TESTS.split(' ').skip(1).collect();
    cargo(&command).separated(words).run()
}

fn golden(what: Option<&str>) -> Result<(), Failure> {
    let files = [
        ("plans", "ORLOP_UPDATE_GOLDEN", "golden_plans"),
        ("api", "ORLOP_UPDATE_API", "public_api"),
        ("limits", "ORLOP_UPDATE_LIMITS", "house"),
    ];
    if let Some(unknown) = what.filter(|what| files.iter().all(|(name, ..)| name != what)) {
        return Err(format!("golden: '{unknown}' is not one of plans, api, limits").into());
    }
    for (_, variable, suite) in files.iter().filter(|(name, ..)| what.is_none_or(|what| what == *name)) {
        let test = ["test", "-p", "orlop", "--test", suite];
        // The first run writes, and may fail over what it found; the second one decides.
        let _written = cargo(&test).variable(variable, "1").run();
        cargo(&test).run()?;
    }
    program::named("git").arguments(&["diff", "--stat", "--", "tests"]).run()
}

fn fuzz(rest: &[String]) -> Result<(), Failure> {
    let target = rest.first().ok_or("fuzz: name a target; fuzz/README.md lists them")?;
    let seconds = rest.get(1).map_or("60", String::as_str);
    let limit = format!("-max_total_time={seconds}");
    cargo(&["fuzz", "run", target, "--", &limit]).variable("RUSTC_BOOTSTRAP", "1").inside("fuzz").run()
}
