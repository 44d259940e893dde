//  The way of a message through libzmq, compiled as one file: it leads through some thirty
//  functions of a few instructions, which libzmq has in as many files as there are here.
//  build/hot.rs takes those out of libzmq's archive.

//  What libzmq has in place of this function would be in the way of the system's, and not
//  one of these files uses it.
#define ZMQ_HAVE_STRLCPY

#if !defined _WIN32
#include <pthread.h>
#endif

#include "burst.hpp"
#include "command.hpp"
#include "copy.cpp"
#include "traffic.cpp"

namespace
{
typedef zmq::ypipe_t<zmq::command_t, zmq::command_pipe_granularity> commands_t;
GRANT (zmq::atomic_ptr_t<zmq::command_t>, end_of, commands_t, _c);

//  A forked child is to hear that a mailbox is its parent's, which libzmq tells when it waits.
#if defined HAVE_FORK
bool is_forked = false;

void note_the_fork ()
{
    is_forked = true;
}

const int notes_forks = pthread_atfork (NULL, NULL, note_the_fork);
#else
const bool is_forked = false;
#endif

//  Whether the reader of a mailbox has found it empty and nothing has come since: whoever
//  brings the first writes where it ends, and then calls the reader.
bool is_silent (commands_t &commands_)
{
    return !is_forked && !load (reinterpret_cast<zmq::command_t *const &> (end_of (commands_)));
}
}

#include "decoder_allocators.cpp"
#include "fq.cpp"
#include "lb.cpp"
//  Most looks into a mailbox find nothing, and cost two or three system calls. (What stands
//  first here and in `pull_msg` is called on what stands in front of the macro, and is true.)
#define wait(timeout)                                                                       \
    valid () && timeout == 0 && is_silent (_cpipe) ? (errno = EAGAIN, -1)                   \
                                                   : _signaler.wait (timeout)
#include "mailbox.cpp"
#undef wait
#include "msg.cpp"
//  Every message that is read from a pipe is asked whether it is a credential.
#define is_credential() is_credential () || has_read (*this, *msg_)
#include "pipe.cpp"
#undef is_credential
#include "pull.cpp"
#include "push.cpp"
#include "session_base.cpp"
#include "socket_base.cpp"
//  Where a connection takes a message from its pipe.
#define pull_msg(message)                                                                   \
    get_socket (),                                                                          \
      encode_front (*_session, _encoder, _options.out_batch_size, _outpos, _outsize),       \
      _session->pull_msg (message)
//  And where it puts one there, in `push_msg (msg_) == -1` and `rc = push_msg (msg_)`: the
//  first becomes `push_msg (msg_) == 0 ? 0 : -1 == -1`, false or true.
#define push_msg(message) PUSHPULL_SECOND (message##PUSHED, push_msg (message))
#define msg_PUSHED                                                                          \
    ~, push_msg (msg_) == 0 ? push_rest (*_session, *msg_, _decoder, _inpos, _insize) : -1
#include "stream_engine_base.cpp"
#undef pull_msg
#undef push_msg
#undef msg_PUSHED
#include "v2_decoder.cpp"
#include "v2_encoder.cpp"
#include "v3_1_encoder.cpp"
#include "zmq.cpp"
#include "zmtp_engine.cpp"
