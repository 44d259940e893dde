//  What is done beside with every message that leaves a pipe; in front.hpp with those that go
//  in a row.
//
//  What the ones behind it have elsewhere is fetched. Messages lie side by side in a pipe;
//  the bytes of each, and what libzmq keeps of them, lie where their sender made them. With
//  one sender that is in the next cache, with many it is in the memory, and the I/O thread
//  would wait for each.
//
//  And of a heavy one its pipe is told, if it is a PUSH socket's: see large.cpp.

#ifndef PUSHPULL_AHEAD_HPP
#define PUSHPULL_AHEAD_HPP

#include "large.hpp"

namespace
{
GRANT (zmq::msg_t *, readable_until, ypipe_t, _r);
GRANT (int, begin_pos_of, yqueue_t, _begin_pos);

void fetch_ahead (ypipe_t &pipe_)
{
#if defined __GNUC__
    //  The memory answers after the time of some five messages.
    const int far = 8;
    const int line = 64;
    yqueue_t &queue = queue_of (pipe_);
    const int left = zmq::message_pipe_granularity - begin_pos_of (queue);
    if (left <= far)
        return;
    const zmq::msg_t *const front = &queue.front ();
    const zmq::msg_t *const ahead = front + far;
    if (left > 2 * far)
        __builtin_prefetch (ahead + far);
    //  Not what is still being written. If the end of what is readable isn't in this
    //  piece of the queue, it is behind it.
    const zmq::msg_t *const end = readable_until (pipe_);
    if ((end >= front && end <= ahead) || !ahead->is_lmsg ())
        return;
    //  As libzmq lays out a message: what it knows of the peer, and then this.
    const char *const content = reinterpret_cast<const char *const *> (ahead)[1];
    __builtin_prefetch (content);
    __builtin_prefetch (content + line);
#else
    LIBZMQ_UNUSED (pipe_);
#endif
}

//  Always false.
bool has_read (zmq::pipe_t &pipe_, const zmq::msg_t &message_)
{
    if (!conflate_of (pipe_))
        fetch_ahead (*static_cast<ypipe_t *> (in_pipe_of (pipe_)));
    if ((message_.is_lmsg () || message_.is_zcmsg ()) && message_.size () >= heavy)
        has_read_heavy (pipe_, message_.size ());
    return false;
}
}

#endif
