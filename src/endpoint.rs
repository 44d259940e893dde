use std::fmt;

use crate::{
    config,
    error::{OpenError, OpenErrorKind},
};

/// A ZeroMQ address, checked, and the role a queue plays there.
///
/// [`Display`](fmt::Display) gives ZeroMQ's own spelling, such as
/// `tcp://127.0.0.1:40123` or `ipc:///run/jobs.sock`, with nothing left to be
/// resolved in what [`endpoints`](crate::Push::endpoints) returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    role: Role,
    transport: Transport,
    address: String,
}

/// Whether a queue listens at an endpoint or calls there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It listens; any number of peers may come.
    Bind,
    /// It calls, and calls again when the connection breaks.
    Connect,
}

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A Unix socket: two processes of one machine.
    Ipc,
    /// TCP.
    Tcp,
    /// Two queues of one process that share a [`Context`](crate::Context).
    Inproc,
}

/// What fits into `sun_path` beside its final NUL; see unix(7) on Linux, where
/// the field has 108 bytes, and unix(4) on the BSDs, where it has 104.
pub(crate) const IPC_PATH_MAX: usize =
    if cfg!(any(target_os = "linux", target_os = "android", windows)) {
        107
    } else {
        103
    };

impl Endpoint {
    /// The role of the queue at this endpoint.
    pub fn role(&self) -> Role {
        self.role
    }

    /// How the bytes travel.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What stands behind `://`: a path, `host:port` or a name.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn parse(role: Role, text: &str) -> Result<Self, OpenError> {
        let invalid = |reason: &str| OpenError::new(OpenErrorKind::InvalidEndpoint, text, reason);
        let unsupported = |reason: &str| OpenError::new(OpenErrorKind::Unsupported, text, reason);

        if text.contains('\0') {
            return Err(invalid("a NUL byte cannot be part of an endpoint"));
        }
        if text.is_empty() {
            return Err(invalid("an endpoint is missing: there is an empty one"));
        }
        let Some((scheme, address)) = text.split_once("://") else {
            return Err(invalid(
                "an endpoint is spelt transport://address, such as ipc:///tmp/jobs.sock or \
                 tcp://127.0.0.1:5555",
            ));
        };
        let transport = match scheme {
            "ipc" => Transport::Ipc,
            "tcp" => Transport::Tcp,
            "inproc" => Transport::Inproc,
            _ => {
                return Err(unsupported(
                    "only ipc, tcp and inproc can be used, spelt so",
                ))
            }
        };
        if address.is_empty() {
            return Err(invalid("there is no address behind the ://"));
        }
        if let Some((_, query)) = address.split_once('?') {
            // Such a file can be, but nobody means it.
            if query.split('&').any(is_option) {
                return Err(invalid("an endpoint has no options: see Config::from_url"));
            }
        }
        match transport {
            Transport::Ipc => check_ipc(role, address, text)?,
            Transport::Tcp => check_tcp(role, address).map_err(invalid)?,
            Transport::Inproc if address.len() > 255 => {
                return Err(invalid("an inproc name has at most 255 bytes"))
            }
            Transport::Inproc => {}
        }
        Ok(Self {
            role,
            transport,
            address: address.to_owned(),
        })
    }

    /// The same endpoint at the address that libzmq or the system chose.
    pub(crate) fn resolved(&self, text: &str) -> Self {
        let address = text.split_once("://").map_or(text, |(_, address)| address);
        Self {
            address: address.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn is_abstract(&self) -> bool {
        self.transport == Transport::Ipc && self.address.starts_with('@')
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.address)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Ipc => "ipc",
            Transport::Tcp => "tcp",
            Transport::Inproc => "inproc",
        })
    }
}

fn is_option(pair: &str) -> bool {
    pair.split_once('=')
        .is_some_and(|(key, _)| config::is_option(key))
}

fn check_ipc(role: Role, address: &str, text: &str) -> Result<(), OpenError> {
    if address == "*" && role == Role::Connect {
        return Err(OpenError::new(
            OpenErrorKind::InvalidEndpoint,
            text,
            "a path of the system's choice can only be bound",
        ));
    }
    if address == "@" {
        return Err(OpenError::new(
            OpenErrorKind::InvalidEndpoint,
            text,
            "an abstract socket needs a name behind the @",
        ));
    }
    if address.starts_with('@') && !cfg!(any(target_os = "linux", target_os = "android")) {
        return Err(OpenError::new(
            OpenErrorKind::Unsupported,
            text,
            "abstract socket names exist on Linux alone",
        ));
    }
    if address.len() > IPC_PATH_MAX {
        return Err(OpenError::new(
            OpenErrorKind::PathTooLong,
            text,
            format!(
                "the path has {} bytes; a socket address holds {IPC_PATH_MAX}",
                address.len()
            ),
        ));
    }
    Ok(())
}

fn check_tcp(role: Role, address: &str) -> Result<(), &'static str> {
    // libzmq: tcp://source;destination binds the near end before it connects.
    let (source, destination) = match address.split_once(';') {
        Some((source, rest)) => (Some(source), rest),
        None => (None, address),
    };
    if source.is_some() && role == Role::Bind {
        return Err("a source address belongs to connect");
    }
    if let Some(source) = source {
        check_host_port(source, true)?;
    }
    check_host_port(destination, role == Role::Bind)
}

fn check_host_port(address: &str, any: bool) -> Result<(), &'static str> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err("a tcp address is spelt host:port");
    };
    if host.is_empty() {
        return Err("there is no host in front of the port");
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return Err("an IPv6 address needs brackets");
    }
    let inner = if bracketed {
        &host[1..host.len() - 1]
    } else {
        host
    };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if !(inner.chars().all(plain) && !inner.is_empty() || host == "*") {
        return Err("the host has a character that no host has");
    }
    if host == "*" && !any {
        return Err("connect needs a host, not *");
    }
    match (port, port.parse::<u16>()) {
        ("*", _) | (_, Ok(0)) if any => Ok(()),
        ("*", _) | (_, Ok(0)) => Err("connect needs a port from 1 to 65535"),
        (_, Ok(_)) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        _ => Err("the port is not a number from 0 to 65535"),
    }
}
