use super::message::{FIXED, Message, MessageType};
use super::value::Value;
use super::{RequestedProperties, Systemd, SystemdBus, SystemdInstance, Unit};
use crate::ErrorKind;
use crate::bundle::annotations::AllowedAnnotations;
use crate::cgroup::Settings;
use crate::cgroup::testing::TempDir;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// A peer that replies to each call with `answer`, and returns the calls.
fn peer(at: PathBuf, answer: impl Fn(&Message) -> Vec<Message> + Send + 'static) -> JoinHandle<Vec<Message>> {
    let listener = UnixListener::bind(at).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        authenticate(&mut reader, &mut writer);
        let mut calls = Vec::new();
        let mut head = [0; FIXED];
        while reader.read_exact(&mut head).is_ok() {
            let mut bytes = head.to_vec();
            bytes.resize(Message::length(&head).unwrap(), 0);
            reader.read_exact(&mut bytes[FIXED..]).unwrap();
            let call = Message::decode(&bytes).unwrap();
            for (n, mut message) in answer(&call).into_iter().enumerate() {
                message.serial = 1000 + n as u32;
                if message.kind != MessageType::Signal {
                    message.reply_to = Some(call.serial);
                }
                let _ = writer.write_all(&message.encode());
            }
            calls.push(call);
        }
        calls
    })
}

fn authenticate(reader: &mut BufReader<UnixStream>, writer: &mut UnixStream) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "\0AUTH EXTERNAL\r\n");
    writer.write_all(b"DATA\r\n").unwrap();
    line.clear();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "DATA\r\n");
    writer.write_all(b"OK 0123456789abcdef\r\n").unwrap();
    line.clear();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "BEGIN\r\n");
}

fn reply(body: Vec<Value>) -> Message {
    Message { kind: MessageType::Reply, body, ..Message::default() }
}

fn refusal(name: &str, text: &str) -> Message {
    let body = vec![Value::Str(text.into())];
    Message { kind: MessageType::Error, member: Some(name.into()), body, ..Message::default() }
}

fn removed(job: &str, unit: &str, result: &str) -> Message {
    let body =
        vec![Value::U32(1), Value::Path(job.into()), Value::Str(unit.into()), Value::Str(result.into())];
    Message { kind: MessageType::Signal, member: Some("JobRemoved".into()), body, ..Message::default() }
}

/// A minimal systemd, whose jobs have this `result`.
fn systemd(call: &Message, result: &str) -> Vec<Message> {
    let text = |text: &str| vec![reply(vec![Value::Variant(Box::new(Value::Str(text.into())))])];
    let job = || Value::Path("/org/freedesktop/systemd1/job/7".into());
    match (call.member.as_deref().unwrap(), call.text(1)) {
        ("Get", Some("ControlGroup")) => text("/user.slice/user@7.service"),
        ("Get", Some("Version")) => text("252.38-1~deb12u1"),
        ("Get", Some("ActiveState")) => text(result),
        ("StartTransientUnit", _) if matches!(result, "active" | "inactive") => vec![reply(vec![job()])],
        ("StopUnit", _) if matches!(result, "active" | "inactive") => vec![reply(vec![job()])],
        ("StartTransientUnit", _) => {
            let other = removed("/org/freedesktop/systemd1/job/6", "x.scope", "failed");
            // The signal may be sent before the reply to the call that started the job.
            let ours = removed("/org/freedesktop/systemd1/job/7", "u.scope", result);
            vec![other, ours, reply(vec![job()])]
        }
        ("GetUnit" | "StopUnit", _) if result == "none" => {
            vec![refusal("org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.")]
        }
        ("StopUnit", _) => {
            vec![reply(vec![job()]), removed("/org/freedesktop/systemd1/job/7", "u.scope", result)]
        }
        // A job without a signal: it no longer exists, but the state of the unit can be queried.
        ("Get", Some("State")) => {
            vec![refusal("org.freedesktop.DBus.Error.UnknownObject", "Unknown object.")]
        }
        ("GetUnit", _) => vec![reply(vec![Value::Path("/org/freedesktop/systemd1/unit/u".into())])],
        ("SetUnitProperties", _) => {
            vec![refusal("org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property X")]
        }
        _ => vec![reply(Vec::new())],
    }
}

/// Runs `act` with a client of a systemd whose jobs have this `result`. Returns the calls too.
fn with_systemd<T>(socket: &str, result: &'static str, act: impl Fn(&mut Systemd) -> T) -> (T, Vec<Message>) {
    let directory = TempDir::new("systemd");
    std::fs::create_dir_all(directory.path().join("systemd")).unwrap();
    let calls = peer(directory.path().join(socket), move |call| systemd(call, result));
    let mut client = Systemd::connect(&SystemdBus::user(None, Some(directory.path()))).unwrap();
    let instance = SystemdInstance { root: "/user.slice/user@7.service".into(), user: true };
    assert_eq!((client.instance(), client.version()), (instance, 252));
    let done = act(&mut client);
    drop(client);
    (done, calls.join().unwrap())
}

fn names(calls: &[Message]) -> Vec<&str> {
    calls.iter().map(|call| call.member.as_deref().unwrap()).collect()
}

fn unit() -> Unit {
    Unit { slice: "machine.slice".into(), name: "u.scope".into() }
}

fn start(client: &mut Systemd) -> crate::Result<()> {
    let annotations = [("TimeoutStopSec", "uint64 10"), ("CollectMode", "'inactive'")];
    let annotations: BTreeMap<String, String> =
        annotations.map(|(name, value)| (format!("org.systemd.property.{name}"), value.to_owned())).into();
    let requested =
        RequestedProperties::from_annotations(&annotations.into(), &AllowedAnnotations::default()).unwrap();
    client.start(&unit(), 4711, &Settings::default(), requested)
}

#[test]
fn a_scope_is_started() {
    let (done, calls) = with_systemd("systemd/private", "done", start);
    done.unwrap();
    assert_eq!(names(&calls), ["Get", "Get", "StartTransientUnit"]);
    let call = &calls[2];
    assert_eq!((call.text(0), call.text(1)), (Some("u.scope"), Some("replace")));
    let Value::Array(_, properties) = &call.body[2] else { panic!("{call:?}") };
    let find = |name: &str| {
        let mut found = properties.iter().filter_map(|property| match property {
            Value::Struct(pair) if pair[0].text() == Some(name) => Some(pair[1].clone()),
            _ => None,
        });
        let first = found.next();
        assert_eq!(found.next(), None, "{name} is given twice");
        first.map(|value| match value {
            Value::Variant(inner) => *inner,
            other => other,
        })
    };
    assert_eq!(find("PIDs"), Some(Value::Array("u".into(), vec![Value::U32(4711)])));
    assert_eq!(find("Slice"), Some(Value::Str("machine.slice".into())));
    assert_eq!(find("Delegate"), Some(Value::Bool(true)));
    assert_eq!(find("DefaultDependencies"), Some(Value::Bool(false)));
    assert_eq!(find("TimeoutStopUSec"), Some(Value::U64(10_000_000)));
    assert_eq!(find("CollectMode"), Some(Value::Str("inactive".into())), "the annotation's");
}

#[test]
fn on_a_bus_the_client_subscribes_to_signals() {
    let (done, calls) = with_systemd("bus", "done", start);
    done.unwrap();
    assert_eq!(names(&calls), ["Hello", "AddMatch", "Subscribe", "Get", "Get", "StartTransientUnit"]);
}

#[test]
fn a_failed_job_is_an_error_with_its_result() {
    let (done, calls) = with_systemd("systemd/private", "failed", start);
    let e = done.unwrap_err().to_string();
    assert!(e.contains("start systemd unit u.scope") && e.contains("\"failed\""), "{e}");
    assert_eq!(names(&calls).last(), Some(&"ResetFailedUnit"));
}

#[test]
fn the_state_of_a_job_without_a_signal_is_queried() {
    let (done, calls) = with_systemd("systemd/private", "active", start);
    done.unwrap();
    assert_eq!(names(&calls)[2..], ["StartTransientUnit", "Get", "GetUnit", "Get"]);
    let (done, _) = with_systemd("systemd/private", "inactive", start);
    let e = done.unwrap_err().to_string();
    assert!(e.contains("\"unit inactive\""), "{e}");
    let (done, _) = with_systemd("systemd/private", "inactive", |client| client.stop(&unit()));
    done.unwrap();
}

#[test]
fn the_name_of_a_failed_unit_can_be_claimed() {
    let (done, calls) = with_systemd("systemd/private", "failed", |client| client.claim(&unit()));
    done.unwrap();
    assert_eq!(names(&calls)[2..], ["GetUnit", "Get", "ResetFailedUnit"]);
    let (done, _) = with_systemd("systemd/private", "none", |client| client.claim(&unit()));
    done.unwrap();
    let (done, _) = with_systemd("systemd/private", "active", |client| client.claim(&unit()));
    assert_eq!(done.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_scope_is_stopped() {
    let (done, calls) = with_systemd("systemd/private", "done", |client| client.stop(&unit()));
    done.unwrap();
    assert_eq!(names(&calls)[2..], ["StopUnit", "ResetFailedUnit"]);
    let (done, _) = with_systemd("systemd/private", "none", |client| client.stop(&unit()));
    done.unwrap();
}

#[test]
fn a_closed_connection_is_an_error() {
    let directory = TempDir::new("systemd-gone");
    let listener = UnixListener::bind(directory.path().join("bus")).unwrap();
    let peer = std::thread::spawn(move || drop(listener.accept()));
    let e = Systemd::connect(&SystemdBus::user(None, Some(directory.path()))).unwrap_err();
    peer.join().unwrap();
    assert!(e.hint().unwrap().contains("XDG_RUNTIME_DIR"), "{e}");
    let e = Systemd::connect(&SystemdBus::user(None, None)).unwrap_err().to_string();
    assert!(e.contains("no address is known"), "{e}");
}

#[test]
fn a_rejected_authentication_is_an_error() {
    let directory = TempDir::new("systemd-refuses");
    let listener = UnixListener::bind(directory.path().join("bus")).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 100]);
        stream.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
    });
    let e = Systemd::connect(&SystemdBus::user(None, Some(directory.path()))).unwrap_err();
    peer.join().unwrap();
    assert_eq!(e.errno(), Some(nix::errno::Errno::EACCES), "{e}");
}

#[test]
fn addresses_are_escaped() {
    let bus = SystemdBus::user(Some("unix:abstract=x"), Some(Path::new("/run/a b")));
    assert_eq!(
        bus.addresses,
        ["unix:abstract=x", "unix:path=/run/a%20b/systemd/private", "unix:path=/run/a%20b/bus"]
    );
}
