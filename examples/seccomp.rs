//! Compiles a profile, prints the program, loads it into one thread and shows what it denies there, and that the
//! rest of the process is not affected. Needs no root.
//!
//! `cargo run --example seccomp [config.json]`: with an argument, prints the program of that
//! bundle configuration's `linux.seccomp`.

#![forbid(unsafe_code)]

use orlop::bundle::Spec;
use orlop::seccomp::{Action, Arch, Condition, LoadOptions, Operator, Profile, SeccompSupport, SyscallRule};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::args().nth(1) {
        return print_bundle(&path);
    }
    let mut profile = Profile::new(Action::Allow);
    // getpriority(PRIO_PROCESS, …) fails with EXFULL, everything else passes.
    profile.rules.push(SyscallRule {
        names: vec!["getpriority".into()],
        action: Action::Errno(libc::EXFULL as u16),
        conditions: vec![Condition { argument: 0, operator: Operator::Equal, value: 0, value_two: 0 }],
    });
    profile.rules.push(SyscallRule {
        names: vec!["mkdir".into(), "mkdirat".into()],
        action: Action::Errno(libc::EROFS as u16),
        conditions: Vec::new(),
    });
    let program = profile.compile()?;
    println!("{} instructions:\n{program}", program.instructions().len());

    let arch = Arch::native().ok_or("no table for this architecture")?;
    let mkdirat = arch.number("mkdirat").ok_or("no mkdirat")?;
    println!("without loading it: mkdirat(2) -> {:?}", program.evaluate(arch, mkdirat, [0; 6]));
    println!("this kernel knows {:?}", SeccompSupport::probe());

    let place = std::env::temp_dir().join(format!("orlop-example-{}", std::process::id()));
    let denied = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            program.load(LoadOptions { no_new_privs: true })?;
            Ok::<_, orlop::Error>(std::fs::create_dir(&place))
        });
        thread.join().map_err(|_| "the filtered thread died")
    })??;
    println!("in the filtered thread: mkdir -> {denied:?}");
    if denied.map_err(|e| e.raw_os_error()) != Err(Some(libc::EROFS)) {
        return Err("the filter did not deny mkdir".into());
    }
    std::fs::create_dir(&place)?;
    std::fs::remove_dir(&place)?;
    println!("in the main thread: mkdir -> Ok");
    Ok(())
}

fn print_bundle(path: &str) -> Result<(), Box<dyn Error>> {
    let spec = Spec::from_json(&std::fs::read(path)?)?;
    let Some(seccomp) = spec.linux.as_ref().and_then(|l| l.seccomp.as_ref()) else {
        println!("{path} has no seccomp profile");
        return Ok(());
    };
    let program = Profile::try_from(seccomp)?.compile()?;
    println!("{program}");
    for name in program.unknown_names() {
        println!("unknown to every architecture, skipped: {name}");
    }
    Ok(())
}
