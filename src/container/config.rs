//! The configuration that a container was made from.

use super::Container;
use crate::Result;
use crate::bundle::Spec;

impl Container {
    /// The configuration as it was when the container was created, whatever has become of the
    /// bundle since, with the limits that [`update`](Container::update) has changed: what a process of
    /// [`exec`](Container::exec) is derived from.
    ///
    /// # Errors
    /// A system error where it cannot be read any more.
    pub fn spec(&self) -> Result<Spec> {
        self.directory.read_spec()
    }
}
