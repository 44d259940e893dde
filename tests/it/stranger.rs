//! Connections without ZeroMQ: a peer that says whatever bytes it likes, and
//! the bytes of ZMTP.

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::harness::LONG;

/// A connection of either transport.
#[derive(Debug)]
pub enum Line {
    Tcp(TcpStream),
    #[cfg(unix)]
    Ipc(UnixStream),
}

/// The same call on whichever it is.
macro_rules! either {
    ($line:expr, $stream:ident => $call:expr) => {
        match $line {
            Line::Tcp($stream) => $call,
            #[cfg(unix)]
            Line::Ipc($stream) => $call,
        }
    };
}

impl Line {
    pub fn to(address: &str) -> io::Result<Self> {
        Ok(match address.split_once("://").unwrap() {
            ("tcp", address) => Self::Tcp(TcpStream::connect(address)?),
            #[cfg(unix)]
            (_, path) => Self::Ipc(UnixStream::connect(path)?),
            #[cfg(not(unix))]
            other => panic!("std has no such streams here: {other:?}"),
        })
    }

    /// How long a read waits.
    pub fn patience(&self, time: Duration) {
        either!(self, s => s.set_read_timeout(Some(time)).unwrap());
    }

    /// How many bytes its kernel takes from it, beyond what the other side takes.
    #[cfg(target_os = "linux")]
    pub fn buffers(&self, bytes: usize) {
        use rustix::net::sockopt::set_socket_send_buffer_size;
        either!(self, s => set_socket_send_buffer_size(s, bytes).unwrap());
    }

    /// Says what is taken until nothing more is for a while, and tells how many bytes.
    #[cfg(target_os = "linux")]
    pub fn crams(&self, bytes: &[u8]) -> usize {
        either!(self, s => s.set_write_timeout(Some(Duration::from_millis(300))).unwrap());
        self.takes(bytes)
    }

    /// Says what is taken until it is hung up on, and tells how many bytes.
    #[cfg(target_os = "linux")]
    pub fn takes(&self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match (&mut &*self).write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(_) => break,
            }
        }
        taken
    }

    /// Says nothing more; what the other side has said can still be read.
    #[cfg(target_os = "linux")]
    pub fn is_silent(&self) {
        let _ = either!(self, s => s.shutdown(std::net::Shutdown::Write));
    }

    /// Ends it in both directions, as seen from both sides.
    #[cfg(target_os = "linux")]
    pub fn cut(&self) {
        let _ = either!(self, s => s.shutdown(std::net::Shutdown::Both));
    }
}

impl Read for &Line {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        either!(self, s => (&*s).read(room))
    }
}

impl Write for &Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, s => (&*s).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A peer that is not a ZeroMQ socket.
pub struct Stranger(pub Line);

impl Stranger {
    pub fn call(address: &str) -> Self {
        let line = Line::to(address).unwrap();
        line.patience(LONG);
        Self(line)
    }

    /// The other side may have hung up already: that is what it is for.
    pub fn say(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = (&self.0).write_all(bytes);
        self
    }

    /// Reads until the other side hangs up.
    pub fn is_hung_up_on(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        match (&self.0).read_to_end(&mut heard) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("still connected")
            }
            _ => heard,
        }
    }

    /// Shakes hands as a ZMTP 3 peer does: it says nothing more before the
    /// other side has answered.
    pub fn shakes_hands(&mut self, socket_type: &str) -> &mut Self {
        self.tries_to_shake_hands(socket_type).unwrap();
        self
    }

    /// The other side may hang up meanwhile.
    pub fn tries_to_shake_hands(&mut self, socket_type: &str) -> io::Result<()> {
        self.say(&shaken_hands(socket_type));
        self.tries_to_hear(64)?;
        let size = self.tries_to_hear(2)?[1];
        let answer = self.tries_to_hear(size.into())?;
        assert!(answer.starts_with(b"\x05READY"), "{answer:?}");
        Ok(())
    }

    pub fn hears(&mut self, bytes: usize) -> Vec<u8> {
        self.tries_to_hear(bytes).unwrap()
    }

    fn tries_to_hear(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut heard = vec![0; bytes];
        (&self.0).read_exact(&mut heard)?;
        Ok(heard)
    }
}

pub const SIGNATURE: [u8; 10] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];

/// ZMTP 3.0 (RFC 23): greeting with the NULL mechanism.
pub fn greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([3, 0]);
    bytes.extend(mechanism);
    bytes.resize(64, 0);
    bytes
}

/// The READY command, with properties.
pub fn ready(properties: &[(&str, &str)]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in properties {
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value.as_bytes());
    }
    let mut bytes = vec![4, body.len() as u8];
    bytes.extend(body);
    bytes
}

pub fn shaken_hands(socket_type: &str) -> Vec<u8> {
    [greeting(b"NULL"), ready(&[("Socket-Type", socket_type)])].concat()
}

/// ZMTP 2.0 (RFC 15): a PUSH socket without an identity.
pub fn greeting_of_zmtp_2() -> Vec<u8> {
    [&SIGNATURE[..], &[1, 8], &[0, 0]].concat()
}
