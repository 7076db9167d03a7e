use super::*;
use crate::mount::{in_root, options};
use nix::fcntl::OFlag;

/// Layers in a tmpfs of their own, reached by descriptor through `/proc/self/fd`.
struct Layers {
    tmpfs: Detached,
}

impl Layers {
    fn new() -> Option<Self> {
        match Detached::filesystem("tmpfs", None, &MountOptions::default()) {
            Ok(tmpfs) => Some(Self { tmpfs }),
            Err(e) => {
                println!("skipped: {e}");
                None
            }
        }
    }

    fn layer(&self, name: &str, files: &[&str]) -> Layer {
        let place = in_root::mkdir_all(&self.tmpfs, name, 0o755).unwrap();
        for file in files {
            in_root::make_file(&self.tmpfs, format!("{name}/{file}"), 0o644).unwrap();
        }
        Layer::Fd(place.fd)
    }
}

fn names(root: &Detached) -> Vec<String> {
    let path = by_descriptor(root.as_fd());
    let mut names: Vec<String> =
        std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Some kernels do not have overlay at all (no module): the test is skipped.
fn mounted(result: Result<Detached>) -> Option<Detached> {
    match result {
        Err(e) if matches!(e.errno(), Some(Errno::ENODEV | Errno::EPERM)) => {
            println!("skipped: {e}");
            None
        }
        Err(e) if e.errno() == Some(Errno::EINVAL) && e.operation() == "fsconfig" => {
            println!("skipped: before Linux 6.15 layers lie in attached mounts only: {e}");
            None
        }
        other => Some(other.unwrap()),
    }
}

#[test]
fn upper_over_lower() {
    let Some(t) = Layers::new() else { return };
    let overlay = Overlay::new([t.layer("a", &["x", "y"]), t.layer("b", &["y", "z"])])
        .upper(t.layer("upper", &[]), t.layer("work", &[]))
        .option("index", "off")
        .volatile();
    let Some(root) = mounted(overlay.mount()) else { return };
    assert_eq!(names(&root), ["x", "y", "z"]);
    in_root::make_file(&root, "new", 0o600).unwrap();
    assert!(in_root::open(&t.tmpfs, "upper/new", OFlag::O_PATH).is_ok());
    assert!(in_root::open(&t.tmpfs, "a/new", OFlag::O_PATH).is_err());
}

#[test]
fn two_hundred_layers_by_every_way() {
    let Some(t) = Layers::new() else { return };
    let layers = (0..200).map(|i| t.layer(&format!("layer-{i}"), &[&format!("file-{i:03}")]));
    let overlay = Overlay::new(layers);
    let Some(root) = mounted(overlay.mount()) else { return };
    assert_eq!(names(&root).len(), 200);
    if let Some(root) = overlay.mount_with_format(LayerFormat::Strings).unwrap() {
        assert_eq!(names(&root).len(), 200);
    }
    let limit = overlay.lower.len() + 301;
    let many = Overlay::new((0..limit).map(|i| format!("/{i}")));
    assert!(many.mount().unwrap_err().to_string().contains("stacks 500"));
}

#[test]
fn one_string_for_old_kernels() {
    let directory = std::env::temp_dir().join(format!("orlop-overlay-{}-with:colon", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let layer = |name: String| {
        let path = directory.join("a-rather-long-name-which-they-have-in-common").join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(path.file_name().unwrap()), "").unwrap();
        path
    };
    let layers: Vec<_> = (0..100).map(|i| layer(format!("l{i:03}"))).collect();
    assert!(layers.iter().map(|l| l.as_os_str().len()).sum::<usize>() > MAX_DATA);
    let overlay = Overlay::new(layers.clone()).attributes(MountAttrFlags::NOSUID);
    let result = overlay.mount_joined();
    if let Some(root) = mounted(result) {
        assert_eq!(names(&root).len(), 100);
        let flags = nix::sys::statvfs::fstatvfs(&root).unwrap().flags();
        assert!(flags.contains(nix::sys::statvfs::FsFlags::ST_NOSUID));
        let long = Overlay::new((0..100).map(|i| format!("{}/{i}/{}", directory.display(), "x".repeat(60))));
        let e = long.joined(Path::new("/")).unwrap_err();
        assert!(e.kind() == ErrorKind::Unsupported && e.hint().is_some());
    }
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn from_mount_options() {
    let parse = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|&o| o.to_owned()).collect();
        Overlay::from_options(&options::parse(&list).unwrap())
    };
    let overlay =
        parse(&["nosuid", "lowerdir=/a:/b\\:c::/d:/e", "upperdir=/u", "workdir=/w", "metacopy=on"]).unwrap();
    let of = |layers: &[Layer]| layers.iter().map(Layer::name).collect::<Vec<_>>();
    assert_eq!(of(overlay.lower_layers()), ["/a", "/b:c"]);
    assert_eq!(of(&overlay.data), ["/d", "/e"]);
    assert_eq!(overlay.attributes, MountAttrFlags::NOSUID);
    assert_eq!(overlay.options, [("metacopy".to_owned(), Some("on".to_owned()))]);
    assert_eq!(
        overlay.joined(Path::new("/")).unwrap(),
        "lowerdir=a:b\\:c::d::e,upperdir=u,workdir=w,metacopy=on"
    );
    assert!(parse(&["upperdir=/u", "lowerdir=/a"]).is_err());
}

#[test]
fn errors_name_the_layer() {
    let e = Overlay::new(["/nowhere/a", "/nowhere/b"]).mount().unwrap_err();
    if e.errno() == Some(Errno::ENOENT) {
        assert_eq!(e.object(), Some("/nowhere/a"));
    } else {
        println!("skipped: {e}");
    }
    assert!(Overlay::new(Vec::<PathBuf>::new()).mount().is_err());
}
