//! Where crun and runc come from: by default the newest Debian packages, unpacked beside the build and not
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::options::Options;

/// What to do if a peer is missing.
pub(crate) const ADVICE: &str =
    "install the packages crun and runc (apt-get install crun runc), or name one with --subject NAME=PATH";
const PEERS: [&str; 2] = ["crun", "runc"];

/// The peers that were found.
#[derive(Default)]
pub(crate) struct Peers {
    /// Name and path.
    pub(crate) programs: Vec<(String, PathBuf)>,
    /// The directory of the libraries that they were built for, if that is not the host's.
    pub(crate) libraries: Option<PathBuf>,
    /// The origin of the packages.
    pub(crate) origin: String,
}

/// Finds the peers that `options` selects, and fetches what is missing.
pub(crate) fn find(options: &Options, work: &Path) -> Peers {
    let wanted: Vec<&str> =
        PEERS.into_iter().filter(|peer| options.runtimes.iter().any(|name| name == peer)).collect();
    if wanted.is_empty() {
        return Peers::default();
    }
    if options.suite != "host" {
        match unpacked(&options.suite, &wanted, work) {
            Ok(peers) => return peers,
            Err(error) => {
                eprintln!("runtimes: no packages from Debian {}: {error}; using the host's", options.suite);
            }
        }
    }
    installed(&wanted)
}

fn installed(wanted: &[&str]) -> Peers {
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| in_path(name).is_none()).collect();
    if !missing.is_empty() {
        let apt = Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(&missing)
            .status();
        if !apt.is_ok_and(|status| status.success()) {
            eprintln!("runtimes: {} could not be installed: {ADVICE}", missing.join(", "));
        }
    }
    let programs = wanted.iter().filter_map(|name| Some(((*name).to_owned(), in_path(name)?))).collect();
    Peers { programs, libraries: None, origin: "as installed on this host".into() }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/bin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}

/// Downloads the packages and all their dependencies into a separate directory, from the host's own Debian mirror.
fn unpacked(suite: &str, wanted: &[&str], work: &Path) -> Result<Peers> {
    let top = work.join(format!("debian-{suite}"));
    let tree = top.join("tree");
    if !wanted.iter().all(|name| program_in(&tree, name).is_some()) {
        download(suite, wanted, &top)?;
        for archive in fs::read_dir(top.join("cache/archives"))? {
            let archive = archive?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                quietly(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&tree))?;
            }
        }
    }
    let programs: Vec<_> =
        wanted.iter().filter_map(|name| Some(((*name).to_owned(), program_in(&tree, name)?))).collect();
    if programs.len() != wanted.len() {
        return Err(format!("{} does not have all of {}", tree.display(), wanted.join(", ")).into());
    }
    Ok(Peers {
        programs,
        libraries: library_dir(&tree),
        origin: format!("Debian {suite}, with the libraries of that suite"),
    })
}

fn program_in(tree: &Path, name: &str) -> Option<PathBuf> {
    ["usr/bin", "usr/sbin"].into_iter().map(|dir| tree.join(dir).join(name)).find(|file| file.is_file())
}

/// The multi-arch directory, which has the same name on a Debian system.
fn library_dir(tree: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(tree.join("usr/lib")).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).find(|dir| dir.join("libc.so.6").exists())
}

fn download(suite: &str, wanted: &[&str], top: &Path) -> Result<()> {
    for dir in ["state/lists/partial", "cache/archives/partial", "parts", "tree"] {
        fs::create_dir_all(top.join(dir))?;
    }
    let (mirror, key) = mirror()?;
    let key = key.map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
    fs::write(top.join("sources.list"), format!("deb {key}{mirror} {suite} main\n"))?;
    let at = top.display();
    // An empty status file: everything is fetched, also what the host has in another version.
    let settings = format!(
        "Dir::State \"{at}/state\";\nDir::State::status \"/dev/null\";\nDir::Cache \"{at}/cache\";\n\
         Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"{at}/parts\";\n\
         Dir::Etc::preferencesparts \"{at}/parts\";\nAPT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n"
    );
    fs::write(top.join("apt.conf"), settings)?;
    eprintln!("runtimes: fetching {} from Debian {suite} (once)", wanted.join(" and "));
    let apt = |arguments: &[&str]| {
        quietly(Command::new("apt-get").env("APT_CONFIG", top.join("apt.conf")).args(arguments))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--download-only"], wanted].concat())
}

/// The host's Debian mirror and the key that signs it, as apt knows them.
fn mirror() -> Result<(String, Option<String>)> {
    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    const FIELDS: &str = "$(ORIGIN)|$(REPO_URI)|$(SIGNED_BY)|$(CODENAME)";
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", FIELDS, "Created-By: Packages"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let targets = text.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let debian = targets
        .filter(|fields| fields.len() == 4 && fields[0] == "Debian")
        .find(|fields| !fields[3].contains("security") && !fields[3].contains("updates"))
        .ok_or("apt has no Debian mirror")?;
    let key = Some(debian[2])
        .filter(|key| key.starts_with('/'))
        .or(Some(KEYRING).filter(|key| Path::new(key).exists()));
    Ok((debian[1].to_owned(), key.map(str::to_owned)))
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(text
        .lines()
        .find(|line| !line.starts_with("W:"))
        .unwrap_or("it failed without a message")
        .to_owned()
        .into())
}
