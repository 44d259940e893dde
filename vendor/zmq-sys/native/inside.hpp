//  The private parts of libzmq that the files beside this one reach into. Written
//  against libzmq 4.3.5, which Cargo.toml pins; compiled with the same definitions as
//  libzmq itself.

#ifndef PUSHPULL_INSIDE_HPP
#define PUSHPULL_INSIDE_HPP

#include "precompiled.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string.h>
#include <vector>

#if defined __linux__
#include <sys/socket.h>
#endif

#include "config.hpp"
#include "ctx.hpp"
#include "err.hpp"
#include "msg.hpp"
#include "object.hpp"
#include "pipe.hpp"
#include "pull.hpp"
#include "push.hpp"
#include "raw_encoder.hpp"
#include "session_base.hpp"
#include "socket_base.hpp"
#include "stream_engine_base.hpp"
#include "v1_encoder.hpp"
#include "v2_decoder.hpp"
#include "v2_encoder.hpp"
#include "v3_1_encoder.hpp"
#include "ypipe.hpp"

#include "grant.hpp"
#include "pushpull.h"

//  Windows still has names for two kinds of pointers of its 16-bit days.
#if defined _WIN32
#undef near
#undef far
#endif

#if ZMQ_VERSION != ZMQ_MAKE_VERSION(4, 3, 5)
#error "native/ is written against the private parts of libzmq 4.3.5"
#endif

namespace
{
typedef zmq::array_t<zmq::pipe_t, 1> in_pipes_t;
typedef zmq::array_t<zmq::pipe_t, 2> out_pipes_t;
typedef zmq::array_t<zmq::pipe_t, 3> all_pipes_t;
typedef zmq::array_t<zmq::socket_base_t> sockets_t;
typedef zmq::ypipe_base_t<zmq::msg_t> upipe_t;
typedef zmq::ypipe_t<zmq::msg_t, zmq::message_pipe_granularity> ypipe_t;
typedef zmq::yqueue_t<zmq::msg_t, zmq::message_pipe_granularity> yqueue_t;
typedef zmq::encoder_base_t<zmq::v2_encoder_t> v2_base_t;
typedef zmq::encoder_base_t<zmq::v3_1_encoder_t> v3_1_base_t;
typedef zmq::decoder_base_t<zmq::v2_decoder_t, zmq::shared_message_memory_allocator>
  decoder_base_t;

GRANT (zmq::options_t, options_of, zmq::own_t, options);
GRANT (bool, ctx_terminated_of, zmq::socket_base_t, _ctx_terminated);
GRANT (bool, rcvmore_of, zmq::socket_base_t, _rcvmore);
GRANT (all_pipes_t, pipes_of, zmq::socket_base_t, _pipes);

GRANT (zmq::lb_t, lb_of, zmq::push_t, _lb);
GRANT (out_pipes_t, lb_pipes_of, zmq::lb_t, _pipes);
GRANT (out_pipes_t::size_type, lb_active_of, zmq::lb_t, _active);
GRANT (out_pipes_t::size_type, lb_current_of, zmq::lb_t, _current);
GRANT (bool, lb_more_of, zmq::lb_t, _more);
GRANT (bool, lb_dropping_of, zmq::lb_t, _dropping);
GRANT (zmq::fq_t, fq_of, zmq::pull_t, _fq);
GRANT (in_pipes_t, fq_pipes_of, zmq::fq_t, _pipes);
GRANT (in_pipes_t::size_type, fq_active_of, zmq::fq_t, _active);
GRANT (in_pipes_t::size_type, fq_current_of, zmq::fq_t, _current);
GRANT (bool, fq_more_of, zmq::fq_t, _more);

GRANT (upipe_t *, in_pipe_of, zmq::pipe_t, _in_pipe);
GRANT (upipe_t *, out_pipe_of, zmq::pipe_t, _out_pipe);
GRANT (bool, in_active_of, zmq::pipe_t, _in_active);
GRANT (bool, out_active_of, zmq::pipe_t, _out_active);
GRANT (int, hwm_of, zmq::pipe_t, _hwm);
GRANT (int, lwm_of, zmq::pipe_t, _lwm);
GRANT (uint64_t, msgs_read_of, zmq::pipe_t, _msgs_read);
GRANT (uint64_t, msgs_written_of, zmq::pipe_t, _msgs_written);
GRANT (uint64_t, peers_msgs_read_of, zmq::pipe_t, _peers_msgs_read);
GRANT (zmq::pipe_t *, peer_of, zmq::pipe_t, _peer);
GRANT (zmq::i_pipe_events *, sink_of, zmq::pipe_t, _sink);
GRANT (const bool, conflate_of, zmq::pipe_t, _conflate);
GRANT (bool, delay_of, zmq::pipe_t, _delay);
GRANT (yqueue_t, queue_of, ypipe_t, _queue);
GRANT (zmq::msg_t *, flushable_of, ypipe_t, _f);

GRANT (zmq::pipe_t *, session_pipe_of, zmq::session_base_t, _pipe);
GRANT (const bool, is_calling, zmq::session_base_t, _active);
GRANT (bool, incomplete_in_of, zmq::session_base_t, _incomplete_in);
GRANT (zmq::i_engine *, engine_of, zmq::session_base_t, _engine);

GRANT (size_t, outsize_of, zmq::stream_engine_base_t, _outsize);
GRANT (zmq::session_base_t *, session_of, zmq::stream_engine_base_t, _session);
GRANT (const zmq::options_t, engine_options_of, zmq::stream_engine_base_t, _options);
GRANT (zmq::i_encoder *, encoder_of, zmq::stream_engine_base_t, _encoder);
GRANT (zmq::fd_t, fd_of, zmq::stream_engine_base_t, _s);
GRANT (bool, input_stopped_of, zmq::stream_engine_base_t, _input_stopped);

GRANT (unsigned char *const, buffer_of_v2, v2_base_t, _buf);
GRANT (unsigned char *const, buffer_of_v3_1, v3_1_base_t, _buf);
GRANT (const size_t, room_of_v2, v2_base_t, _buf_size);
GRANT (const size_t, room_of_v3_1, v3_1_base_t, _buf_size);

GRANT (zmq::mutex_t, slot_sync_of, zmq::ctx_t, _slot_sync);
GRANT (sockets_t, sockets_of, zmq::ctx_t, _sockets);
GRANT (bool, starting_of, zmq::ctx_t, _starting);
GRANT (bool, terminating_of, zmq::ctx_t, _terminating);
GRANT (std::vector<zmq::io_thread_t *>, io_threads_of, zmq::ctx_t, _io_threads);

GRANT_STATE (is_active, active);
GRANT_STATE (is_left, waiting_for_delimiter);

//  Whether the far end is there and has not been told to go.
inline bool is_there (zmq::pipe_t &pipe_)
{
    return is_active (pipe_) || is_left (pipe_);
}

int process_commands_once (zmq::socket_base_t &, int, bool);
template <typename M, M At> struct process_commands_grant
{
    friend int process_commands_once (zmq::socket_base_t &socket_,
                                      int timeout_,
                                      bool throttle_)
    {
        return (socket_.*At) (timeout_, throttle_);
    }
};
template struct process_commands_grant<
  decltype (&zmq::socket_base_t::process_commands),
  &zmq::socket_base_t::process_commands>;

void send_activate_write (zmq::object_t &, zmq::pipe_t *, uint64_t);
template <typename M, M At> struct send_activate_write_grant
{
    friend void
    send_activate_write (zmq::object_t &from_, zmq::pipe_t *to_, uint64_t read_)
    {
        (from_.*At) (to_, read_);
    }
};
template struct send_activate_write_grant<
  decltype (&zmq::object_t::send_activate_write),
  &zmq::object_t::send_activate_write>;

//  A signal may come that cannot be blocked: glibc's own, when another thread calls setuid.
inline int process_commands (zmq::socket_base_t &socket_, int timeout_, bool throttle_)
{
    int result;
    do
        result = process_commands_once (socket_, timeout_, throttle_);
    while (result != 0 && errno == EINTR);
    return result;
}

//  True when the encoder of type T still has bytes of its message to give.
template <typename T, size_t zmq::encoder_base_t<T>::*ToWrite,
          bool zmq::encoder_base_t<T>::*Last,
          zmq::msg_t *zmq::encoder_base_t<T>::*Message>
struct encoder_grant
{
    friend bool encoding (T *encoder_)
    {
        //  A message whose last bytes went into a batch that they filled is finished
        //  in all but name.
        return encoder_->*Message != NULL
               && !(encoder_->*ToWrite == 0 && encoder_->*Last);
    }
};
#define reach_encoder(klass)                                                   \
    bool encoding (klass *);                                                   \
    template struct encoder_grant<                                             \
      klass, &zmq::encoder_base_t<klass>::_to_write,                           \
      &zmq::encoder_base_t<klass>::_new_msg_flag,                              \
      &zmq::encoder_base_t<klass>::_in_progress>
reach_encoder (zmq::v1_encoder_t);
reach_encoder (zmq::v2_encoder_t);
reach_encoder (zmq::v3_1_encoder_t);
reach_encoder (zmq::raw_encoder_t);
#undef reach_encoder

inline bool encoding (zmq::i_encoder *encoder_)
{
    if (zmq::v3_1_encoder_t *v31 = dynamic_cast<zmq::v3_1_encoder_t *> (encoder_))
        return encoding (v31);
    if (zmq::v2_encoder_t *v2 = dynamic_cast<zmq::v2_encoder_t *> (encoder_))
        return encoding (v2);
    if (zmq::v1_encoder_t *v1 = dynamic_cast<zmq::v1_encoder_t *> (encoder_))
        return encoding (v1);
    if (zmq::raw_encoder_t *raw = dynamic_cast<zmq::raw_encoder_t *> (encoder_))
        return encoding (raw);
    return false;
}

//  What an encoder writes into, of those that PUSH and PULL have with all but the oldest peers.
struct buffer_t
{
    unsigned char *begin;
    const size_t *room;
};

inline buffer_t buffer_of (zmq::i_encoder *encoder_)
{
    buffer_t buffer = {NULL, NULL};
    if (zmq::v3_1_encoder_t *v31 = dynamic_cast<zmq::v3_1_encoder_t *> (encoder_)) {
        buffer.begin = buffer_of_v3_1 (*v31);
        buffer.room = &room_of_v3_1 (*v31);
    } else if (zmq::v2_encoder_t *v2 = dynamic_cast<zmq::v2_encoder_t *> (encoder_)) {
        buffer.begin = buffer_of_v2 (*v2);
        buffer.room = &room_of_v2 (*v2);
    }
    return buffer;
}

//  How much of what an engine is writing the kernel has not got. What is more than a batch
//  is one message.
inline uint64_t unwritten (zmq::stream_engine_base_t &engine_)
{
    const size_t batch = options_of (*session_of (engine_)).out_batch_size;
    return std::min (outsize_of (engine_), batch);
}

//  How many messages have a part of that, at most: the ones that were read since all had
//  been written (see pushpull_write), the one whose rest came first, and the one that has
//  more frames to come, which a pipe does not count yet.
inline uint64_t being_written (zmq::stream_engine_base_t &engine_)
{
    zmq::session_base_t &session = *session_of (engine_);
    zmq::pipe_t *const pipe = session_pipe_of (session);
    if (!pipe)
        return UINT32_MAX;
    const uint32_t then = engine_options_of (engine_).multicast_maxtpdu;
    const uint32_t since = static_cast<uint32_t> (msgs_read_of (*pipe)) - then;
    const uint64_t others = incomplete_in_of (session) ? 2 : 1;
    return std::min<uint64_t> (since + others, UINT32_MAX);
}

//  That it is all of what is written tells that nothing else waits with it. (Encrypted it is
//  not known, and treated as a message.)
inline bool is_ping (const void *data_, size_t size_)
{
    const char ping[] = "\4\7\4PING";
    const size_t time_to_live = 2;
    return size_ == sizeof ping - 1 + time_to_live
           && memcmp (data_, ping, sizeof ping - 1) == 0;
}

//  The same of a ping or of the answer to one, which has the context of the ping in it.
inline bool is_sign_of_life (const unsigned char *data_, size_t size_)
{
    const char pong[] = "\4PONG";
    const size_t header = 2;
    const size_t least = header + sizeof pong - 1;
    return is_ping (data_, size_)
           || (size_ >= least && data_[0] == 4 && data_[1] == size_ - header
               && memcmp (data_ + header, pong, sizeof pong - 1) == 0);
}

inline zmq::socket_base_t *as_socket (void *socket_)
{
    zmq::socket_base_t *const socket =
      static_cast<zmq::socket_base_t *> (socket_);
    if (!socket || !socket->check_tag ()) {
        errno = ENOTSOCK;
        return NULL;
    }
    return socket;
}

template <typename T> T *as_type (void *socket_, int type_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return NULL;
    if (options_of (*socket).type != type_) {
        errno = ENOTSUP;
        return NULL;
    }
    if (ctx_terminated_of (*socket)) {
        errno = ETERM;
        return NULL;
    }
    return static_cast<T *> (socket);
}

//  Reads a number of libzmq's that another thread writes, as a hint. What it writes is no
//  atomic, and ThreadSanitizer calls that a race; a whole word is read whole all the same.
#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define PUSHPULL_UNSANITIZED __attribute__ ((no_sanitize ("thread"), noinline))
#endif
#endif
#if defined PUSHPULL_UNSANITIZED
template <typename T> PUSHPULL_UNSANITIZED T load (const T &number_)
{
    return *const_cast<const volatile T *> (&number_);
}
#else
template <typename T> T load (const T &number_)
{
#if defined __GNUC__ || defined __clang__
    return __atomic_load_n (&number_, __ATOMIC_RELAXED);
#else
    return *const_cast<const volatile T *> (&number_);
#endif
}
#endif

//  Writes one that another thread reads so.
template <typename T> void store (T &number_, T value_)
{
#if defined __GNUC__ || defined __clang__
    __atomic_store_n (&number_, value_, __ATOMIC_RELAXED);
#else
    *const_cast<volatile T *> (&number_) = value_;
#endif
}

inline uint64_t difference (uint64_t more_, uint64_t less_)
{
    return more_ > less_ ? more_ - less_ : 0;
}

//  The messages in a pipe whose other end is there, as far as this thread can tell.
inline uint64_t unread (zmq::pipe_t &near_)
{
    return difference (msgs_written_of (near_),
                       load (msgs_read_of (*peer_of (near_))));
}

//  How many messages fit into a pipe.
inline size_t room (zmq::pipe_t &near_)
{
    if (hwm_of (near_) <= 0)
        return (std::numeric_limits<size_t>::max) ();
    const uint64_t inside = msgs_written_of (near_) - peers_msgs_read_of (near_);
    return static_cast<size_t> (
      difference (static_cast<uint64_t> (hwm_of (near_)), inside));
}

//  Takes a pipe out of a fair queue's turn, and leaves the current one the current one,
//  unless it is that.
inline void take_out (zmq::fq_t &fq_, in_pipes_t::size_type at_)
{
    if (at_ >= fq_active_of (fq_))
        return;
    const in_pipes_t::size_type last = --fq_active_of (fq_);
    fq_pipes_of (fq_).swap (at_, last);
    if (fq_current_of (fq_) == last)
        fq_current_of (fq_) = at_ == last ? 0 : at_;
}

//  Whether a pipe of a fair queue has a message. If not, it is out, as in libzmq's own
//  search; and if it had only its end to tell, it goes.
inline bool is_readable (zmq::fq_t &fq_, in_pipes_t::size_type at_)
{
    if (fq_pipes_of (fq_)[at_]->check_read ())
        return true;
    take_out (fq_, at_);
    return false;
}

inline int64_t now_ms ()
{
    return std::chrono::duration_cast<std::chrono::milliseconds> (
             std::chrono::steady_clock::now ().time_since_epoch ())
      .count ();
}

GRANT (int, mark_of, zmq::pipe_t, _server_socket_routing_id);

//  The number of a pipe, and its marks: its connection is known to end with something
//  still to be read, which an I/O thread sets; it waits for an older one. See order.hpp.
inline int load_mark (zmq::pipe_t &pipe_)
{
    return load (mark_of (pipe_));
}

//  The marks of a pipe change on the socket's thread, but for one.
inline void add_mark (zmq::pipe_t &pipe_, int bits_)
{
#if defined __GNUC__ || defined __clang__
    __atomic_fetch_or (&mark_of (pipe_), bits_, __ATOMIC_RELAXED);
#else
    mark_of (pipe_) |= bits_;
#endif
}

inline void drop_mark (zmq::pipe_t &pipe_, int bits_)
{
#if defined __GNUC__ || defined __clang__
    __atomic_fetch_and (&mark_of (pipe_), ~bits_, __ATOMIC_RELAXED);
#else
    mark_of (pipe_) &= ~bits_;
#endif
}

inline bool is_ending (zmq::pipe_t &pipe_)
{
    return is_left (pipe_)
           || ((load_mark (pipe_) & PUSHPULL_ENDING) && is_active (pipe_));
}

//  Whether a pipe came before another one.
inline bool is_older (zmq::pipe_t &one_, zmq::pipe_t &other_)
{
    //  Above the number are three marks.
    const uint32_t from = static_cast<uint32_t> (load_mark (other_));
    const uint32_t to = static_cast<uint32_t> (load_mark (one_));
    return static_cast<int32_t> ((to - from) << 3) < 0;
}

inline zmq::msg_t *as_msg (zmq_msg_t *message_)
{
    return reinterpret_cast<zmq::msg_t *> (message_);
}

inline bool on_io_thread (zmq::ctx_t &ctx_, zmq::pipe_t &pipe_)
{
    const uint32_t first = zmq::ctx_t::reaper_tid + 1;
    const uint32_t tid = pipe_.get_tid ();
    return tid >= first && tid - first < io_threads_of (ctx_).size ();
}

//  Whether all that was sent through a connection is in this kernel. Asked where it
//  matters.
inline bool is_local (zmq::fd_t fd_)
{
#if defined __linux__
    sockaddr_storage name;
    socklen_t size = sizeof name;
    return getsockname (fd_, reinterpret_cast<sockaddr *> (&name), &size) == 0
           && name.ss_family == AF_UNIX;
#else
    LIBZMQ_UNUSED (fd_);
    return false;
#endif
}
}

#endif
