//  What mends.h names in place of the calls that libzmq makes, on Linux. In here, a name
//  in parentheses is the system's own.

#include "inside.hpp"

#if defined __linux__

#include <condition_variable>
#include <mutex>
#include <new>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "ctx.hpp"
#include "err.hpp"

#include "bounds.hpp"

namespace
{

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
}

int pushpull_epoll_ctl (int epoll_, int what_, int fd_, struct epoll_event *event_)
{
    if (what_ == EPOLL_CTL_DEL) {
        pushpull_bounds_forget (event_->data.ptr);
        for (size_t i = 0; i != listeners.size (); ++i)
            if (listeners[i].fd == fd_ && listeners[i].epoll == epoll_) {
                listeners.erase (listeners.begin () + i);
                break;
            }
    } else {
        if (what_ == EPOLL_CTL_ADD)
            pushpull_bounds_begin (event_->data.ptr);
        else if (!(event_->events & EPOLLIN))
            pushpull_bounds_deaf (event_->data.ptr);
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
            quiet.events = EPOLLET | EPOLLRDHUP;
            return (epoll_ctl) (epoll_, what_, fd_, &quiet);
        }
    }
    return (epoll_ctl) (epoll_, what_, fd_, event_);
}

int pushpull_epoll_wait (int epoll_, struct epoll_event *events_, int room_, int timeout_)
{
    pushpull_bounds_end_deaf ();
    if (!listeners.empty ())
        timeout_ = resume_listeners (epoll_, timeout_);
    const int count = (epoll_wait) (epoll_, events_, room_, timeout_);
    for (int i = 0; i < count; ++i) {
        //  A hang-up or an error that comes with readiness will be met by the read or
        //  write; one that comes alone may not be acted upon before all was read. But
        //  the receiver shall know, and read that first.
        const uint32_t seen = events_[i].events;
        events_[i].events &= EPOLLIN | EPOLLOUT;
        if (events_[i].events == 0 && (seen & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)))
            pushpull_ending (events_[i].data.ptr);
        if (events_[i].events & EPOLLIN)
            pushpull_bounds_check (events_[i].data.ptr);
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

#endif
