//! The init stub's own source files, with another `arch`.

#[path = "../../../src/init/stub/abi.rs"]
mod abi;
#[path = "arch.rs"]
pub(super) mod arch;
#[path = "../../../src/init/stub/call.rs"]
mod call;
#[path = "../../../src/init/stub/copy_tree.rs"]
mod copy_tree;
#[path = "../../../src/init/stub/interpreter.rs"]
pub(super) mod interpreter;
#[path = "../../../src/init/stub/listener.rs"]
mod listener;
#[path = "../../../src/plan/machine.rs"]
pub(super) mod machine;
#[path = "../../../src/init/stub/make_path.rs"]
mod make_path;
#[path = "../../../src/init/stub/pid_one.rs"]
mod pid_one;
#[path = "../../../src/mount/walk.rs"]
pub(super) mod walk;
