//! What libzmq says of a connection, in its numbers.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use zmq_sys as sys;

use super::{Event, HandshakeFailure, Known, LastError, Monitor};
use crate::{context::Failure, say::say};

/// Connections can fail as often as a peer likes; a warning about them comes no
/// more often than this.
const WARN_AGAIN: Duration = Duration::from_secs(10);

impl Monitor {
    /// Takes one of libzmq's events in. Never panics: beneath it is C.
    pub(crate) fn told(&self, number: u64, value: u64, endpoint: &str) {
        say(|| self.take(number, value, endpoint));
    }

    fn take(&self, number: u64, value: u64, endpoint: &str) {
        if number == sys::native::PUSHPULL_UNWRITTEN {
            let mut torn = self.torn.look();
            torn.writes += 1;
            torn.messages += value >> 32;
            torn.bytes += value & 0xffff_ffff;
            return;
        }
        let event = || Event::parse(number, value, endpoint);
        match u32::try_from(number).unwrap_or(0) {
            sys::ZMQ_EVENT_ACCEPTED | sys::ZMQ_EVENT_CONNECTED => {
                self.known.change(|known| {
                    known.expect_no_more_of(value);
                    // Another I/O thread may have told of that first.
                    if !known.peers.contains(&value) {
                        known.shaking.push((value, Instant::now()));
                    }
                });
                self.tell(event);
            }
            sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => {
                // First, see `shaking`.
                self.joined.fetch_add(1, Relaxed);
                let count = self.known.change(|known| {
                    known.expect_no_more_of(value);
                    if known.peers.contains(&value) {
                        // It is another's by now, of whose end nothing was said.
                        self.left.fetch_add(1, Relaxed);
                    } else {
                        known.peers.push(value);
                    }
                    self.peers.store(known.peers.len(), Relaxed);
                    known.peers.len()
                });
                self.tell(event);
                log::info!("{}: peer joined at {endpoint}, {count} now", self.name);
            }
            sys::ZMQ_EVENT_DISCONNECTED => {
                let left = self.known.change(|known| {
                    known.expect_no_more_of(value);
                    let at = known.peers.iter().position(|p| *p == value)?;
                    known.peers.swap_remove(at);
                    self.left.fetch_add(1, Relaxed);
                    self.peers.store(known.peers.len(), Relaxed);
                    Some(known.peers.len())
                });
                self.tell(event);
                if let Some(count) = left {
                    log::info!("{}: peer left at {endpoint}, {count} now", self.name);
                }
            }
            sys::ZMQ_EVENT_CONNECT_RETRIED => {
                self.reconnects.fetch_add(1, Relaxed);
                self.tell(event);
                log::debug!("{}: calling {endpoint} again in {value} ms", self.name);
            }
            _ => match error_of(number, value) {
                Some(error) => {
                    let warn = self.known.change(|known| {
                        known.last_error = Some(error);
                        // Strangers that can't shake hands shall not hide that.
                        let of_a_peer = matches!(error, LastError::CutOff(_));
                        let warned = &mut known.warned[usize::from(of_a_peer)];
                        let due = warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN);
                        if due {
                            *warned = Some(Instant::now());
                        }
                        due
                    });
                    self.tell(event);
                    let level = if warn {
                        log::Level::Warn
                    } else {
                        log::Level::Debug
                    };
                    log::log!(level, "{}: {endpoint}: {error}", self.name);
                }
                None => self.tell(event),
            },
        }
    }
}

impl Known {
    fn expect_no_more_of(&mut self, descriptor: u64) {
        self.shaking.retain(|s| s.0 != descriptor);
    }
}

fn error_of(number: u64, value: u64) -> Option<LastError> {
    let (errno, code) = (value as i32, value as u32);
    if number == sys::native::PUSHPULL_CUT_OFF {
        return Some(LastError::CutOff(errno));
    }
    Some(match u32::try_from(number).ok()? {
        sys::ZMQ_EVENT_BIND_FAILED => LastError::Bind(errno),
        sys::ZMQ_EVENT_ACCEPT_FAILED => LastError::Accept(errno),
        sys::ZMQ_EVENT_CLOSE_FAILED => LastError::Close(errno),
        sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => {
            LastError::Handshake(HandshakeFailure::Ended(errno))
        }
        sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL => {
            LastError::Handshake(HandshakeFailure::Protocol(code))
        }
        sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => {
            LastError::Handshake(HandshakeFailure::Refused(code))
        }
        _ => return None,
    })
}

impl Event {
    fn parse(number: u64, value: u64, endpoint: &str) -> Self {
        let endpoint = endpoint.to_owned();
        if let Some(error) = error_of(number, value) {
            let reason = |errno: i32| Failure::of(errno).to_string();
            return match error {
                LastError::Handshake(reason) => Self::HandshakeFailed { endpoint, reason },
                LastError::Accept(errno) => Self::AcceptFailed {
                    endpoint,
                    reason: reason(errno),
                },
                LastError::Bind(errno) => Self::BindFailed {
                    endpoint,
                    reason: reason(errno),
                },
                LastError::Close(errno) => Self::CloseFailed {
                    endpoint,
                    reason: reason(errno),
                },
                LastError::CutOff(errno) => Self::CutOff {
                    endpoint,
                    reason: reason(errno),
                },
            };
        }
        match u32::try_from(number).unwrap_or(0) {
            sys::ZMQ_EVENT_LISTENING => Self::Listening { endpoint },
            sys::ZMQ_EVENT_CONNECT_DELAYED => Self::Connecting { endpoint },
            sys::ZMQ_EVENT_CONNECT_RETRIED => Self::ConnectingAgain {
                endpoint,
                pause: Duration::from_millis(value),
            },
            sys::ZMQ_EVENT_CONNECTED => Self::Connected { endpoint },
            sys::ZMQ_EVENT_ACCEPTED => Self::Accepted { endpoint },
            sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => Self::PeerJoined { endpoint },
            sys::ZMQ_EVENT_DISCONNECTED => Self::Disconnected { endpoint },
            sys::ZMQ_EVENT_CLOSED => Self::Closed { endpoint },
            _ => Self::Unknown(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        monitor::{Event, Monitor},
        Stats,
    };

    fn stats(monitor: &Monitor) -> Stats {
        let mut stats = Stats::default();
        monitor.add_to(&mut stats);
        stats
    }

    /// Whatever libzmq may say, now or in another version.
    #[test]
    fn no_event_and_no_value_is_too_strange() {
        let (monitor, events) = Monitor::new("strange", 100_000, false);
        let events = events.expect("asked for");
        let numbers = (0..64).map(|bit| 1u64 << bit);
        for number in numbers.chain([0, 3, 0xffff, u64::MAX]) {
            for value in [0, 1, 0x7fff_ffff, 0x8000_0000, 0x1000_0011, u64::MAX] {
                monitor.told(number, value, "tcp://127.0.0.1:1");
                let event = events.try_recv().expect("each is told");
                let _ = format!("{event:?}");
                if number > 0x8000 || !number.is_power_of_two() {
                    assert_eq!(event, Event::Unknown(number));
                }
            }
        }
    }

    #[test]
    fn a_full_channel_drops_and_counts() {
        let (monitor, events) = Monitor::new("full", 2, false);
        for _ in 0..5 {
            monitor.told(8, 0, "tcp://127.0.0.1:1");
        }
        assert_eq!(stats(&monitor).events_dropped, 3);
        assert_eq!(events.expect("asked for").len(), 2);
    }

    #[test]
    fn a_connection_that_never_shook_hands_was_no_peer() {
        let (monitor, _) = Monitor::new("peers", 0, false);
        for (number, value, peers, left) in [
            (4096, 7, 1, 0),
            (512, 9, 1, 0),
            (4096, 9, 2, 0),
            (4096, 9, 2, 1),
            (512, 7, 1, 2),
            (512, 7, 1, 2),
            (512, 9, 0, 3),
            (4096, 5, 1, 3),
        ] {
            monitor.told(number, value, "ipc://same");
            assert_eq!(monitor.peers(), peers);
            assert_eq!(stats(&monitor).peers_left, left);
        }
        monitor.end();
        assert!(!monitor.wait_for_peer(Duration::from_secs(60)));
        assert_eq!((monitor.peers(), stats(&monitor).peers_left), (0, 3));
    }

    #[test]
    fn what_was_being_written_is_told_once() {
        let (monitor, _) = Monitor::new("torn", 0, false);
        for value in [u64::from(u32::MAX) << 32 | 5, 3 << 32 | 7] {
            monitor.told(zmq_sys::native::PUSHPULL_UNWRITTEN, value, "ipc://same");
        }
        let torn = monitor.take_torn();
        let messages = u64::from(u32::MAX) + 3;
        assert_eq!((torn.writes, torn.messages, torn.bytes), (2, messages, 12));
        assert_eq!(monitor.take_torn().writes, 0);
    }
}
