//  What mends.h names in place of the calls that libzmq makes, on Windows. In here, a
//  name in parentheses is the system's own.

#include "precompiled.hpp"

#if defined _WIN32

#include "epoll.hpp"

#include "bounds.hpp"

//  wepoll's header has declared ours, by the names that mends.h gave them.
extern "C" {
int (epoll_ctl) (HANDLE epoll_, int what_, SOCKET fd_, struct epoll_event *event_);
int (epoll_wait) (HANDLE epoll_, struct epoll_event *events_, int room_, int timeout_);
}

namespace
{
//  What libzmq asked of an entry's descriptor.
uint32_t wanted (void *entry_);
template <typename E, epoll_event E::*At> struct wanted_grant
{
    friend uint32_t wanted (void *entry_)
    {
        return (static_cast<E *> (entry_)->*At).events;
    }
};
template struct wanted_grant<zmq::epoll_t::poll_entry_t,
                             &zmq::epoll_t::poll_entry_t::ev>;

//  How long a listener waits that has nothing to accept with, and its thread with it.
const DWORD pause_ms = 20;
}

int pushpull_epoll_ctl (void *epoll_, int what_, uintptr_t fd_, struct epoll_event *event_)
{
    if (what_ == EPOLL_CTL_DEL)
        pushpull_bounds_forget (event_->data.ptr);
    else {
        if (what_ == EPOLL_CTL_ADD)
            pushpull_bounds_begin (event_->data.ptr);
        else if (!(event_->events & EPOLLIN))
            pushpull_bounds_deaf (event_->data.ptr);
        if (event_->events == 0) {
            epoll_event quiet = *event_;
            quiet.events = EPOLLONESHOT;
            return (epoll_ctl) (epoll_, what_, fd_, &quiet);
        }
    }
    return (epoll_ctl) (epoll_, what_, fd_, event_);
}

int pushpull_epoll_wait (void *epoll_,
                         struct epoll_event *events_,
                         int room_,
                         int timeout_)
{
    pushpull_bounds_end_deaf ();
    const int count = (epoll_wait) (epoll_, events_, room_, timeout_);
    for (int i = 0; i < count; ++i) {
        uint32_t &events = events_[i].events;
        //  The read or write that was waited for meets the hang-up.
        if (events & (EPOLLERR | EPOLLHUP))
            events |= wanted (events_[i].data.ptr);
        events &= EPOLLIN | EPOLLOUT;
        if (events & EPOLLIN)
            pushpull_bounds_check (events_[i].data.ptr);
    }
    return count;
}

SOCKET pushpull_wsa_accept (SOCKET fd_, struct sockaddr *address_, int *size_)
{
    const SOCKET accepted = (accept) (fd_, address_, size_);
    if (accepted != INVALID_SOCKET)
        return accepted;
    switch (WSAGetLastError ()) {
        case WSAEMFILE:
        case WSAENOBUFS:
            Sleep (pause_ms);
            WSASetLastError (WSAENOBUFS);
            break;
        case WSAEWOULDBLOCK:
            break;
        default:
            WSASetLastError (WSAECONNRESET);
    }
    return INVALID_SOCKET;
}

namespace
{
//  Leaves the errors that libzmq knows what to do about.
int ended ()
{
    switch (WSAGetLastError ()) {
        case WSAEWOULDBLOCK:
        case WSAENOBUFS:
        case WSAENETDOWN:
        case WSAENETRESET:
        case WSAECONNABORTED:
        case WSAETIMEDOUT:
            break;
        default:
            WSASetLastError (WSAECONNRESET);
    }
    return SOCKET_ERROR;
}
}

int pushpull_wsa_send (SOCKET fd_, const char *data_, int size_, int flags_)
{
    const int sent = (send) (fd_, data_, size_, flags_);
    return sent == SOCKET_ERROR ? ended () : sent;
}

int pushpull_wsa_recv (SOCKET fd_, char *data_, int size_, int flags_)
{
    const int received = (recv) (fd_, data_, size_, flags_);
    return received == SOCKET_ERROR ? ended () : received;
}

int pushpull_wsa_getsockopt (SOCKET fd_, int level_, int name_, char *value_, int *size_)
{
    const int result = (getsockopt) (fd_, level_, name_, value_, size_);
    if (result != 0 || level_ != SOL_SOCKET || name_ != SO_ERROR)
        return result;
    int &error = *reinterpret_cast<int *> (value_);
    WSAPROTOCOL_INFOW protocol;
    int length = sizeof protocol;
    if (error != 0
        && (getsockopt) (fd_, SOL_SOCKET, SO_PROTOCOL_INFOW,
                         reinterpret_cast<char *> (&protocol), &length)
             == 0
        && protocol.iAddressFamily == AF_UNIX)
        error = ECONNREFUSED;
    return result;
}

#endif
