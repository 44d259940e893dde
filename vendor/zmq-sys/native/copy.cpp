//  A message of bytes that are copied, in a form that is quick to move.

#include "inside.hpp"

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
        return out.init_buffer (bytes_, size_);
    zmq::msg_t made;
    if (made.init_buffer (bytes_, size_) != 0)
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
    return as_msg (out_)->init_buffer (bytes_, size_);
}

#endif
