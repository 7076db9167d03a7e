//! What changes a container that runs, and tells of it: `pause`, `resume`, `update`, `events`.

use super::{Command, Flag, Name, path, switch, text};
use orlop::bundle::spec::Resources;
use std::path::PathBuf;
use std::time::Duration;

/// The flags of `events`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EventsArgs {
    /// `--interval`
    pub(crate) interval: Option<Duration>,
    /// `--stats`
    pub(crate) stats: bool,
}

/// The flags of `update`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UpdateArgs {
    /// `--resources`
    pub(crate) resources: Option<PathBuf>,
    /// The flags which name one limit each.
    pub(crate) limits: Limits,
    /// `--l3-cache-schema`
    pub(crate) l3_cache_schema: Option<String>,
    /// `--mem-bw-schema`
    pub(crate) mem_bw_schema: Option<String>,
}

/// Limits that flags have named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits(Resources);

impl Limits {
    /// Puts them over those of a file.
    pub(crate) fn over(&self, resources: &mut Resources) {
        if let Some(mine) = &self.0.memory {
            let memory = resources.memory.get_or_insert_default();
            put(&mut memory.limit, mine.limit);
            put(&mut memory.reservation, mine.reservation);
            put(&mut memory.swap, mine.swap);
            put(&mut memory.kernel, mine.kernel);
            put(&mut memory.kernel_tcp, mine.kernel_tcp);
        }
        if let Some(mine) = &self.0.cpu {
            let cpu = resources.cpu.get_or_insert_default();
            put(&mut cpu.shares, mine.shares);
            put(&mut cpu.quota, mine.quota);
            put(&mut cpu.burst, mine.burst);
            put(&mut cpu.period, mine.period);
            put(&mut cpu.realtime_runtime, mine.realtime_runtime);
            put(&mut cpu.realtime_period, mine.realtime_period);
            put(&mut cpu.cpus, mine.cpus.clone());
            put(&mut cpu.mems, mine.mems.clone());
            put(&mut cpu.idle, mine.idle);
        }
        if let Some(mine) = &self.0.pids {
            put(&mut resources.pids.get_or_insert_default().limit, mine.limit);
        }
        if let Some(mine) = &self.0.block_io {
            put(&mut resources.block_io.get_or_insert_default().weight, mine.weight);
        }
    }
}

fn put<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

/// `50M` and the like: a number, perhaps with a fraction, and a power of 1024; `-1` is unlimited.
fn size(text: &str) -> Result<i64, String> {
    const MISTAKE: &str = "must be a number of bytes such as 1048576 or 50M, or -1 for no limit";
    if text == "-1" {
        return Ok(-1);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(MISTAKE.into()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return Err(MISTAKE.into());
    }
    let scale = 1_i128 << (10 * power);
    let whole: i128 = whole.parse().map_err(|_| MISTAKE)?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| MISTAKE)? };
    let bytes = whole.checked_mul(scale).map(|w| w + part * scale / 10_i128.pow(fraction.len() as u32));
    bytes.and_then(|b| i64::try_from(b).ok()).ok_or_else(|| "is too large".into())
}

/// A number that may be negative.
fn signed(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten().ok_or_else(|| "must be a whole number".into())
}

/// A number of nothing but digits.
fn unsigned(text: &str) -> Result<u64, String> {
    let good = text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten().ok_or_else(|| "must be a whole number from 0".into())
}

/// `100ms`, `1.5s`, `1m30s`: numbers with units, as Go writes them.
fn duration(text: &str) -> Result<Duration, String> {
    const MISTAKE: &str = "must be a time such as 100ms, 5s or 1m30s";
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(MISTAKE)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(MISTAKE.into()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let part = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u64>() };
        if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
            return Err(MISTAKE.into());
        }
        let (whole, part) = (part(whole).map_err(|_| MISTAKE)?, part(fraction).map_err(|_| MISTAKE)?);
        nanos += u128::from(whole) * scale + u128::from(part) * scale / 10_u128.pow(fraction.len() as u32);
        rest = tail;
    }
    if text.is_empty() {
        return Err(MISTAKE.into());
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| "is too long".into())
}

static EVENTS_FLAGS: &[Flag] = &[
    text(
        "interval",
        None,
        "TIME",
        "how often statistics are printed, such as 100ms (default: 5s)",
        |a, v| {
            let interval = if v == "0" || v.starts_with('-') { Duration::ZERO } else { duration(&v)? };
            if interval.is_zero() {
                return Err("duration interval must be greater than 0".into());
            }
            a.events.interval = Some(interval);
            Ok(())
        },
    ),
    switch("stats", None, "print the statistics once, and end", |a, on| a.events.stats = on),
];

static UPDATE_FLAGS: &[Flag] = &[
    path(
        "resources",
        Some('r'),
        "FILE",
        "read limits from FILE, or from stdin where it is -; other flags count before what it says",
        |a, v| a.update.resources = Some(v),
    ),
    text("blkio-weight", None, "N", "weight of block device I/O, 10 to 1000", |a, v| {
        let weight = u16::try_from(unsigned(&v)?).map_err(|_| "must be from 10 to 1000")?;
        a.update.limits.0.block_io.get_or_insert_default().weight = Some(weight);
        Ok(())
    }),
    text("cpu-period", None, "USEC", "period of the CPU quota in microseconds; 0 leaves it", |a, v| {
        a.update.limits.0.cpu.get_or_insert_default().period = Some(unsigned(&v)?);
        Ok(())
    }),
    text(
        "cpu-quota",
        None,
        "USEC",
        "CPU time in each period in microseconds; -1 for no limit, 0 leaves it",
        |a, v| {
            a.update.limits.0.cpu.get_or_insert_default().quota = Some(signed(&v)?);
            Ok(())
        },
    ),
    text("cpu-burst", None, "USEC", "CPU time which may be saved up for a burst, in microseconds", |a, v| {
        a.update.limits.0.cpu.get_or_insert_default().burst = Some(unsigned(&v)?);
        Ok(())
    }),
    text(
        "cpu-share",
        None,
        "N",
        "CPU shares against other containers, 2 to 262144; 0 leaves them",
        |a, v| {
            a.update.limits.0.cpu.get_or_insert_default().shares = Some(unsigned(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-rt-period",
        None,
        "USEC",
        "period of the real-time quota in microseconds (cgroup v1)",
        |a, v| {
            a.update.limits.0.cpu.get_or_insert_default().realtime_period = Some(unsigned(&v)?);
            Ok(())
        },
    ),
    text(
        "cpu-rt-runtime",
        None,
        "USEC",
        "real-time CPU time in each period in microseconds (cgroup v1)",
        |a, v| {
            a.update.limits.0.cpu.get_or_insert_default().realtime_runtime = Some(signed(&v)?);
            Ok(())
        },
    ),
    text("cpu-idle", None, "0|1", "whether the container runs only when nothing else does", |a, v| {
        a.update.limits.0.cpu.get_or_insert_default().idle = match v.as_str() {
            "0" => Some(0),
            "1" => Some(1),
            _ => return Err("must be 0 or 1".into()),
        };
        Ok(())
    }),
    text("cpuset-cpus", None, "LIST", "CPUs to use, such as 0-3,7", |a, v| {
        a.update.limits.0.cpu.get_or_insert_default().cpus = Some(v).filter(|v| !v.is_empty());
        Ok(())
    }),
    text("cpuset-mems", None, "LIST", "memory nodes to use, such as 0-1", |a, v| {
        a.update.limits.0.cpu.get_or_insert_default().mems = Some(v).filter(|v| !v.is_empty());
        Ok(())
    }),
    text("memory", None, "SIZE", "memory limit, such as 50M; -1 for no limit", |a, v| {
        a.update.limits.0.memory.get_or_insert_default().limit = Some(size(&v)?);
        Ok(())
    }),
    text(
        "memory-reservation",
        None,
        "SIZE",
        "memory that is kept when memory runs short; -1 for no limit",
        |a, v| {
            a.update.limits.0.memory.get_or_insert_default().reservation = Some(size(&v)?);
            Ok(())
        },
    ),
    text("memory-swap", None, "SIZE", "limit of memory and swap together; -1 for no limit", |a, v| {
        a.update.limits.0.memory.get_or_insert_default().swap = Some(size(&v)?);
        Ok(())
    }),
    text(
        "kernel-memory",
        None,
        "SIZE",
        "obsolete: kernels have no such limit any more; warns, and changes nothing",
        |a, v| {
            a.update.limits.0.memory.get_or_insert_default().kernel = Some(size(&v)?);
            Ok(())
        },
    ),
    text("kernel-memory-tcp", None, "SIZE", "obsolete: warns, and changes nothing", |a, v| {
        a.update.limits.0.memory.get_or_insert_default().kernel_tcp = Some(size(&v)?);
        Ok(())
    }),
    text("pids-limit", None, "N", "how many tasks there may be; -1 for no limit", |a, v| {
        a.update.limits.0.pids.get_or_insert_default().limit = Some(signed(&v)?);
        Ok(())
    }),
    text(
        "l3-cache-schema",
        None,
        "SCHEMA",
        "Intel RDT: cache of the container's class of service",
        |a, v| {
            a.update.l3_cache_schema = Some(v);
            Ok(())
        },
    ),
    text(
        "mem-bw-schema",
        None,
        "SCHEMA",
        "Intel RDT: memory bandwidth of the container's class of service",
        |a, v| {
            a.update.mem_bw_schema = Some(v);
            Ok(())
        },
    ),
];

pub(super) static PAUSE: Command = Command {
    word: "pause",
    name: Name::Pause,
    summary: "suspend all processes of a container",
    usage: "<container-id>",
    text: "Returns once all of them stand still; \"{name} resume\" lets them go on.",
    words: (1, 1),
    flags: &[],
};

pub(super) static RESUME: Command = Command {
    word: "resume",
    name: Name::Resume,
    summary: "let the processes of a paused container go on",
    usage: "<container-id>",
    text: "Undoes \"{name} pause\".",
    words: (1, 1),
    flags: &[],
};

pub(super) static EVENTS: Command = Command {
    word: "events",
    name: Name::Events,
    summary: "print what a container uses, and when it runs out of memory",
    usage: "<container-id>",
    text: "Prints a JSON object a line: {\"type\":\"stats\",...} at each interval, and {\"type\":\"oom\",...}\n\
        when the container has run out of memory. Ends with the container.\n\n\
        EXAMPLE:\n    {name} events --interval 1s box",
    words: (1, 1),
    flags: &[EVENTS_FLAGS],
};

pub(super) static UPDATE: Command = Command {
    word: "update",
    name: Name::Update,
    summary: "change the limits of a container",
    usage: "<container-id>",
    text: "What is not named stays as it is. The file has the form of linux.resources in config.json:\n\n    \
        {\"memory\": {\"limit\": 67108864}, \"cpu\": {\"quota\": 50000, \"period\": 100000}, \"pids\": {\"limit\": 100}}\n\n\
        Zeros stand for \"leave it\", but for pids, burst and idle. Its devices are left aside:\n\
        access to devices does not change.\n\n\
        EXAMPLE:\n    {name} update box --memory 64M --pids-limit 100",
    words: (1, 1),
    flags: &[UPDATE_FLAGS],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("-1", -1),
            ("1048576", 1 << 20),
            ("50M", 50 << 20),
            ("50m", 50 << 20),
            ("1.5G", 3 << 29),
            ("2KiB", 2048),
            ("3 kb", 3072),
            ("7b", 7),
            ("1T", 1 << 40),
            ("8191P", 8191 << 50),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-2", "M", "1X", "1.M", ".5M", "1..5M", "1M5", "+5", "8192P", "0x10", "1e3", "50MM"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("100ms", 100_000_000),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("2us", 2000),
            ("2\u{b5}s", 2000),
            ("7ns", 7),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "5x", "-5s", ".s", "1s5", "99999999999h", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_count_before_the_file() {
        let mut resources = Resources::from_json(br#"{"memory": {"limit": 1, "swap": 2}}"#).unwrap();
        let mut limits = Limits::default();
        limits.0.memory.get_or_insert_default().limit = Some(5);
        limits.0.pids.get_or_insert_default().limit = Some(-1);
        limits.over(&mut resources);
        let expected = br#"{"memory": {"limit": 5, "swap": 2}, "pids": {"limit": -1}}"#;
        assert_eq!(resources, Resources::from_json(expected).unwrap());
    }
}
