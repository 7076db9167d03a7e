//! `events`

use super::{Failure, Outcome};
use crate::args::Args;
use crate::log::Log;
use crate::output::{self, Event, Stats};
use orlop::ErrorKind;
use orlop::container::{self, Container};
use std::time::{Duration, Instant};

const USUAL_INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn events(args: &Args, log: &Log) -> Outcome {
    let container = super::container(args, log)?;
    // Also without being printed: a container that cannot be measured is told from the start.
    let first = measure(&container)?;
    if args.events.stats {
        return print("stats", &container, Some(first));
    }
    let interval = args.events.interval.unwrap_or(USUAL_INTERVAL);
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
                    Ok(stats) => drop(print("stats", &container, Some(Stats::from(&stats)))?),
                    // It has just ended or been deleted, which the next event will tell.
                    Err(e) if matches!(e.kind(), ErrorKind::NotRunning | ErrorKind::NotFound) => {}
                    Err(e) => log.warning(&e.to_string()),
                }
                due += interval;
                // A pause of this program is not made up for.
                due = due.max(Instant::now());
            }
        }
    }
}

fn measure(container: &Container) -> Result<Stats, Failure> {
    let stats = container.stats().map_err(|e| unmeasured(container, e))?;
    Ok(Stats::from(&stats))
}

/// The text that scripts know.
fn unmeasured(container: &Container, e: orlop::Error) -> Failure {
    match e.kind() {
        ErrorKind::NotRunning => {
            Failure::new(format!("container with id {} is not running", container.id()), 1)
        }
        _ => e.into(),
    }
}

fn print(kind: &'static str, container: &Container, data: Option<Stats>) -> Outcome {
    output::json_line(&Event { kind, id: container.id(), data })
}
