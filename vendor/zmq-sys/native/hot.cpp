//  The way of a message through libzmq, compiled as one file: it leads through some thirty
//  functions of a few instructions, which libzmq has in as many files as there are here.
//  build/hot.rs takes those out of libzmq's archive.

//  What libzmq has in place of this function would be in the way of the system's, and not
//  one of these files uses it.
#define ZMQ_HAVE_STRLCPY

#include "ahead.hpp"
#include "copy.cpp"
#include "traffic.cpp"

#include "decoder_allocators.cpp"
#include "fq.cpp"
#include "lb.cpp"
#include "msg.cpp"
//  Every message that is read from a pipe is asked whether it is a credential.
#define is_credential() is_credential () || has_read (*this, *msg_)
#include "pipe.cpp"
#undef is_credential
#include "pull.cpp"
#include "push.cpp"
#include "session_base.cpp"
#include "socket_base.cpp"
#include "stream_engine_base.cpp"
#include "v2_decoder.cpp"
#include "v2_encoder.cpp"
#include "v3_1_encoder.cpp"
#include "zmq.cpp"
#include "zmtp_engine.cpp"
