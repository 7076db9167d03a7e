//! The messages of criu's `images/rpc.proto` that are used here.

use super::wire::{FieldValue, Fields, Malformed, MessageWriter};

/// `criu_req_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestType {
    Empty = 0,
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
    /// Another type, which is never requested.
    Other = -1,
}

impl RequestType {
    fn of(number: u64) -> Self {
        let known = [
            Self::Empty,
            Self::Dump,
            Self::Restore,
            Self::PreDump,
            Self::Notify,
            Self::FeatureCheck,
            Self::Version,
        ];
        known.into_iter().find(|kind| *kind as u64 == number).unwrap_or(Self::Other)
    }

    /// The name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "request",
            Self::Dump => "dump",
            Self::Restore => "restore",
            Self::PreDump => "pre-dump",
            Self::Notify => "notification",
            Self::FeatureCheck => "feature check",
            Self::Version => "version check",
            Self::Other => "unknown",
        }
    }
}

/// A key, and what criu replaces it with: a mount, or an inherited descriptor.
pub(super) type Pair<T> = (String, T);

/// The fields of `criu_opts` that are used. Without a value, criu's default applies.
#[derive(Clone, Debug, Default)]
pub(super) struct CriuOptions {
    pub(super) images_dir_fd: i32,
    pub(super) work_dir_fd: Option<i32>,
    pub(super) log_file: &'static str,
    pub(super) pid: Option<i32>,
    pub(super) root: String,
    pub(super) parent_img: Option<String>,
    pub(super) config_file: Option<String>,
    pub(super) freeze_cgroup: Option<String>,
    pub(super) lsm_profile: Option<String>,
    pub(super) lsm_mount_context: Option<String>,
    /// `criu_cg_mode`.
    pub(super) manage_cgroups_mode: i32,
    /// `criu_network_lock_method`.
    pub(super) network_lock: Option<i32>,
    pub(super) page_server: Option<(String, u16)>,
    pub(super) empty_ns: u64,
    /// Switches that are on, by field number ([`switch`]).
    pub(super) switches: Vec<u32>,
    pub(super) ext_mnt: Vec<Pair<String>>,
    pub(super) external: Vec<String>,
    pub(super) inherit_fd: Vec<Pair<i32>>,
    /// Controller (empty for the unified hierarchy), and path.
    pub(super) cg_root: Vec<Pair<String>>,
    /// Namespace type, and the namespace's file.
    pub(super) join_ns: Vec<Pair<String>>,
}

/// Field numbers of the switches of `criu_opts`.
pub(super) mod switch {
    pub(in crate::container::criu) const LEAVE_RUNNING: u32 = 3;
    pub(in crate::container::criu) const EXT_UNIX_SK: u32 = 4;
    pub(in crate::container::criu) const TCP_ESTABLISHED: u32 = 5;
    pub(in crate::container::criu) const EVASIVE_DEVICES: u32 = 6;
    pub(in crate::container::criu) const SHELL_JOB: u32 = 7;
    pub(in crate::container::criu) const FILE_LOCKS: u32 = 8;
    pub(in crate::container::criu) const NOTIFY_SCRIPTS: u32 = 12;
    pub(in crate::container::criu) const TRACK_MEM: u32 = 15;
    pub(in crate::container::criu) const AUTO_DEDUP: u32 = 16;
    pub(in crate::container::criu) const LINK_REMAP: u32 = 18;
    pub(in crate::container::criu) const MANAGE_CGROUPS: u32 = 24;
    pub(in crate::container::criu) const RST_SIBLING: u32 = 26;
    pub(in crate::container::criu) const TCP_SKIP_IN_FLIGHT: u32 = 46;
    pub(in crate::container::criu) const LAZY_PAGES: u32 = 48;
    pub(in crate::container::criu) const ORPHAN_PTS_MASTER: u32 = 50;
    pub(in crate::container::criu) const TCP_CLOSE: u32 = 52;
}

/// Debug output, which contains the first error's message for `cr_errmsg`.
const LOG_LEVEL: i32 = 4;

impl CriuOptions {
    fn write(&self) -> MessageWriter {
        let mut out = MessageWriter::default();
        out.number(1, self.images_dir_fd);
        out.number(9, LOG_LEVEL);
        out.text(10, self.log_file);
        out.text(13, &self.root);
        out.number(34, self.manage_cgroups_mode);
        for number in &self.switches {
            out.switch(*number, true);
        }
        if self.empty_ns != 0 {
            out.number(38, self.empty_ns as i64);
        }
        let numbers = [(2, self.pid), (17, self.work_dir_fd), (64, self.network_lock)];
        for (field, value) in numbers.into_iter().filter_map(|(field, value)| value.map(|v| (field, v))) {
            out.number(field, value);
        }
        let texts = [
            (14, &self.parent_img),
            (44, &self.freeze_cgroup),
            (51, &self.config_file),
            (53, &self.lsm_profile),
            (63, &self.lsm_mount_context),
        ];
        for (field, value) in
            texts.into_iter().filter_map(|(field, value)| value.as_ref().map(|v| (field, v)))
        {
            out.text(field, value);
        }
        if let Some((address, port)) = &self.page_server {
            let mut server = MessageWriter::default();
            server.text(1, address);
            server.number(2, i32::from(*port));
            out.message(11, &server);
        }
        for (field, pairs) in [(23, &self.ext_mnt), (25, &self.cg_root), (39, &self.join_ns)] {
            for (first, second) in pairs {
                let mut pair = MessageWriter::default();
                pair.text(1, first);
                pair.text(2, second);
                out.message(field, &pair);
            }
        }
        for (key, fd) in &self.inherit_fd {
            let mut pair = MessageWriter::default();
            pair.text(1, key);
            pair.number(2, *fd);
            out.message(27, &pair);
        }
        for external in &self.external {
            out.text(37, external);
        }
        out
    }
}

/// The features that `FEATURE_CHECK` can check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckedFeatures {
    pub(super) mem_track: bool,
    pub(super) lazy_pages: bool,
}

/// The request for the version. criu keeps the connection open for further requests.
pub(super) fn version_request() -> Vec<u8> {
    let mut out = MessageWriter::default();
    out.number(1, RequestType::Version as i32);
    out.switch(4, true);
    out.finish()
}

/// The feature check, which also keeps the connection open.
pub(super) fn feature_request(features: CheckedFeatures) -> Vec<u8> {
    let mut asked = MessageWriter::default();
    asked.switch(1, features.mem_track);
    asked.switch(2, features.lazy_pages);
    let mut out = MessageWriter::default();
    out.number(1, RequestType::FeatureCheck as i32);
    out.switch(4, true);
    out.message(5, &asked);
    out.finish()
}

/// A dump, pre-dump or restore.
pub(super) fn request(kind: RequestType, opts: &CriuOptions) -> Vec<u8> {
    let mut out = MessageWriter::default();
    out.number(1, kind as i32);
    out.message(2, &opts.write());
    out.finish()
}

/// The answer to a notification.
pub(super) fn notified(success: bool) -> Vec<u8> {
    let mut out = MessageWriter::default();
    out.number(1, RequestType::Notify as i32);
    out.switch(3, success);
    out.finish()
}

/// criu's version, as one number: 4.1.1 is 40101.
pub(super) type CriuVersion = u32;

/// `criu_resp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CriuResponse {
    pub(super) kind: RequestType,
    pub(super) success: bool,
    /// The restored process.
    pub(super) pid: Option<i32>,
    /// The notification's name, and the pid that it is about.
    pub(super) notify: Option<(String, i32)>,
    pub(super) errno: Option<i32>,
    pub(super) message: Option<String>,
    pub(super) features: CheckedFeatures,
    pub(super) version: Option<CriuVersion>,
}

impl CriuResponse {
    /// Reads one message.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut response = Self {
            kind: RequestType::Other,
            success: false,
            pid: None,
            notify: None,
            errno: None,
            message: None,
            features: CheckedFeatures::default(),
            version: None,
        };
        for field in Fields::of(bytes) {
            match field? {
                (1, kind) => response.kind = RequestType::of(kind.number()),
                (2, success) => response.success = success.number() != 0,
                (4, restore) => response.pid = Some(first(restore)? as i32),
                (5, notify) => response.notify = Some(notification(notify)?),
                (7, errno) => response.errno = Some(errno.number() as i32).filter(|n| *n != 0),
                (8, features) => response.features = read_features(features)?,
                (9, message) => response.message = Some(message.text()),
                (10, version) => response.version = Some(read_version(version)?),
                _ => {}
            }
        }
        Ok(response)
    }
}

/// The first field's number.
fn first(message: FieldValue<'_>) -> Result<u64, Malformed> {
    for field in Fields::of(message.bytes()) {
        if let (1, value) = field? {
            return Ok(value.number());
        }
    }
    Err(Malformed)
}

fn notification(message: FieldValue<'_>) -> Result<(String, i32), Malformed> {
    let (mut script, mut pid) = (String::new(), 0);
    for field in Fields::of(message.bytes()) {
        match field? {
            (1, value) => script = value.text(),
            (2, value) => pid = value.number() as i32,
            _ => {}
        }
    }
    Ok((script, pid))
}

fn read_features(message: FieldValue<'_>) -> Result<CheckedFeatures, Malformed> {
    let mut features = CheckedFeatures::default();
    for field in Fields::of(message.bytes()) {
        match field? {
            (1, value) => features.mem_track = value.number() != 0,
            (2, value) => features.lazy_pages = value.number() != 0,
            _ => {}
        }
    }
    Ok(features)
}

/// A version with a git id counts as the next release, as in criu itself.
fn read_version(message: FieldValue<'_>) -> Result<CriuVersion, Malformed> {
    let (mut major, mut minor, mut sublevel, mut git) = (0, 0, 0, false);
    for field in Fields::of(message.bytes()) {
        match field? {
            (1, value) => major = value.number() as u32,
            (2, value) => minor = value.number() as u32,
            (3, _) => git = true,
            (4, value) => sublevel = value.number() as u32,
            _ => {}
        }
    }
    let base = major.saturating_mul(10_000).saturating_add(minor.saturating_mul(100));
    Ok(base.saturating_add(if git { 100 } else { sublevel }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Vec<(u32, FieldValue<'_>)> {
        Fields::of(bytes).map(Result::unwrap).collect()
    }

    #[test]
    fn a_request_contains_only_the_fields_that_are_set() {
        let opts = CriuOptions {
            images_dir_fd: 7,
            log_file: "dump.log",
            pid: Some(42),
            root: "/r".into(),
            manage_cgroups_mode: 3,
            page_server: Some(("::1".into(), 65535)),
            switches: vec![switch::NOTIFY_SCRIPTS, switch::TCP_CLOSE],
            ext_mnt: vec![("/etc/hosts".into(), "/etc/hosts".into())],
            inherit_fd: vec![("pipe:[5]".into(), 1)],
            external: vec!["net[4]:extRootNetNS".into()],
            ..CriuOptions::default()
        };
        let bytes = request(RequestType::Dump, &opts);
        let request = fields(&bytes);
        assert_eq!((request.len(), request[0]), (2, (1, FieldValue::Number(1))));
        let opts = fields(request[1].1.bytes());
        let numbers: Vec<u32> = opts.iter().map(|field| field.0).collect();
        assert_eq!(numbers, [1, 9, 10, 13, 34, 12, 52, 2, 11, 23, 27, 37]);
        let server = fields(opts[8].1.bytes());
        assert_eq!((server[0].1.text(), server[1].1), ("::1".to_owned(), FieldValue::Number(65535)));
        assert_eq!(fields(opts[10].1.bytes())[1], (2, FieldValue::Number(1)));
    }

    #[test]
    fn responses_are_parsed() {
        // The response to VERSION that criu 4.1.1 has sent.
        let version = CriuResponse::read(b"\x08\x0a\x10\x01\x52\x06\x08\x04\x10\x01\x20\x01").unwrap();
        assert_eq!(
            (version.kind, version.success, version.version),
            (RequestType::Version, true, Some(40101))
        );
        let notify = CriuResponse::read(b"\x08\x06\x10\x01\x2a\x10\x0a\x0cpost-restore\x10\x2a").unwrap();
        assert_eq!(notify.notify, Some(("post-restore".to_owned(), 42)));
        let failed = CriuResponse::read(b"\x08\x01\x10\x00\x38\x38\x4a\x02no").unwrap();
        assert_eq!((failed.success, failed.errno, failed.message.as_deref()), (false, Some(56), Some("no")));
        let restored = CriuResponse::read(b"\x08\x02\x10\x01\x22\x02\x08\x2a").unwrap();
        assert_eq!((restored.kind, restored.pid), (RequestType::Restore, Some(42)));
        let features = CriuResponse::read(b"\x08\x09\x10\x01\x42\x04\x08\x01\x10\x00").unwrap();
        assert_eq!(features.features, CheckedFeatures { mem_track: true, lazy_pages: false });
        assert!(CriuResponse::read(b"\x08\x02\x10\x01\x22\x00").is_err());
        assert!(CriuResponse::read(b"\x08").is_err());
    }
}
