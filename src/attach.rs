//! From a `Config` to a socket that is bound and connecting.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use crossbeam_channel::Receiver;
use zmq_sys as sys;

use crate::{
    config::Config,
    context::{Context, Failure, Socket, SocketKind},
    control::{Control, Listener},
    endpoint::{Endpoint, Role, Transport},
    error::{OpenError, OpenErrorKind},
    ipc::{self, SocketFile},
    monitor::{Event, Monitor},
    native::{self, Identity},
};

/// Everything that a worker takes along.
///
/// Fields drop in this order: the socket files go while their listeners still
/// hold the inodes, then the watch over the socket, then the sockets, and then it is waited for until libzmq's
/// threads have let go of them.
pub(crate) struct Attached {
    files: Vec<SocketFile>,
    _watch: native::Watch,
    pub(crate) socket: Socket,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) events: Option<Receiver<Event>>,
    pub(crate) listener: Listener,
    pub(crate) endpoints: Vec<Endpoint>,
    gone: UntilGone,
}

/// Waits, when dropped, until closed sockets and their descriptors are gone.
struct UntilGone {
    /// There until it is dropped.
    context: Option<Context>,
    sockets: Vec<Identity>,
    patience: Duration,
}

impl Drop for UntilGone {
    fn drop(&mut self) {
        if let Some(context) = self.context.take().filter(|c| !c.is_foreign()) {
            context.wait_until_gone(&self.sockets, self.patience);
        }
    }
}

impl Attached {
    pub(crate) fn open(
        kind: SocketKind,
        config: &Config,
    ) -> Result<(Self, Arc<Control>), OpenError> {
        let endpoints = config.checked()?;
        let name = config.queue_name();
        let out_of = |failure: Failure| OpenError::from_failure(&name, failure);

        let context = match &config.context {
            Some(context) => context.clone(),
            None => Context::new()?,
        };
        if context.is_foreign() {
            return Err(OpenError::new(
                OpenErrorKind::ContextTerminated,
                name,
                "its context was made before this process was forked; make one here",
            ));
        }
        let inproc = |e: &Endpoint| e.transport() == Transport::Inproc;
        let mut gone = UntilGone {
            context: None,
            sockets: Vec::with_capacity(3),
            patience: if endpoints.iter().any(inproc) {
                NEIGHBOUR_PATIENCE
            } else {
                PATIENCE
            },
        };
        let context = gone.context.insert(context);
        let socket = context.socket(kind).map_err(out_of)?;
        gone.sockets.push(native::identity(&socket));
        let (control, listener) = Control::pair(context, &mut gone.sockets).map_err(out_of)?;
        configure(&socket, kind, config)?;
        if matches!(kind, SocketKind::Pull) {
            warn_of_loss(&name, &endpoints);
        }
        let blind = !cfg!(pushpull_native) || endpoints.iter().any(inproc);
        let (monitor, events) = Monitor::new(&name, config.events, blind);
        let mut attached = Self {
            files: Vec::new(),
            _watch: native::Watch::over(&socket, &monitor),
            socket,
            monitor,
            events,
            listener,
            endpoints: Vec::with_capacity(endpoints.len()),
            gone,
        };
        for endpoint in endpoints {
            // For all of them, it would have 127.0.0.1 listen at an IPv6 address.
            let six = endpoint.transport() == Transport::Tcp && endpoint.address().contains('[');
            attached
                .socket
                .set_int(sys::ZMQ_IPV6, i32::from(six))
                .map_err(|f| OpenError::from_failure(&endpoint.to_string(), f))?;
            let resolved = match endpoint.role() {
                Role::Bind => attached.bind(&endpoint, config)?,
                Role::Connect => attached.connect(kind, &endpoint)?,
            };
            log::info!(
                "{name}: {} {resolved}",
                match endpoint.role() {
                    Role::Bind => "listening at",
                    Role::Connect => "calling",
                }
            );
            attached.endpoints.push(resolved);
        }
        Ok((attached, control))
    }

    fn bind(&mut self, endpoint: &Endpoint, config: &Config) -> Result<Endpoint, OpenError> {
        let mut text = endpoint.to_string();
        let fail = |text: &str, failure| OpenError::from_failure(text, failure);
        if endpoint.transport() == Transport::Ipc && !endpoint.is_abstract() {
            let (listener, file) = if endpoint.address() == "*" {
                let (path, listener) = ipc::listen_anywhere(config.mode)?;
                text = format!("ipc://{path}");
                listener
            } else {
                ipc::listen(&text, endpoint.address(), config.mode)?
            };
            self.files.push(file);
            let number = ipc::number(&listener).map_err(|e| OpenError::from_io(&text, e))?;
            let set = |fd| self.socket.set_int(sys::ZMQ_USE_FD, fd);
            set(number).map_err(|f| fail(&text, f))?;
            let bound = self.socket.bind(&text);
            if bound.is_ok() {
                ipc::leave(listener);
            }
            set(-1).map_err(|f| fail(&text, f))?;
            bound.map_err(|f| fail(&text, f))?;
            return Ok(endpoint.resolved(&text));
        }
        if endpoint.transport() == Transport::Tcp && text.ends_with(":*") {
            text.replace_range(text.len() - 1.., "0");
        }
        self.socket
            .bind(&text)
            .map_err(|f| fail(&endpoint.to_string(), f))?;
        let resolved = self.socket.last_endpoint().map_err(|f| fail(&text, f))?;
        Ok(endpoint.resolved(&resolved))
    }

    fn connect(&mut self, kind: SocketKind, endpoint: &Endpoint) -> Result<Endpoint, OpenError> {
        let text = endpoint.to_string();
        if matches!(kind, SocketKind::Push) {
            native::introduce(&self.socket).map_err(|f| OpenError::from_failure(&text, f))?;
        }
        if endpoint.transport() == Transport::Ipc && !endpoint.is_abstract() {
            ipc::check_connect(&text, endpoint.address())?;
        }
        self.socket
            .connect(&text)
            .map_err(|f| OpenError::from_failure(&text, f))?;
        Ok(endpoint.clone())
    }

    /// Is found by nobody any more over ipc; who is there stays. (Elsewhere a file
    /// in use can't be removed.)
    pub(crate) fn hide(&mut self) {
        if cfg!(unix) {
            self.files.clear();
        }
    }

    /// Lets nobody in any more, and ends the connections that came in: libzmq
    /// makes them children of their listener. What they had received whole can
    /// still be taken.
    pub(crate) fn stop_listening(&mut self) {
        for endpoint in &self.endpoints {
            if endpoint.role() == Role::Bind {
                // Fails only when the context is gone, and with it the listener.
                let _ = self.socket.unbind(&endpoint.to_string());
            }
        }
        self.files.clear();
    }

    /// How many endpoints this queue calls.
    pub(crate) fn calling(&self) -> usize {
        let calls = |e: &&Endpoint| e.role() == Role::Connect;
        self.endpoints.iter().filter(calls).count()
    }

    /// The I/O threads are known to be busy: closing need not find that out.
    pub(crate) fn be_impatient(&mut self) {
        self.gone.patience = self.gone.patience.min(NEIGHBOUR_PATIENCE);
    }

    /// Whether libzmq's threads have done all that was asked of them, however busy the
    /// machine is.
    pub(crate) fn is_served(&self) -> bool {
        self.gone.context.as_ref().is_some_and(native::is_awake)
    }

    /// Closes everything, and returns when it is closed.
    pub(crate) fn close(mut self) {
        self.stop_listening();
    }
}

/// Says once what a program should know that was built on the stock libzmq.
fn warn_of_loss(name: &str, endpoints: &[Endpoint]) {
    static ONCE: Once = Once::new();
    let ipc = endpoints.iter().any(|e| e.transport() == Transport::Ipc);
    if ipc && !cfg!(pushpull_native) {
        ONCE.call_once(|| {
            log::warn!(
                "{name}: this libzmq loses messages when a sender closes an ipc connection \
                 (libzmq issue 4660); build with pushpull's zmq-sys to mend it"
            );
        });
    }
}

fn configure(socket: &Socket, kind: SocketKind, config: &Config) -> Result<(), OpenError> {
    let millis = |d: Duration| d.as_millis() as i32;
    let hwm = config.high_water_mark as i32;
    let (first, longest) = config.reconnect;
    let named = |option: &str| {
        let option = option.to_owned();
        move |f: Failure| OpenError::io(OpenErrorKind::InvalidOption, option, f.io())
    };

    for (name, option, value) in [
        ("high_water_mark", sys::ZMQ_SNDHWM, hwm),
        ("high_water_mark", sys::ZMQ_RCVHWM, hwm),
        ("reconnect", sys::ZMQ_RECONNECT_IVL, millis(first)),
        ("reconnect", sys::ZMQ_RECONNECT_IVL_MAX, millis(longest)),
        (
            "connect_timeout",
            sys::ZMQ_CONNECT_TIMEOUT,
            millis(config.connect_timeout),
        ),
        (
            "handshake_timeout",
            sys::ZMQ_HANDSHAKE_IVL,
            millis(config.handshake_timeout),
        ),
        (
            "heartbeat",
            sys::ZMQ_HEARTBEAT_IVL,
            millis(config.heartbeat),
        ),
        (
            "keepalive",
            sys::ZMQ_TCP_KEEPALIVE,
            i32::from(config.keepalive),
        ),
        (
            "only_connected_peers",
            sys::ZMQ_IMMEDIATE,
            // Stock libzmq can't give back what it keeps for a peer that has
            // never come, so it gets none. A Pull would lose what has come of a
            // peer that leaves.
            i32::from(
                matches!(kind, SocketKind::Push)
                    && (config.only_connected_peers || !cfg!(pushpull_native)),
            ),
        ),
        ("backlog", sys::ZMQ_BACKLOG, BACKLOG),
    ] {
        socket.set_int(option, value).map_err(named(name))?;
    }
    native::tune(socket, BATCH);
    socket
        .set_i64(sys::ZMQ_MAXMSGSIZE, config.max_message_size as i64)
        .map_err(named("max_message_size"))?;
    if !config.legacy_peers {
        // With a ZAP domain libzmq refuses ZMTP 1 and 2, which have no
        // security handshake, and without a handler it lets NULL of ZMTP 3 in
        // (ZMQ_ZAP_DOMAIN in zmq_setsockopt(3), RFC 27).
        socket
            .set(sys::ZMQ_ZAP_DOMAIN, b"pushpull")
            .map_err(named("legacy_peers"))?;
    }
    Ok(())
}

/// How long closing waits for libzmq's threads. They take microseconds, unless
/// the machine is very busy, or one is resolving a name, which is found out.
const PATIENCE: Duration = Duration::from_millis(500);

/// The same for a queue with inproc endpoints: libzmq keeps a socket that has
/// called a neighbour who never came until the context ends.
const NEIGHBOUR_PATIENCE: Duration = Duration::from_millis(10);

/// How many bytes a connection reads, and writes, in one system call. Stock
/// libzmq's 8 KiB cost one call for eight messages of 1 KiB. What is written is
/// gone at once; what is read stays as long as any message in it, so that one
/// kept message of a few bytes holds 64 KiB. The kernel's socket buffers, 200 KiB
/// to a megabyte, are the most that can help.
pub(crate) const BATCH: (i32, i32) = (64 << 10, 256 << 10);

/// Connections that the kernel keeps waiting while the I/O thread is busy.
const BACKLOG: i32 = 1024;
