//! What a path of an ipc endpoint may be, for bind and for connect. As root:
//! the cases of missing permission run in a child that gives root up.

use std::{
    env,
    error::Error,
    fs,
    os::unix::{fs::symlink, fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use pushpull::{Config, OpenErrorKind, Pull, Push};
use tempfile::tempdir;

use crate::harness::{at, in_own_process, play, role, succeeded, within, LONG};

use OpenErrorKind::{
    AddressInUse, NotADirectory, NotASocket, NotFound, PathTooLong, PermissionDenied, ReadOnly,
};

fn endpoint(path: &Path) -> String {
    format!("ipc://{}", path.display())
}

#[track_caller]
fn refused(config: Config, kind: OpenErrorKind) {
    let push = Push::open(config.clone()).map(drop).unwrap_err();
    let pull = Pull::open(config).map(drop).unwrap_err();
    for error in [push, pull] {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.subject().starts_with("ipc://"), "{error}");
        assert!(error.to_string().starts_with(error.subject()), "{error}");
    }
}

#[track_caller]
fn refused_both_ways(path: &Path, kind: OpenErrorKind) {
    refused(Config::bind(&endpoint(path)), kind);
    refused(Config::connect(&endpoint(path)), kind);
}

#[test]
fn every_path_that_can_not_be_is_refused() {
    within(20, || {
        let dir = tempdir().unwrap();
        let dir = dir.path();
        let missing = dir.join("missing");
        let in_it = endpoint(&missing.join("a.sock"));
        refused_both_ways(&missing.join("a.sock"), NotFound);
        for error in [Pull::bind(&in_it), Pull::connect(&in_it)].map(Result::unwrap_err) {
            let text = error.to_string();
            let due = format!("there is no folder {}", missing.display());
            assert!(text.ends_with(&due), "{text}");
            assert!(error.source().is_some(), "{error:?}");
        }
        refused_both_ways(&dir.join("x".repeat(108)), PathTooLong);

        let file = dir.join("file");
        fs::write(&file, "precious").unwrap();
        refused_both_ways(&file, NotASocket);
        refused_both_ways(&file.join("a.sock"), NotADirectory);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        refused_both_ways(dir, NotASocket);
        let link = dir.join("link");
        symlink("file", &link).unwrap();
        refused_both_ways(&link, NotASocket);
        let loose = dir.join("loose");
        symlink("nowhere", &loose).unwrap();
        refused(Config::bind(&endpoint(&loose)), NotASocket);
        let fifo = dir.join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        refused_both_ways(&fifo, NotASocket);
        assert_eq!(fs::read_dir(dir).unwrap().count(), 4, "all were left alone");
    });
}

#[test]
fn a_path_may_be_as_long_as_a_socket_address_holds() {
    within(20, || {
        let dir = tempdir().unwrap();
        let room = 107 - dir.path().as_os_str().len() - 1;
        let longest = dir.path().join("x".repeat(room));
        let pull = Pull::bind(&endpoint(&longest)).unwrap();
        let push = Push::connect(&endpoint(&longest)).unwrap();
        push.send("through").unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "through".into());
        refused_both_ways(&dir.path().join("x".repeat(room + 1)), PathTooLong);
    });
}

#[test]
fn a_path_may_have_spaces_and_any_letters() {
    within(20, || {
        let dir = tempdir().unwrap();
        for name in ["a b", "ä€🦀", "%n{}", "-", "a:b;c", "*", "a?b=c"] {
            let path = endpoint(&dir.path().join(name));
            let pull = Pull::bind(&path).unwrap();
            assert_eq!(at(&pull), path);
            let push = Push::connect(&path).unwrap();
            push.send(name).unwrap();
            assert_eq!(pull.recv_timeout(LONG).unwrap(), name.into());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_link_to_a_socket_is_followed_by_who_calls_and_left_alone_by_who_listens() {
    within(30, || {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        let pull = Pull::bind(&endpoint(&dir.path().join("real.sock"))).unwrap();
        symlink("real.sock", &link).unwrap();
        let push = Push::connect(&endpoint(&link)).unwrap();
        push.send("through the link").unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "through the link".into());
        refused(Config::bind(&endpoint(&link)), OpenErrorKind::NotASocket);
        drop(push);
    });
}

#[test]
fn a_peer_that_is_not_there_yet_is_no_error() {
    within(20, || {
        let dir = tempdir().unwrap();
        let path = dir.path().join("later");
        drop(Push::connect(&endpoint(&path)).unwrap());
        drop(UnixListener::bind(&path).unwrap());
        drop(Push::connect(&endpoint(&path)).unwrap());
    });
}

#[test]
fn an_abstract_socket_works_and_has_one_listener() {
    within(20, || {
        let name = format!("ipc://@pushpull test {}", std::process::id());
        let pull = Pull::bind(&name).unwrap();
        assert_eq!(at(&pull), name);
        refused(Config::bind(&name), AddressInUse);
        let push = Push::connect(&name).unwrap();
        push.send("hello").unwrap();
        assert_eq!(pull.recv_timeout(LONG).unwrap(), "hello".into());
        push.drain(LONG).unwrap();
        pull.close().unwrap().for_each(drop);
        drop(Pull::bind(&name).unwrap());
    });
}

#[test]
fn a_read_only_file_system_is_told() {
    in_own_process(20, || {
        let dir = tempdir().unwrap();
        if let Err(reason) = mount_read_only(dir.path()) {
            println!("skipped: no mounts here: {reason}");
            return;
        }
        refused(
            Config::bind(&endpoint(&dir.path().join("a.sock"))),
            ReadOnly,
        );
    });
}

/// An empty file system that only this process sees.
fn mount_read_only(at: &Path) -> std::io::Result<()> {
    let text = |text: &str| std::ffi::CString::new(text).unwrap();
    let (none, root, at) = (text("tmpfs"), text("/"), text(at.to_str().unwrap()));
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let null = std::ptr::null();
    // SAFETY: numbers, and texts that end in NUL and outlive the calls.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(null, root.as_ptr(), null, private, null.cast()) == 0
            && libc::mount(
                none.as_ptr(),
                at.as_ptr(),
                none.as_ptr(),
                libc::MS_RDONLY,
                null.cast(),
            ) == 0
    };
    if done {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

const PERMISSION: &str = "ipc_paths::a_path_that_this_user_may_not_use_is_told";

#[test]
fn a_path_that_this_user_may_not_use_is_told() {
    if role().is_some() {
        return as_nobody(Path::new(&env::var("PLACE").unwrap()));
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make what it may not use itself");
        return;
    }
    within(30, || {
        let dir = tempdir().unwrap();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(dir.path(), 0o755);
        let closed = dir.path().join("closed");
        fs::create_dir(&closed).unwrap();
        open(&closed, 0o700);
        let _theirs = Pull::bind(&endpoint(&dir.path().join("theirs.sock"))).unwrap();
        let shared = dir.path().join("shared");
        fs::create_dir(&shared).unwrap();
        open(&shared, 0o777);
        let for_all = Config::bind(&endpoint(&shared.join("all.sock"))).mode(0o666);
        let for_all = Pull::open(for_all).unwrap();
        let place = dir.path().to_str().unwrap();
        let child = play(PERMISSION, "nobody", &[("PLACE", place)]);
        succeeded(child.wait_with_output());
        assert_eq!(for_all.recv_timeout(LONG).unwrap(), "from nobody".into());
    });
}

fn as_nobody(dir: &Path) {
    // SAFETY: they take a number each and change this process alone.
    let gave_up = unsafe { libc::setgroups(0, std::ptr::null()) == 0 && libc::setgid(65534) == 0 };
    // SAFETY: as above.
    assert!(gave_up && unsafe { libc::setuid(65534) } == 0);
    refused_both_ways(&dir.join("closed").join("a.sock"), PermissionDenied);
    refused(
        Config::bind(&endpoint(&dir.join("a.sock"))),
        PermissionDenied,
    );
    refused_both_ways(&dir.join("theirs.sock"), PermissionDenied);
    let push = Push::connect(&endpoint(&dir.join("shared").join("all.sock"))).unwrap();
    push.send("from nobody").unwrap();
    push.drain(LONG).unwrap();
    drop(Pull::bind(&endpoint(&dir.join("shared").join("own.sock"))).unwrap());
}
