//  Frames that go through a connection in a row.
//
//  libzmq takes each through some twenty functions between its pipe and the bytes of the
//  stream, most of them behind a pointer, as it could be many things: a command, something
//  encrypted, or only half there. Most are nothing of that. So before libzmq takes one from
//  the pipe of a PUSH socket, those that lie there are put into the encoder's buffer, as many
//  as have room; and when it has put one into the pipe of a PULL socket, those that lie whole
//  behind it in what was read follow. The first that is anything else goes libzmq's way.

#ifndef PUSHPULL_BURST_HPP
#define PUSHPULL_BURST_HPP

#include <limits.h>
#include <limits>

#include "v2_protocol.hpp"
#include "wire.hpp"

#include "front.hpp"

namespace
{
GRANT (unsigned char *const, buffer_of_v2, v2_base_t, _buf);
GRANT (unsigned char *const, buffer_of_v3_1, v3_1_base_t, _buf);
GRANT (zmq::shared_message_memory_allocator, memory_of, decoder_base_t, _allocator);
GRANT (const bool, is_zero_copy, zmq::v2_decoder_t, _zero_copy);
GRANT (const int64_t, max_size_of, zmq::v2_decoder_t, _max_msg_size);

//  Of a frame: its flags, and its size in one byte or in eight.
const size_t short_header = 2;
const size_t long_header = 9;

//  Whether the bytes of a frame are on the wire what they are in memory.
bool is_open (const zmq::options_t &options_)
{
    return options_.mechanism == ZMQ_NULL || options_.mechanism == ZMQ_PLAIN;
}

struct buffer_t
{
    unsigned char *begin;
    size_t size;
};

//  That of an encoder that has nothing left to encode, if it writes frames as we do.
buffer_t buffer_of (zmq::i_encoder *encoder_)
{
    buffer_t buffer = {NULL, 0};
    if (zmq::v3_1_encoder_t *v31 = dynamic_cast<zmq::v3_1_encoder_t *> (encoder_)) {
        buffer.begin = buffer_of_v3_1 (*v31);
        buffer.size = room_of_v3_1 (*v31);
    } else if (zmq::v2_encoder_t *v2 = dynamic_cast<zmq::v2_encoder_t *> (encoder_)) {
        buffer.begin = buffer_of_v2 (*v2);
        buffer.size = room_of_v2 (*v2);
    }
    return buffer;
}

unsigned char *put_header (unsigned char *to_, bool more_, size_t size_)
{
    const bool is_long = size_ > UCHAR_MAX;
    to_[0] = (more_ ? zmq::v2_protocol_t::more_flag : 0)
             | (is_long ? zmq::v2_protocol_t::large_flag : 0);
    if (is_long)
        zmq::put_uint64 (to_ + 1, size_);
    else
        to_[1] = static_cast<unsigned char> (size_);
    return to_ + (is_long ? long_header : short_header);
}

//  What is being encoded is `outsize_` bytes at `outpos_`, which may be nowhere yet.
void encode_front (zmq::session_base_t &session_,
                   zmq::i_encoder *encoder_,
                   size_t batch_,
                   unsigned char *&outpos_,
                   size_t &outsize_)
{
    const zmq::options_t &options = options_of (session_);
    zmq::pipe_t *const pipe = session_pipe_of (session_);
    if (options.type != ZMQ_PUSH || !is_open (options) || !pipe || !front_t::is_of (*pipe))
        return;
    const buffer_t buffer = buffer_of (encoder_);
    //  A large message goes from where it lies.
    if (!buffer.begin || (outpos_ && outpos_ != buffer.begin))
        return;
    unsigned char *to = buffer.begin + outsize_;
    const unsigned char *const end = buffer.begin + std::min (batch_, buffer.size);
    front_t front (*pipe);
    while (zmq::msg_t *const frame = front.get ()) {
        const size_t size = frame->size ();
        //  libzmq goes on with the next one, and must find room for a byte of it. Of a heavy
        //  one the pipe is told, see ahead.hpp.
        if (size >= heavy || size + long_header >= static_cast<size_t> (end - to))
            break;
        const bool more = (frame->flags () & zmq::msg_t::more) != 0;
        to = put_header (to, more, size);
        memcpy (to, frame->data (), size);
        to += size;
        incomplete_in_of (session_) = more;
        front.count (more);
        frame->close ();
        front.pop ();
    }
    if (to == buffer.begin + outsize_)
        return;
    outpos_ = buffer.begin;
    outsize_ = to - buffer.begin;
}

//  What was read and is not decoded is `insize_` bytes at `inpos_`; the decoder has just had
//  the end of a frame. Always 0.
int push_rest (zmq::session_base_t &session_,
               zmq::i_decoder *decoder_,
               unsigned char *&inpos_,
               size_t &insize_)
{
    const zmq::options_t &options = options_of (session_);
    zmq::pipe_t *const pipe = session_pipe_of (session_);
    //  Others than those of pushpull_plain get a note about the peer with each frame.
    if (options.type != ZMQ_PULL || !options.invert_matching || !is_open (options) || !pipe
        || !out_active_of (*pipe) || !is_active (*pipe) || conflate_of (*pipe))
        return 0;
    zmq::v2_decoder_t *const decoder = dynamic_cast<zmq::v2_decoder_t *> (decoder_);
    if (!decoder || !is_zero_copy (*decoder))
        return 0;
    zmq::shared_message_memory_allocator &memory = memory_of (*decoder);
    if (inpos_ < memory.data () || inpos_ + insize_ > memory.data () + memory.size ())
        return 0;
    const uint64_t inside = msgs_written_of (*pipe) - peers_msgs_read_of (*pipe);
    const uint64_t room = hwm_of (*pipe) > 0
                            ? difference (static_cast<uint64_t> (hwm_of (*pipe)), inside)
                            : std::numeric_limits<uint64_t>::max ();
    //  That there is no bound is -1, and the largest number.
    const uint64_t most = static_cast<uint64_t> (max_size_of (*decoder));
    ypipe_t &out = *static_cast<ypipe_t *> (out_pipe_of (*pipe));
    yqueue_t &queue = queue_of (out);
    uint64_t messages = 0;
    while (messages != room && insize_ >= long_header) {
        const unsigned char flags = inpos_[0];
        const bool is_long = (flags & zmq::v2_protocol_t::large_flag) != 0;
        const size_t header = is_long ? long_header : short_header;
        const uint64_t size = is_long ? zmq::get_uint64 (inpos_ + 1) : inpos_[1];
        if ((flags & zmq::v2_protocol_t::command_flag) || size > most
            || size > insize_ - header)
            break;
        unsigned char *const bytes = inpos_ + header;
        zmq::msg_t &frame = queue.back ();
        if (size < zmq::msg_t::max_vsm_size) {
            frame.init_size (size);
            memcpy (frame.data (), bytes, size);
        } else {
            frame.init_external_storage (memory.provide_content (), bytes, size,
                                         zmq::shared_message_memory_allocator::call_dec_ref,
                                         memory.buffer ());
            memory.advance_content ();
            memory.inc_ref ();
        }
        const bool more = (flags & zmq::v2_protocol_t::more_flag) != 0;
        if (more)
            frame.set_flags (zmq::msg_t::more);
        queue.push ();
        if (!more) {
            flushable_of (out) = &queue.back ();
            ++messages;
        }
        inpos_ = bytes + size;
        insize_ -= header + size;
    }
    store (msgs_written_of (*pipe), msgs_written_of (*pipe) + messages);
    return 0;
}
}

#endif
