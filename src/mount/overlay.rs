//! Overlay file systems.

use super::detached::Detached;
use super::detached::{Context, open_path};
use super::error::failed;
use super::options::{FSCONFIG_STRING_MAX, MountOptions};
use super::pivot;
use crate::sys::fs;
use crate::sys::mount::{self as sys, MountAttr, MountAttrFlags, OpenTreeFlags};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The kernel's limit of lower layers (`OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 500;

/// The longest data of mount(2): a page without its final NUL.
const MAX_DATA: usize = 4095;

/// A directory of an overlay.
#[derive(Debug)]
pub enum Layer {
    /// By absolute path.
    Path(PathBuf),
    /// By descriptor; in a detached mount since Linux 6.15.
    Fd(OwnedFd),
}

impl<P: Into<PathBuf>> From<P> for Layer {
    fn from(path: P) -> Self {
        Self::Path(path.into())
    }
}

impl Layer {
    fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Fd(fd) => format!("descriptor {}", fd.as_raw_fd()),
        }
    }

    fn open(&self) -> Result<OpenedLayer<'_>> {
        match self {
            Self::Path(path) => open_path(path).map(|fd| OpenedLayer::Owned(fd, path)),
            Self::Fd(fd) => Ok(OpenedLayer::Borrowed(fd.as_fd())),
        }
        .map_err(|e| failed("open overlay layer", e).on(self.name()))
    }
}

/// A layer while it is being configured.
enum OpenedLayer<'l> {
    Owned(OwnedFd, &'l Path),
    Borrowed(BorrowedFd<'l>),
}

impl OpenedLayer<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Owned(fd, _) => fd.as_fd(),
            Self::Borrowed(fd) => *fd,
        }
    }

    /// The layer as a string for fsconfig(2): its path if that is short and has no separator of overlayfs, otherwise the path
    /// of its descriptor.
    fn text(&self) -> String {
        match self {
            Self::Owned(_, path) => match path.to_str() {
                Some(text) if text.len() <= FSCONFIG_STRING_MAX && !text.contains(['\\', ':', ',']) => {
                    text.to_owned()
                }
                _ => by_descriptor(self.fd()),
            },
            Self::Borrowed(fd) => by_descriptor(*fd),
        }
    }
}

fn by_descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// How layers are passed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LayerFormat {
    /// One by one, as descriptors (Linux 6.13).
    Descriptors,
    /// One by one, as strings (Linux 6.5).
    Strings,
}

/// An overlay to mount; see overlayfs in the kernel's documentation.
#[derive(Debug, Default)]
pub struct Overlay {
    lower: Vec<Layer>,
    data: Vec<Layer>,
    upper: Option<(Layer, Layer)>,
    options: Vec<(String, Option<String>)>,
    attributes: MountAttrFlags,
}

impl Overlay {
    /// An overlay of at most [`MAX_LAYERS`] read-only layers, the topmost first.
    pub fn new<L: Into<Layer>>(lower: impl IntoIterator<Item = L>) -> Self {
        Self { lower: lower.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds a writable layer on top, and the work directory that the kernel needs on the same file system.
    #[must_use]
    pub fn upper(mut self, upper: impl Into<Layer>, work: impl Into<Layer>) -> Self {
        self.upper = Some((upper.into(), work.into()));
        self
    }

    /// Adds a layer that provides only the content of files (`datadir+`, Linux 6.8).
    #[must_use]
    pub fn data_layer(mut self, layer: impl Into<Layer>) -> Self {
        self.data.push(layer.into());
        self
    }

    /// Adds an option of overlayfs: `index=off`, `metacopy=on`, …
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), Some(value.into())));
        self
    }

    /// Never syncs the upper layer, which is lost if the machine crashes.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.options.push(("volatile".into(), None));
        self
    }

    /// Keeps overlayfs's metadata in `user.` extended attributes. A caller in a user namespace other than the initial one
    /// needs that (Linux 5.11).
    #[must_use]
    pub fn user_xattr(mut self) -> Self {
        self.options.push(("userxattr".into(), None));
        self
    }

    /// The attributes of the mount.
    #[must_use]
    pub fn attributes(mut self, attributes: MountAttrFlags) -> Self {
        self.attributes = attributes;
        self
    }

    /// An overlay from the mount options of a file system of type `overlay`: `lowerdir` (layers separated by `:`, data layers
    /// after `::`), `lowerdir+`, `datadir+`, `upperdir`, `workdir`; any other option is the driver's. So a list of layers may
    /// exceed the kernel's limit for one option.
    ///
    /// # Errors
    /// `upperdir` without `workdir`, or the reverse. Superblock flags that overlayfs does not support are left to the kernel.
    pub fn from_options(options: &MountOptions) -> Result<Self> {
        let mut overlay = Self { attributes: options.new_mount_attributes(), ..Self::default() };
        let (mut upper, mut work) = (None, None);
        for flag in &options.superblock {
            overlay.options.push((flag.key.to_owned(), None));
        }
        for option in &options.data {
            match (option.key.as_str(), option.value.as_deref()) {
                ("lowerdir", Some(value)) => {
                    let (lower, data) = split_lowerdir(value);
                    overlay.lower = lower.into_iter().map(Layer::from).collect();
                    overlay.data = data.into_iter().map(Layer::from).collect();
                }
                ("lowerdir+", Some(value)) => overlay.lower.push(value.into()),
                ("datadir+", Some(value)) => overlay.data.push(value.into()),
                ("upperdir", Some(value)) => upper = Some(Layer::from(unescape(value))),
                ("workdir", Some(value)) => work = Some(Layer::from(unescape(value))),
                (key, value) => overlay.options.push((key.to_owned(), value.map(str::to_owned))),
            }
        }
        overlay.upper = match (upper, work) {
            (Some(upper), Some(work)) => Some((upper, work)),
            (None, None) => None,
            _ => return Err(invalid("upperdir and workdir need each other")),
        };
        Ok(overlay)
    }

    /// The lower layers, the topmost first.
    pub fn lower_layers(&self) -> &[Layer] {
        &self.lower
    }

    /// Creates the file system as a detached mount.
    ///
    /// Each layer is opened and passed by itself (as a descriptor since Linux 6.14, as a string since Linux 6.5), so no limit
    /// of a page or of an argument applies. An older kernel gets all layers in one string, which omits what their paths have
    /// in common.
    ///
    /// # Errors
    /// Name the layer, or include overlayfs's message. On an older kernel, a string of more than one page is refused.
    pub fn mount(&self) -> Result<Detached> {
        if self.lower.is_empty() {
            return Err(invalid("an overlay needs a lower layer"));
        }
        if self.lower.len() + self.data.len() > MAX_LAYERS {
            let count = self.lower.len() + self.data.len();
            return Err(invalid(&format!("{count} lower layers; overlayfs stacks {MAX_LAYERS}")));
        }
        for format in [LayerFormat::Descriptors, LayerFormat::Strings] {
            if let Some(mount) = self.mount_with_format(format)? {
                return Ok(mount);
            }
        }
        self.mount_joined()
    }

    /// `None` if the kernel does not support this format.
    fn mount_with_format(&self, format: LayerFormat) -> Result<Option<Detached>> {
        let context = Context::open("overlay")?;
        context.set("source", Some("overlay"))?;
        for (i, layer) in self.lower.iter().enumerate() {
            match set_layer(&context, format, "lowerdir+", layer)? {
                Ok(()) => {}
                // The first layer tells: a driver that does not support the format does not know the option, and a kernel
                // before 6.14 accepts no descriptor that was opened with O_PATH.
                Err(Errno::EINVAL | Errno::EBADF) if i == 0 => return Ok(None),
                Err(e) => return Err(context.error("fsconfig", e, &format!("lowerdir+={}", layer.name()))),
            }
        }
        let upper = self.upper.iter().flat_map(|(u, w)| [("upperdir", u), ("workdir", w)]);
        for (key, layer) in self.data.iter().map(|d| ("datadir+", d)).chain(upper) {
            set_layer(&context, format, key, layer)?
                .map_err(|e| context.error("fsconfig", e, &format!("{key}={}", layer.name())))?;
        }
        for (key, value) in &self.options {
            context.set(key, value.as_deref())?;
        }
        context.mount(self.attributes).map(Some)
    }

    /// For kernels before 6.5: mount(2) with everything in one string. That attaches the mount, so it is called by a thread in
    /// a mount namespace of its own, from which a detached copy is taken.
    fn mount_joined(&self) -> Result<Detached> {
        let mount = |overlay: &Self| -> Result<Detached> {
            pivot::unshare_mounts()?;
            let top =
                overlay.lower.first().ok_or_else(|| invalid("an overlay needs a lower layer"))?.open()?;
            let common = overlay.common_directory();
            nix::unistd::chdir(&common).map_err(|e| failed("chdir", e).on(common.display().to_string()))?;
            let data = overlay.joined(&common)?;
            let target = by_descriptor(top.fd());
            let none = nix::mount::MsFlags::empty();
            nix::mount::mount(Some("overlay"), target.as_str(), Some("overlay"), none, Some(data.as_str()))
                .map_err(|e| failed("mount overlay", e).on(data.clone()))?;
            // The descriptor is of the directory below the new mount; its path leads to the mount.
            let path = nix::fcntl::readlink(target.as_str()).map_err(|e| failed("readlink", e).on(target))?;
            let path = fs::cstring(path).map_err(|e| failed("open_tree", e))?;
            let clone = sys::open_tree(fs::cwd(), &path, OpenTreeFlags::CLONE)
                .map_err(|e| failed("open_tree", e))
                .map(Detached::from)?;
            if !overlay.attributes.is_empty() {
                let has_atime = overlay.attributes.intersects(MountAttrFlags::ATIME);
                let clear = if has_atime { MountAttrFlags::ATIME } else { MountAttrFlags::empty() };
                clone.change(&MountAttr { set: overlay.attributes, clear, ..MountAttr::default() }, false)?;
            }
            Ok(clone)
        };
        std::thread::scope(|scope| {
            let spawned =
                std::thread::Builder::new().name("overlay".into()).spawn_scoped(scope, || mount(self));
            let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EAGAIN));
            let thread = spawned.map_err(|e| failed("start a thread", errno(e)))?;
            thread.join().unwrap_or_else(|_| Err(failed("mount overlay", Errno::EIO)))
        })
    }

    /// The directory that all layers with a path have in common.
    fn common_directory(&self) -> PathBuf {
        let mut paths = self.all().filter_map(|(_, layer)| match layer {
            Layer::Path(path) => path.parent(),
            Layer::Fd(_) => None,
        });
        let first = paths.next().unwrap_or(Path::new("/")).to_path_buf();
        paths.fold(first, |common, path| {
            common.components().zip(path.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
        })
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Layer)> {
        let upper = self.upper.iter().flat_map(|(u, w)| [("upperdir", u), ("workdir", w)]);
        self.lower
            .iter()
            .map(|l| ("lowerdir", l))
            .chain(self.data.iter().map(|d| ("datadir", d)))
            .chain(upper)
    }

    /// All options in one string, with paths relative to `common` if they are below it.
    fn joined(&self, common: &Path) -> Result<String> {
        let mut data = String::new();
        let mut before = "";
        for (key, layer) in self.all() {
            match (before, key) {
                ("", _) => data.push_str("lowerdir="),
                (_, "datadir") => data.push_str("::"),
                (before, key) if before == key => data.push(SEPARATOR),
                (_, key) => {
                    // Writing to a String cannot fail.
                    let _ = write!(data, ",{key}=");
                }
            }
            before = key;
            data.push_str(&relative(layer, common, key)?);
        }
        for (key, value) in &self.options {
            let _ = write!(data, ",{key}");
            if let Some(value) = value {
                let _ = write!(data, "={value}");
            }
        }
        if data.len() > MAX_DATA {
            let detail = format!("the layers' names make {} bytes; mount(2) takes {MAX_DATA}", data.len());
            return Err(Error::new(ErrorKind::Unsupported, Phase::Mount, "mount overlay")
                .with_detail(detail)
                .with_hint("Linux 6.5 has no such limit; before it, shorten the paths of the layers"));
        }
        Ok(data)
    }
}

/// Separates lower layers in one string.
const SEPARATOR: char = ':';

fn invalid(detail: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, Phase::Mount, "mount overlay").with_detail(detail)
}

/// The outer error: the layer cannot be opened. The inner one: the kernel refuses it.
fn set_layer(
    context: &Context,
    format: LayerFormat,
    key: &str,
    layer: &Layer,
) -> Result<std::result::Result<(), Errno>> {
    let opened = layer.open()?;
    Ok(match format {
        LayerFormat::Descriptors => context.set_fd(key, opened.fd()),
        LayerFormat::Strings => context.set_raw(key, Some(&opened.text())),
    })
}

/// A layer's name in the joined string, with overlayfs's separators escaped.
fn relative(layer: &Layer, common: &Path, key: &str) -> Result<String> {
    let path = match layer {
        Layer::Fd(fd) => return Ok(by_descriptor(fd.as_fd())),
        Layer::Path(path) => path,
    };
    let short = path.strip_prefix(common).unwrap_or(path);
    let text = short.to_str().ok_or_else(|| invalid("the path of a layer is not UTF-8").on(layer.name()))?;
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | ',') || (c == ':' && matches!(key, "lowerdir" | "datadir")) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Ok(escaped)
}

/// Lower layers and data layers of the option `lowerdir`; `\` escapes the separator.
pub(crate) fn split_lowerdir(value: &str) -> (Vec<String>, Vec<String>) {
    let mut parts = vec![String::new()];
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            ('\\', Some(part)) => part.extend(chars.next()),
            (SEPARATOR, _) => parts.push(String::new()),
            (c, Some(part)) => part.push(c),
            _ => {}
        }
    }
    // An empty part is where "::" was; the parts after it are data layers.
    let data_from = parts.iter().position(String::is_empty).unwrap_or(parts.len());
    let data = parts.split_off(data_from).into_iter().filter(|p| !p.is_empty()).collect();
    (parts, data)
}

fn unescape(value: &str) -> String {
    let mut chars = value.chars();
    let mut result = String::with_capacity(value.len());
    while let Some(c) = chars.next() {
        result.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    result
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
