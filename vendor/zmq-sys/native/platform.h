/* What libzmq's own CMake build finds out about a platform and zeromq-src does not say.
   Left out, none of it is an error: libzmq then takes the poorer way in silence. The
   list follows CMakeLists.txt and builds/cmake/platform.hpp.in of libzmq 4.3.5. */

#ifndef PUSHPULL_PLATFORM_H
#define PUSHPULL_PLATFORM_H

/* Every compiler that takes C++11 has noexcept; the destructors of messages use it. */
#define ZMQ_HAVE_NOEXCEPT 1

#if !defined _WIN32

/* Timers, time-outs and heartbeats by the monotonic clock. Without it they go by the
   time of day: a clock set back an hour holds a time-out for an hour, and one set
   forward ends every linger at once. */
#define HAVE_CLOCK_GETTIME 1

/* A forked child that closes the sockets it inherited leaves its parent alone, instead
   of writing into the mailboxes that the two share. */
#define HAVE_FORK 1

/* An ipc wildcard makes its folder in one step, not under a name that can be taken. */
#define HAVE_MKDTEMP 1

/* A queue's chunks begin at a cache line, so that reader and writer do not share one. */
#define HAVE_POSIX_MEMALIGN 1
#if defined __powerpc__ || defined __powerpc64__ || defined __APPLE__ && defined __aarch64__
#define ZMQ_CACHELINE_SIZE 128
#elif defined __s390x__
#define ZMQ_CACHELINE_SIZE 256
#else
#define ZMQ_CACHELINE_SIZE 64
#endif

/* tcp://eth0:5555: an interface's name in place of its address. Android has the
   functions from API 24 on only. */
#if !defined __ANDROID__ || __ANDROID_API__ >= 24
#define ZMQ_HAVE_IFADDRS 1
#endif
/* fe80::1%eth0: the zone of a link-local address by name. */
#define HAVE_IF_NAMETOINDEX 1

/* ZMQ_TCP_KEEPALIVE does something. Without it the option is taken and ignored. */
#define ZMQ_HAVE_SO_KEEPALIVE 1
/* And so do ZMQ_TCP_KEEPALIVE_CNT and _INTVL. */
#define ZMQ_HAVE_TCP_KEEPCNT 1
#define ZMQ_HAVE_TCP_KEEPINTVL 1

/* Descriptors close on exec (Apple has no such flag on open sockets, only on files). */
#define ZMQ_HAVE_O_CLOEXEC 1

#endif /* not Windows */

#if defined __linux__

/* One eventfd for each mailbox, where there would be a pair of sockets; closed on exec. */
#define ZMQ_HAVE_EVENTFD 1
#define ZMQ_HAVE_EVENTFD_CLOEXEC 1
/* The pollers' descriptors are not inherited by programs that the user starts. */
#define ZMQ_IOTHREAD_POLLER_USE_EPOLL_CLOEXEC 1
/* Nor are sockets, also when the user forks between their making and a later fcntl. */
#define ZMQ_HAVE_SOCK_CLOEXEC 1
#define HAVE_ACCEPT4 1
/* ZMQ_TCP_KEEPALIVE_IDLE; Apple spells it differently, below. */
#define ZMQ_HAVE_TCP_KEEPIDLE 1
/* ipc: the peer's user, group and process as message properties, and filters on them. */
#define ZMQ_HAVE_SO_PEERCRED 1
/* ZMQ_BINDTODEVICE and ZMQ_PRIORITY. */
#define ZMQ_HAVE_SO_BINDTODEVICE 1
#define ZMQ_HAVE_SO_PRIORITY 1
/* I/O threads have a name in the debugger and in top. */
#define ZMQ_HAVE_PTHREAD_SETNAME_2 1
/* ZMQ_THREAD_AFFINITY_CPU_ADD works. */
#if !defined __ANDROID__
#define ZMQ_HAVE_PTHREAD_SET_AFFINITY 1
#endif
#if defined __ANDROID__
/* Chooses the errors that accept may give there, and no thread names. */
#define ZMQ_HAVE_ANDROID 1
#endif

#elif defined __APPLE__

/* Chooses kqueue's types, and the clock of systems before 10.12. */
#define ZMQ_HAVE_OSX 1
/* ZMQ_TCP_KEEPALIVE_IDLE, by Apple's name. */
#define ZMQ_HAVE_TCP_KEEPALIVE 1
/* ipc: filters on the peer's user and group; LOCAL_PEERCRED is in that header, which not
   every file of libzmq that asks reads. */
#define ZMQ_HAVE_LOCAL_PEERCRED 1
#include <sys/un.h>
/* I/O threads have a name. */
#define ZMQ_HAVE_PTHREAD_SETNAME_1 1

#elif defined __FreeBSD__

#define ZMQ_HAVE_FREEBSD 1
#define ZMQ_HAVE_SOCK_CLOEXEC 1
#define HAVE_ACCEPT4 1
#define ZMQ_HAVE_TCP_KEEPIDLE 1
#define ZMQ_HAVE_LOCAL_PEERCRED 1
#include <sys/un.h>
#define ZMQ_HAVE_PTHREAD_SET_NAME 1

#elif defined _WIN32

/* fe80::1%3: the zone of a link-local address. Keep-alive needs no definition here. */
#define HAVE_IF_NAMETOINDEX 1

#endif

#endif
