use super::*;

const NONE: MountAttrFlags = MountAttrFlags::empty();

fn parsed(options: &[&str]) -> MountOptions {
    parse(&options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_table_is_sorted_and_complete() {
    let all: Vec<_> = names().collect();
    assert!(all.is_sorted());
    assert_eq!(all.len(), 62);
    let spec = "async atime dev diratime exec noatime nodev nodiratime noexec norelatime nostrictatime \
         nosuid relatime ro rw strictatime suid bind rbind defaults dirsync sync mand nomand iversion \
         noiversion loud silent lazytime nolazytime nosymfollow symfollow private rprivate shared rshared \
         slave rslave unbindable runbindable remount rro rrw rnosuid rsuid rnodev rdev rnoexec rexec \
         ratime rnoatime rdiratime rnodiratime rstrictatime rnostrictatime rrelatime rnorelatime \
         rnosymfollow rsymfollow tmpcopyup idmap ridmap";
    for name in spec.split_whitespace() {
        assert!(all.contains(&name), "{name}");
        assert!(parsed(&[name]).data.is_empty(), "{name} is not a driver's option");
    }
}

#[test]
fn an_attribute_and_its_opposite_exclude_each_other() {
    let o = parsed(&["nosuid", "noexec", "nodev", "ro", "exec"]);
    assert_eq!(o.attr_set, MountAttrFlags::NOSUID | MountAttrFlags::NODEV | MountAttrFlags::RDONLY);
    assert_eq!(o.attr_clear, MountAttrFlags::NOEXEC);
    assert_eq!(o.superblock.iter().map(|f| f.key).collect::<Vec<_>>(), ["ro"]);
    assert_eq!(parsed(&["ro", "rw"]).attributes().unwrap().clear, MountAttrFlags::RDONLY);
    assert_eq!(parsed(&["nosymfollow"]).attr_set.bits(), 0x20_0000);
    assert_eq!(parsed(&["defaults"]), MountOptions::default());
}

#[test]
fn access_time_modes_exclude_each_other() {
    for (options, set, clear) in [
        (&["noatime"][..], MountAttrFlags::NOATIME, MountAttrFlags::ATIME),
        (&["strictatime"], MountAttrFlags::STRICTATIME, MountAttrFlags::ATIME),
        (&["relatime"], NONE, MountAttrFlags::ATIME),
        (&["noatime", "strictatime"], MountAttrFlags::STRICTATIME, MountAttrFlags::ATIME),
        (&["strictatime", "noatime"], MountAttrFlags::NOATIME, MountAttrFlags::ATIME),
        (&["strictatime", "atime"], MountAttrFlags::STRICTATIME, MountAttrFlags::ATIME),
        (&["norelatime"], NONE, NONE),
        (&["noatime", "norelatime"], MountAttrFlags::NOATIME, MountAttrFlags::ATIME),
        (
            &["nodiratime", "noatime"],
            MountAttrFlags::NODIRATIME | MountAttrFlags::NOATIME,
            MountAttrFlags::ATIME,
        ),
        (&["diratime"], NONE, MountAttrFlags::NODIRATIME),
    ] {
        let o = parsed(options);
        assert_eq!((o.attr_set, o.attr_clear), (set, clear), "{options:?}");
        let recursive: Vec<String> = options.iter().map(|o| format!("r{o}")).collect();
        let o = parse(&recursive).unwrap();
        assert_eq!((o.rec_set, o.rec_clear), (set, clear), "{recursive:?}");
        assert_eq!((o.attr_set, o.attr_clear), (NONE, NONE));
    }
}

/// mount(8) leaves the mode that a mount has; the recursive options have no such tradition.
#[test]
fn a_deselected_access_time_mode_is_left_as_it_is() {
    for options in
        [&["atime"][..], &["nostrictatime"], &["noatime", "atime"], &["strictatime", "nostrictatime"]]
    {
        let o = parsed(options);
        assert_eq!((o.attr_set, o.attr_clear), (NONE, NONE), "{options:?}");
        assert!(o.names_attributes);
        let recursive: Vec<String> = options.iter().map(|o| format!("r{o}")).collect();
        let o = parse(&recursive).unwrap();
        assert_eq!((o.rec_set, o.rec_clear), (NONE, MountAttrFlags::ATIME), "{recursive:?}");
        assert!(!o.names_attributes);
    }
}

#[test]
fn recursive_options_apply_to_a_new_mount() {
    assert_eq!(parsed(&["rro"]).new_mount_attributes(), MountAttrFlags::RDONLY);
    assert!(parsed(&["rro"]).read_only());
    assert_eq!(parsed(&["ro", "rrw"]).new_mount_attributes(), NONE);
    assert_eq!(parsed(&["noatime", "rstrictatime"]).new_mount_attributes(), MountAttrFlags::STRICTATIME);
    assert_eq!(parsed(&["noatime", "rrelatime"]).new_mount_attributes(), NONE);
    assert_eq!(
        parsed(&["noatime", "rnosuid"]).new_mount_attributes(),
        MountAttrFlags::NOATIME | MountAttrFlags::NOSUID
    );
}

#[test]
fn superblock_flags_replace_their_opposites() {
    let o = parsed(&["sync", "lazytime", "async", "dirsync", "nolazytime", "mand"]);
    let keys: Vec<_> = o.superblock.iter().map(|f| (f.key, f.index)).collect();
    assert_eq!(keys, [("async", 2), ("dirsync", 3), ("nolazytime", 4), ("mand", 5)]);
    assert_eq!(parsed(&["silent", "loud", "iversion", "noiversion"]).without_effect, [0, 1, 2, 3]);
}

#[test]
fn the_runtimes_own_options_are_recognised() {
    let o = parsed(&["rbind", "rprivate", "shared", "ridmap", "tmpcopyup", "remount"]);
    assert_eq!(o.bind, Some(RecursiveOption { recursive: true, index: 0 }));
    assert_eq!(
        o.propagation,
        [Propagation::recursive(PropagationKind::Private), Propagation::single(PropagationKind::Shared),]
    );
    assert_eq!(o.idmap, Some(RecursiveOption { recursive: true, index: 3 }));
    assert_eq!((o.tmpcopyup, o.remount), (Some(4), Some(5)));
    let o = parsed(&["bind", "ridmap=uids=0-5-1;gids=0-6-1"]);
    assert_eq!((o.idmap, o.data.len()), (Some(RecursiveOption { recursive: true, index: 1 }), 0));
    assert_eq!(o.idmap_ranges.unwrap().gids[0].to, 6);
    assert_eq!(parsed(&["bind", "rw"]).bind, Some(RecursiveOption { recursive: false, index: 0 }));
}

#[test]
fn other_options_are_the_drivers() {
    let o = parsed(&["mode=755", "", "newinstance", "size=64k,nosuid", "lowerdir=/a\\,b:/c"]);
    let text: Vec<_> = o.data.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["mode=755", "newinstance", "size=64k", "lowerdir=/a\\,b:/c"]);
    assert_eq!(o.attr_set, MountAttrFlags::NOSUID);
    assert_eq!(o.data_value("mode"), Some("755"));
    let o = parsed(&["context=\"u:r:t:s0:c1,c2\""]);
    assert_eq!(o.data_value("context"), Some("u:r:t:s0:c1,c2"));
    let e = parsed(&["bind", "mode=755", "foo"]).refuse_data().unwrap_err();
    assert_eq!(e.index, 1);
    assert!(e.message.ends_with("mode=755,foo"), "{e}");
    assert!(parsed(&["bind", "ro"]).refuse_data().is_ok());
    assert!(!DataOption { key: "a".into(), value: Some("x".repeat(256)), index: 0 }.fits_fsconfig());
}

#[test]
fn errors_name_the_option() {
    for (bad, index) in
        [(&["ro", "a\0b"][..], 1), (&["=x"], 0), (&["idmap=uids=0"], 0), (&["ro", "ridmap=x"], 1)]
    {
        let list: Vec<String> = bad.iter().map(|&o| o.to_owned()).collect();
        assert_eq!(parse(&list).unwrap_err().index, index);
    }
}
