use super::*;
use std::fs::{self as std_fs, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("orlop-fs-{name}-{}", std::process::id()));
        std_fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> OwnedFd {
        std_fs::File::open(&self.0).unwrap().into()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std_fs::read_dir(&self.0).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std_fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    std_fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn replace_at_never_opens_the_old_file() {
    let scratch = Scratch::new("replace");
    let canary = scratch.at("canary");
    std_fs::write(&canary, "canary").unwrap();
    std_fs::set_permissions(&canary, Permissions::from_mode(0o440)).unwrap();
    let target = scratch.at("target");
    let plants: [&dyn Fn(); 5] = [
        &|| {},
        &|| symlink("canary", &target).unwrap(),
        &|| std_fs::hard_link(&canary, &target).unwrap(),
        &|| nix::unistd::mkfifo(&target, Mode::S_IRWXU).unwrap(),
        &|| drop(std::os::unix::net::UnixListener::bind(&target).unwrap()),
    ];
    for plant in plants {
        plant();
        for (data, bits) in [(&b"one"[..], 0o644), (b"", 0o600), (b"three", 0o7777)] {
            replace_at(scratch.open(), c"target", data, bits).unwrap();
            assert_eq!((std_fs::read(&target).unwrap(), mode(&target)), (data.to_vec(), bits));
        }
        assert_eq!((std_fs::read(&canary).unwrap(), mode(&canary)), (b"canary".to_vec(), 0o440));
        assert_eq!(scratch.names(), ["canary", "target"]);
        std_fs::remove_file(&target).unwrap();
    }
}

#[test]
fn a_failure_leaves_no_file() {
    let scratch = Scratch::new("failure");
    std_fs::create_dir(scratch.at("directory")).unwrap();
    assert_eq!(replace_at(scratch.open(), c"directory", b"x", 0o600), Err(Errno::EISDIR));
    let long = CString::new("n".repeat(256)).unwrap();
    assert_eq!(replace_at(scratch.open(), &long, b"x", 0o600), Err(Errno::ENAMETOOLONG));
    replace_at(scratch.open(), &CString::new("n".repeat(255)).unwrap(), b"x", 0o600).unwrap();
    assert_eq!(create_at(scratch.open(), c"directory", b"x", 0o600), Err(Errno::EEXIST));
    symlink("nowhere", scratch.at("link")).unwrap();
    assert_eq!(create_at(scratch.open(), c"link", b"x", 0o600), Err(Errno::EEXIST));
    create_at(scratch.open(), c"new", b"x", 0o640).unwrap();
    assert_eq!(mode(&scratch.at("new")), 0o640);
    assert_eq!(scratch.names(), ["directory", "link", "new", "n".repeat(255).as_str()]);
}

/// It asks only, since a replacement that went wrong would cost the host its /dev/stdout.
#[test]
fn devices_and_links_in_dev_are_recognised() {
    let devices: OwnedFd = std_fs::File::open("/dev").unwrap().into();
    for name in [c"null", c"zero", c"stdout", c"stderr", c"fd"] {
        assert_eq!(is_device_or_dev_link(&devices, name), Ok(true), "{name:?}");
    }
    assert_eq!(is_device_or_dev_link(&devices, c"no-such-device"), Ok(false));
    let scratch = Scratch::new("devices");
    symlink("/dev/null", scratch.at("link")).unwrap();
    assert_eq!(
        is_device_or_dev_link(&scratch.open(), c"link"),
        Ok(false),
        "the link is replaced, not the device"
    );
}

#[test]
fn temporary_names_are_unique() {
    let mut names: Vec<_> = (0..1000).map(|_| unguessable_name().unwrap()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1000);
    assert!(names.iter().all(|name| name.to_bytes().len() == 39), "{:?}", names[0]);
}

#[test]
fn read_plain_at_reads_regular_files_only() {
    let scratch = Scratch::new("plain");
    std_fs::write(scratch.at("file"), "text").unwrap();
    symlink("file", scratch.at("link")).unwrap();
    nix::unistd::mkfifo(&scratch.at("fifo"), Mode::S_IRWXU).unwrap();
    std_fs::create_dir(scratch.at("directory")).unwrap();
    let read = |name, limit| read_plain_at(scratch.open(), name, limit);
    assert_eq!(read(c"file", 4).unwrap(), b"text");
    assert_eq!(read(c"file", 3), Err(Errno::EFBIG));
    assert_eq!(read(c"link", 10), Err(Errno::ELOOP));
    assert_eq!(read(c"fifo", 10), Err(Errno::EINVAL));
    assert_eq!(read(c"directory", 10), Err(Errno::EINVAL));
    assert_eq!(read(c"none", 10), Err(Errno::ENOENT));
}

#[test]
fn an_identity_belongs_to_one_file() {
    use nix::sys::stat::fstat;
    let memory = || crate::sys::memfd::memfd_create(c"x", 0).unwrap();
    let (one, other) = (memory(), memory());
    let stat = fstat(&one).unwrap();
    assert_eq!(identity(&one), Ok((stat.st_dev, stat.st_ino)));
    assert_eq!(identity(one.try_clone().unwrap()), identity(&one));
    assert_ne!(identity(&other), identity(&one));
    let (pipe, _) = nix::unistd::pipe().unwrap();
    assert_ne!(identity(pipe), identity(&one));
}
