//! Calls to systemd: <https://www.freedesktop.org/software/systemd/man/org.freedesktop.systemd1.html>.

use super::annotations::RequestedProperties;
use super::bus::SystemdBus;
use super::connection::{CALL_TIMEOUT, CallError, Connection};
use super::devices::{self, device_properties, new_device_properties};
use super::limits::{limit_properties, oom_policy};
use super::message::Message;
use super::property::{self, Property};
use super::scope::SystemdInstance;
use super::unit::Unit;
use super::value::Value;
use crate::cgroup::dir::exists;
use crate::cgroup::settings::Settings;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The last part of the path of systemd's private socket, at which there is no bus.
const PRIVATE: &str = "/systemd/private";
/// How long to wait for the signal about a job before its state is queried.
const QUERY_AFTER: Duration = Duration::from_millis(500);
/// Exists if systemd runs: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// A connection to an instance of systemd.
#[derive(Debug)]
pub struct Systemd {
    connection: Connection,
    user: bool,
    root: String,
    version: u32,
}

impl Systemd {
    /// Connects.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if systemd does not run; if the connection fails.
    pub fn connect(bus: &SystemdBus) -> Result<Self> {
        if !bus.user && !exists(Path::new(BOOTED))? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                Phase::Cgroup,
                "systemd not running on this host, cannot use systemd cgroups manager",
            ));
        }
        Self::open(bus)
    }

    /// [`Systemd::connect`] without checking whether systemd runs.
    fn open(bus: &SystemdBus) -> Result<Self> {
        let mut first = None;
        for address in &bus.addresses {
            match Connection::open(address)
                .and_then(|connection| Self::subscribe(connection, address, bus.user))
            {
                Ok(systemd) => return Ok(systemd),
                // Another error says more than a missing socket.
                Err(e) if e.errno() == Some(Errno::ENOENT) => first = first.or(Some(e)),
                Err(e) => first = Some(e),
            }
        }
        let error = first.unwrap_or_else(|| {
            Error::new(ErrorKind::Unsupported, Phase::Cgroup, "connect to systemd")
                .with_detail("no address is known")
        });
        Err(if bus.user {
            error.with_hint(
                "systemd of this user is found by DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR, and runs while the \
                 user is logged in (loginctl enable-linger)",
            )
        } else {
            error
        })
    }

    fn subscribe(connection: Connection, address: &str, user: bool) -> Result<Self> {
        let mut systemd = Self { connection, user, root: String::new(), version: 0 };
        let failed = |operation| move |e: CallError| e.into_error(operation, address.to_owned());
        if !address.ends_with(PRIVATE) {
            let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
            let bus_calls = [("Hello", Vec::new()), ("AddMatch", vec![Value::Str(rule)])];
            for (member, body) in bus_calls {
                let method = ("/org/freedesktop/DBus", BUS, member);
                systemd.connection.call(BUS, method, body).map_err(failed("connect to the bus"))?;
            }
            systemd.manager("Subscribe", Vec::new()).map_err(failed("subscribe to systemd"))?;
        }
        let get = |systemd: &mut Self, name: &str| {
            systemd.property(ROOT, MANAGER, name).map_err(failed("ask systemd"))
        };
        systemd.root = get(&mut systemd, "ControlGroup")?;
        let version = get(&mut systemd, "Version")?;
        let digits = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next();
        systemd.version = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Ok(systemd)
    }

    /// The instance.
    pub fn instance(&self) -> SystemdInstance {
        SystemdInstance { root: self.root.trim_end_matches('/').to_owned(), user: self.user }
    }

    /// Its version, such as 252; 0 if it is unknown.
    pub fn version(&self) -> u32 {
        self.version
    }

    fn manager(&mut self, member: &'static str, body: Vec<Value>) -> Result<Message, CallError> {
        self.connection.call(SYSTEMD, (ROOT, MANAGER, member), body)
    }

    /// A property that is a string.
    fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<String, CallError> {
        let body = vec![Value::Str(interface.into()), Value::Str(name.into())];
        let reply = self.connection.call(SYSTEMD, (path, PROPERTIES, "Get"), body)?;
        Ok(reply.text(0).unwrap_or_default().to_owned())
    }

    /// Waits for the job in `reply`, after which the unit should be in the state `expected`. Returns the job's result.
    ///
    /// Systemd may not send a signal if it is reloading, so the job's state is queried from time to time.
    fn wait_for_job(&mut self, reply: &Message, unit: &Unit, expected: &str) -> Result<String, CallError> {
        let job = reply.text(0).unwrap_or_default().to_owned();
        let is_ours = |signal: &Message| signal.text(1) == Some(&job);
        let result = |signal: Message| signal.text(3).unwrap_or_default().to_owned();
        let deadline = Instant::now() + CALL_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(done) = self.connection.signal("JobRemoved", is_ours, QUERY_AFTER)? {
                return Ok(result(done));
            }
            match self.property(&job, "org.freedesktop.systemd1.Job", "State") {
                Ok(_) => continue,
                Err(CallError::Refused(..)) => {}
                Err(e) => return Err(e),
            }
            // The signal may have arrived during the query.
            if let Some(done) = self.connection.signal("JobRemoved", is_ours, Duration::ZERO)? {
                return Ok(result(done));
            }
            let state = self.active_state(unit)?.unwrap_or_else(|| "inactive".to_owned());
            return Ok(if state == expected { "done".to_owned() } else { format!("unit {state}") });
        }
        Err(CallError::Broken(Errno::ETIMEDOUT))
    }

    /// The state of the unit; `None` if it does not exist.
    fn active_state(&mut self, unit: &Unit) -> Result<Option<String>, CallError> {
        let path = match self.manager("GetUnit", vec![Value::Str(unit.name.clone())]) {
            Ok(reply) => reply.text(0).unwrap_or_default().to_owned(),
            Err(e) if e.is("NoSuchUnit") => return Ok(None),
            Err(e) => return Err(e),
        };
        match self.property(&path, "org.freedesktop.systemd1.Unit", "ActiveState") {
            Ok(state) => Ok(Some(state)),
            // It was removed in the meantime.
            Err(e) if e.is("UnknownObject") || e.is("NoSuchUnit") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes sure that the unit does not exist. A failed unit with this name is reset.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the unit exists.
    pub fn claim(&mut self, unit: &Unit) -> Result<()> {
        let failed = |e: CallError| e.into_error("ask systemd for unit", unit.name.as_str());
        match self.active_state(unit).map_err(failed)? {
            None => Ok(()),
            // Systemd removes an inactive unit by itself, but not a failed one.
            Some(state) if state == "failed" || state == "inactive" => {
                self.reset_failed(unit);
                Ok(())
            }
            Some(state) => Err(already_exists(unit, &format!("it is {state}"))),
        }
    }

    fn reset_failed(&mut self, unit: &Unit) {
        // It is not an error if the unit has not failed.
        let _ = self.manager("ResetFailedUnit", vec![Value::Str(unit.name.clone())]);
    }

    /// Creates the scope with a process in it. Limits and device rules become properties, and `requested` properties override others.
    ///
    /// # Errors
    /// If systemd refuses or the job fails, with the unit.
    pub fn start(
        &mut self,
        unit: &Unit,
        pid: i32,
        settings: &Settings,
        requested: RequestedProperties,
    ) -> Result<()> {
        const OPERATION: &str = "start systemd unit";
        let failed = |e: CallError| e.into_error(OPERATION, unit.name.as_str());
        let requested = requested.into_properties();
        let mut properties = self.scope_properties(unit, pid);
        properties.extend(limit_properties(settings, self.version));
        properties.extend(oom_policy(settings, self.version));
        let strict = requested.iter().any(|(name, _)| name == devices::POLICY);
        properties.extend(device_properties(settings, strict));
        properties.retain(|(name, _)| !requested.iter().any(|(other, _)| other == name));
        properties.extend(requested);
        let body = vec![
            Value::Str(unit.name.clone()),
            Value::Str("replace".into()),
            property::encode(properties),
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let reply = match self.manager("StartTransientUnit", body) {
            Err(e) if e.is("UnitExists") => {
                return Err(already_exists(unit, "it was created in the meantime"));
            }
            other => other.map_err(failed)?,
        };
        match self.wait_for_job(&reply, unit, "active").map_err(failed)?.as_str() {
            "done" => Ok(()),
            result => {
                self.reset_failed(unit);
                Err(Error::new(ErrorKind::System, Phase::Cgroup, OPERATION)
                    .on(unit.name.as_str())
                    .with_detail(format!("the result of its job is {result:?}")))
            }
        }
    }

    /// The properties of every scope.
    fn scope_properties(&self, unit: &Unit, pid: i32) -> Vec<Property> {
        let on = |name: &str| (name.to_owned(), Value::Bool(true));
        let text = |name: &str, text: &str| (name.to_owned(), Value::Str(text.to_owned()));
        let mut properties = vec![
            text("Description", &format!("orlop container {}", unit.name)),
            text("Slice", &unit.slice),
            ("PIDs".to_owned(), Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())])),
            on("Delegate"),
            ("DefaultDependencies".to_owned(), Value::Bool(false)),
            on("MemoryAccounting"),
            on("CPUAccounting"),
            on("TasksAccounting"),
            on("IOAccounting"),
        ];
        if self.version >= 236 {
            // A failed unit is removed too.
            properties.push(text("CollectMode", "inactive-or-failed"));
        }
        properties
    }

    /// Changes the limits and the device rules until the unit stops. Systemd has written to the cgroup's files when this returns.
    ///
    /// # Errors
    /// If systemd refuses.
    pub fn set_limits(&mut self, unit: &Unit, settings: &Settings) -> Result<()> {
        let mut properties = limit_properties(settings, self.version);
        properties.extend(new_device_properties(settings));
        if properties.is_empty() {
            return Ok(());
        }
        let body = vec![Value::Str(unit.name.clone()), Value::Bool(true), property::encode(properties)];
        let failed = |e: CallError| e.into_error("set properties of systemd unit", unit.name.as_str());
        self.manager("SetUnitProperties", body).map_err(failed)?;
        // Systemd replies before it writes to the cgroup's files, and writes before it takes the next call.
        self.property(ROOT, MANAGER, "Version").map(drop).map_err(failed)
    }

    /// Moves a process into the unit.
    ///
    /// # Errors
    /// If systemd refuses.
    pub fn attach(&mut self, unit: &Unit, pid: i32) -> Result<()> {
        self.attach_below(unit, Path::new(""), pid)
    }

    /// Moves a process into the cgroup at this path below that of the unit.
    ///
    /// # Errors
    /// If systemd refuses.
    pub(crate) fn attach_below(&mut self, unit: &Unit, path: &Path, pid: i32) -> Result<()> {
        let pids = Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())]);
        let path = Value::Str(format!("/{}", path.display()));
        let body = vec![Value::Str(unit.name.clone()), path, pids];
        let done = self.manager("AttachProcessesToUnit", body);
        done.map(drop).map_err(|e| e.into_error("move process into systemd unit", unit.name.as_str()))
    }

    /// Stops the unit, which should have no processes, and waits for that. It is not an error if it does not exist.
    ///
    /// # Errors
    /// If systemd refuses.
    pub fn stop(&mut self, unit: &Unit) -> Result<()> {
        let failed = |e: CallError| e.into_error("stop systemd unit", unit.name.as_str());
        let body = vec![Value::Str(unit.name.clone()), Value::Str("replace".into())];
        match self.manager("StopUnit", body) {
            Ok(reply) => {
                // Whatever the result of the job is, the unit may have failed.
                self.wait_for_job(&reply, unit, "inactive").map_err(failed)?;
                self.reset_failed(unit);
                Ok(())
            }
            Err(e) if e.is("NoSuchUnit") => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }
}

fn already_exists(unit: &Unit, why: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, Phase::Cgroup, "systemd unit exists already")
        .on(unit.name.as_str())
        .with_detail(why)
}
