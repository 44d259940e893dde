//  What a socket tells of its connections, told at once; see mends.h.

#include "inside.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <new>

#if !defined _WIN32
#include <pthread.h>
#endif

#include "endpoint.hpp"
#include "mechanism.hpp"

namespace
{
GRANT (zmq::mutex_t, monitor_sync_of, zmq::socket_base_t, _monitor_sync);
GRANT (int64_t, monitor_events_of, zmq::socket_base_t, _monitor_events);
GRANT (zmq::socket_base_t *, socket_of, zmq::stream_engine_base_t, _socket);
GRANT (unsigned char *, outpos_of, zmq::stream_engine_base_t, _outpos);
GRANT (bool, handshaking_of, zmq::stream_engine_base_t, _handshaking);
GRANT (zmq::mechanism_t *, mechanism_of, zmq::stream_engine_base_t, _mechanism);

struct watcher_t
{
    pushpull_told_fn *told;
    void *hint;
};

std::atomic<int> looking_up (0);

std::mutex watchers_sync;
std::map<const zmq::socket_base_t *, watcher_t> watchers;

#if !defined _WIN32
//  A thread that a forked child does not have may have held the lock, or been in the
//  middle of a change or a look-up. The child has none of these sockets' threads either.
void begin_anew ()
{
    looking_up = 0;
    new (&watchers_sync) std::mutex;
    new (&watchers) std::map<const zmq::socket_base_t *, watcher_t>;
}

void prepare_for_forks ()
{
    static const int done = pthread_atfork (NULL, NULL, begin_anew);
    (void) done;
}
#else
void prepare_for_forks ()
{
}
#endif
}

//  libzmq holds the socket's _monitor_sync around this, and pushpull_watch takes it: so
//  nobody is told any more once pushpull_watch has returned.
bool pushpull_told (const zmq::socket_base_t *socket_,
                    uint64_t event_,
                    const uint64_t *values_,
                    uint64_t count_,
                    const zmq::endpoint_uri_pair_t &pair_)
{
    watcher_t watcher;
    {
        const std::lock_guard<std::mutex> lock (watchers_sync);
        const std::map<const zmq::socket_base_t *, watcher_t>::const_iterator at =
          watchers.find (socket_);
        if (at == watchers.end ())
            return false;
        watcher = at->second;
    }
    //  What libzmq does next may depend on it.
    const int error = errno;
    watcher.told (watcher.hint, event_, count_ > 0 ? values_[0] : 0,
                  pair_.identifier ().c_str ());
    errno = error;
    return true;
}

int pushpull_descriptor (zmq::stream_engine_base_t *engine_)
{
    return static_cast<int> (fd_of (*engine_));
}

pushpull_looking_up_t::pushpull_looking_up_t ()
{
    ++looking_up;
}

pushpull_looking_up_t::~pushpull_looking_up_t ()
{
    --looking_up;
}

bool pushpull_is_looking_up ()
{
    return looking_up > 0;
}

void pushpull_left (zmq::stream_engine_base_t *engine_, bool at_fault_)
{
    const uint64_t error = errno;
    const zmq::mechanism_t *const mechanism = mechanism_of (*engine_);
    if (handshaking_of (*engine_)
        || (mechanism && mechanism->status () != zmq::mechanism_t::ready))
        return;
    const bool is_push = engine_options_of (*engine_).type == ZMQ_PUSH;
    zmq::i_encoder *const encoder = encoder_of (*engine_);
    zmq::session_base_t &session = *session_of (*engine_);
    zmq::pipe_t *const pipe = session_pipe_of (session);
    //  A pipe counts whole messages.
    const bool begun = !pipe || msgs_read_of (*pipe) > 0 || incomplete_in_of (session);
    const bool within =
      incomplete_in_of (session) || (encoder && encoding (encoder));
    const uint64_t bytes = unwritten (*engine_) + (within ? 1 : 0);
    const bool is_torn =
      is_push && begun && bytes > 0
      && (within || !is_sign_of_life (outpos_of (*engine_), outsize_of (*engine_)));
    if (!at_fault_ && !is_torn)
        return;
    zmq::scoped_lock_t lock (monitor_sync_of (*socket_of (*engine_)));
    const auto tell = [engine_] (uint64_t event_, uint64_t value_) {
        pushpull_told (socket_of (*engine_), event_, &value_, 1, engine_->get_endpoint ());
    };
    if (at_fault_)
        tell (PUSHPULL_CUT_OFF, error);
    if (is_torn)
        tell (PUSHPULL_UNWRITTEN, bytes | being_written (*engine_) << 32);
}

int pushpull_watch (void *socket_, pushpull_told_fn *told_, void *hint_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    prepare_for_forks ();
    zmq::scoped_lock_t monitor_lock (monitor_sync_of (*socket));
    try {
        const std::lock_guard<std::mutex> lock (watchers_sync);
        if (told_) {
            const watcher_t watcher = {told_, hint_};
            watchers[socket] = watcher;
        } else
            watchers.erase (socket);
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
    monitor_events_of (*socket) = told_ ? ZMQ_EVENT_ALL : 0;
    return 0;
}
