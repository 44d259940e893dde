//  In place of libzmq's file of this name: the memory that a connection reads into and
//  the messages stay in. Theirs counts every message at its buffer with an atomic
//  instruction, while whoever received the ones before counts those off at the same
//  place. Here a buffer is counted for all messages that it can hold when it is made, and
//  those that did not come are taken off in one go.

#include "decoder_allocators.hpp"

#include <new>

namespace
{
zmq::atomic_counter_t &counter_of (unsigned char *buffer_)
{
    return *reinterpret_cast<zmq::atomic_counter_t *> (buffer_);
}

//  True if messages still lie there.
bool let_go (unsigned char *buffer_, size_t holds_)
{
    return counter_of (buffer_).sub (
      static_cast<zmq::atomic_counter_t::integer_t> (holds_));
}

//  Behind what is read: what libzmq keeps of each message.
zmq::msg_t::content_t *contents_of (unsigned char *buffer_, size_t size_)
{
    return reinterpret_cast<zmq::msg_t::content_t *> (
      buffer_ + sizeof (zmq::atomic_counter_t) + size_);
}
}

zmq::shared_message_memory_allocator::shared_message_memory_allocator (
  std::size_t size_) :
    _buf (NULL),
    _buf_size (0),
    _max_size (size_),
    _msg_content (NULL),
    _max_counters ((size_ + msg_t::max_vsm_size - 1) / msg_t::max_vsm_size)
{
}

zmq::shared_message_memory_allocator::shared_message_memory_allocator (
  std::size_t size_, std::size_t messages_) :
    _buf (NULL),
    _buf_size (0),
    _max_size (size_),
    _msg_content (NULL),
    _max_counters (messages_)
{
}

zmq::shared_message_memory_allocator::~shared_message_memory_allocator ()
{
    deallocate ();
}

unsigned char *zmq::shared_message_memory_allocator::release ()
{
    unsigned char *const buffer = _buf;
    if (buffer) {
        const size_t given = _msg_content - contents_of (buffer, _max_size);
        if (!let_go (buffer, _max_counters + 1 - given)) {
            //  Nobody has it but us.
            clear ();
            return buffer;
        }
    }
    clear ();
    return NULL;
}

unsigned char *zmq::shared_message_memory_allocator::allocate ()
{
    unsigned char *buffer = release ();
    if (!buffer) {
        buffer = static_cast<unsigned char *> (
          std::malloc (sizeof (atomic_counter_t) + _max_size
                       + _max_counters * sizeof (msg_t::content_t)));
        alloc_assert (buffer);
        new (buffer) atomic_counter_t ();
    }
    counter_of (buffer).set (
      static_cast<atomic_counter_t::integer_t> (_max_counters + 1));
    _buf = buffer;
    _buf_size = _max_size;
    _msg_content = contents_of (buffer, _max_size);
    return data ();
}

void zmq::shared_message_memory_allocator::deallocate ()
{
    std::free (release ());
}

void zmq::shared_message_memory_allocator::clear ()
{
    _buf = NULL;
    _buf_size = 0;
    _msg_content = NULL;
}

//  advance_content, which is called with it, has counted.
void zmq::shared_message_memory_allocator::inc_ref ()
{
}

void zmq::shared_message_memory_allocator::call_dec_ref (void *, void *buffer_)
{
    unsigned char *const buffer = static_cast<unsigned char *> (buffer_);
    if (!let_go (buffer, 1))
        std::free (buffer);
}

std::size_t zmq::shared_message_memory_allocator::size () const
{
    return _buf_size;
}

unsigned char *zmq::shared_message_memory_allocator::data ()
{
    return _buf + sizeof (atomic_counter_t);
}
