#include "order.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "mechanism.hpp"
#include "options.hpp"

//  The property of a connection's handshake that tells whose it is (RFC 23: names that
//  begin with "X-" are the application's).
#define NAME_PROPERTY "X-Pushpull-Session"
//  No peer of ours has a longer one, and a stranger's shall cost nothing.
const size_t longest_name = 64;

//  How long nothing comes through an old connection before a newer one of the same peer
//  is read: its end may never come, when the line was cut and nobody was told.
const int64_t silence_ms = 3000;

namespace
{
GRANT (zmq::mechanism_t *, mechanism_of, zmq::stream_engine_base_t, _mechanism);
GRANT (zmq::blob_t, name_of, zmq::pipe_t, _router_socket_routing_id);

bool is_waiting (zmq::pipe_t &pipe_)
{
    return (load_mark (pipe_) & PUSHPULL_WAITING) != 0;
}

bool is_passed (zmq::pipe_t &pipe_)
{
    return (load_mark (pipe_) & PUSHPULL_PASSED) != 0;
}

bool is_leaving (zmq::pipe_t &pipe_)
{
    return is_ending (pipe_) && !is_waiting (pipe_);
}

//  What a pipe has instead of a routing id: since when its peer's older pipes are silent,
//  how many messages had been read of them then, and the peer's name. Pipes of peers that
//  gave none have nothing.
struct silence_t
{
    int64_t since;
    uint64_t read;
};
const size_t name_at = sizeof (silence_t);

bool is_named (zmq::pipe_t &pipe_)
{
    return name_of (pipe_).size () > name_at;
}

silence_t silence_of (zmq::pipe_t &pipe_)
{
    silence_t silence;
    memcpy (&silence, name_of (pipe_).data (), sizeof silence);
    return silence;
}

void set_silence (zmq::pipe_t &pipe_, const silence_t &silence_)
{
    memcpy (name_of (pipe_).data (), &silence_, sizeof silence_);
}

int compare_names (zmq::pipe_t &one_, zmq::pipe_t &other_)
{
    const size_t size = name_of (one_).size ();
    if (size != name_of (other_).size ())
        return size < name_of (other_).size () ? -1 : 1;
    return memcmp (name_of (one_).data () + name_at,
                   name_of (other_).data () + name_at, size - name_at);
}

bool has_lesser_name (zmq::pipe_t *one_, zmq::pipe_t *other_)
{
    return compare_names (*one_, *other_) < 0;
}

//  Whether messages are there, or their end is known and comes by itself.
bool is_moving (zmq::pipe_t &pipe_)
{
    return is_ending (pipe_)
           || (is_active (pipe_)
               && load (msgs_written_of (*peer_of (pipe_))) > msgs_read_of (pipe_));
}

//  Takes a pipe in again that was taken out. One that is out since it was found empty
//  comes in by itself, and must not be in when it does. One whose end was read has
//  nothing more.
void take_in (zmq::fq_t &fq_, in_pipes_t::size_type at_)
{
    zmq::pipe_t &pipe = *fq_pipes_of (fq_)[at_];
    if (at_ >= fq_active_of (fq_) && in_active_of (pipe) && is_there (pipe))
        fq_pipes_of (fq_).swap (at_, fq_active_of (fq_)++);
}

typedef std::vector<zmq::pipe_t *>::iterator listed_t;

//  Lets the oldest waiting pipe of a peer in if those before it have ended, or are silent
//  for long. One at a time: the next one waits for that one. Returns how many wait.
uint64_t judge_peer (listed_t begin_, listed_t end_, int64_t now_)
{
    zmq::pipe_t *oldest = NULL;
    uint64_t waiting = 0;
    uint64_t read = 0;
    bool others = false;
    bool moves = false;
    for (listed_t i = begin_; i != end_; ++i) {
        zmq::pipe_t &pipe = **i;
        if (!is_waiting (pipe)) {
            if (is_passed (pipe))
                continue;
            others = true;
            moves = moves || is_moving (pipe);
            read += msgs_read_of (pipe);
            continue;
        }
        ++waiting;
        if (!oldest || is_older (pipe, *oldest))
            oldest = &pipe;
    }
    if (!oldest)
        return 0;
    silence_t silence = silence_of (*oldest);
    if (moves || silence.since == 0 || silence.read != read) {
        silence.since = now_;
        silence.read = read;
        set_silence (*oldest, silence);
    }
    if (others && now_ - silence.since <= silence_ms)
        return waiting;
    //  Those that are silent are waited for no more, by nobody.
    for (listed_t i = begin_; i != end_; ++i)
        if (!is_waiting (**i))
            add_mark (**i, PUSHPULL_PASSED);
    drop_mark (*oldest, PUSHPULL_WAITING);
    return waiting - 1;
}

//  A look at all peers costs time with their number: so many messages may be received
//  before the next one, unless there is none, that it costs nobody a part worth
//  mentioning. Strangers can come in thousands, all with one name.
void judge (zmq::fq_t &fq_, pushpull_waits *waits_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    const in_pipes_t::size_type size = pipes.size ();
    std::vector<zmq::pipe_t *> named;
    try {
        named.reserve (size);
    }
    catch (const std::bad_alloc &) {
        //  They wait until there is some.
        waits_->pipes = 1;
        return;
    }
    for (in_pipes_t::size_type i = 0; i != size; ++i)
        if (is_named (*pipes[i]))
            named.push_back (pipes[i]);
    std::sort (named.begin (), named.end (), has_lesser_name);
    const int64_t now = now_ms ();
    waits_->pipes = 0;
    waits_->messages = size;
    for (listed_t from = named.begin (); from != named.end ();) {
        const listed_t to =
          std::upper_bound (from, named.end (), *from, has_lesser_name);
        waits_->pipes += judge_peer (from, to, now);
        from = to;
    }
}

void let_all_in (zmq::fq_t &fq_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    for (in_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        drop_mark (*pipes[i], PUSHPULL_WAITING);
}

//  Those that wait have no part in the fair queue's turn, and all others do.
void arrange (zmq::fq_t &fq_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    const in_pipes_t::size_type size = pipes.size ();
    //  From the front, as one that is taken in changes places with an earlier one.
    for (in_pipes_t::size_type i = 0; i != size; ++i)
        if (!is_waiting (*pipes[i]))
            take_in (fq_, i);
    //  From the back, as one that is taken out changes places with a later one. Between
    //  two frames of a message the queue counts on its current pipe, which waits for
    //  nobody.
    for (in_pipes_t::size_type i = size; i-- != 0;)
        if (is_waiting (*pipes[i]))
            take_out (fq_, i);
}
}

turn_t turn_to_leaving (zmq::fq_t &fq_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    while (true) {
        const in_pipes_t::size_type none = pipes.size ();
        in_pipes_t::size_type oldest = none;
        for (in_pipes_t::size_type i = 0; i != none; ++i)
            if (is_leaving (*pipes[i])
                && (i < fq_active_of (fq_) || is_active (*pipes[i]))
                && (oldest == none || is_older (*pipes[i], *pipes[oldest])))
                oldest = i;
        if (oldest == none)
            return any;
        zmq::pipe_t &pipe = *pipes[oldest];
        if (oldest < fq_active_of (fq_) && is_readable (fq_, oldest)) {
            fq_current_of (fq_) = oldest;
            return found;
        }
        if (is_active (pipe))
            return coming;
    }
}

bool put_in_order (zmq::fq_t &fq_, pushpull_waits *waits_, bool look_)
{
    in_pipes_t &pipes = fq_pipes_of (fq_);
    bool leave = false;
    bool wait = false;
    for (in_pipes_t::size_type i = 0, end = pipes.size (); i != end; ++i) {
        leave = leave || is_leaving (*pipes[i]);
        wait = wait || is_waiting (*pipes[i]);
    }
    if (waits_ && !wait)
        waits_->pipes = waits_->messages = 0;
    if (!wait)
        return leave;
    if (!waits_)
        let_all_in (fq_);
    else if (look_ || waits_->messages == 0)
        judge (fq_, waits_);
    arrange (fq_);
    return leave;
}

zmq::pipe_t *pushpull_numbered (zmq::pipe_t *pipe_)
{
    static std::atomic<uint32_t> last (0);
    if ((load_mark (*pipe_) & PUSHPULL_NUMBER) == 0) {
        const int number =
          static_cast<int> ((last.fetch_add (1) + 1) & PUSHPULL_NUMBER);
        add_mark (*pipe_, is_named (*pipe_) ? number | PUSHPULL_WAITING : number);
    }
    return pipe_;
}

int pushpull_introduce (void *socket_, const char *name_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    if (!name_ || !*name_ || strlen (name_) > longest_name) {
        errno = EINVAL;
        return -1;
    }
    try {
        options_of (*socket).app_metadata[NAME_PROPERTY] = name_;
    }
    catch (const std::bad_alloc &) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

//  On the I/O thread, before the socket gets its end of the pipe.
void pushpull_introduced (zmq::session_base_t *session_, zmq::pipe_t *pipe_)
{
    //  One that we call keeps its pipe when it comes back.
    if (options_of (*session_).type != ZMQ_PULL || is_calling (*session_))
        return;
    zmq::stream_engine_base_t *const engine =
      dynamic_cast<zmq::stream_engine_base_t *> (engine_of (*session_));
    if (!engine || !mechanism_of (*engine))
        return;
    const zmq::metadata_t::dict_t &properties =
      mechanism_of (*engine)->get_zmtp_properties ();
    const zmq::metadata_t::dict_t::const_iterator at =
      properties.find (NAME_PROPERTY);
    if (at == properties.end () || at->second.size () > longest_name)
        return;
    zmq::blob_t name (name_at + at->second.size ());
    memset (name.data (), 0, name_at);
    memcpy (name.data () + name_at, at->second.data (), at->second.size ());
    pipe_->set_router_socket_routing_id (name);
}

//  Those that may have waited for this one wake whoever polls the socket.
zmq::pipe_t *pushpull_leaves (zmq::pipe_t *pipe_)
{
    zmq::pull_t *const socket = dynamic_cast<zmq::pull_t *> (sink_of (*pipe_));
    if (!socket)
        return pipe_;
    zmq::fq_t &fq = fq_of (*socket);
    //  Or else libzmq takes another pipe for the current one, in the middle of a message
    //  of that, if the current one was the last.
    take_out (fq, in_pipes_t::index (pipe_));
    if (!is_named (*pipe_))
        return pipe_;
    for (in_pipes_t::size_type i = 0, size = fq_pipes_of (fq).size (); i != size; ++i)
        if (is_waiting (*fq_pipes_of (fq)[i]))
            take_in (fq, i);
    return pipe_;
}
