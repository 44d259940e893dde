//  What lies at the front of a pipe, for whoever takes much of it at once.
//
//  libzmq asks anew for each frame: whether the pipe may be read, whether there is something
//  in it, whether that is a frame at all, and whether the other end is to be told.

#ifndef PUSHPULL_FRONT_HPP
#define PUSHPULL_FRONT_HPP

#include <stdint.h>

#include "ahead.hpp"

namespace
{
class front_t
{
  public:
    explicit front_t (zmq::pipe_t &pipe_) :
        _pipe (pipe_),
        _in (*static_cast<ypipe_t *> (in_pipe_of (pipe_))),
        _lwm (lwm_of (pipe_) > 0 ? static_cast<uint64_t> (lwm_of (pipe_)) : UINT64_MAX),
        _untold (msgs_read_of (pipe_) % _lwm)
    {
    }

    static bool is_of (zmq::pipe_t &pipe_)
    {
        return in_active_of (pipe_) && is_there (pipe_) && !conflate_of (pipe_);
    }

    //  The next frame, if there is one, and it is none that libzmq keeps to itself: the end
    //  of the pipe, say, or a peer's credentials. When there is none, its writer is going to
    //  call this thread for the next one, which it heeds only once libzmq has found the pipe
    //  empty, too, and has put it aside: so libzmq is to look before anybody sleeps.
    zmq::msg_t *get ()
    {
        if (!_in.check_read ())
            return NULL;
        zmq::msg_t &frame = queue_of (_in).front ();
        const unsigned char usual = zmq::msg_t::more | zmq::msg_t::shared;
        const bool is_usual = (frame.flags () & ~usual) == 0
                              && (frame.is_lmsg () || frame.is_vsm () || frame.is_zcmsg ()
                                  || frame.is_cmsg ());
        return is_usual ? &frame : NULL;
    }

    //  That frame was taken, and completes a message or does not. It stays where it is.
    void count (bool more_)
    {
        if (more_)
            return;
        const uint64_t read = msgs_read_of (_pipe) + 1;
        store (msgs_read_of (_pipe), read);
        if (++_untold != _lwm)
            return;
        _untold = 0;
        send_activate_write (_pipe, peer_of (_pipe), read);
    }

    //  (Who reads for a PUSH socket has to tell of heavy ones, see ahead.hpp.)
    void pop ()
    {
        fetch_ahead (_in);
        queue_of (_in).pop ();
    }

  private:
    zmq::pipe_t &_pipe;
    ypipe_t &_in;
    //  After so many messages the other end is told; and how many it has not heard of.
    const uint64_t _lwm;
    uint64_t _untold;

    front_t (const front_t &);
    front_t &operator= (const front_t &);
};
}

#endif
