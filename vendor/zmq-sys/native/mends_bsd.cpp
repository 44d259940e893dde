//  What mends.h names in place of the calls that libzmq makes, on macOS and FreeBSD. In
//  here, a name in parentheses is the system's own.

#include "precompiled.hpp"

#if defined __APPLE__ || defined __FreeBSD__

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
