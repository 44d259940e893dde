/* The C interface of traffic.cpp, order.cpp, pushpull.cpp and events.cpp; src/native.rs declares the same and documents it. */

#ifndef PUSHPULL_NATIVE_H
#define PUSHPULL_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pushpull_recalled
{
    uint64_t messages;
    uint64_t torn;
    uint64_t unwritten;
    uint64_t being_written;
    uint64_t writes;
    uint64_t encoding;
    uint64_t unasked;
    uint64_t unread;
};

struct pushpull_rescued
{
    uint64_t pipes;
    uint64_t held;
    uint64_t lost;
    uint64_t shared;
};

struct pushpull_come
{
    uint64_t cut;
    uint64_t unasked;
    uint64_t coming;
    uint64_t sending;
};

struct pushpull_flow
{
    uint64_t queued;
    uint64_t unwritten;
    uint64_t encoding;
    uint64_t unasked;
    uint64_t pipes;
    uint64_t in_kernel;
};

int pushpull_copy (zmq_msg_t *out_, const void *bytes_, size_t size_);
int pushpull_send (void *socket_, zmq_msg_t *frames_, size_t count_);
struct pushpull_turn
{
    uint64_t length;
    uint64_t left;
    uint64_t at;
    uint64_t whose;
};

ptrdiff_t pushpull_send_many (void *socket_,
                              zmq_msg_t *messages_,
                              size_t count_,
                              struct pushpull_turn *turn_);
struct pushpull_waits
{
    uint64_t pipes;
    uint64_t messages;
    int64_t coming;
    uint64_t closing;
};

ptrdiff_t pushpull_recv_many (void *socket_,
                              zmq_msg_t *out_,
                              size_t count_,
                              struct pushpull_waits *waits_);
#define PUSHPULL_READY 1
#define PUSHPULL_RUNG 2
int pushpull_poll (void *socket_, short events_, void *bell_, int timeout_);
int pushpull_introduce (void *socket_, const char *name_);
int pushpull_flushed (void *socket_, struct pushpull_flow *out_);
int pushpull_recall (void *socket_,
                     void (*take_) (void *hint_, zmq_msg_t *frame_),
                     void *hint_,
                     struct pushpull_recalled *out_);
int pushpull_rescue (void *socket_,
                     void (*take_) (void *hint_, zmq_msg_t *frame_),
                     void *hint_,
                     struct pushpull_rescued *out_);
int pushpull_care (void *socket_);
int pushpull_let_in (void *socket_, struct pushpull_come *out_);
int pushpull_depth (void *socket_,
                    uint64_t *outbound_,
                    uint64_t *inbound_,
                    uint64_t *left_);
int pushpull_batch (void *socket_, int in_, int out_);
int pushpull_plain (void *socket_);
int pushpull_pipes (void *socket_);
typedef void pushpull_told_fn (void *hint_,
                               uint64_t event_,
                               uint64_t value_,
                               const char *endpoint_);
/* An event of ours: the peer of a PUSH socket leaves, and of what was being written to it
   so many bytes (in 32 bits) never got to the kernel; it was of so many messages (in the 32
   above) at the most. The next event is that it left. */
#define PUSHPULL_UNWRITTEN 0x100000001ULL
/* A peer is hung up on for what it sent, with the error number. */
#define PUSHPULL_CUT_OFF 0x100000002ULL
int pushpull_watch (void *socket_, pushpull_told_fn *told_, void *hint_);
int pushpull_id (void *socket_);
int pushpull_awake (void *context_);
int pushpull_gone (void *context_, void *socket_, int id_);

#ifdef __cplusplus
}
#endif

#endif
