//! Unix sockets as Windows has them from 10 version 1803 on. Their file is a
//! reparse point; a bind never takes one over, and its access list, inherited
//! from the folder, decides who may connect.

use std::{
    ffi::{c_int, c_void, OsStr},
    fs::{self, File, OpenOptions},
    io, mem,
    os::windows::{
        ffi::OsStrExt,
        fs::OpenOptionsExt,
        io::{
            AsRawHandle, AsRawSocket, FromRawHandle, FromRawSocket, IntoRawSocket, OwnedHandle,
            OwnedSocket,
        },
    },
    path::{Path, PathBuf},
    ptr,
    sync::OnceLock,
};

use windows_sys::Win32::{
    Foundation::{ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_INVALID_HANDLE},
    Networking::WinSock::{self, AF_UNIX, SOCKADDR, SOCKADDR_UN, SOCK_STREAM},
    Storage::FileSystem::{
        FileAttributeTagInfo, GetFileInformationByHandle, GetFileInformationByHandleEx,
        BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_REPARSE_POINT, FILE_ATTRIBUTE_TAG_INFO,
        FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    },
    System::Threading::CreateMutexW,
};

use super::{folder_fails, folder_of, in_use, not_a_socket};
use crate::error::{OpenError, OpenErrorKind};

/// A socket that listens.
pub(crate) type Listener = OwnedSocket;

/// A socket file that this process made, and removes when this is dropped,
/// provided that it is still the same file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u32, u64),
    // Let go after the file is removed, so that nobody else is at it meanwhile.
    _claim: Claim,
}

/// The sole right to listen at a path among programs of this crate. It is a
/// named mutex, which the system gives back when its process dies, however it
/// does: whoever gets it knows that a file found at the path is not one of a
/// living program of ours.
#[derive(Debug)]
struct Claim {
    _mutex: OwnedHandle,
}

/// As many as Winsock grants.
const BACKLOG: c_int = WinSock::SOMAXCONN as c_int;

/// The tag of a socket's reparse point (ntifs.h).
const IO_REPARSE_TAG_AF_UNIX: u32 = 0x8000_0023;

/// Listens at `path`, alone. Windows has no modes.
pub(crate) fn listen(
    endpoint: &str,
    path: &str,
    _mode: u32,
) -> Result<(Listener, SocketFile), OpenError> {
    let fail = |e: io::Error| OpenError::from_io(endpoint, e);
    check_support(endpoint)?;
    let address = address_of(path).map_err(fail)?;
    let path = std::path::absolute(path).map_err(fail)?;
    check_folder(&path, endpoint)?;

    let claim = Claim::take(&path).map_err(fail)?;
    let claim = claim.ok_or_else(|| in_use(endpoint))?;
    clear_the_way(&path, &address, endpoint)?;

    let listener = new_socket().map_err(fail)?;
    let (name, length) = as_sockaddr(&address);
    // SAFETY: the socket is open; the address lives through the call.
    done(unsafe { WinSock::bind(raw(&listener), name, length) }).map_err(fail)?;
    let file = SocketFile {
        identity: identity_at(&path).map_err(fail)?,
        path,
        _claim: claim,
    };
    // Or a client that leaves between poll and accept would hold up the I/O thread.
    let mut on = 1;
    // SAFETY: the socket is open; this command reads one number.
    let set = unsafe { WinSock::ioctlsocket(raw(&listener), WinSock::FIONBIO, &mut on) };
    done(set).map_err(fail)?;
    // SAFETY: the socket is open.
    done(unsafe { WinSock::listen(raw(&listener), BACKLOG) }).map_err(fail)?;
    Ok((listener, file))
}

/// The listener as libzmq takes it (`ZMQ_USE_FD`): as an int, although handles
/// are as wide as pointers. Windows uses 32 bits of them.
pub(crate) fn number(listener: &Listener) -> io::Result<c_int> {
    c_int::try_from(listener.as_raw_socket()).map_err(io::Error::other)
}

/// Leaves the listener to libzmq, which closes it.
pub(crate) fn leave(listener: Listener) {
    let _ = listener.into_raw_socket();
}

/// Tells what libzmq would try again and again without a word: a system without
/// Unix sockets, or a path that no socket can ever be at.
pub(crate) fn check_connect(endpoint: &str, path: &str) -> Result<(), OpenError> {
    check_support(endpoint)?;
    let path = Path::new(path);
    match tag_at(path) {
        Ok(Some(0)) => Err(not_a_socket(endpoint)),
        // A socket, or a link that may lead to one.
        Ok(Some(_)) => Ok(()),
        // The peer may not be there yet; its folder must be.
        Ok(None) => check_folder(path, endpoint),
        Err(e) => Err(OpenError::from_io(endpoint, e)),
    }
}

/// Windows before 10 version 1803 has no Unix sockets, nor has Wine. Found out
/// once: libzmq would call for ever.
fn check_support(endpoint: &str) -> Result<(), OpenError> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let means_never = [
        WinSock::WSAEAFNOSUPPORT,
        WinSock::WSAEPFNOSUPPORT,
        WinSock::WSAEPROTONOSUPPORT,
        WinSock::WSAESOCKTNOSUPPORT,
        WinSock::WSAEPROTOTYPE,
        WinSock::WSAEINVAL,
    ];
    let missing = MISSING.get_or_init(|| {
        let error = new_socket().err()?;
        // Anything else the next call tells.
        let never = means_never.contains(&error.raw_os_error()?);
        never.then(|| error.to_string())
    });
    let Some(reason) = missing else {
        return Ok(());
    };
    Err(OpenError::new(
        OpenErrorKind::Unsupported,
        endpoint,
        format!(
            "ipc is not supported here: this system has no Unix sockets, which came with \
             Windows 10 version 1803: {reason}"
        ),
    ))
}

fn check_folder(path: &Path, endpoint: &str) -> Result<(), OpenError> {
    let folder = folder_of(path);
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(OpenError::new(
            OpenErrorKind::NotADirectory,
            endpoint,
            "a part of the path is not a folder",
        )),
        Err(e) => Err(folder_fails(endpoint, folder, e)),
    }
}

fn clear_the_way(path: &Path, address: &SOCKADDR_UN, endpoint: &str) -> Result<(), OpenError> {
    let fail = |e: io::Error| OpenError::from_io(endpoint, e);
    match tag_at(path).map_err(fail)? {
        None => return Ok(()),
        Some(IO_REPARSE_TAG_AF_UNIX) => {}
        Some(_) => return Err(not_a_socket(endpoint)),
    }
    let probe = new_socket().map_err(fail)?;
    let (name, length) = as_sockaddr(address);
    // SAFETY: the socket is open; the address lives through the call.
    match done(unsafe { WinSock::connect(raw(&probe), name, length) }) {
        Ok(()) => Err(in_use(endpoint)),
        Err(e) if e.raw_os_error() == Some(WinSock::WSAECONNREFUSED) => {
            log::info!("{endpoint}: taking over the socket file of a listener that is gone");
            fs::remove_file(path).map_err(fail)
        }
        Err(e) => Err(fail(e)),
    }
}

fn address_of(path: &str) -> io::Result<SOCKADDR_UN> {
    let mut address = SOCKADDR_UN {
        sun_family: AF_UNIX,
        ..Default::default()
    };
    // The last byte is for the NUL. Windows reads the path as UTF-8.
    if path.len() >= address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as _;
    }
    Ok(address)
}

fn as_sockaddr(address: &SOCKADDR_UN) -> (*const SOCKADDR, c_int) {
    let length = mem::size_of::<SOCKADDR_UN>() as c_int;
    (ptr::from_ref(address).cast(), length)
}

fn new_socket() -> io::Result<OwnedSocket> {
    let flags = WinSock::WSA_FLAG_OVERLAPPED | WinSock::WSA_FLAG_NO_HANDLE_INHERIT;
    // SAFETY: takes numbers and a null. libzmq has started Winsock, for the
    // context that the queue is on.
    let socket =
        unsafe { WinSock::WSASocketW(AF_UNIX.into(), SOCK_STREAM, 0, ptr::null(), 0, flags) };
    if socket == WinSock::INVALID_SOCKET {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a socket that was made just now, and that nobody else has.
    Ok(unsafe { OwnedSocket::from_raw_socket(socket as _) })
}

fn raw(socket: &OwnedSocket) -> WinSock::SOCKET {
    socket.as_raw_socket() as _
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        // Winsock leaves its error where the rest of Windows does.
        Err(io::Error::last_os_error())
    }
}

/// Opens what is at a path itself, be it a file, a folder or a reparse point,
/// to look at it only.
fn look_at(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(0)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)
}

/// The tag of the reparse point at a path, 0 if something else is there.
fn tag_at(path: &Path) -> io::Result<Option<u32>> {
    let file = match look_at(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut info = FILE_ATTRIBUTE_TAG_INFO::default();
    let size = mem::size_of_val(&info) as u32;
    let at = ptr::from_mut(&mut info).cast::<c_void>();
    let handle = file.as_raw_handle();
    // SAFETY: the handle is open; the call writes at most `size` bytes.
    let found = unsafe { GetFileInformationByHandleEx(handle, FileAttributeTagInfo, at, size) };
    if found == 0 {
        return Err(io::Error::last_os_error());
    }
    let is_point = info.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0;
    Ok(Some(if is_point { info.ReparseTag } else { 0 }))
}

/// The volume and the number of what is at a path.
fn identity_at(path: &Path) -> io::Result<(u32, u64)> {
    let file = look_at(path)?;
    let mut info = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open; the call fills the struct.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &mut info) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let number = u64::from(info.nFileIndexHigh) << 32 | u64::from(info.nFileIndexLow);
    Ok((info.dwVolumeSerialNumber, number))
}

impl Claim {
    /// None if somebody has it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let name: Vec<u16> = OsStr::new(&Self::name(path))
            .encode_wide()
            .chain([0])
            .collect();
        // SAFETY: the name ends in NUL and lives through the call.
        let handle = unsafe { CreateMutexW(ptr::null(), 0, name.as_ptr()) };
        let error = io::Error::last_os_error();
        let code = error.raw_os_error().map(|code| code as u32);
        if handle.is_null() {
            // Another user's, or something else of that name.
            return match code {
                Some(ERROR_ACCESS_DENIED | ERROR_INVALID_HANDLE) => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: a handle that was made just now, and that nobody else has.
        let mutex = unsafe { OwnedHandle::from_raw_handle(handle) };
        let is_new = code != Some(ERROR_ALREADY_EXISTS);
        Ok(is_new.then_some(Self { _mutex: mutex }))
    }

    /// One for all sessions of the machine, and for every spelling of a path:
    /// Windows takes large and small letters, and the two slashes, for the
    /// same. The name may have 260 characters, and a backslash only there.
    fn name(path: &Path) -> String {
        let path = path.to_string_lossy().to_lowercase().replace('\\', "/");
        let skipped = path.chars().count().saturating_sub(200);
        let tail: String = path.chars().skip(skipped).collect();
        format!("Global\\pushpull {tail}")
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity_at(&self.path).ok() == Some(self.identity) {
            if let Err(e) = fs::remove_file(&self.path) {
                let path = self.path.display();
                crate::say::say(|| {
                    log::warn!("{path}: the socket file could not be removed: {e}");
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_claimed_once_however_it_is_spelt() {
        let claim = |path: &str| Claim::take(Path::new(path)).expect("mutexes can be made");
        let first = claim(r"C:\Users\Jörg\Jobs.sock");
        assert!(first.is_some());
        assert!(claim(r"C:\Users\Jörg\Jobs.sock").is_none());
        assert!(claim("c:/users/JÖRG/jobs.SOCK").is_none());
        assert!(claim(r"C:\Users\Jörg\Jobs.soc").is_some());
        drop(first);
        assert!(claim(r"C:\Users\Jörg\Jobs.sock").is_some());
    }

    #[test]
    fn what_is_at_a_path_is_told() {
        let folder = tempfile::tempdir().expect("there is a folder for them");
        let path = folder.path().join("a ü");
        assert_eq!(tag_at(&path).expect("it can be looked at"), None);
        fs::write(&path, "").expect("it can be written");
        assert_eq!(tag_at(&path).expect("it can be looked at"), Some(0));
        assert_eq!(tag_at(folder.path()).expect("a folder too"), Some(0));
    }

    #[test]
    fn only_the_same_file_is_removed() {
        let folder = tempfile::tempdir().expect("there is a folder for them");
        let path = folder.path().join("a.sock");
        let made = |path: &Path| {
            fs::write(path, "").expect("it can be written");
            SocketFile {
                identity: identity_at(path).expect("it is there"),
                path: path.to_owned(),
                _claim: Claim::take(path)
                    .expect("mutexes can be made")
                    .expect("nobody has it"),
            }
        };
        let file = made(&path);
        drop(file);
        assert!(!path.exists());

        let file = made(&path);
        fs::rename(&path, folder.path().join("moved")).expect("it can be moved");
        fs::write(&path, "another").expect("it can be written");
        drop(file);
        assert!(path.exists(), "it was somebody else's");
    }

    #[test]
    fn a_windows_path_fits_into_an_address_up_to_its_last_byte() {
        let address = address_of(r"C:\Jörg\a.sock").expect("it fits");
        let bytes: Vec<u8> = address.sun_path.iter().map(|&b| b as u8).collect();
        assert!(bytes.starts_with("C:\\Jörg\\a.sock\0".as_bytes()));
        assert!(address_of(&"x".repeat(107)).is_ok());
        assert!(address_of(&"x".repeat(108)).is_err());
    }
}
