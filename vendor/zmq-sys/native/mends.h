/* Forced into every file of libzmq before its first line (-include, /FI). It mends
   libzmq 4.3.5 without touching a line of it: by naming other functions in place of
   those it calls. mends_*.cpp hold them. README.md tells which test shows each mend. */

#ifndef PUSHPULL_MENDS_H
#define PUSHPULL_MENDS_H

#include "platform.h"

#if defined __cplusplus

/* PUSHPULL_SECOND (a, b, ...) is b. A name that is defined as `~, x` and pasted into the
   first place thus yields x, and any other yields what stands in the second place: this
   is how the macros below tell a call, with its known arguments, from a declaration. */
#define PUSHPULL_EXPAND(x) x
#define PUSHPULL_SECOND(...)                                                   \
    PUSHPULL_EXPAND (PUSHPULL_SECOND_OF (__VA_ARGS__, ~, ~))
#define PUSHPULL_SECOND_OF(a, b, ...) b
/* PUSHPULL_FOR_n (name, other, (args)) is `name` for n arguments, and else `other`: a
   system call shares its name with methods of libzmq, but not the number of arguments. */
#define PUSHPULL_SIXTH(a, b, c, d, e, f, ...) f
#define PUSHPULL_FOR_3(name, other, ...)                                       \
    PUSHPULL_EXPAND (                                                          \
      PUSHPULL_SIXTH (__VA_ARGS__, other, other, name, other, other, ~))
#define PUSHPULL_FOR_4(name, other, ...)                                       \
    PUSHPULL_EXPAND (                                                          \
      PUSHPULL_SIXTH (__VA_ARGS__, other, name, other, other, other, ~))
#define PUSHPULL_FOR_5(name, other, ...)                                       \
    PUSHPULL_EXPAND (                                                          \
      PUSHPULL_SIXTH (__VA_ARGS__, name, other, other, other, other, ~))

/* reconnect-after-error. A connecting socket whose peer breaks the protocol, be it only
   once, or be it the socket itself (a tcp connection to a local port that nobody listens
   on can come back to its own port: "self-connect"), never tries again, and keeps the
   pipe: messages go into it and nowhere else, and nobody is told (issues 4196, 4588).
   Here such an error counts as a lost connection: the session keeps its messages and
   tries again after the usual interval. ZMQ_RECONNECT_STOP still stops it.

   At the same place: a connection that fails with a message half sent has its session
   read on to the end of that, and abort the process if the pipe does not give it, as a
   pipe that is being terminated does not. pushpull_failing says that there is none. */
namespace zmq
{
class session_base_t;
}
void pushpull_failing (zmq::session_base_t *session_);
#define engine_error(handshaked, reason)                                       \
    engine_error (handshaked,                                                  \
                  PUSHPULL_SECOND (PUSHPULL_REASON_##reason, reason))
#define PUSHPULL_REASON_reason_                                                \
    ~, (pushpull_failing (_session), reason_ == protocol_error                 \
            && !(_options.reconnect_stop                                       \
                 & ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED)                        \
          ? connection_error                                                   \
          : reason_)

/* patient-heartbeats. A connection that reads nothing, as its pipe is full, hears no
   answer to its pings and is given up for dead. What it had read is lost, and the next
   connection, for which the same pipe is full before it has begun, aborts the process as
   soon as there is room. And a ping to a peer that has said all and closed has the peer's
   kernel reset the connection, and throw away what ours had no room for. Here nobody who
   has shaken hands is given up, or pinged (see pushpull_write), while there is something
   of his to be read. */
#define error(...) PUSHPULL_BEFORE_ERROR (__VA_ARGS__, ~) error (__VA_ARGS__)
#define PUSHPULL_BEFORE_ERROR(reason, ...)                                     \
    PUSHPULL_SECOND (PUSHPULL_ERROR_##reason, )
#define PUSHPULL_ERROR_timeout_error                                           \
    ~, if (id_ != handshake_timer_id && pushpull_has_unread (this))            \
    {                                                                          \
    }                                                                          \
    else
namespace zmq
{
class stream_engine_base_t;
}
bool pushpull_has_unread (zmq::stream_engine_base_t *engine_);

/* plain-messages. libzmq hangs a counted reference to what it knows of the peer to every
   message that comes in, for zmq_msg_gets; two threads fight over that counter. Sockets
   of pushpull_plain do without. Their mark is an option that means something to PUB and
   SUB alone. */
#define set_metadata(metadata)                                                 \
    PUSHPULL_SECOND (PUSHPULL_METADATA_##metadata, set_metadata (metadata))
#define PUSHPULL_METADATA__metadata                                            \
    ~, size (), _options.type == ZMQ_PULL && _options.invert_matching          \
                  ? (void) 0                                                   \
                  : msg_->set_metadata (_metadata)

/* A peer that comes back shall not overtake what it had sent before: see order.hpp, which
   needs to know when a pipe is made, comes to its socket, and goes. Number and marks are
   kept in a field that means something to SERVER sockets alone, which set it before, and
   the peer's name in one of ROUTER's. */
#define PUSHPULL_NUMBER ((1 << 29) - 1)
#define PUSHPULL_PASSED (1 << 29)
#define PUSHPULL_ENDING (1 << 30)
#define PUSHPULL_WAITING (-PUSHPULL_ENDING - PUSHPULL_ENDING)
#define attach(pipe)                                                           \
    attach (PUSHPULL_SECOND (PUSHPULL_ATTACH_##pipe, pipe))
#define PUSHPULL_ATTACH_pipe_ ~, pushpull_numbered (pipe_)
#define pipe_terminated(pipe)                                                  \
    pipe_terminated (PUSHPULL_SECOND (PUSHPULL_LEAVES_##pipe, pipe))
#define PUSHPULL_LEAVES_pipe_ ~, pushpull_leaves (pipe_)
#define send_bind(to, ...)                                                     \
    send_bind (PUSHPULL_SECOND (PUSHPULL_BIND_##to, to), __VA_ARGS__)
#define PUSHPULL_BIND__socket ~, (pushpull_introduced (this, pipes[1]), _socket)
namespace zmq
{
class pipe_t;
}
zmq::pipe_t *pushpull_numbered (zmq::pipe_t *pipe_);
zmq::pipe_t *pushpull_leaves (zmq::pipe_t *pipe_);
void pushpull_introduced (zmq::session_base_t *session_, zmq::pipe_t *pipe_);

/* Not a mend but speed: see large.cpp. */
#define tcp_read(fd, data, size)                                               \
    PUSHPULL_SECOND (PUSHPULL_READ_##fd, tcp_read (fd, data, size))
#define PUSHPULL_READ__s ~, pushpull_read (this, data_, size_)
#define tcp_write(fd, data, size)                                              \
    PUSHPULL_SECOND (PUSHPULL_WRITE_##fd, tcp_write (fd, data, size))
#define PUSHPULL_WRITE__s ~, pushpull_write (this, data_, size_)
#include <stddef.h>
namespace zmq
{
class stream_engine_base_t;
int pushpull_read (stream_engine_base_t *engine_, void *data_, size_t size_);
int pushpull_write (stream_engine_base_t *engine_, const void *data_, size_t size_);
}

/* no-orders-to-the-dead. A pipe whose end is agreed may outlive its other half; a
   high-water mark set in that moment (or statistics asked for) is sent to freed memory
   (issue 4524; the only way that we found to the double free of issue 4806, as all other
   commands between the halves are held back by their state). */
#define send_pipe_hwm(to, in, out)                                             \
    PUSHPULL_SECOND (PUSHPULL_HWM_##to, ) send_pipe_hwm (to, in, out)
#define PUSHPULL_HWM__peer                                                     \
    ~, if (_state != active)                                                   \
    {                                                                          \
    }                                                                          \
    else
#define send_pipe_peer_stats(to, count, socket, pair)                          \
    PUSHPULL_SECOND (PUSHPULL_STATS_##to, )                                    \
    send_pipe_peer_stats (to, count, socket, pair)
#define PUSHPULL_STATS__peer                                                   \
    ~, if (_state != active) delete ep;                                        \
    else

/* With ZMQ_IMMEDIATE a connection that is lost takes along all that its pipe
   holds, without a word: the session gives the pipe up ("hiccup"), and the socket empties
   it. A PUSH socket's stays as it is, and ends as that of a bound socket does: for
   pushpull_rescue. */
#define send_hiccup(to, pipe)                                                  \
    PUSHPULL_SECOND (PUSHPULL_HICCUP_##to, send_hiccup (to, pipe))
#define PUSHPULL_HICCUP__peer                                                  \
    ~, if (!pushpull_keep (this)) send_hiccup (_peer, _in_pipe)
bool pushpull_keep (zmq::pipe_t *pipe_);

/* Not a mend but an ear: what a socket would tell its monitor, it tells pushpull_watch's
   caller at once, on the thread where it happens. A monitor socket has a descriptor and a
   queue, of which the first blocks an I/O thread when the second is full. A handshake
   that succeeds also tells its descriptor, as all that is told of connections else. */
#define monitor_event(type, values, count, pair)                               \
    PUSHPULL_SECOND (PUSHPULL_TOLD_##type,                                     \
                     monitor_event (type, values, count, pair))
#define PUSHPULL_TOLD_type_                                                    \
    ~, if (!pushpull_told (this, type_, values_, values_count_,                \
                           endpoint_uri_pair_))                                \
         monitor_event (type_, values_, values_count_, endpoint_uri_pair_)
#define event_handshake_succeeded(pair, value)                                 \
    event_handshake_succeeded (pair,                                           \
                               PUSHPULL_SECOND (PUSHPULL_SHAKEN_##value, value))
#define PUSHPULL_SHAKEN_0 ~, pushpull_descriptor (this)
/* And what was being written to a peer that leaves, and whether it is hung up on for what it
   sent: PUSHPULL_UNWRITTEN and PUSHPULL_CUT_OFF. (The bounds end a connection as if it had
   broken, with a number that no read has.) */
#define event_disconnected(pair, fd)                                           \
    event_disconnected (pair, PUSHPULL_SECOND (PUSHPULL_LEFT_##fd, fd))
#define PUSHPULL_LEFT__s                                                       \
    ~, (pushpull_left (this, reason_ == protocol_error                         \
                               || (reason_ == connection_error                 \
                                   && (errno == EMSGSIZE || errno == EPROTO))), \
        _s)

/* While an I/O thread looks up a name it answers nobody, maybe for minutes; see the patience
   of mission.hpp. */
#define do_getaddrinfo(name, ...)                                              \
    PUSHPULL_SECOND (PUSHPULL_LOOKED_UP_##name, )                              \
    do_getaddrinfo (name, __VA_ARGS__)
#define PUSHPULL_LOOKED_UP_addr_ ~, pushpull_looking_up_t ().is_over () ? 0 :
struct pushpull_looking_up_t
{
    pushpull_looking_up_t ();
    ~pushpull_looking_up_t ();
    //  It is, at the end of the expression.
    bool is_over () const { return false; }
};
/* Whether any thread of this process is at it. */
bool pushpull_is_looking_up ();

#include <stdint.h>

namespace zmq
{
class socket_base_t;
class stream_engine_base_t;
struct endpoint_uri_pair_t;
}
/* False if nobody listens. */
bool pushpull_told (const zmq::socket_base_t *socket_,
                    uint64_t event_,
                    const uint64_t *values_,
                    uint64_t count_,
                    const zmq::endpoint_uri_pair_t &pair_);
int pushpull_descriptor (zmq::stream_engine_base_t *engine_);
void pushpull_left (zmq::stream_engine_base_t *engine_, bool at_fault_);

#endif

#if defined __linux__

#include <pthread.h>
#include <stdlib.h>
#include <malloc.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#if defined __cplusplus
extern "C" {
#endif

/* lossless-ipc. A full PULL pipe makes libzmq stop polling its connection for input, but
   epoll reports a hang-up whether asked or not, and libzmq takes it for the end of the
   stream, although the kernel still holds what the peer had sent before: it is lost, in
   nearly every run with a receiver slower than its sender (issue 4660). With a hang-up
   and input together libzmq reads twice, and the second read, should the first have
   filled the pipe, throws the rest away in the same way. Here a descriptor that is
   polled for nothing is armed edge-triggered, so that a hang-up nobody may act upon yet
   is reported once at most; and a hang-up by itself is kept back. Who reads to the end
   finds the end.

   calm-listener. When descriptors or memory run out, an ipc listener aborts the process
   (issue 1306), and a tcp listener spins in accept at the cost of a core. Here the
   listener pauses for a tenth of a second and tries again; peers wait in its backlog and
   are served as soon as there are descriptors. Errors of the connection that accept(2)
   hands on, such as EPERM from a firewall, are no reason to abort either.

   bounded-messages. ZMQ_MAXMSGSIZE and the high-water mark bound each frame and the
   number of messages, but nobody bounds a message: a peer that sends frames for ever,
   each with the MORE flag, fills the memory. Here ZMQ_MAXMSGSIZE bounds the sum of a
   message's frames as well, and pushpull_max_frames their number; the peer is
   disconnected. So is one that sends messages to a PUSH socket, where they would sit
   until the connection is deaf and its end goes unseen. */
int pushpull_epoll_ctl (int epoll_, int what_, int fd_, struct epoll_event *event_);
int pushpull_epoll_wait (int epoll_, struct epoll_event *events_, int room_, int timeout_);
int pushpull_accept4 (int fd_, struct sockaddr *address_, socklen_t *size_, int flags_);
#define epoll_ctl(a, b, c, d) pushpull_epoll_ctl (a, b, c, d)
#define epoll_wait(a, b, c, d) pushpull_epoll_wait (a, b, c, d)
#define accept4(a, b, c, d) pushpull_accept4 (a, b, c, d)

/* soft-start. The first socket of a context starts its threads, and libzmq aborts the
   process if there is no descriptor left for a poller, or no thread to be had. Here
   zmq_socket first gets all that it is going to need, and fails (EMFILE, EAGAIN) if it
   cannot; what it got is what these functions then hand out. */
int pushpull_epoll_create1 (int flags_);
int pushpull_eventfd (unsigned int value_, int flags_);
int pushpull_pthread_create (pthread_t *thread_,
                             const pthread_attr_t *attributes_,
                             void *(*routine_) (void *),
                             void *argument_);
#define epoll_create1(a) pushpull_epoll_create1 (a)
#define eventfd(a, b) pushpull_eventfd (a, b)
#define pthread_create(a, b, c, d) pushpull_pthread_create (a, b, c, d)
/* libzmq's own zmq_socket, behind ours. */
#define zmq_socket(a, b) pushpull_libzmq_socket (a, b)

/* pooled-messages. See pool.cpp. Only the two places that hold the memory of messages
   take it from there: within msg.cpp, and within the allocators of the decoders, what
   one function gets another one frees. Whoever looks for the use of freed memory does
   without: the pool keeps it. */
#if !defined PUSHPULL_NO_POOL
#define PUSHPULL_POOL
#endif
void *pushpull_pool_take (size_t room_);
void pushpull_pool_put (void *body_);

#if defined __cplusplus
}
#endif

#if defined __cplusplus && defined PUSHPULL_POOL
#include <cstdlib>

static inline bool pushpull_is_pooled (const char *file_)
{
    return strstr (file_, "/msg.cpp") || strstr (file_, "/decoder_allocators.");
}
static inline void *pushpull_malloc (size_t size_, const char *file_)
{
    return pushpull_is_pooled (file_) ? pushpull_pool_take (size_) : malloc (size_);
}
static inline void pushpull_free (void *memory_, const char *file_)
{
    pushpull_is_pooled (file_) ? pushpull_pool_put (memory_) : free (memory_);
}
namespace std
{
using ::pushpull_malloc;
using ::pushpull_free;
}
#define malloc(size) pushpull_malloc (size, __FILE__)
#define free(memory) pushpull_free (memory, __FILE__)
#endif

#elif defined __APPLE__ || defined __FreeBSD__

#include <sys/types.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/time.h>

#if defined __cplusplus
extern "C" {
#endif

/* lossless-ipc and calm-listener as above, in kqueue's terms: an end of file that is
   reported along with readiness is libzmq's cue to read twice. Never compiled,
   never run, so the build script does not claim them there. */
int pushpull_kevent (int queue_,
                     const struct kevent *changes_,
                     int change_count_,
                     struct kevent *events_,
                     int room_,
                     const struct timespec *timeout_);
int pushpull_accept (int fd_, struct sockaddr *address_, socklen_t *size_);
int pushpull_accept4 (int fd_, struct sockaddr *address_, socklen_t *size_, int flags_);
/* With arguments, so as to leave `struct kevent` and the methods called accept alone. */
#define kevent(a, b, c, d, e, f) pushpull_kevent (a, b, c, d, e, f)
#define accept(...)                                                            \
    PUSHPULL_FOR_3 (pushpull_accept, accept, __VA_ARGS__) (__VA_ARGS__)
#define accept4(a, b, c, d) pushpull_accept4 (a, b, c, d)

#if defined __cplusplus
}
#endif

#elif defined _WIN32 && defined __cplusplus

#if !defined NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <stdint.h>

extern "C" {

/* bounded-messages as above; wepoll has epoll's names.

   Of lossless-ipc: a hang-up is handed on only as the readiness that was asked for, and a
   descriptor that is polled for nothing hears of it once. For tcp that is what happens
   anyway, since Windows reports a clean close as readiness. Whether ipc needs it nobody
   knows: it was never run on a Windows that has Unix sockets, and is not claimed. */
int pushpull_epoll_ctl (void *epoll_, int what_, uintptr_t fd_, struct epoll_event *event_);
int pushpull_epoll_wait (void *epoll_,
                         struct epoll_event *events_,
                         int room_,
                         int timeout_);
#define epoll_ctl(a, b, c, d) pushpull_epoll_ctl (a, b, c, d)
#define epoll_wait(a, b, c, d) pushpull_epoll_wait (a, b, c, d)

/* no-abort-on-network. libzmq ends the process when Winsock answers with an error that is
   not on its lists: "host unreachable" to recv, say, or "network is down" to accept. Here
   those end the connection. With an ipc connection that is refused late it takes
   Winsock's numbers for those of the C runtime, and ends the process too. A listener that
   has run out of buffers waits for a moment, in place of a spin. */
SOCKET pushpull_wsa_accept (SOCKET fd_, struct sockaddr *address_, int *size_);
int pushpull_wsa_send (SOCKET fd_, const char *data_, int size_, int flags_);
int pushpull_wsa_recv (SOCKET fd_, char *data_, int size_, int flags_);
int pushpull_wsa_getsockopt (SOCKET fd_, int level_, int name_, char *value_, int *size_);
#define accept(...)                                                            \
    PUSHPULL_FOR_3 (pushpull_wsa_accept, accept, __VA_ARGS__) (__VA_ARGS__)
#define send(...)                                                              \
    PUSHPULL_FOR_4 (pushpull_wsa_send, send, __VA_ARGS__) (__VA_ARGS__)
#define recv(...)                                                              \
    PUSHPULL_FOR_4 (pushpull_wsa_recv, recv, __VA_ARGS__) (__VA_ARGS__)
#define getsockopt(...)                                                        \
    PUSHPULL_FOR_5 (pushpull_wsa_getsockopt, getsockopt, __VA_ARGS__) (__VA_ARGS__)

/* tcp-mailboxes. libzmq makes the pair of sockets behind each mailbox in a folder of its
   own under the temporary one (with MinGW's C runtime: at the root of the current drive),
   and ends the process if it can't name one. Over ipc nothing is won by that, so here the
   path is one that no socket fits into, and libzmq goes on to its second way, tcp. */
#define create_ipc_wildcard_address(folder, file)                              \
    PUSHPULL_SECOND (PUSHPULL_WILDCARD_##folder,                               \
                     create_ipc_wildcard_address (folder, file))
#define PUSHPULL_WILDCARD_dirname ~, filename.assign (256, '?')
}

#endif

#endif
