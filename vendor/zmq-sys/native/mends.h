/* Forced into every file of libzmq (-include, /FI), before its first line. */

#ifndef PUSHPULL_MENDS_H
#define PUSHPULL_MENDS_H

#if defined __linux__
#define HAVE_CLOCK_GETTIME 1
#define ZMQ_HAVE_EVENTFD 1
#define ZMQ_HAVE_EVENTFD_CLOEXEC 1
#define ZMQ_IOTHREAD_POLLER_USE_EPOLL_CLOEXEC 1
#define ZMQ_HAVE_SOCK_CLOEXEC 1
#define HAVE_ACCEPT4 1
#define ZMQ_HAVE_O_CLOEXEC 1
#define HAVE_FORK 1
#define HAVE_MKDTEMP 1
#define ZMQ_HAVE_IFADDRS 1
#define HAVE_IF_NAMETOINDEX 1
#define ZMQ_HAVE_SO_PEERCRED 1
#define ZMQ_HAVE_SO_KEEPALIVE 1
#define ZMQ_HAVE_TCP_KEEPCNT 1
#define ZMQ_HAVE_TCP_KEEPIDLE 1
#define ZMQ_HAVE_TCP_KEEPINTVL 1
#define ZMQ_HAVE_SO_BINDTODEVICE 1
#define ZMQ_HAVE_SO_PRIORITY 1
#define ZMQ_HAVE_PTHREAD_SETNAME_2 1
#define ZMQ_HAVE_PTHREAD_SET_AFFINITY 1
#define HAVE_POSIX_MEMALIGN 1
#define ZMQ_CACHELINE_SIZE 64
#define ZMQ_HAVE_NOEXCEPT 1

#include <sys/epoll.h>

static inline int pushpull_epoll_ctl (int epoll, int what, int fd, struct epoll_event *event)
{
    struct epoll_event quiet;
    if (event && what != EPOLL_CTL_DEL && event->events == 0) {
        quiet = *event;
        quiet.events = EPOLLET;
        event = &quiet;
    }
    return epoll_ctl (epoll, what, fd, event);
}

static inline int pushpull_epoll_wait (int epoll, struct epoll_event *events, int room, int timeout)
{
    const int count = epoll_wait (epoll, events, room, timeout);
    for (int i = 0; i < count; ++i)
        events[i].events &= EPOLLIN | EPOLLOUT;
    return count;
}

#define epoll_ctl pushpull_epoll_ctl
#define epoll_wait pushpull_epoll_wait
#endif

#endif
