//  Messages that are as large as what a connection of ours writes at once, or larger; and,
//  as far as a pipe holds them, those that are heavy.
//
//  libzmq reads and writes them where they lie, but for the part that shares its batch
//  with a neighbour, which is copied. With batches as large as ours that can be a
//  quarter of every message. So beside a large message batches are short.
//
//  And as they are counted and not weighed, a pipe would hold a gigabyte of them before
//  it is full, memory that nobody has touched for long, while its connection needs a few
//  to be kept busy. So a pipe of a PUSH socket is full with fewer, also of heavy ones, of
//  which a thousand are more than the caches hold. That takes both its ends: the one that
//  reads tells every so many messages how far it is, and was going to do so at half of the
//  high-water mark. It says it more often from its first heavy message on, and only where
//  that is seen, the other end counts on it.
//
//  The kernel, too, is asked to hold a megabyte or two for a connection within one machine.
//  A Unix socket holds less by itself, so that both sides take turns several times for each
//  message; a TCP socket comes to hold several megabytes, which are out of the caches when
//  they are read.
//
//  With many small messages they take turns as well. What the kernel has of them is lost with
//  a receiver that is killed, and a Pull that closes has to read it. So a Unix socket gets a
//  megabyte for those only once it has carried ten of them in a tenth of a second, which
//  few can do at a time. (It keeps that.)

#include "large.hpp"

#include <algorithm>
#include <string.h>

#if defined __linux__
#include <netinet/in.h>
#include <sys/socket.h>
#endif

#include "tcp.hpp"

namespace
{
//  libzmq's own size of a batch.
const size_t short_batch = 8192;

GRANT (zmq::i_decoder *, decoder_of, zmq::stream_engine_base_t, _decoder);
GRANT (unsigned char *, inpos_of, zmq::stream_engine_base_t, _inpos);
GRANT (zmq::msg_t, tx_msg_of, zmq::stream_engine_base_t, _tx_msg);
GRANT (zmq::msg_t, in_progress_of, zmq::v2_decoder_t, _in_progress);
GRANT (unsigned char *, read_pos_of, decoder_base_t, _read_pos);
GRANT (size_t, to_read_of, decoder_base_t, _to_read);

void wait_for_no_answer (zmq::stream_engine_base_t &);
template <typename H, H Has, typename I, I Timer, typename M, M At>
struct wait_for_no_answer_grant
{
    friend void wait_for_no_answer (zmq::stream_engine_base_t &engine_)
    {
        if (engine_.*Has)
            (engine_.*At) (Timer);
        engine_.*Has = false;
    }
};
template struct wait_for_no_answer_grant<
  decltype (&zmq::stream_engine_base_t::_has_timeout_timer),
  &zmq::stream_engine_base_t::_has_timeout_timer,
  decltype (zmq::stream_engine_base_t::heartbeat_timeout_timer_id),
  zmq::stream_engine_base_t::heartbeat_timeout_timer_id,
  decltype (&zmq::io_object_t::cancel_timer),
  &zmq::io_object_t::cancel_timer>;

//  (ENOUGH and ENOUGH_HEAVY of src/control/pace.rs are the same for the channel.)
//
//  How many messages of that size a connection is kept busy with, from the time when one
//  of them is written to that when the next ones have come.
int enough (size_t size_)
{
    const size_t bytes = size_ < large ? 1 << 20 : 16 << 20;
    const size_t least = 4;
    return static_cast<int> (std::max (bytes / size_, least));
}

int often (size_t size_)
{
    return enough (size_) / 2;
}

bool speaks_often (zmq::pipe_t &pipe_, size_t size_)
{
    return lwm_of (pipe_) <= often (size_);
}

//  On the I/O thread, which reads the pipe. What it says now ends all doubt about what it
//  had read before.
void speak_often (zmq::pipe_t *pipe_, size_t size_)
{
    if (!pipe_ || !is_active (*pipe_) || speaks_often (*pipe_, size_))
        return;
    store (lwm_of (*pipe_), often (size_));
    send_activate_write (*pipe_, peer_of (*pipe_), msgs_read_of (*pipe_));
}

//  What libzmq declares const and we change all the same: a connection's copy of its
//  socket's batch sizes, of which it reads nothing else once it has an encoder and a decoder;
//  its wish for a buffer and three numbers for multicast, which it does not read at all; and
//  the size of the encoder's buffer, which never becomes larger than it was.
//  The language leaves open what comes of that; every look at these is behind a call that
//  the compiler can't see through, so it is a load.
template <typename T> void set (const T &size_, size_t value_)
{
    const_cast<T &> (size_) = static_cast<T> (value_);
}

#if defined __linux__
//  Whether both ends have the same address, so that it is this machine's. (Over a network
//  the kernel finds out how much it takes to keep that busy.)
bool is_at_home (zmq::fd_t fd_)
{
    sockaddr_storage here;
    sockaddr_storage there;
    socklen_t size = sizeof here;
    if (getsockname (fd_, reinterpret_cast<sockaddr *> (&here), &size) != 0)
        return false;
    size = sizeof there;
    if (getpeername (fd_, reinterpret_cast<sockaddr *> (&there), &size) != 0
        || there.ss_family != here.ss_family)
        return false;
    if (here.ss_family == AF_INET)
        return reinterpret_cast<sockaddr_in &> (here).sin_addr.s_addr
               == reinterpret_cast<sockaddr_in &> (there).sin_addr.s_addr;
    return here.ss_family == AF_INET6
           && memcmp (&reinterpret_cast<sockaddr_in6 &> (here).sin6_addr,
                      &reinterpret_cast<sockaddr_in6 &> (there).sin6_addr,
                      sizeof (in6_addr))
                == 0;
}
#endif

//  What a connection's wish for a buffer is, unless the program has said how much it is to
//  be: nobody's; what fits to its rate; what fits to large messages.
enum
{
    unsaid = -1,
    for_rate = -2,
    for_large = -3
};

//  It takes twice that, with what it needs for itself, or twice net.core.wmem_max.
#if defined __linux__
void have_ipc_hold (zmq::fd_t fd_, int bytes_)
{
    int held = 0;
    socklen_t size = sizeof held;
    if (is_local (fd_) && getsockopt (fd_, SOL_SOCKET, SO_SNDBUF, &held, &size) == 0
        && held < 2 * bytes_)
        setsockopt (fd_, SOL_SOCKET, SO_SNDBUF, &bytes_, sizeof bytes_);
}
#endif

//  Once for a connection.
void have_kernel_hold_large (zmq::stream_engine_base_t &engine_)
{
#if defined __linux__
    const zmq::fd_t fd = fd_of (engine_);
    const int &said = engine_options_of (engine_).sndbuf;
    if (said != unsaid && said != for_rate)
        return;
    const int over_tcp = 512 << 10;
    if (is_at_home (fd))
        setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &over_tcp, sizeof over_tcp);
    else
        have_ipc_hold (fd, 1 << 20);
    set (said, for_large);
#else
    LIBZMQ_UNUSED (engine_);
#endif
}

//  Counts what a connection carries, in two numbers of its options that are for multicast
//  alone: since when, in milliseconds, and how many bytes.
void weigh (zmq::stream_engine_base_t &engine_, int bytes_)
{
#if defined __linux__
    const zmq::options_t &options = engine_options_of (engine_);
    if (options.sndbuf != unsaid || options.type != ZMQ_PUSH)
        return;
    const uint32_t window = 100;
    const int much = 10 << 20;
    const uint32_t now = static_cast<uint32_t> (now_ms ());
    int carried = bytes_;
    if (now - static_cast<uint32_t> (options.recovery_ivl) <= window)
        carried += options.rate;
    else
        set (options.recovery_ivl, now);
    set (options.rate, carried);
    if (carried < much)
        return;
    have_ipc_hold (fd_of (engine_), 512 << 10);
    set (options.sndbuf, for_rate);
#else
    LIBZMQ_UNUSED (engine_);
    LIBZMQ_UNUSED (bytes_);
#endif
}

//  Whether what comes next is the rest of a large message. Of a command that has come
//  whole the message is still there.
bool is_within (zmq::v2_decoder_t &decoder_, zmq::msg_t &message_)
{
    return message_.size () >= large
           && read_pos_of (decoder_) + to_read_of (decoder_)
                == static_cast<unsigned char *> (message_.data ()) + message_.size ();
}

bool set_room (zmq::i_encoder *encoder_, size_t room_)
{
    const buffer_t buffer = buffer_of (encoder_);
    if (buffer.room)
        set (*buffer.room, room_);
    return buffer.room;
}
}

//  libzmq would fill a buffer. With the rest of a large message still to come, it is read
//  to where it belongs and no further; and after it only what tells how large the next
//  one is.
int zmq::pushpull_read (stream_engine_base_t *engine_, void *data_, size_t size_)
{
    const fd_t fd = fd_of (*engine_);
    v2_decoder_t *const decoder = dynamic_cast<v2_decoder_t *> (decoder_of (*engine_));
    if (!decoder || data_ != inpos_of (*engine_))
        return tcp_read (fd, data_, size_);
    const int &batch = engine_options_of (*engine_).in_batch_size;
    if (is_within (*decoder, in_progress_of (*decoder))) {
        set (batch, short_batch);
        inpos_of (*engine_) = read_pos_of (*decoder);
        return tcp_read (fd, read_pos_of (*decoder), to_read_of (*decoder));
    }
    const size_t wanted = std::min (size_, static_cast<size_t> (batch));
    set (batch, size_);
    return tcp_read (fd, data_, wanted);
}

//  A ping that shall not be sent (see patient-heartbeats) is swallowed, and nobody waits
//  for its answer.
//
//  The next batch is short while a large message is on its way. What is left of that is
//  more than a batch then, and goes from where it lies.
int zmq::pushpull_write (stream_engine_base_t *engine_, const void *data_, size_t size_)
{
    if (is_ping (data_, size_) && pushpull_has_unread (engine_)) {
        wait_for_no_answer (*engine_);
        return static_cast<int> (size_);
    }
    session_base_t &session = *session_of (*engine_);
    const size_t whole = options_of (session).out_batch_size;
    zmq::msg_t &last = tx_msg_of (*engine_);
    //  The end of a pipe that is terminated has no size.
    const size_t size = last.check () && !last.is_delimiter () ? last.size () : 0;
    const bool is_large = size >= large;
    if (is_large && options_of (session).type == ZMQ_PUSH) {
        speak_often (session_pipe_of (session), size);
        have_kernel_hold_large (*engine_);
    }
    const size_t wanted = is_large ? std::min (whole, short_batch) : whole;
    const int &batch = engine_options_of (*engine_).out_batch_size;
    if (static_cast<size_t> (batch) != wanted && set_room (encoder_of (*engine_), wanted))
        set (batch, wanted);
    const int written = tcp_write (fd_of (*engine_), data_, size_);
    if (written > 0)
        weigh (*engine_, written);
    //  Also without a pipe, which may come behind the handshake; it begins at 0 then.
    zmq::pipe_t *const pipe = session_pipe_of (session);
    if (written >= 0 && static_cast<size_t> (written) == size_)
        set (engine_options_of (*engine_).multicast_maxtpdu, pipe ? msgs_read_of (*pipe) : 0);
    return written;
}

void has_read_heavy (zmq::pipe_t &pipe_, size_t size_)
{
    //  Most often at a PUSH; the rest of this costs more.
    if (speaks_often (pipe_, size_))
        return;
    //  A PULL socket reads its own end of a pipe, and has no session.
    zmq::session_base_t *const session =
      dynamic_cast<zmq::session_base_t *> (sink_of (pipe_));
    if (session && options_of (*session).type == ZMQ_PUSH)
        speak_often (&pipe_, size_);
}

void make_room_for (zmq::push_t &socket_, size_t size_)
{
    const zmq::options_t &options = options_of (socket_);
    const bool is_heavy = size_ >= heavy;
    out_pipes_t &pipes = lb_pipes_of (lb_of (socket_));
    //  Beyond so many peers the look would cost too much.
    const out_pipes_t::size_type most = 64;
    if (pipes.size () > most)
        return;
    for (out_pipes_t::size_type i = 0, end = pipes.size (); i != end; ++i) {
        zmq::pipe_t &pipe = *pipes[i];
        const bool is_short = hwm_of (pipe) < options.sndhwm;
        if (hwm_of (pipe) <= 0 || !(is_heavy || is_short) || !is_active (pipe)
            || !on_io_thread (*socket_.get_ctx (), *peer_of (pipe)))
            continue;
        const int told = load (lwm_of (*peer_of (pipe)));
        const int room = is_heavy && told <= often (size_) ? enough (size_) : options.sndhwm;
        hwm_of (pipe) = std::min (room, options.sndhwm);
    }
}
