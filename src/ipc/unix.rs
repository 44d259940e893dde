use std::{
    ffi::c_int,
    io,
    os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, CWD},
    io::{fcntl_dupfd_cloexec, Errno},
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use super::{folder_fails, folder_of, in_use, not_a_socket};
use crate::error::{OpenError, OpenErrorKind};

/// A socket that listens.
pub(crate) type Listener = OwnedFd;

/// A socket file that this process made, and removes when this is dropped,
/// provided that it is still the same file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    owner: u32,
    // Keeps the inode's number from being used again, so that a file which
    // somebody else put there since can't be taken for ours.
    _listener: OwnedFd,
}

/// How long to wait for another bind in the same folder. Ours hold the lock
/// for less than a millisecond.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The same when closing, which has 50 ms for everything.
const CLOSE_PATIENCE: Duration = Duration::from_millis(20);

/// Connections that the kernel keeps waiting while the I/O thread is busy.
/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Listens at `path`, alone.
///
/// The folder is locked meanwhile, so that of two processes that find the same
/// dead file only one takes it over.
pub(crate) fn listen(
    endpoint: &str,
    path: &str,
    mode: u32,
) -> Result<(Listener, SocketFile), OpenError> {
    let fail = |e: Errno| OpenError::from_io(endpoint, e.into());
    let path = Path::new(path);
    let address = SocketAddrUnix::new(path).map_err(fail)?;
    let mode = Mode::from_raw_mode(mode as _);

    let _lock = lock(folder_of(path), endpoint, LOCK_PATIENCE)?;
    clear_the_way(path, &address, endpoint)?;

    let listener = new_socket().map_err(fail)?;
    let second = fcntl_dupfd_cloexec(&listener, 0).map_err(fail)?;
    // Linux makes the file with the mode that the socket has at bind, less the
    // umask, so it is never open to more than `mode`, not for a moment.
    fs::fchmod(&listener, mode).map_err(fail)?;
    net::bind(&listener, &address).map_err(fail)?;
    let file = SocketFile::of(path, second).map_err(|e| OpenError::from_io(endpoint, e))?;
    // Other systems ignore the above, and the umask may have taken bits away.
    // Nobody can connect before `listen`.
    fs::chmodat(CWD, path, mode, AtFlags::empty()).map_err(fail)?;
    net::listen(&listener, BACKLOG).map_err(fail)?;
    Ok((listener, file))
}

/// The listener as libzmq takes it (`ZMQ_USE_FD`).
pub(crate) fn number(listener: &Listener) -> io::Result<c_int> {
    Ok(listener.as_raw_fd())
}

/// Leaves the listener to libzmq, which closes it.
pub(crate) fn leave(listener: Listener) {
    let _ = listener.into_raw_fd();
}

/// Tells what libzmq would try again and again without a word: a path that no
/// socket can ever be at, or that this user may not use.
pub(crate) fn check_connect(endpoint: &str, path: &str) -> Result<(), OpenError> {
    let fail = |e: Errno| OpenError::from_io(endpoint, e.into());
    let path = Path::new(path);
    // Through links, as connect(2) goes.
    match kind(fs::stat(path)) {
        Ok(Some(FileType::Socket)) => {
            fs::accessat(CWD, path, fs::Access::WRITE_OK, AtFlags::EACCESS).map_err(fail)
        }
        Ok(Some(_)) => Err(not_a_socket(endpoint)),
        Ok(None) => {
            // The peer may not be there yet; its folder must be.
            let folder = folder_of(path);
            match fs::stat(folder) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(()),
                Ok(_) => Err(fail(Errno::NOTDIR)),
                Err(e) => Err(folder_fails(endpoint, folder, e)),
            }
        }
        Err(e) => Err(fail(e)),
    }
}

fn clear_the_way(path: &Path, address: &SocketAddrUnix, endpoint: &str) -> Result<(), OpenError> {
    let fail = |e: Errno| OpenError::from_io(endpoint, e.into());
    match kind(fs::lstat(path)).map_err(fail)? {
        None => return Ok(()),
        Some(FileType::Socket) => {}
        Some(_) => return Err(not_a_socket(endpoint)),
    }
    let probe = new_socket().map_err(fail)?;
    match net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => {
            log::info!("{endpoint}: taking over the socket file of a listener that is gone");
            fs::unlink(path).map_err(fail)
        }
        Err(Errno::NOENT) => Ok(()),
        // A full backlog, or a listener of another kind, is a listener too.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => Err(in_use(endpoint)),
        Err(e) => Err(fail(e)),
    }
}

fn kind(found: Result<fs::Stat, Errno>) -> Result<Option<FileType>, Errno> {
    match found {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Neither handed to child processes nor able to block the I/O thread: a
/// client that leaves between poll and accept would hold up a blocking one.
fn new_socket() -> Result<OwnedFd, Errno> {
    #[cfg(not(target_vendor = "apple"))]
    return net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    );
    #[cfg(target_vendor = "apple")]
    {
        let socket = net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::empty(),
            None,
        )?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }
}

/// Locks a folder until the descriptor is closed. It is the folder and not a
/// file of its own, so that nothing is left lying about.
fn lock(folder: &Path, endpoint: &str, patience: Duration) -> Result<OwnedFd, OpenError> {
    let fail = |e: Errno| OpenError::from_io(endpoint, e.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        fs::open(folder, flags, Mode::empty()).map_err(|e| folder_fails(endpoint, folder, e))?;
    let until = Instant::now() + patience;
    loop {
        match fs::flock(folder.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(OpenError::new(
                    OpenErrorKind::Other,
                    endpoint,
                    "another program keeps the folder locked (flock)",
                ))
            }
            Err(e) => return Err(fail(e)),
        }
    }
}

impl SocketFile {
    fn of(path: &Path, listener: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            path: std::path::absolute(path)?,
            identity: Self::identity_at(path)?,
            owner: std::process::id(),
            _listener: listener,
        })
    }

    /// The device and the inode of what is at a path.
    fn identity_at(path: &Path) -> io::Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;

        let found = std::fs::symlink_metadata(path)?;
        Ok((found.dev(), found.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        // Without the lock another process might put its own file there
        // between the look and the removal.
        let endpoint = self.path.to_string_lossy();
        let _lock = lock(folder_of(&self.path), &endpoint, CLOSE_PATIENCE);
        if Self::identity_at(&self.path).ok() == Some(self.identity) {
            if let Err(e) = fs::unlink(&self.path) {
                crate::say::say(|| {
                    log::warn!("{endpoint}: the socket file could not be removed: {e}");
                });
            }
        }
    }
}
