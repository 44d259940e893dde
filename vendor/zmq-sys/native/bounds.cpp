//  bounded-messages; see mends.h.

#include "inside.hpp"

#include <atomic>
#include <stdint.h>

#include "bounds.hpp"
#include "poller.hpp"

namespace
{
std::atomic<uint64_t> max_frames (65536);
}

void pushpull_max_frames (uint64_t frames_)
{
    max_frames.store (frames_, std::memory_order_relaxed);
}

#if defined ZMQ_IOTHREAD_POLLER_USE_EPOLL

#include <algorithm>
#include <map>
#include <new>
#include <vector>

#include "epoll.hpp"
#include "err.hpp"

namespace
{
GRANT (bool, io_error_of, zmq::stream_engine_base_t, _io_error);

//  The object that a poller's entry belongs to.
zmq::i_poll_events *sink_of (void *entry_);
template <typename E, zmq::i_poll_events *E::*At> struct sink_grant
{
    friend zmq::i_poll_events *sink_of (void *entry_)
    {
        return static_cast<E *> (entry_)->*At;
    }
};
template struct sink_grant<zmq::epoll_t::poll_entry_t,
                           &zmq::epoll_t::poll_entry_t::events>;

//  Ends an engine as a broken connection does.
void fail (zmq::stream_engine_base_t &);
template <typename M, M At> struct fail_grant
{
    friend void fail (zmq::stream_engine_base_t &engine_)
    {
        (engine_.*At) (zmq::i_engine::connection_error);
    }
};
template struct fail_grant<decltype (&zmq::stream_engine_base_t::error),
                           &zmq::stream_engine_base_t::error>;

//  A place among the items of a queue, and how to go on from it.
struct place_t
{
    void *chunk;
    int position;
};
place_t back_of (yqueue_t &);
place_t place_of (yqueue_t &, const zmq::msg_t *);
zmq::msg_t &advance (place_t &);
template <typename C, C *yqueue_t::*BackChunk, int yqueue_t::*BackPosition>
struct queue_grant
{
    static place_t back (yqueue_t &queue_)
    {
        const place_t place = {queue_.*BackChunk, queue_.*BackPosition};
        return place;
    }
    //  Of an item that lies between the last flush and the back: they are the
    //  writer's alone.
    static place_t find (yqueue_t &queue_, const zmq::msg_t *item_)
    {
        C *chunk = queue_.*BackChunk;
        while (item_ < chunk->values
               || item_ >= chunk->values + zmq::message_pipe_granularity)
            chunk = chunk->prev;
        const place_t place = {chunk, static_cast<int> (item_ - chunk->values)};
        return place;
    }
    //  The item there; moves on.
    static zmq::msg_t &step (place_t &place_)
    {
        C *const chunk = static_cast<C *> (place_.chunk);
        zmq::msg_t &item = chunk->values[place_.position];
        if (++place_.position == zmq::message_pipe_granularity) {
            place_.chunk = chunk->next;
            place_.position = 0;
        }
        return item;
    }
    friend place_t back_of (yqueue_t &queue_) { return back (queue_); }
    friend place_t place_of (yqueue_t &queue_, const zmq::msg_t *item_)
    {
        return find (queue_, item_);
    }
    friend zmq::msg_t &advance (place_t &place_) { return step (place_); }
};
template <typename M> struct chunk_of;
template <typename C> struct chunk_of<C *yqueue_t::*>
{
    typedef C type;
};
template struct queue_grant<
  chunk_of<decltype (&yqueue_t::_back_chunk)>::type,
  &yqueue_t::_back_chunk,
  &yqueue_t::_back_pos>;

//  A message that is being received: how much of it was counted. The pipe's memory is
//  used again and again, so a message is known by how many came before it, and forgotten
//  with its connection's entry at the poller.
struct growing_t
{
    const zmq::msg_t *first;
    uint64_t number;
    place_t place;
    uint64_t frames;
    uint64_t bytes;
};

//  What an I/O thread knows of its connections.
struct bounds_t
{
    std::map<const void *, growing_t> growing;
    //  What had been written into a pipe when its connection began, if anything: the
    //  pipe of one that we call is older.
    std::map<const void *, uint64_t> before;
    //  Entries that stopped reading although nobody will ever make them read on.
    std::vector<void *> deaf;
};

#if defined _WIN32
void WINAPI forget_thread (void *bounds_)
{
    delete static_cast<bounds_t *> (bounds_);
}
#endif

bounds_t &bounds ()
{
#if defined _WIN32
    //  MinGW destroys what is thread_local after it has freed it.
    static const DWORD slot = FlsAlloc (forget_thread);
    bounds_t *bounds = static_cast<bounds_t *> (FlsGetValue (slot));
    if (!bounds) {
        bounds = new bounds_t;
        FlsSetValue (slot, bounds);
    }
    return *bounds;
#else
    static thread_local bounds_t bounds;
    return bounds;
#endif
}

//  True if this pipe's writer is in the middle of a message.
bool is_growing (zmq::pipe_t &pipe_)
{
    ypipe_t &out = *static_cast<ypipe_t *> (out_pipe_of (pipe_));
    return flushable_of (out) != &queue_of (out).back ();
}

//  False if the message that this pipe's writer is in the middle of is too long already.
bool is_bounded (const void *entry_, zmq::pipe_t &pipe_, int64_t max_size_)
{
    ypipe_t &out = *static_cast<ypipe_t *> (out_pipe_of (pipe_));
    const zmq::msg_t *const first = flushable_of (out);
    if (!is_growing (pipe_)) {
        bounds ().growing.erase (entry_);
        return true;
    }
    try {
        growing_t &message = bounds ().growing[entry_];
        const uint64_t number = msgs_written_of (pipe_);
        if (message.first != first || message.number != number) {
            message.first = first;
            message.number = number;
            message.place = place_of (queue_of (out), first);
            message.frames = 0;
            message.bytes = 0;
        }
        const place_t back = back_of (queue_of (out));
        while (message.place.chunk != back.chunk
               || message.place.position != back.position) {
            message.bytes += advance (message.place).size ();
            ++message.frames;
        }
        if (message.frames <= max_frames.load (std::memory_order_relaxed)
            && (max_size_ < 0
                || message.bytes <= static_cast<uint64_t> (max_size_)))
            return true;
        bounds ().growing.erase (entry_);
    }
    catch (const std::bad_alloc &) {
    }
    return false;
}

//  Whether a peer has sent something to a socket that does not listen.
bool has_spoken (const void *entry_, zmq::pipe_t &pipe_)
{
    const std::map<const void *, uint64_t> &before = bounds ().before;
    const std::map<const void *, uint64_t>::const_iterator at = before.find (entry_);
    return is_growing (pipe_)
           || msgs_written_of (pipe_) > (at == before.end () ? 0 : at->second);
}

//  The engine behind a poller's entry, while it has a session with a pipe.
zmq::stream_engine_base_t *engine_with_pipe (void *entry_)
{
    zmq::stream_engine_base_t *const engine =
      dynamic_cast<zmq::stream_engine_base_t *> (sink_of (entry_));
    return engine && session_of (*engine) && session_pipe_of (*session_of (*engine))
             ? engine
             : NULL;
}

//  The engine behind a poller's entry, if its peer sends more than it may.
zmq::stream_engine_base_t *offended (void *entry_)
{
    zmq::stream_engine_base_t *const engine = engine_with_pipe (entry_);
    if (!engine || io_error_of (*engine))
        return NULL;
    zmq::pipe_t *const pipe = session_pipe_of (*session_of (*engine));
    if (!out_pipe_of (*pipe) || conflate_of (*pipe))
        return NULL;
    const zmq::options_t &options = engine_options_of (*engine);
    if (options.type == ZMQ_PUSH)
        return has_spoken (entry_, *pipe) ? engine : NULL;
    if (options.type == ZMQ_PULL && !is_bounded (entry_, *pipe, options.maxmsgsize))
        return engine;
    return NULL;
}

bool is_push (void *entry_)
{
    zmq::stream_engine_base_t *const engine =
      dynamic_cast<zmq::stream_engine_base_t *> (sink_of (entry_));
    return engine && engine_options_of (*engine).type == ZMQ_PUSH;
}
}

void pushpull_bounds_begin (void *entry_)
{
    zmq::stream_engine_base_t *const engine = engine_with_pipe (entry_);
    if (!engine || engine_options_of (*engine).type != ZMQ_PUSH)
        return;
    const uint64_t written = msgs_written_of (*session_pipe_of (*session_of (*engine)));
    if (written == 0)
        return;
    try {
        bounds ().before[entry_] = written;
    }
    catch (const std::bad_alloc &) {
        //  It is taken for one that has spoken, and tried again later.
    }
}

void pushpull_bounds_forget (void *entry_)
{
    bounds_t &known = bounds ();
    known.growing.erase (entry_);
    known.before.erase (entry_);
    for (size_t i = 0; i != known.deaf.size (); ++i)
        if (known.deaf[i] == entry_) {
            known.deaf.erase (known.deaf.begin () + i);
            break;
        }
}

void pushpull_bounds_deaf (void *entry_)
{
    //  A PUSH socket reads its pipe never, a PULL socket when its user does.
    if (!is_push (entry_))
        return;
    std::vector<void *> &deaf = bounds ().deaf;
    if (std::find (deaf.begin (), deaf.end (), entry_) != deaf.end ())
        return;
    try {
        deaf.push_back (entry_);
    }
    catch (const std::bad_alloc &) {
    }
}

void pushpull_bounds_end_deaf ()
{
    std::vector<void *> entries;
    entries.swap (bounds ().deaf);
    for (size_t i = 0; i != entries.size (); ++i)
        if (zmq::stream_engine_base_t *const engine = offended (entries[i])) {
            errno = EPROTO;
            fail (*engine);
        }
}

void pushpull_bounds_check (void *entry_)
{
    //  From here it ends as it would within its own call: the poller skips an entry
    //  whose descriptor is gone.
    if (zmq::stream_engine_base_t *const engine = offended (entry_)) {
        errno = EMSGSIZE;
        fail (*engine);
    }
}

//  The other end of the pipe is the socket's, which is there for as long as ours is
//  active: it goes only when we have acknowledged its leave, or it ours. A session that
//  calls keeps its pipe for the next connection: that pipe does not end, and nothing
//  newer can come through another one.
void pushpull_ending (void *entry_)
{
    zmq::stream_engine_base_t *const engine = engine_with_pipe (entry_);
    if (!engine || engine_options_of (*engine).type != ZMQ_PULL
        || is_calling (*session_of (*engine)))
        return;
    zmq::pipe_t *const pipe = session_pipe_of (*session_of (*engine));
    if (!is_active (*pipe))
        return;
    add_mark (*peer_of (*pipe), PUSHPULL_ENDING);
}

#endif
