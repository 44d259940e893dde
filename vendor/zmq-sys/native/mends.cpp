//  The functions that mends.h puts in the place of those libzmq calls. In here, a name
//  in parentheses is the system's own.

#include "precompiled.hpp"

#include <atomic>
#include <stdint.h>

extern "C" {
//  The greatest number of frames of a message that is received; see mends.h.
void pushpull_max_frames (uint64_t frames_);
}

namespace
{
std::atomic<uint64_t> max_frames (65536);
}

void pushpull_max_frames (uint64_t frames_)
{
    max_frames.store (frames_, std::memory_order_relaxed);
}

#if defined __linux__

#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "ctx.hpp"
#include "epoll.hpp"
#include "err.hpp"
#include "pipe.hpp"
#include "session_base.hpp"
#include "stream_engine_base.hpp"
#include "ypipe.hpp"

#include "grant.hpp"

namespace
{
typedef zmq::ypipe_base_t<zmq::msg_t> upipe_t;
typedef zmq::ypipe_t<zmq::msg_t, zmq::message_pipe_granularity> ypipe_t;
typedef zmq::yqueue_t<zmq::msg_t, zmq::message_pipe_granularity> yqueue_t;

GRANT (const zmq::options_t, engine_options_of, zmq::stream_engine_base_t, _options);
GRANT (zmq::session_base_t *, session_of, zmq::stream_engine_base_t, _session);
GRANT (bool, io_error_of, zmq::stream_engine_base_t, _io_error);
GRANT (zmq::pipe_t *, session_pipe_of, zmq::session_base_t, _pipe);
GRANT (upipe_t *, out_pipe_of, zmq::pipe_t, _out_pipe);
GRANT (const bool, conflate_of, zmq::pipe_t, _conflate);
GRANT (uint64_t, msgs_written_of, zmq::pipe_t, _msgs_written);
GRANT (yqueue_t, queue_of, ypipe_t, _queue);
GRANT (zmq::msg_t *, flushable_of, ypipe_t, _f);
GRANT (bool, starting_of, zmq::ctx_t, _starting);
GRANT (bool, terminating_of, zmq::ctx_t, _terminating);
GRANT (zmq::mutex_t, slot_sync_of, zmq::ctx_t, _slot_sync);

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

int64_t now_ms ()
{
    timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return static_cast<int64_t> (now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

//  How long a listener pauses that has nothing to accept with.
const int64_t pause_ms = 100;

//  A listener of this I/O thread. It pauses while `resume` is set.
struct listener_t
{
    int epoll;
    int fd;
    epoll_event event;
    int64_t resume;
};
thread_local std::vector<listener_t> listeners;

void pause (listener_t &listener_)
{
    epoll_event nothing = listener_.event;
    nothing.events = EPOLLET;
    if ((epoll_ctl) (listener_.epoll, EPOLL_CTL_MOD, listener_.fd, &nothing) == 0)
        listener_.resume = now_ms () + pause_ms;
}

//  Takes up paused listeners whose time has come; returns the time to wait for the next
//  one, or the given one (-1: for ever) if that is shorter.
int resume_listeners (int epoll_, int timeout_)
{
    int64_t now = 0;
    for (size_t i = 0; i != listeners.size (); ++i) {
        listener_t &listener = listeners[i];
        if (listener.resume == 0 || listener.epoll != epoll_)
            continue;
        if (now == 0)
            now = now_ms ();
        if (listener.resume <= now) {
            listener.resume = 0;
            (epoll_ctl) (epoll_, EPOLL_CTL_MOD, listener.fd, &listener.event);
            continue;
        }
        const int64_t wait = listener.resume - now;
        if (timeout_ < 0 || wait < timeout_)
            timeout_ = static_cast<int> (wait);
    }
    return timeout_;
}

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
thread_local std::map<const void *, growing_t> growing;

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
        if (!growing.empty ())
            growing.erase (entry_);
        return true;
    }
    try {
        growing_t &message = growing[entry_];
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
        growing.erase (entry_);
    }
    catch (const std::bad_alloc &) {
    }
    return false;
}

//  The engine behind a poller's entry, if its peer sends more than it may.
zmq::stream_engine_base_t *offended (void *entry_)
{
    zmq::stream_engine_base_t *const engine =
      dynamic_cast<zmq::stream_engine_base_t *> (sink_of (entry_));
    if (!engine || !session_of (*engine) || io_error_of (*engine))
        return NULL;
    zmq::pipe_t *const pipe = session_pipe_of (*session_of (*engine));
    if (!pipe || !out_pipe_of (*pipe) || conflate_of (*pipe))
        return NULL;
    const zmq::options_t &options = engine_options_of (*engine);
    if (options.type == ZMQ_PUSH)
        return msgs_written_of (*pipe) > 0 || is_growing (*pipe) ? engine : NULL;
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

//  Entries that stopped reading although nobody will ever make them read on.
thread_local std::vector<void *> deaf;

void end_deaf ()
{
    std::vector<void *> entries;
    entries.swap (deaf);
    for (size_t i = 0; i != entries.size (); ++i)
        if (zmq::stream_engine_base_t *const engine = offended (entries[i])) {
            errno = EPROTO;
            fail (*engine);
        }
}
}

int pushpull_epoll_ctl (int epoll_, int what_, int fd_, struct epoll_event *event_)
{
    if (what_ == EPOLL_CTL_DEL) {
        growing.erase (event_->data.ptr);
        for (size_t i = 0; i != listeners.size (); ++i)
            if (listeners[i].fd == fd_ && listeners[i].epoll == epoll_) {
                listeners.erase (listeners.begin () + i);
                break;
            }
        for (size_t i = 0; i != deaf.size (); ++i)
            if (deaf[i] == event_->data.ptr) {
                deaf.erase (deaf.begin () + i);
                break;
            }
    } else {
        //  A PUSH socket reads its pipe never, a PULL socket when its user does.
        if (what_ == EPOLL_CTL_MOD && !(event_->events & EPOLLIN)
            && is_push (event_->data.ptr)) {
            try {
                deaf.push_back (event_->data.ptr);
            }
            catch (const std::bad_alloc &) {
            }
        }
        int listens = 0;
        socklen_t size = sizeof listens;
        if (what_ == EPOLL_CTL_ADD
            && getsockopt (fd_, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0
            && listens) {
            const listener_t listener = {epoll_, fd_, *event_, 0};
            try {
                listeners.push_back (listener);
            }
            catch (const std::bad_alloc &) {
                //  It cannot pause then.
            }
        }
        for (size_t i = 0; i != listeners.size (); ++i)
            if (listeners[i].fd == fd_ && listeners[i].epoll == epoll_)
                listeners[i].event = *event_;
        if (event_->events == 0) {
            epoll_event quiet = *event_;
            quiet.events = EPOLLET;
            return (epoll_ctl) (epoll_, what_, fd_, &quiet);
        }
    }
    return (epoll_ctl) (epoll_, what_, fd_, event_);
}

int pushpull_epoll_wait (int epoll_, struct epoll_event *events_, int room_, int timeout_)
{
    if (!deaf.empty ())
        end_deaf ();
    if (!listeners.empty ())
        timeout_ = resume_listeners (epoll_, timeout_);
    const int count = (epoll_wait) (epoll_, events_, room_, timeout_);
    for (int i = 0; i < count; ++i) {
        //  A hang-up or an error that comes with readiness will be met by the read or
        //  write; one that comes alone may not be acted upon before all was read.
        events_[i].events &= EPOLLIN | EPOLLOUT;
        if (!(events_[i].events & EPOLLIN))
            continue;
        //  From here it ends as it would within its own call: the poller skips an entry
        //  whose descriptor is gone.
        if (zmq::stream_engine_base_t *const engine =
              offended (events_[i].data.ptr)) {
            errno = EMSGSIZE;
            fail (*engine);
        }
    }
    return count;
}

int pushpull_accept4 (int fd_, struct sockaddr *address_, socklen_t *size_, int flags_)
{
    const int accepted = (accept4) (fd_, address_, size_, flags_);
    if (accepted != -1)
        return accepted;
    switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: {
            const int error = errno;
            for (size_t i = 0; i != listeners.size (); ++i)
                if (listeners[i].fd == fd_)
                    pause (listeners[i]);
            //  The ipc listener knows no other error of this kind.
            int family = AF_UNIX;
            socklen_t size = sizeof family;
            getsockopt (fd_, SOL_SOCKET, SO_DOMAIN, &family, &size);
            errno = family == AF_UNIX ? ENFILE : error;
            break;
        }
        case EAGAIN:
        case EINTR:
        case EBADF:
        case EFAULT:
        case EINVAL:
        case ENOTSOCK:
            break;
        default:
            errno = ECONNABORTED;
    }
    return -1;
}

namespace
{
//  A thread that waits to be told what it shall run.
class spare_thread_t
{
  public:
    //  NULL, and errno set, if there is no thread to be had.
    static spare_thread_t *create ()
    {
        spare_thread_t *const spare = new (std::nothrow) spare_thread_t;
        if (!spare) {
            errno = ENOMEM;
            return NULL;
        }
        //  From its first moment it takes no signals, as libzmq wants of its threads.
        sigset_t all, before;
        sigfillset (&all);
        pthread_sigmask (SIG_BLOCK, &all, &before);
        const int error = (pthread_create) (&spare->_thread, NULL, begin, spare);
        pthread_sigmask (SIG_SETMASK, &before, NULL);
        if (error != 0) {
            delete spare;
            errno = error;
            return NULL;
        }
        return spare;
    }

    pthread_t id () const { return _thread; }

    //  Makes it run `routine_`, or end if that is NULL. It deletes itself.
    pthread_t use (void *(*routine_) (void *), void *argument_)
    {
        const pthread_t thread = _thread;
        const std::lock_guard<std::mutex> lock (_sync);
        _routine = routine_;
        _argument = argument_;
        _told = true;
        _changed.notify_one ();
        return thread;
    }

  private:
    spare_thread_t () : _routine (NULL), _argument (NULL), _told (false) {}

    static void *begin (void *self_)
    {
        spare_thread_t *const self = static_cast<spare_thread_t *> (self_);
        void *(*routine) (void *);
        void *argument;
        {
            std::unique_lock<std::mutex> lock (self->_sync);
            while (!self->_told)
                self->_changed.wait (lock);
            routine = self->_routine;
            argument = self->_argument;
        }
        delete self;
        return routine ? routine (argument) : NULL;
    }

    pthread_t _thread;
    std::mutex _sync;
    std::condition_variable _changed;
    void *(*_routine) (void *);
    void *_argument;
    bool _told;
};

//  What a context needs to start, got before it starts.
struct reserve_t
{
    std::vector<int> epolls;
    std::vector<int> events;
    std::vector<spare_thread_t *> threads;

    bool fill (size_t count_)
    {
        try {
            epolls.reserve (count_);
            events.reserve (count_);
            threads.reserve (count_);
        }
        catch (const std::bad_alloc &) {
            errno = ENOMEM;
            return false;
        }
        while (threads.size () != count_) {
            const int epoll = (epoll_create1) (EPOLL_CLOEXEC);
            if (epoll == -1)
                return false;
            epolls.push_back (epoll);
            const int event = (eventfd) (0, EFD_CLOEXEC);
            if (event == -1)
                return false;
            events.push_back (event);
            spare_thread_t *const thread = spare_thread_t::create ();
            if (!thread)
                return false;
            threads.push_back (thread);
        }
        return true;
    }

    void empty ()
    {
        const int error = errno;
        for (size_t i = 0; i != epolls.size (); ++i)
            ::close (epolls[i]);
        for (size_t i = 0; i != events.size (); ++i)
            ::close (events[i]);
        for (size_t i = 0; i != threads.size (); ++i)
            pthread_join (threads[i]->use (NULL, NULL), NULL);
        epolls.clear ();
        events.clear ();
        threads.clear ();
        errno = error;
    }
};
thread_local reserve_t reserve;
}

int pushpull_epoll_create1 (int flags_)
{
    if (reserve.epolls.empty ())
        return (epoll_create1) (flags_);
    const int epoll = reserve.epolls.back ();
    reserve.epolls.pop_back ();
    return epoll;
}

int pushpull_eventfd (unsigned int value_, int flags_)
{
    if (reserve.events.empty ())
        return (eventfd) (value_, flags_);
    const int event = reserve.events.back ();
    reserve.events.pop_back ();
    return event;
}

int pushpull_pthread_create (pthread_t *thread_,
                             const pthread_attr_t *attributes_,
                             void *(*routine_) (void *),
                             void *argument_)
{
    if (reserve.threads.empty ())
        return (pthread_create) (thread_, attributes_, routine_, argument_);
    spare_thread_t *const spare = reserve.threads.back ();
    reserve.threads.pop_back ();
    //  libzmq looks at *thread_ from within the thread.
    *thread_ = spare->id ();
    spare->use (routine_, argument_);
    return 0;
}

extern "C" void *(zmq_socket) (void *context_, int type_)
{
    zmq::ctx_t *const context = static_cast<zmq::ctx_t *> (context_);
    if (!context || !context->check_tag ())
        return pushpull_libzmq_socket (context_, type_);
    bool starts;
    {
        zmq::scoped_lock_t lock (slot_sync_of (*context));
        starts = starting_of (*context) && !terminating_of (*context);
    }
    void *socket = NULL;
    //  For the I/O threads and the reaper.
    if (!starts
        || reserve.fill (static_cast<size_t> (context->get (ZMQ_IO_THREADS)) + 1))
        socket = pushpull_libzmq_socket (context_, type_);
    reserve.empty ();
    return socket;
}

#elif defined __APPLE__ || defined __FreeBSD__

#include <errno.h>
#include <time.h>

int pushpull_kevent (int queue_,
                     const struct kevent *changes_,
                     int change_count_,
                     struct kevent *events_,
                     int room_,
                     const struct timespec *timeout_)
{
    const int count =
      (kevent) (queue_, changes_, change_count_, events_, room_, timeout_);
    //  The read or the write that the event leads to meets the end by itself.
    for (int i = 0; i < count; ++i)
        events_[i].flags &= ~EV_EOF;
    return count;
}

namespace
{
//  The listener cannot pause here by itself; its whole thread does, for a moment.
int refused ()
{
    switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: {
            const timespec moment = {0, 20000000};
            nanosleep (&moment, NULL);
            errno = ENFILE;
            break;
        }
        case EAGAIN:
        case EINTR:
        case EBADF:
        case EFAULT:
        case EINVAL:
        case ENOTSOCK:
            break;
        default:
            errno = ECONNABORTED;
    }
    return -1;
}
}

int pushpull_accept (int fd_, struct sockaddr *address_, socklen_t *size_)
{
    const int accepted = (accept) (fd_, address_, size_);
    return accepted != -1 ? accepted : refused ();
}

#if defined __FreeBSD__
int pushpull_accept4 (int fd_, struct sockaddr *address_, socklen_t *size_, int flags_)
{
    const int accepted = (accept4) (fd_, address_, size_, flags_);
    return accepted != -1 ? accepted : refused ();
}
#endif

#endif
