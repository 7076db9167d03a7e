//! Attacks: what a hostile image, process, user or manager could try against the runtime. A win fails its test.
//!
//! `tests/attacks/run --rounds 100000 [NAME…]` is the long form. The table at the end says how often each attack
//! was tried and how often it won; docs/SECURITY.md has a copy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod advisories;
mod answers;
mod cgroups;
mod descriptors;
mod dotdot;
mod executable;
mod files;
mod hanging;
mod hot;
mod inside;
mod joining;
mod manager;
mod many;
mod masks;
mod moments;
mod play;
mod reasons;
mod shared;
mod stepping;
mod stopped;

fn main() -> std::process::ExitCode {
    kit::stage::set();
    let code = kit::main(env!("CARGO_BIN_EXE_orlop"), cases);
    kit::score::print();
    code
}

fn cases() -> Vec<kit::Case> {
    let rooms = [
        dotdot::cases(),
        joining::cases(),
        stepping::cases(),
        inside::cases(),
        executable::cases(),
        hot::cases(),
        descriptors::cases(),
        many::cases(),
        stopped::cases(),
        shared::cases(),
        cgroups::cases(),
        files::cases(),
        manager::cases(),
        reasons::cases(),
        masks::cases(),
        advisories::cases(),
        answers::cases(),
        hanging::cases(),
    ];
    rooms.into_iter().flatten().collect()
}
