//! Programs inside a container other than its own: hooks of the image, and PID 1 of `--init`.

use crate::play::{Canary, lines, with_capabilities};
use kit::agent::Agent;
use kit::{Bundle, Case, Score, Test, Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        start_container_hook,
        process_that_waits_for_start,
        exec_before_start,
        init,
        init_seen_from_the_host,
    ]
}

/// A filter that allows nearly everything: enough to see whether it is loaded.
pub(crate) fn filter() -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ERRNO"}]})
}

/// The same, with an agent for a call that nothing here makes.
pub(crate) fn notifying(agent: &Agent) -> Value {
    let mut filter = filter();
    filter["listenerPath"] = json!(agent.path());
    filter["syscalls"] = json!([filter["syscalls"][0], {"names": ["mknodat"], "action": "SCMP_ACT_NOTIFY"}]);
    filter
}

/// A change that gives a process fewer rights.
type Restriction = for<'t> fn(Bundle<'t>) -> Bundle<'t>;

/// Configurations in which a process has few rights, each in its own way.
const RESTRICTED: [(&str, Restriction); 6] = [
    ("the template", |bundle| {
        bundle.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "hard": 200, "soft": 100}]))
    }),
    ("a user", |bundle| {
        bundle.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7]}))
    }),
    ("a filter", |bundle| bundle.set("/linux/seccomp", filter())),
    ("a filter without no-new-privileges", |bundle| {
        bundle.set("/linux/seccomp", filter()).set("/process/noNewPrivileges", false)
    }),
    ("no capability", |bundle| bundle.remove("/process/capabilities")),
    ("a user namespace", |bundle| bundle.user_namespace(200_000)),
];

/// Fields of a report that say what a process may do.
const MAY: [&str; 9] =
    ["caps", "no_new_privileges", "seccomp", "cgroup", "uid", "gid", "groups", "rlimits", "oom_score_adj"];

/// The hook's program belongs to the image: it gets what the container's program gets.
fn start_container_hook(t: &Test) {
    let what = "a startContainer hook of the image has more than the program (by configuration and property)";
    let (mut score, mut broken) = (Score::new(t, what), Vec::new());
    for (n, (name, restrict)) in RESTRICTED.into_iter().enumerate() {
        for verb in ["run", "create"] {
            let loot = t.dir().join(format!("loot-{n}-{verb}"));
            fs::create_dir(&loot).unwrap();
            fs::set_permissions(&loot, fs::Permissions::from_mode(0o777)).unwrap();
            let bundle = restrict(t.bundle()).mount("bind", &loot, "/loot", &["bind", "rw"]);
            let hook =
                json!({"path": "/probe", "args": ["probe", "hook", "/loot/hook"], "env": ["ORLOP_PROBE=1"]});
            let bundle = bundle.push("/hooks/startContainer", hook).probe("hook /loot/program , exit 0");
            let ended = if verb == "create" {
                let container = bundle.create();
                let ended = container.command("start", &[]).output();
                if ended.code() == 0 {
                    container.wait();
                }
                ended
            } else {
                bundle.command(verb, &[]).output()
            };
            if ended.code() != 0 {
                broken.push(format!("{name}, {verb}: {ended}"));
                continue;
            }
            let read = |name: &str| -> Value {
                fs::read_to_string(loot.join(name)).unwrap_or_default().parse().unwrap_or_default()
            };
            let (hook, program) = (read("hook"), read("program"));
            assert!(program["caps"].is_object(), "{name}: the program has printed nothing");
            for property in MAY {
                let differs = hook[property] != program[property];
                score.attempt(differs.then(|| {
                    format!(
                        "{name}, {verb}: {property} {} and not {}",
                        short(&hook[property]),
                        short(&program[property])
                    )
                }));
            }
        }
    }
    score.end();
    assert!(broken.is_empty(), "the hook could not run: {broken:#?}");
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}

/// What the container's program can read of PID 1, which stays beside it.
const LOOK: &str = "read /proc/1/status , read /proc/self/status , open /proc/1/mem rw , read /proc/1/environ , \
                    readlink /proc/1/root , readlink /proc/1/exe , readlink /proc/1/fd/0 , read /proc/1/maps";

fn init(t: &Test) {
    t.only_orlop("it does not have this option");
    let what =
        "PID 1 of --init has more than the program, or can be accessed by it (by configuration and property)";
    let mut score = Score::new(t, what);
    for (name, restrict) in RESTRICTED {
        let bundle = restrict(t.bundle()).probe(LOOK);
        let said = bundle.command("run", &["--init"]).output().success().lines();
        let field = |n: usize, name: &str| {
            let text = said[n]["read"].as_str().unwrap_or_default().to_owned();
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned));
            line.unwrap_or_else(|| panic!("no {name} in {said:?}")).trim().to_owned()
        };
        for property in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let (init, own) = (hex(&field(0, property)), hex(&field(1, property)));
            score.attempt(
                (init & !own != 0).then(|| format!("{name}: {property} {init:#x}, the program's {own:#x}")),
            );
        }
        for property in ["NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid", "Gid", "Groups"] {
            let (init, own) = (field(0, property), field(1, property));
            // For the first three, more is stricter.
            let weaker =
                if property.contains("id") || property == "Groups" { init != own } else { init < own };
            score.attempt(weaker.then(|| format!("{name}: {property} {init}, the program's {own}")));
        }
        for look in &said[2..] {
            score.attempt((look["errno"] == "").then(|| format!("{name}: {}", short(look))));
        }
    }
    score.end();
}

/// A process that waits for `start` while another one is executed beside it.
fn process_that_waits_for_start(t: &Test) {
    let what = "the process that waits for start has more than its program (by configuration and set of capabilities)";
    let mut score = Score::new(t, what);
    for (name, restrict) in RESTRICTED {
        for flags in [&[][..], &["--init"]] {
            let scheduler = json!({"policy": "SCHED_BATCH", "nice": 19});
            let bundle = restrict(t.bundle()).set("/process/scheduler", scheduler).probe("sleep");
            let container = bundle.create_with(flags);
            let said = container.exec("read /proc/1/status , read /proc/self/status").success().lines();
            let field = |n: usize, name: &str| {
                let text = said[n]["read"].as_str().unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                hex(line.unwrap_or_else(|| panic!("no {name} in {text}")).trim())
            };
            let own = field(1, "CapBnd");
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                let held = field(0, set);
                let told = || format!("{name}, {flags:?}: {set} {held:#x}, at most {own:#x} for the program");
                score.attempt((held & !own != 0).then(told));
            }
        }
    }
    score.end();
}

/// A filter that does not allow what a process does while it waits is loaded after that, with CAP_SYS_ADMIN.
fn exec_before_start(t: &Test) {
    let what = "exec before start, with CAP_SYS_PTRACE: the memory of a process that still has to load its filter \
                (by call that the filter denies)";
    let mut score = Score::new(t, what);
    for call in ["accept4", "sendmsg", "capset", "close"] {
        let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [call], "action": "SCMP_ACT_ERRNO"}]});
        let bundle =
            with_capabilities(t.bundle(), &["CAP_SYS_PTRACE", "CAP_KILL"]).set("/linux/seccomp", filter);
        let container = bundle.set("/process/noNewPrivileges", false).probe("sleep").create();
        let output = container.exec("read /proc/1/status , open /proc/1/mem w");
        score.attempt(
            (output.code() == 0 && output.stdout.contains(r#""errno":"""#))
                .then(|| format!("{call}: {}", output.stdout)),
        );
        let refused = &output.stderr;
        assert!(refused.contains("cannot exec in a container before it is started"), "{call}: {refused}");
        if call == "accept4" {
            // In a paused container the process waits as well.
            container.command("pause", &[]).output().success();
            let words = ["exec", "--ignore-paused", container.id(), "/probe", "open", "/proc/1/mem", "w"];
            let exec = t.runtime(words).spawn();
            std::thread::sleep(std::time::Duration::from_millis(300));
            container.command("resume", &[]).output().success();
            let output = exec.wait();
            score.attempt((output.code() == 0).then(|| format!("paused: {}", output.stdout)));
        }
        // Once it runs, it is under its filter. (An exec under this one would need capset itself.)
        container.start();
        if call != "capset" {
            container.exec("exit 0").success();
        }
    }
    score.end();
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

/// PID 1 as the host sees it in /proc.
fn init_seen_from_the_host(t: &Test) {
    t.only_orlop("it does not have this option");
    let what = "PID 1 of --init holds a directory, file or socket of the host";
    let mut score = Score::new(t, what);
    let canary = Canary::new(t);
    for (name, restrict) in RESTRICTED {
        let bundle =
            restrict(t.bundle()).mount("bind", &canary.dir, "/c", &["bind", "ro"]).probe("say ready , sleep");
        let container = bundle.create_with(&["--init"]);
        container.start();
        t.wait_for("the program", || !lines(&container).is_empty());
        for entry in fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap().flatten() {
            let number = entry.file_name().to_string_lossy().into_owned();
            let link = fs::read_link(entry.path()).unwrap_or_default().to_string_lossy().into_owned();
            let given = ["0", "1", "2"].contains(&number.as_str());
            score.attempt((!given).then(|| format!("{name}: descriptor {number} is {link}")));
        }
        let exe = fs::read_link(format!("/proc/{}/exe", container.pid())).unwrap_or_default();
        let good = exe.to_string_lossy().starts_with("/memfd:");
        score.attempt((!good).then(|| format!("{name}: its executable is {}", exe.display())));
    }
    score.end();
}
