#include "order.hpp"

#include <atomic>
#include <chrono>
#include <new>
#include <string>

#include "mechanism.hpp"
#include "options.hpp"

//  The property of a connection's handshake that tells whose it is (RFC 23: names that
//  begin with "X-" are the application's).
#define NAME_PROPERTY "X-Pushpull-Session"
//  No peer of ours has a longer one, and a stranger's shall cost nothing.
const size_t longest_name = 64;

//  How long nothing comes through an old connection before a newer one of the same peer
//  is read: its end may never come, when the line was cut and nobody was told.
const int64_t silence_ms = 3000;

namespace
{
GRANT (zmq::mechanism_t *, mechanism_of, zmq::stream_engine_base_t, _mechanism);
GRANT (const bool, is_calling, zmq::session_base_t, _active);
GRANT (const bool, in_active_of, zmq::pipe_t, _in_active);
GRANT (const zmq::blob_t, name_of, zmq::pipe_t, _router_socket_routing_id);

//  Set and cleared by the socket's thread alone, beside a mark that is not.
void set_waiting (zmq::pipe_t &pipe_, bool waits_)
{
#if defined __GNUC__ || defined __clang__
    if (waits_)
        __atomic_fetch_or (&mark_of (pipe_), PUSHPULL_WAITING, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and (&mark_of (pipe_), ~PUSHPULL_WAITING, __ATOMIC_RELAXED);
#else
    mark_of (pipe_) = waits_ ? mark_of (pipe_) | PUSHPULL_WAITING
                             : mark_of (pipe_) & ~PUSHPULL_WAITING;
#endif
}

bool is_waiting (zmq::pipe_t &pipe_)
{
    return (load_mark (pipe_) & PUSHPULL_WAITING) != 0;
}

bool is_leaving (zmq::pipe_t &pipe_)
{
    return is_ending (pipe_) && !is_waiting (pipe_);
}

//  Whether pipes hold the same peer's messages, the first one the older ones.
bool is_before (zmq::pipe_t &one_, zmq::pipe_t &other_)
{
    const zmq::blob_t &name = name_of (one_);
    const zmq::blob_t &other = name_of (other_);
    return name.size () == other.size ()
           && memcmp (name.data (), other.data (), name.size ()) == 0
           && is_older (one_, other_);
}

//  Whether messages are there, or their end is known and comes by itself.
bool is_moving (zmq::pipe_t &pipe_)
{
    return is_ending (pipe_)
           || (is_active (pipe_)
               && load (msgs_written_of (*peer_of (pipe_))) > msgs_read_of (pipe_));
}

//  Takes a pipe in again that was taken out. One that is out since it was found empty
//  comes in by itself, and must not be in when it does.
void take_in (zmq::fq_t &fq_, in_pipes_t::size_type at_)
{
    if (at_ >= fq_active_of (fq_) && in_active_of (*fq_pipes_of (fq_)[at_]))
        fq_pipes_of (fq_).swap (at_, fq_active_of (fq_)++);
}

//  Takes a pipe out of the fair queue's turn. Between two frames of a message the queue
//  counts on its current pipe, which waits for nobody.
void take_out (zmq::fq_t &fq_, in_pipes_t::size_type at_)
{
    if (at_ >= fq_active_of (fq_))
        return;
    const in_pipes_t::size_type last = --fq_active_of (fq_);
    fq_pipes_of (fq_).swap (at_, last);
    if (fq_current_of (fq_) == last)
        fq_current_of (fq_) = at_ == last ? 0 : at_;
}

//  Whether a pipe has to wait for others still, and whether any of those moves.
bool has_to_wait (zmq::fq_t &fq_, zmq::pipe_t &pipe_, bool *moves_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    bool waits = false;
    for (in_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        if (is_before (*pipes[i], pipe_)) {
            waits = true;
            *moves_ = *moves_ || (!is_waiting (*pipes[i]) && is_moving (*pipes[i]));
        }
    return waits;
}

int64_t now_ms ()
{
    return std::chrono::duration_cast<std::chrono::milliseconds> (
             std::chrono::steady_clock::now ().time_since_epoch ())
      .count ();
}

void let_wait (zmq::fq_t &fq_, pushpull_waits *waits_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    const in_pipes_t::size_type size = pipes.size ();
    uint64_t waiting = 0;
    bool moves = false;
    //  From the front, as one that is taken in changes places with an earlier one.
    for (in_pipes_t::size_type i = 0; i != size; ++i)
        if (is_waiting (*pipes[i])) {
            if (waits_ && has_to_wait (fq_, *pipes[i], &moves))
                ++waiting;
            else {
                set_waiting (*pipes[i], false);
                take_in (fq_, i);
            }
        }
    if (waits_) {
        const int64_t now = now_ms ();
        if (waits_->pipes == 0 || moves)
            waits_->since = now;
        if (now - waits_->since > silence_ms) {
            for (in_pipes_t::size_type i = 0; i != size; ++i)
                if (is_waiting (*pipes[i])) {
                    set_waiting (*pipes[i], false);
                    take_in (fq_, i);
                }
            waiting = 0;
        }
        waits_->pipes = waiting;
    }
    //  From the back, as one that is taken out changes places with a later one.
    for (in_pipes_t::size_type i = size; i-- != 0;)
        if (is_waiting (*pipes[i]))
            take_out (fq_, i);
}
}

turn_t turn_to_leaving (zmq::fq_t &fq_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    while (true) {
        const in_pipes_t::size_type none = pipes.size ();
        in_pipes_t::size_type oldest = none;
        for (in_pipes_t::size_type i = 0; i != none; ++i)
            if (is_leaving (*pipes[i])
                && (i < fq_active_of (fq_) || is_active (*pipes[i]))
                && (oldest == none || is_older (*pipes[i], *pipes[oldest])))
                oldest = i;
        if (oldest == none)
            return any;
        zmq::pipe_t &pipe = *pipes[oldest];
        if (oldest < fq_active_of (fq_) && is_readable (fq_, oldest)) {
            fq_current_of (fq_) = oldest;
            return found;
        }
        if (is_active (pipe))
            return coming;
    }
}

bool put_in_order (zmq::fq_t &fq_, pushpull_waits *waits_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    bool leave = false;
    bool wait = false;
    for (in_pipes_t::size_type i = 0, end = pipes.size (); i != end; ++i) {
        leave = leave || is_leaving (*pipes[i]);
        wait = wait || is_waiting (*pipes[i]);
    }
    if (wait)
        let_wait (fq_, waits_);
    else if (waits_ && !wait)
        waits_->pipes = 0;
    return leave;
}

zmq::pipe_t *pushpull_numbered (zmq::pipe_t *pipe_)
{
    static std::atomic<int> last (0);
    if ((load_mark (*pipe_) & PUSHPULL_NUMBER) == 0) {
        const int number = (last.fetch_add (1) + 1) & PUSHPULL_NUMBER;
#if defined __GNUC__ || defined __clang__
        __atomic_fetch_or (&mark_of (*pipe_), number, __ATOMIC_RELAXED);
#else
        mark_of (*pipe_) |= number;
#endif
        if (name_of (*pipe_).size () > 0)
            set_waiting (*pipe_, true);
    }
    return pipe_;
}

int pushpull_introduce (void *socket_, const char *name_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    if (name_ && (!*name_ || strlen (name_) > longest_name)) {
        errno = EINVAL;
        return -1;
    }
    std::map<std::string, std::string> &properties = options_of (*socket).app_metadata;
    try {
        if (name_)
            properties[NAME_PROPERTY] = name_;
        else
            properties.erase (NAME_PROPERTY);
    }
    catch (const std::bad_alloc &) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

//  On the I/O thread, before the socket gets its end of the pipe.
void pushpull_introduced (zmq::session_base_t *session_, zmq::pipe_t *pipe_)
{
    //  One that we call keeps its pipe when it comes back.
    if (options_of (*session_).type != ZMQ_PULL || is_calling (*session_))
        return;
    zmq::stream_engine_base_t *const engine =
      dynamic_cast<zmq::stream_engine_base_t *> (engine_of (*session_));
    if (!engine || !mechanism_of (*engine))
        return;
    const zmq::metadata_t::dict_t &properties =
      mechanism_of (*engine)->get_zmtp_properties ();
    const zmq::metadata_t::dict_t::const_iterator at =
      properties.find (NAME_PROPERTY);
    if (at == properties.end () || at->second.size () > longest_name)
        return;
    pipe_->set_router_socket_routing_id (
      zmq::blob_t (reinterpret_cast<const unsigned char *> (at->second.data ()),
                   at->second.size ()));
}

//  Those that may have waited for this one wake whoever polls the socket.
zmq::pipe_t *pushpull_leaves (zmq::pipe_t *pipe_)
{
    zmq::pull_t *const socket = dynamic_cast<zmq::pull_t *> (sink_of (*pipe_));
    if (!socket || name_of (*pipe_).size () == 0)
        return pipe_;
    zmq::fq_t &fq = fq_of (*socket);
    for (in_pipes_t::size_type i = 0, size = fq_pipes_of (fq).size (); i != size; ++i)
        if (is_waiting (*fq_pipes_of (fq)[i]))
            take_in (fq, i);
    return pipe_;
}
