//! `delete --force` takes the lock whatever holds it: an operation that does not end by itself is ended first.
//!
//! In this order: the container's own processes, which are to end anyway and for which an operation may be waiting; the
//! recorded helpers, after which the holder undoes what it has done and lets go; the holder, if it is a process that
//! does nothing else. A program that embeds the library is never killed. An operation that removes the container does
//! what is asked for, so it has the usual time, unless something has stopped it.

use super::holder::Holder;
use super::lock::{self, Lock, PATIENCE};
use super::{Container, helpers, members};
use crate::{Error, ErrorKind, Phase, Result};
use std::time::{Duration, Instant};

/// How long an operation under way may take to end by itself.
const COURTESY: Duration = Duration::from_millis(50);
/// How long its holder may take to let go after the helpers were ended.
const MERCY: Duration = Duration::from_millis(300);
/// How long an ended operation may take until the lock is free, after all of the rest.
const LAST: Duration = Duration::from_secs(1);

/// What was ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// Nothing yet.
    None,
    /// What there was of the container's processes and of helpers.
    Helpers,
    /// The holder too.
    Holder,
}

impl Container {
    /// Takes the lock by force; `None` if an operation that was ended for it has removed the container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the container was removed otherwise; [`ErrorKind::Busy`] if the holder is neither to be
    /// killed nor lets go.
    pub(super) fn seize(&self) -> Result<Option<Lock>> {
        let begun = Instant::now();
        let (mut pause, mut effect) = (Duration::from_millis(1), Effect::None);
        loop {
            match self.try_lock() {
                Ok(None) => {}
                // By an open file of before its removal.
                Ok(Some(_)) if effect > Effect::None && self.directory.is_removed()? => return Ok(None),
                Err(e) if effect > Effect::None && e.kind() == ErrorKind::NotFound => return Ok(None),
                other => return other,
            }
            let since = begun.elapsed();
            if since >= PATIENCE + LAST {
                return Err(lock::busy(&self.directory, &self.id));
            }
            if since >= COURTESY {
                effect = effect.max(self.end_operation(since, effect));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn try_lock(&self) -> Result<Option<Lock>> {
        Lock::attempt(&self.directory, &self.id, self.directory.is_dedicated())
    }

    /// Ends what holds the lock, as far as it is time for that.
    fn end_operation(&self, since: Duration, before: Effect) -> Effect {
        let overdue = since >= PATIENCE;
        let holder = Holder::find(&self.directory);
        let removes = holder.as_ref().is_some_and(Holder::removes)
            || helpers::living(&self.directory).iter().any(|helper| helper.removes);
        if removes && !overdue {
            return Effect::None;
        }
        self.end_processes();
        helpers::end(&self.directory, !overdue, 0);
        match holder.filter(|holder| since >= COURTESY + MERCY && holder.end()) {
            Some(holder) => {
                if before < Effect::Holder {
                    self.runtime.warn(&killed(holder.pid(), &self.id));
                }
                Effect::Holder
            }
            None => Effect::Helpers,
        }
    }

    /// Kills the processes that the record tells of, and waits for none.
    fn end_processes(&self) {
        // A record that cannot be read tells of none; what there is in its place, the holder alone knows.
        if let Ok(Some(record)) = self.directory.read() {
            members::end(&record);
        }
    }
}

/// What is to be said if a process was killed for the lock that it held.
fn killed(pid: i32, id: &str) -> Error {
    Error::new(
        ErrorKind::Busy,
        Phase::State,
        format!("process {pid} held the lock, and was killed for container"),
    )
    .on(id)
}
