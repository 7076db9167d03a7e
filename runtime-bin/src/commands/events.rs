//! `events`

use super::open;
use crate::args::{EventsArgs, EventsMode};
use crate::failure::{Failure, Outcome};
use crate::log::Log;
use crate::output::{self, EventJson, StatsJson};
use orlop::ErrorKind;
use orlop::container::{self, Container};
use std::time::Instant;

pub(super) fn events(args: &EventsArgs, log: &Log) -> Outcome {
    let container = open::container(&args.container, log)?;
    // Measured even if it is not printed, so that a container that cannot be measured fails at once.
    let first = measure(&container)?;
    let interval = match args.mode {
        EventsMode::Once => return print("stats", &container, Some(first)),
        EventsMode::Every(interval) => interval,
    };
    let mut events = container.events().map_err(|e| unmeasured(&container, e))?;
    let mut due = Instant::now() + interval;
    loop {
        match events.wait(Some(due.saturating_duration_since(Instant::now())))? {
            Some(container::Event::OutOfMemory(times)) => {
                for _ in 0..times {
                    print("oom", &container, None)?;
                }
            }
            Some(container::Event::Ended) => return Ok(0),
            Some(_) => {}
            None => {
                match container.stats() {
                    Ok(stats) => drop(print("stats", &container, Some(StatsJson::from(&stats)))?),
                    // It has just exited or been deleted, which the next event reports.
                    Err(e) if matches!(e.kind(), ErrorKind::NotRunning | ErrorKind::NotFound) => {}
                    Err(e) => log.warning(&e.to_string()),
                }
                due += interval;
                // Intervals missed while this program was stopped are skipped.
                due = due.max(Instant::now());
            }
        }
    }
}

fn measure(container: &Container) -> Result<StatsJson, Failure> {
    let stats = container.stats().map_err(|e| unmeasured(container, e))?;
    Ok(StatsJson::from(&stats))
}

/// The message that scripts match on.
fn unmeasured(container: &Container, e: orlop::Error) -> Failure {
    match e.kind() {
        ErrorKind::NotRunning => Failure::new(format!("container with id {} is not running", container.id())),
        _ => e.into(),
    }
}

fn print(kind: &'static str, container: &Container, data: Option<StatsJson>) -> Outcome {
    output::json_line(&EventJson { kind, id: container.id(), data })
}
