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

#include "v2_protocol.hpp"
#include "wire.hpp"

#include "front.hpp"

namespace
{
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

//  Of what is to be written there are `outsize_` bytes at `outpos_` already, where the
//  encoder's buffer begins, or none and nowhere. (A large message goes from where it lies, and
//  nothing is put beside it.)
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
    front_t front (*pipe);
    zmq::msg_t *frame = front.get ();
    if (!frame || frame->size () >= heavy)
        return;
    const buffer_t buffer = buffer_of (encoder_);
    if (!buffer.begin)
        return;
    unsigned char *to = buffer.begin + outsize_;
    const unsigned char *const end = buffer.begin + std::min (batch_, *buffer.room);
    for (; frame; frame = front.get ()) {
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

//  Behind `last_`, which the decoder and then the pipe has just had, are `insize_` bytes at
//  `inpos_` that were read and are not decoded. Always 0.
int push_rest (zmq::session_base_t &session_,
               const zmq::msg_t &last_,
               zmq::i_decoder *decoder_,
               unsigned char *&inpos_,
               size_t &insize_)
{
    //  A command stays where it was, and the next frame has libzmq stop the clock that it may
    //  have set.
    if (insize_ < long_header || (last_.flags () & zmq::msg_t::command))
        return 0;
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
    const size_t most_messages = room (*pipe);
    //  That there is no bound is -1, and the largest number.
    const uint64_t most_bytes = static_cast<uint64_t> (max_size_of (*decoder));
    ypipe_t &out = *static_cast<ypipe_t *> (out_pipe_of (*pipe));
    yqueue_t &queue = queue_of (out);
    size_t messages = 0;
    while (messages != most_messages && insize_ >= long_header) {
        const unsigned char flags = inpos_[0];
        const bool is_long = (flags & zmq::v2_protocol_t::large_flag) != 0;
        const size_t header = is_long ? long_header : short_header;
        const uint64_t size = is_long ? zmq::get_uint64 (inpos_ + 1) : inpos_[1];
        if ((flags & zmq::v2_protocol_t::command_flag) || size > most_bytes
            || size > insize_ - header)
            break;
        unsigned char *const bytes = inpos_ + header;
        zmq::msg_t &frame = queue.back ();
        if (size < zmq::msg_t::max_vsm_size) {
            frame.init_size (static_cast<size_t> (size));
            memcpy (frame.data (), bytes, static_cast<size_t> (size));
        } else {
            frame.init_external_storage (memory.provide_content (), bytes,
                                         static_cast<size_t> (size),
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
        insize_ -= header + static_cast<size_t> (size);
    }
    store (msgs_written_of (*pipe), msgs_written_of (*pipe) + messages);
    return 0;
}
}

#endif
