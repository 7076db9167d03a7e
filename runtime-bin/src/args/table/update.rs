//! `update`

use super::super::values::{signed, size, unsigned};
use super::command::{Command, CommandId};
use super::flag::{Flag, path, text};

static UPDATE_FLAGS: &[Flag] = &[
    path(
        "resources",
        Some('r'),
        "FILE",
        "read limits from FILE, or from stdin if FILE is -; other flags override FILE",
        |args, v| args.resources = Some(v),
    ),
    text("blkio-weight", None, "N", "weight of block device I/O, 10 to 1000", |args, v| {
        let weight = u16::try_from(unsigned(&v)?).map_err(|_| "must be from 10 to 1000")?;
        args.limits.0.block_io.get_or_insert_default().weight = Some(weight);
        Ok(())
    }),
    text(
        "cpu-period",
        None,
        "USEC",
        "period of the CPU quota in microseconds; 0 leaves it unchanged",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().period = Some(unsigned(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-quota",
        None,
        "USEC",
        "CPU time in each period in microseconds; -1 for no limit, 0 leaves it unchanged",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().quota = Some(signed(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-burst",
        None,
        "USEC",
        "CPU time that may be accumulated for a burst, in microseconds",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().burst = Some(unsigned(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-share",
        None,
        "N",
        "CPU shares relative to other containers, 2 to 262144; 0 leaves them unchanged",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().shares = Some(unsigned(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-rt-period",
        None,
        "USEC",
        "period of the real-time quota in microseconds (cgroup v1)",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().realtime_period = Some(unsigned(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-rt-runtime",
        None,
        "USEC",
        "real-time CPU time in each period in microseconds (cgroup v1)",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().realtime_runtime = Some(signed(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-idle",
        None,
        "0|1",
        "whether the container runs only when the CPU is otherwise idle",
        |args, v| {
            args.limits.0.cpu.get_or_insert_default().idle = match v.as_str() {
                "0" => Some(0),
                "1" => Some(1),
                _ => return Err("must be 0 or 1".into()),
            };
            Ok(())
        },
    ),
    text("cpuset-cpus", None, "LIST", "CPUs to use, such as 0-3,7", |args, v| {
        args.limits.0.cpu.get_or_insert_default().cpus = Some(v).filter(|v| !v.is_empty());
        Ok(())
    }),
    text("cpuset-mems", None, "LIST", "memory nodes to use, such as 0-1", |args, v| {
        args.limits.0.cpu.get_or_insert_default().mems = Some(v).filter(|v| !v.is_empty());
        Ok(())
    }),
    text("memory", None, "SIZE", "memory limit, such as 50M; -1 for no limit", |args, v| {
        args.limits.0.memory.get_or_insert_default().limit = Some(size(&v)?);
        Ok(())
    }),
    text(
        "memory-reservation",
        None,
        "SIZE",
        "memory reservation (on cgroup v1, a soft limit); -1 for no limit",
        |args, v| {
            args.limits.0.memory.get_or_insert_default().reservation = Some(size(&v)?);
            Ok(())
        },
    ),
    text("memory-swap", None, "SIZE", "limit of memory and swap together; -1 for no limit", |args, v| {
        args.limits.0.memory.get_or_insert_default().swap = Some(size(&v)?);
        Ok(())
    }),
    text(
        "kernel-memory",
        None,
        "SIZE",
        "obsolete: kernels no longer have this limit; warns and changes nothing",
        |args, v| {
            args.limits.0.memory.get_or_insert_default().kernel = Some(size(&v)?);
            Ok(())
        },
    ),
    text("kernel-memory-tcp", None, "SIZE", "obsolete: warns and changes nothing", |args, v| {
        args.limits.0.memory.get_or_insert_default().kernel_tcp = Some(size(&v)?);
        Ok(())
    }),
    text("pids-limit", None, "N", "maximum number of tasks; -1 for no limit", |args, v| {
        args.limits.0.pids.get_or_insert_default().limit = Some(signed(&v)?);
        Ok(())
    }),
    text(
        "l3-cache-schema",
        None,
        "SCHEMA",
        "Intel RDT: L3 cache of the container's class of service",
        |args, v| {
            args.l3_cache_schema = Some(v);
            Ok(())
        },
    ),
    text(
        "mem-bw-schema",
        None,
        "SCHEMA",
        "Intel RDT: memory bandwidth of the container's class of service",
        |args, v| {
            args.mem_bw_schema = Some(v);
            Ok(())
        },
    ),
];

pub(super) static UPDATE: Command = Command {
    name: "update",
    id: CommandId::Update,
    summary: "change the limits of a container",
    usage: "<container-id>",
    description: "Limits that are not named stay as they are. FILE has the form of linux.resources in config.json:\n\n    \
        {\"memory\": {\"limit\": 67108864}, \"cpu\": {\"quota\": 50000, \"period\": 100000}, \"pids\": {\"limit\": 100}}\n\n\
        0 means \"leave unchanged\", except for pids, burst and idle. \"devices\" is ignored: access to devices\n\
        does not change.\n\n\
        EXAMPLE:\n    {name} update box --memory 64M --pids-limit 100",
    operands: (1, 1),
    flags: &[UPDATE_FLAGS],
};
