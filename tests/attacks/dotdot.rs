//! `..` on the path to a mount point, while a directory before it is renamed away.
//!
//! A victim and an attacker (uid 1000, no capabilities) share a volume. In it the attacker keeps a dangling link `x
//! -> a/./././…/../../…/canary/made` and moves `a` away and back. A runtime that finds `a`, then no longer finds
//! what is below it, and continues from where it stands, leaves the victim's root by `..` and creates on the host
//! what belongs at `x`. The dots give the attacker time: `a` may vanish at any of them.

use crate::moments::{self, Swing};
use crate::play::{self, Caller, Canary, turn};
use kit::criu::Criu;
use kit::score::rounds;
use kit::{Bundle, Case, Container, Score, Test, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        directory,
        directory_with_exchange,
        file,
        tmpfs,
        device,
        dev_as_link,
        console,
        working_directory,
        masked_path,
        cgroup_mount,
        create_and_delete,
        restore,
        hot_mount,
    ]
}

/// The number of components at which `a` may vanish.
const DOTS: usize = 80;

/// The volume that both containers have at /v, and the canary.
struct Volume {
    dir: PathBuf,
    canary: Canary,
}

impl Volume {
    fn new(t: &Test) -> Self {
        let (dir, canary) = (t.dir().join("volume"), Canary::new(t));
        fs::create_dir_all(dir.join("a")).unwrap();
        for path in [dir.clone(), dir.join("a")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        // From `a`: the volume, the root file system, the bundle, and so on to the host's root, plus a few more.
        let depth = canary.dir.components().count() + 4;
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        let target = up.join(canary.dir.strip_prefix("/").unwrap()).join("made");
        symlink(format!("a/{}{}", "./".repeat(DOTS), target.display()), dir.join("x")).unwrap();
        symlink("nowhere", dir.join("gone")).unwrap();
        // What a victim creates under the same name is empty, and can be told from it.
        fs::write(dir.join("a/kept"), "").unwrap();
        Self { dir, canary }
    }

    /// A container with the volume.
    fn mounted<'t>(&self, bundle: Bundle<'t>) -> Bundle<'t> {
        bundle.mount("bind", &self.dir, "/v", &["bind", "rw"])
    }

    /// Starts the attacker.
    fn attacker<'t>(&self, t: &'t Test, exchange: bool) -> Container<'t> {
        let words = if exchange { "swing /v/a /v/gone exchange" } else { "swing /v/a /v/b" };
        let bundle = self.mounted(t.bundle().set("/process/user", json!({"uid": 1000, "gid": 1000})));
        let container = bundle.remove("/process/capabilities").probe(words).start();
        container.first_line();
        container
    }
}

impl Volume {
    /// What was created on the host: at the canary, or on the way up to it if `a` came back too early.
    fn hurt(&self, bundle: &Bundle<'_>) -> Option<String> {
        let below = self.canary.dir.strip_prefix("/").unwrap();
        let made = |dir: &Path| (dir.parent().is_some() && dir.join(below).exists()).then(|| dir.to_owned());
        let astray: Vec<PathBuf> = bundle.dir().ancestors().filter_map(made).collect();
        for dir in &astray {
            // The first path may be the test's own directory of temporary files.
            let (first, second) = (below.components().next().unwrap(), below.components().nth(1).unwrap());
            let _ = fs::remove_dir_all(dir.join(first).join(second));
            let _ = fs::remove_dir(dir.join(first));
        }
        let found = astray.into_iter().next().map(|dir| format!("created below {}", dir.display()));
        self.canary.hurt().or(found)
    }
}

/// Reads from outside the root if the victim's working directory is there.
const SEES: &str = "read bird";

/// Runs the victim; whatever it leaves in its own root file system is removed.
fn race<'t>(
    t: &'t Test,
    what: &str,
    exchange: bool,
    victim: impl FnOnce(Bundle<'t>) -> Bundle<'t>,
    live: impl Fn(&Caller<'_>, &Bundle<'_>) -> crate::play::Said,
) {
    let _turn = turn();
    let volume = Volume::new(t);
    let victim = victim(volume.mounted(t.bundle().probe(SEES)));
    victim.write();
    let inside = victim.path(volume.canary.dir.components().nth(1).unwrap().as_os_str().to_str().unwrap());
    // The kinds of mount points share the code that creates them; the first ones get all rounds.
    let share = if t.name().contains("::directory") { 1 } else { 3 };
    contend(t, what, &volume, exchange, share, |caller| {
        let said = live(caller, &victim);
        let sings = || "the victim's working directory is on the host".to_owned();
        let won = volume.hurt(&victim).or_else(|| said.stdout.contains("sings").then(sings));
        // The target of the link when it was followed inside the root.
        let _ = fs::remove_dir_all(&inside);
        for left in ["nowhere", "a", "b"] {
            let _ = fs::remove_dir(volume.dir.join(left));
        }
        won
    });
}

/// Plays rounds beside the attacker, then with an exchange at each call.
fn contend(
    t: &Test,
    what: &str,
    volume: &Volume,
    exchange: bool,
    share: u64,
    mut round: impl FnMut(&Caller<'_>) -> Option<String>,
) {
    let mut chance = Score::part(t, "chance", what);
    {
        let attacker = volume.attacker(t, exchange);
        let caller = Caller::new(t);
        for _ in 0..=rounds() / share {
            chance.attempt(round(&caller));
        }
        assert!(!has_exited(&attacker), "the attacker has exited");
        play::end(t, &attacker);
    }
    let (a, b) = (volume.dir.join("a"), volume.dir.join(if exchange { "gone" } else { "b" }));
    let swing = if exchange { Swing::exchange(a, b) } else { Swing::rename(a, b) };
    swing.settle(!volume.dir.join("a/kept").exists());
    let mut each = Score::part(t, "each call", what);
    moments::each(&mut each, &swing, || Caller::new(t), round);
    Score::end_all([chance, each]);
}

fn has_exited(attacker: &Container<'_>) -> bool {
    attacker.status() != "running"
}

fn run(caller: &Caller<'_>, bundle: &Bundle<'_>) -> crate::play::Said {
    caller.run(bundle)
}

fn source(t: &Test) -> PathBuf {
    let dir = t.dir().join("source");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    dir
}

fn directory(t: &Test) {
    let what = "`..` below a directory that is renamed away: a directory is bound there";
    race(t, what, false, |victim| victim.mount("bind", source(t), "/v/x", &["bind"]), run);
}

fn directory_with_exchange(t: &Test) {
    let what = "`..` below a directory that is exchanged with a dangling link (RENAME_EXCHANGE): a directory is bound there";
    race(t, what, true, |victim| victim.mount("bind", source(t), "/v/x", &["bind"]), run);
}

fn file(t: &Test) {
    let what = "`..` below a directory that is renamed away: a file is bound";
    race(t, what, false, |victim| victim.mount("bind", source(t).join("file"), "/v/x", &["bind"]), run);
}

fn tmpfs(t: &Test) {
    let what = "`..` below a directory that is renamed away: a tmpfs is mounted below it";
    race(t, what, false, |victim| victim.mount("tmpfs", "tmpfs", "/v/x/deeper", &[]), run);
}

fn device(t: &Test) {
    let what =
        "`..` below a directory that is renamed away: a device node of the configuration is created in it";
    let null = json!([{"path": "/v/x/null", "type": "c", "major": 1, "minor": 3}]);
    race(t, what, false, |victim| victim.set("/linux/devices", null), run);
}

fn dev_as_link(t: &Test) {
    let what = "`..` below a directory that is renamed away: /dev of the image is a link to it: device nodes and links";
    race(t, what, false, |victim| victim.only_mounts(&["/proc", "/v"]).link("/dev", "/v/x"), run);
}

fn console(t: &Test) {
    let what = "`..` below a directory that is renamed away: /dev/console in a /dev that is a link to it";
    let kept = ["/proc", "/v"];
    race(
        t,
        what,
        false,
        |victim| {
            // The runtime finds the image's own instance of devpts there, through another link.
            let victim = victim.only_mounts(&kept).link("/dev", "/v/x").set("/process/terminal", true);
            victim.set("/linux/devices", json!([]))
        },
        run,
    );
}

fn working_directory(t: &Test) {
    let what = "`..` below a directory that is renamed away: the working directory is below it";
    race(t, what, false, |victim| victim.set("/process/cwd", "/v/x/.."), run);
}

fn masked_path(t: &Test) {
    let what = "`..` below a directory that is renamed away: a masked and a read-only path are below it";
    let paths = json!(["/v/x", "/v/x/../bird"]);
    race(
        t,
        what,
        false,
        |victim| victim.set("/linux/maskedPaths", paths.clone()).set("/linux/readonlyPaths", paths),
        run,
    );
}

fn cgroup_mount(t: &Test) {
    let what = "`..` below a directory that is renamed away: the container's cgroup is mounted on it";
    race(t, what, false, |victim| victim.mount("cgroup", "cgroup", "/v/x", &["ro"]), run);
}

fn create_and_delete(t: &Test) {
    let what = "`..` below a directory that is renamed away, by create and delete";
    let live = |caller: &Caller<'_>, bundle: &Bundle<'_>| {
        let pid_file = t.dir().join("victim-pid");
        let dir = bundle.dir().to_string_lossy().into_owned();
        let words = ["create", "--pid-file", pid_file.to_str().unwrap(), "--bundle", &dir, bundle.id()];
        let said = caller.call(&words);
        if said.code == 0 {
            caller.call(&["delete", "--force", bundle.id()]);
            let pid = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
            kit::sys::reap(pid, std::time::Duration::from_secs(5));
        }
        said
    };
    race(t, what, false, |victim| victim.mount("bind", source(t), "/v/x", &["bind"]), live);
}

/// The mount points of a restored container are created by a process of their own.
fn restore(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let what = "`..` below a directory that is renamed away: mount points are created for restore (with a simulated criu)";
    let criu = Criu::new(t).with("init", "exit 0");
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let (program, env) = criu.program();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", program.parent().unwrap().display());
    let live = |caller: &Caller<'_>, bundle: &Bundle<'_>| {
        let caller = env.iter().fold(caller.clone(), |caller, (name, value)| caller.env(name, value));
        let dir = bundle.dir().to_string_lossy().into_owned();
        caller.env("PATH", &path).call(&["restore", "--bundle", &dir, bundle.id()])
    };
    race(t, what, false, |victim| victim.mount("bind", source(t), "/v/x", &["bind"]), live);
}

fn hot_mount(t: &Test) {
    t.only_orlop("its command is experimental");
    let what = "`..` below a directory that is renamed away, by mounts add in a running container";
    let _turn = turn();
    let volume = Volume::new(t);
    let victim = volume.mounted(t.bundle().set("/root/readonly", false).probe("sleep")).start();
    let list = t.dir().join("mounts.json");
    let mount = json!([{"destination": "/v/x", "type": "bind", "source": source(t), "options": ["bind"]}]);
    fs::write(&list, mount.to_string()).unwrap();
    contend(t, what, &volume, false, 3, |caller| {
        caller.call(&["mounts", "add", victim.id(), list.to_str().unwrap()]);
        let won = volume.canary.hurt();
        Caller::new(t).call(&["mounts", "remove", victim.id(), list.to_str().unwrap()]);
        victim_root(t, &victim);
        won
    });
}

/// Unmounts the target of the link inside the root, so that the link dangles again.
fn victim_root(t: &Test, victim: &Container<'_>) {
    let inside = format!("{}", t.dir().join("canary/made").display());
    let list = t.dir().join("inside.json");
    fs::write(&list, json!([{"destination": inside}]).to_string()).unwrap();
    let caller = Caller::new(t);
    while caller.call(&["mounts", "remove", victim.id(), list.to_str().unwrap()]).code == 0 {}
    let root = PathBuf::from(format!("/proc/{}/root", victim.pid()));
    let _ = fs::remove_dir_all(root.join(t.dir().components().nth(1).unwrap().as_os_str()));
}
