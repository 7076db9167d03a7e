//! The binary against the real kernel: bundles in, containers out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod activation;
mod argv;
mod bad_input;
mod capabilities;
mod cgroup2;
mod cgroup_manager;
mod checkpoint;
mod command_line;
mod concurrency;
mod crashes;
mod created;
mod criu_requests;
mod devices;
mod events;
mod exec;
mod exec_cgroup;
mod flags;
mod force;
mod full_disk;
mod generated;
mod hidden_cgroups;
mod hooks;
mod hostile;
mod hot_mounts;
mod lifecycle;
mod logs;
mod managers;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod notify;
mod pause;
mod process;
mod process_limit;
mod propagation;
mod query;
mod resources;
mod seccomp;
mod seccomp_notify;
mod security;
mod systemd;
mod systemd_limits;
mod terminal;
mod trust;
mod unified;
mod unified_limits;
mod unread;
mod update;
mod written;

fn main() -> std::process::ExitCode {
    kit::main(env!("CARGO_BIN_EXE_orlop"), cases)
}

fn cases() -> Vec<kit::Case> {
    let rooms = [
        namespaces::cases(),
        net_devices::cases(),
        notify::cases(),
        process::cases(),
        process_limit::cases(),
        query::cases(),
        mounts::cases(),
        devices::cases(),
        propagation::cases(),
        mount_options::cases(),
        exec::cases(),
        exec_cgroup::cases(),
        capabilities::cases(),
        hooks::cases(),
        hostile::cases(),
        hot_mounts::cases(),
        resources::cases(),
        seccomp::cases(),
        seccomp_notify::cases(),
        systemd::cases(),
        systemd_limits::cases(),
        terminal::cases(),
        lifecycle::cases(),
        command_line::cases(),
        concurrency::cases(),
        bad_input::cases(),
        logs::cases(),
        cgroup2::cases(),
        cgroup_manager::cases(),
        hidden_cgroups::cases(),
        unified::cases(),
        managers::cases(),
        security::cases(),
        crashes::cases(),
        checkpoint::cases(),
        created::cases(),
        criu_requests::cases(),
        pause::cases(),
        update::cases(),
        unified_limits::cases(),
        events::cases(),
        activation::cases(),
        argv::cases(),
        flags::cases(),
        force::cases(),
        full_disk::cases(),
        trust::cases(),
        unread::cases(),
        written::cases(),
        generated::cases(),
    ];
    rooms.into_iter().flatten().collect()
}
