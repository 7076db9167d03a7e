//! Systemd as manager of cgroups: a transient scope for each container, by D-Bus.
//!
//! A scope is made around a process that exists (`StartTransientUnit` with `PIDs`), so the container's
//! first process is started where its maker is, and waits while systemd moves it. From then on its
//! cgroup is one like others: delegated (`Delegate=`), its files are this library's to write.
//!
//! The client is as small as that: five methods and one signal, blocking, every answer with a deadline.

mod connection;
mod message;
mod property;
#[cfg(test)]
mod tests;
mod text;
mod unit;
mod value;

pub use property::Asked;
pub use unit::Unit;

use super::dir::is_there;
use super::settings::Settings;
use crate::{Error, ErrorKind, Phase, Result};
use connection::{Connection, Failure};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use value::Value;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The end of the name of the socket on which systemd itself answers: no bus, no greeting.
const PRIVATE: &str = "/systemd/private";
/// How long the end of a job is waited for before it is asked for.
const ASK_AFTER: Duration = Duration::from_millis(500);
/// What sd_booted(3) looks at.
const BOOTED: &str = "/run/systemd/system";

/// How a systemd is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bus {
    /// D-Bus addresses, tried in order.
    addresses: Vec<String>,
    /// Whether it is a user's.
    user: bool,
}

impl Default for Bus {
    fn default() -> Self {
        Self::system()
    }
}

impl Bus {
    /// The system's manager: by its own socket, or by the system bus.
    pub fn system() -> Self {
        let addresses = ["unix:path=/run/systemd/private", "unix:path=/run/dbus/system_bus_socket"];
        Self { addresses: addresses.map(str::to_owned).into(), user: false }
    }

    /// A user's manager: by the address of the session bus (`DBUS_SESSION_BUS_ADDRESS`), or by the sockets
    /// in the user's directory (`XDG_RUNTIME_DIR`). The library reads no environment: pass the values.
    pub fn user(session: Option<&str>, runtime_dir: Option<&Path>) -> Self {
        let mut addresses: Vec<String> =
            session.filter(|a| !a.is_empty()).map(str::to_owned).into_iter().collect();
        if let Some(directory) = runtime_dir.filter(|d| d.is_absolute()) {
            for name in ["systemd/private", "bus"] {
                addresses.push(format!("unix:path={}", escape(&directory.join(name))));
            }
        }
        Self { addresses, user: true }
    }

    /// Whether it is a user's manager.
    pub fn is_user(&self) -> bool {
        self.user
    }
}

/// A path as a value in an address: what is not a letter, a digit or one of a few others as `%XX`.
fn escape(path: &Path) -> String {
    use std::fmt::Write as _;
    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02x}");
        }
        text
    })
}

/// Where a systemd's units are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The cgroup below which they are; empty for the root.
    pub root: String,
    /// Whether the systemd is a user's.
    pub user: bool,
}

/// A unit, and who is to be told about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The unit.
    pub unit: Unit,
    /// Its systemd.
    pub bus: Bus,
}

/// A systemd that answers.
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
    /// [`ErrorKind::Unsupported`] where systemd does not run; what the socket says.
    pub fn connect(bus: &Bus) -> Result<Self> {
        if !bus.user && !is_there(Path::new(BOOTED))? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                Phase::Cgroup,
                "systemd not running on this host, cannot use systemd cgroups manager",
            ));
        }
        Self::open(bus)
    }

    /// [`Systemd::connect`] without a look at the host.
    fn open(bus: &Bus) -> Result<Self> {
        let mut first = None;
        for address in &bus.addresses {
            match Connection::open(address).and_then(|connection| Self::greet(connection, address, bus.user))
            {
                Ok(systemd) => return Ok(systemd),
                // A socket that is not there says least.
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

    fn greet(connection: Connection, address: &str, user: bool) -> Result<Self> {
        let mut systemd = Self { connection, user, root: String::new(), version: 0 };
        let failed = |operation| move |e: Failure| e.of(operation, address.to_owned());
        if !address.ends_with(PRIVATE) {
            let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
            let greetings = [("Hello", Vec::new()), ("AddMatch", vec![Value::Str(rule)])];
            for (member, body) in greetings {
                let method = ("/org/freedesktop/DBus", BUS, member);
                systemd.connection.call(BUS, method, body).map_err(failed("greet the bus"))?;
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

    /// Where its units are.
    pub fn home(&self) -> Home {
        Home { root: self.root.trim_end_matches('/').to_owned(), user: self.user }
    }

    /// Its version, such as 252; 0 where it does not say.
    pub fn version(&self) -> u32 {
        self.version
    }

    fn manager(&mut self, member: &'static str, body: Vec<Value>) -> Result<message::Message, Failure> {
        self.connection.call(SYSTEMD, (ROOT, MANAGER, member), body)
    }

    /// A property that is a string.
    fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<String, Failure> {
        let body = vec![Value::Str(interface.into()), Value::Str(name.into())];
        let answer = self.connection.call(SYSTEMD, (path, PROPERTIES, "Get"), body)?;
        Ok(answer.text(0).unwrap_or_default().to_owned())
    }

    /// Waits for the end of the job that `answer` names, which makes of the unit what `wanted` says. A
    /// systemd that reloads meanwhile may forget to tell its end: so it is asked from time to time.
    fn job(&mut self, answer: &message::Message, unit: &Unit, wanted: &str) -> Result<String, Failure> {
        let job = answer.text(0).unwrap_or_default().to_owned();
        let is_ours = |signal: &message::Message| signal.text(1) == Some(&job);
        let result = |signal: message::Message| signal.text(3).unwrap_or_default().to_owned();
        let deadline = Instant::now() + connection::PATIENCE;
        while Instant::now() < deadline {
            if let Some(done) = self.connection.signal("JobRemoved", is_ours, ASK_AFTER)? {
                return Ok(result(done));
            }
            match self.property(&job, "org.freedesktop.systemd1.Job", "State") {
                Ok(_) => continue,
                Err(Failure::Refused(..)) => {}
                Err(e) => return Err(e),
            }
            // The word may have come while it was asked for.
            if let Some(done) = self.connection.signal("JobRemoved", is_ours, Duration::ZERO)? {
                return Ok(result(done));
            }
            let state = self.active_state(unit)?.unwrap_or_else(|| "inactive".to_owned());
            return Ok(if state == wanted { "done".to_owned() } else { format!("unit {state}") });
        }
        Err(Failure::Broken(Errno::ETIMEDOUT))
    }

    /// The unit's state; `None` where there is none of this name.
    fn active_state(&mut self, unit: &Unit) -> Result<Option<String>, Failure> {
        let path = match self.manager("GetUnit", vec![Value::Str(unit.name.clone())]) {
            Ok(answer) => answer.text(0).unwrap_or_default().to_owned(),
            Err(e) if e.is("NoSuchUnit") => return Ok(None),
            Err(e) => return Err(e),
        };
        match self.property(&path, "org.freedesktop.systemd1.Unit", "ActiveState") {
            Ok(state) => Ok(Some(state)),
            // It has gone meanwhile.
            Err(e) if e.is("UnknownObject") || e.is("NoSuchUnit") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes sure that the unit's name is free: what is left of one that failed is forgotten.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] where there is such a unit.
    pub fn claim(&mut self, unit: &Unit) -> Result<()> {
        let failed = |e: Failure| e.of("ask systemd for unit", unit.name.as_str());
        match self.active_state(unit).map_err(failed)? {
            None => Ok(()),
            // One that has ended: systemd forgets it by itself, unless it failed.
            Some(state) if state == "failed" || state == "inactive" => {
                self.forget(unit);
                Ok(())
            }
            Some(state) => Err(exists(unit, &format!("it is {state}"))),
        }
    }

    fn forget(&mut self, unit: &Unit) {
        // Refused where it had not failed, which is as good.
        let _ = self.manager("ResetFailedUnit", vec![Value::Str(unit.name.clone())]);
    }

    /// Makes the scope around a process, with what the limits and the configuration's annotations say of it.
    ///
    /// # Errors
    /// What systemd says, with the unit and the result of its job.
    pub fn start(&mut self, unit: &Unit, pid: i32, settings: &Settings, asked: Asked) -> Result<()> {
        const OPERATION: &str = "start systemd unit";
        let failed = |e: Failure| e.of(OPERATION, unit.name.as_str());
        let asked = asked.into_properties();
        let mut properties = self.usual(unit, pid);
        properties.extend(property::of_settings(settings, self.version));
        // What the configuration names is its own.
        properties.retain(|(name, _)| !asked.iter().any(|(other, _)| other == name));
        properties.extend(asked);
        let body = vec![
            Value::Str(unit.name.clone()),
            Value::Str("replace".into()),
            property::encode(properties),
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let answer = match self.manager("StartTransientUnit", body) {
            Err(e) if e.is("UnitExists") => return Err(exists(unit, "somebody has made it meanwhile")),
            other => other.map_err(failed)?,
        };
        match self.job(&answer, unit, "active").map_err(failed)?.as_str() {
            "done" => Ok(()),
            result => {
                self.forget(unit);
                Err(Error::new(ErrorKind::System, Phase::Cgroup, OPERATION)
                    .on(unit.name.as_str())
                    .with_detail(format!("the result of its job is {result:?}")))
            }
        }
    }

    /// What every scope is.
    fn usual(&self, unit: &Unit, pid: i32) -> Vec<property::Property> {
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
            // One that failed does not keep its name.
            properties.push(text("CollectMode", "inactive-or-failed"));
        }
        properties
    }

    /// Tells systemd of other limits, until the unit ends.
    ///
    /// # Errors
    /// What systemd says.
    pub fn set(&mut self, unit: &Unit, settings: &Settings) -> Result<()> {
        let properties = property::of_settings(settings, self.version);
        if properties.is_empty() {
            return Ok(());
        }
        let body = vec![Value::Str(unit.name.clone()), Value::Bool(true), property::encode(properties)];
        let done = self.manager("SetUnitProperties", body);
        done.map(drop).map_err(|e| e.of("set properties of systemd unit", unit.name.as_str()))
    }

    /// Moves a process into the unit.
    ///
    /// # Errors
    /// What systemd says.
    pub fn attach(&mut self, unit: &Unit, pid: i32) -> Result<()> {
        let pids = Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())]);
        let body = vec![Value::Str(unit.name.clone()), Value::Str("/".into()), pids];
        let done = self.manager("AttachProcessesToUnit", body);
        done.map(drop).map_err(|e| e.of("move process into systemd unit", unit.name.as_str()))
    }

    /// Ends the unit, in which nobody should be left, and waits for that. It is no error if it has gone.
    ///
    /// # Errors
    /// What systemd says.
    pub fn stop(&mut self, unit: &Unit) -> Result<()> {
        let failed = |e: Failure| e.of("stop systemd unit", unit.name.as_str());
        let body = vec![Value::Str(unit.name.clone()), Value::Str("replace".into())];
        match self.manager("StopUnit", body) {
            Ok(answer) => {
                // Whatever its result, what is left of a unit that failed is forgotten.
                self.job(&answer, unit, "inactive").map_err(failed)?;
                self.forget(unit);
                Ok(())
            }
            Err(e) if e.is("NoSuchUnit") => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }
}

fn exists(unit: &Unit, how: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, Phase::Cgroup, "systemd unit exists already")
        .on(unit.name.as_str())
        .with_detail(how)
}
