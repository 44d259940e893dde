//  A message of bytes that are copied, in a form that is quick to move.

#include "large.hpp"

namespace
{
//  What is longer than 4 or 8 KiB, by processor, glibc has an x86 copy in one instruction
//  (`rep movsb`). That is slow, on AMD's at least, where another core has just read what was
//  there, as with the memory of heavy messages. So these are copied in pieces. Large ones,
//  whose memory is in no cache, are not the better for it.
void copy (char *to_, const char *from_, size_t size_)
{
#if defined __GLIBC__ && defined __x86_64__
    size_t piece = 2 << 10;
    //  A compiler that knew how long they are would have them copied just so.
    __asm__ ("" : "+r"(piece));
    if (size_ >= heavy && size_ < large)
        for (; size_ > piece; size_ -= piece, to_ += piece, from_ += piece)
            memcpy (to_, from_, piece);
#endif
    memcpy (to_, from_, size_);
}

//  As init_buffer of libzmq.
int copy_into (zmq::msg_t &message_, const void *bytes_, size_t size_)
{
    if (message_.init_size (size_) != 0)
        return -1;
    if (size_ != 0)
        copy (static_cast<char *> (message_.data ()), static_cast<const char *> (bytes_), size_);
    return 0;
}
}

#if defined __GNUC__

namespace
{
//  What a compiler moves a message by.
typedef long long words_t __attribute__ ((vector_size (16), aligned (8), may_alias));

const size_t pieces = sizeof (zmq_msg_t) / sizeof (words_t);

//  What libzmq makes of a message whose bytes are somewhere else: all are alike but for the
//  word that tells where.
struct pattern_t
{
    words_t piece[pieces];
    //  Whether that is so.
    bool is_known;

    pattern_t () : is_known (false)
    {
        zmq::msg_t message;
        memset (&message, 0, sizeof message);
        if (message.init_size (zmq::msg_t::max_vsm_size + 1) != 0)
            return;
        memcpy (piece, &message, sizeof message);
        const long long content = at (message.data ());
        is_known = piece[0][0] == 0 && piece[0][1] == content;
        message.close ();
    }

    //  Where libzmq keeps what it knows of bytes that are there.
    static long long at (void *bytes_)
    {
        return reinterpret_cast<long long> (static_cast<zmq::msg_t::content_t *> (bytes_) - 1);
    }
};

const pattern_t &pattern ()
{
    static const pattern_t the_pattern;
    return the_pattern;
}
}

//  libzmq writes a message field by field, of one byte or eight. Who moves it at once, as
//  every caller does, reads sixteen at a time, and the processor cannot put those together
//  before all that was written until then, the bytes of messages among it, is in its cache.
//  So here it is written as it will be read.
int pushpull_copy (zmq_msg_t *out_, const void *bytes_, size_t size_)
{
    zmq::msg_t &out = *as_msg (out_);
    const pattern_t &known = pattern ();
    if (size_ <= zmq::msg_t::max_vsm_size || !known.is_known)
        return copy_into (out, bytes_, size_);
    zmq::msg_t made;
    if (copy_into (made, bytes_, size_) != 0)
        return -1;
    words_t *const piece = reinterpret_cast<words_t *> (out_);
    const words_t first = {0, pattern_t::at (made.data ())};
    piece[0] = first;
    for (size_t i = 1; i != pieces; ++i)
        piece[i] = known.piece[i];
    return 0;
}

#else

int pushpull_copy (zmq_msg_t *out_, const void *bytes_, size_t size_)
{
    return copy_into (*as_msg (out_), bytes_, size_);
}

#endif
