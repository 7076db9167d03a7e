//! The init stub's own source files, with another `arch`.

#[path = "arch.rs"]
pub(super) mod arch;
#[path = "../../../src/init/stub/aside.rs"]
mod aside;
#[path = "../../../src/init/stub/copy.rs"]
mod copy;
#[path = "../../../src/init/stub/interpreter.rs"]
pub(super) mod interpreter;
#[path = "../../../src/plan/machine.rs"]
pub(super) mod machine;
#[path = "../../../src/init/stub/path.rs"]
mod path;
#[path = "../../../src/init/stub/reap.rs"]
mod reap;
#[path = "../../../src/mount/walk.rs"]
mod walk;
