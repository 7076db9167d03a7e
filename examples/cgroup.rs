//! A cgroup without a container: create, limit, run a process inside, measure, freeze, kill, remove.
//!
//! The same calls on a v1, hybrid or v2 host: `cargo run --example cgroup`. If this user may not create a cgroup,
//! it says so and exits with success.

#![forbid(unsafe_code)]

use orlop::bundle::spec::{Cpu, Memory, Pids, Resources};
use orlop::cgroup::{Cgroup, CgroupOptions, CgroupPath, Controller, Layout};
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("cgroup: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let layout = Layout::require()?;
    println!("the cgroup layout of this host is {:?}", layout.mode());
    for hierarchy in layout.v1().iter().chain(layout.unified()) {
        println!("  {:<12} {}", hierarchy.controller_list(), hierarchy.mount.display());
    }

    let path = CgroupPath::new(&format!("/orlop-example-{}", std::process::id()))?;
    // Not a container's cgroup: its devices are those of its parent.
    let options = CgroupOptions { device_filter: false, ..CgroupOptions::default() };
    let (cgroup, _join) = match Cgroup::create(&layout, &path, &limits(&layout)?, &options) {
        Err(e)
            if e.errno().is_some_and(|n| [libc::EACCES, libc::EPERM, libc::EROFS].contains(&(n as i32))) =>
        {
            println!("skipped: {e}");
            return Ok(());
        }
        other => other?,
    };
    let done = show(&cgroup);
    // Nothing is left in any case.
    cgroup.kill(Duration::from_secs(10))?;
    cgroup.remove()?;
    println!("removed: {}", !cgroup.exists()?);
    done
}

/// Limits for which the host has a controller.
fn limits(layout: &Layout) -> orlop::Result<Resources> {
    let unified = layout.unified_controllers()?;
    let has = |c| layout.v1_of(c).is_some() || unified.contains(c);
    let memory = Memory { limit: Some(64 << 20), ..Memory::default() };
    let cpu = Cpu { quota: Some(50_000), period: Some(100_000), ..Cpu::default() };
    Ok(Resources {
        memory: has(Controller::Memory).then_some(memory),
        cpu: has(Controller::Cpu).then_some(cpu),
        pids: has(Controller::Pids).then_some(Pids { limit: Some(20) }),
        ..Resources::default()
    })
}

fn show(cgroup: &Cgroup) -> Result<(), Box<dyn Error>> {
    let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn()?;
    cgroup.add(i32::try_from(child.id())?)?;
    std::thread::sleep(Duration::from_millis(300));
    println!("processes: {:?}", cgroup.processes()?);

    let stats = cgroup.stats()?;
    if let Some(cpu) = &stats.cpu {
        let throttled = cpu.throttling.map_or(0, |t| t.throttled_periods);
        println!("cpu: {} ms, throttled in {throttled} periods", cpu.usage / 1_000_000);
    }
    if let Some(memory) = &stats.memory {
        println!("memory: {} KiB of {:?}", memory.memory.usage / 1024, memory.memory.limit.map(|l| l / 1024));
    }
    if let Some(pids) = stats.pids {
        println!("tasks: {} of {:?}", pids.current, pids.limit);
    }

    cgroup.freeze(Duration::from_secs(5))?;
    println!("frozen: {:?}", cgroup.freezer_state()?);
    cgroup.thaw()?;
    println!("thawed: {:?}", cgroup.freezer_state()?);

    cgroup.kill(Duration::from_secs(10))?;
    println!("killed: {}", child.wait()?);
    Ok(())
}
