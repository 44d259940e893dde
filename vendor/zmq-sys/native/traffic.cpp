//  Messages into a socket and out of it, many to a call, and the wait for the next one.

#if !defined _WIN32
#include <poll.h>
#endif

#include "front.hpp"
#include "large.hpp"
#include "order.hpp"

namespace
{
//  As far as libzmq's own send does it.
void prepare (zmq::msg_t &frame_, bool more_)
{
    //  A message that came from a strange peer and is sent on may call itself a command.
    //  (A byte written in vain is not for nothing: it is moved next, see copy.cpp.)
    const unsigned char strange =
      zmq::msg_t::more | zmq::msg_t::command | CMD_TYPE_MASK;
    if (frame_.flags () & strange)
        frame_.reset_flags (strange);
    if (more_)
        frame_.set_flags (zmq::msg_t::more);
    frame_.reset_metadata ();
}

//  Finds a pipe with room for a message and makes it the current one. Looks at the
//  mailbox and tries again once, since the news of room may wait there.
bool find_room (zmq::push_t &socket_, zmq::lb_t &lb_)
{
    if (lb_.has_out ())
        return true;
    if (process_commands (socket_, 0, false) != 0)
        return false;
    if (lb_.has_out ())
        return true;
    errno = EAGAIN;
    return false;
}

//  True when nobody has left half a message behind in the load balancer.
bool is_whole (zmq::lb_t &lb_)
{
    if (!lb_more_of (lb_) && !lb_dropping_of (lb_))
        return true;
    errno = EFSM;
    return false;
}

//  A PUSH socket tells its pipes not to wait for anything when the other end leaves, so
//  that they drop what they hold without a word. A pipe that is held waits instead,
//  with everything in it, until pushpull_rescue comes.
void hold (zmq::push_t &socket_, zmq::pipe_t &pipe_)
{
    if (!delay_of (pipe_) && on_io_thread (*socket_.get_ctx (), *peer_of (pipe_)))
        delay_of (pipe_) = true;
}

//  Whether a held pipe waits for its rescue. Nothing newer is sent before that, so that
//  a peer that comes back gets the messages in their order. Beyond so many peers there
//  is no order between them to be kept, and the look would cost too much.
bool someone_left (zmq::push_t &socket_)
{
    const out_pipes_t::size_type most = 64;
    out_pipes_t &pipes = lb_pipes_of (lb_of (socket_));
    if (pipes.size () > most)
        return false;
    for (out_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        if (is_left (*pipes[i])) {
            errno = EHOSTUNREACH;
            return true;
        }
    return false;
}

void next_pipe (zmq::lb_t &lb_)
{
    if (++lb_current_of (lb_) >= lb_active_of (lb_))
        lb_current_of (lb_) = 0;
}

void flush_all (zmq::lb_t &lb_)
{
    out_pipes_t &pipes = lb_pipes_of (lb_);
    for (out_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        pipes[i]->flush ();
}

size_t largest (zmq::msg_t *frames_, size_t count_)
{
    size_t size = 0;
    for (size_t i = 0; i != count_; ++i)
        size = std::max (size, frames_[i].size ());
    return size;
}

//  Moves messages of one frame into a pipe that has room for them all, unflushed.
//  Returns how many, which is less only if one of them is no message.
size_t write_run (zmq::pipe_t &pipe_, zmq::msg_t *messages_, size_t count_)
{
    ypipe_t *const out = static_cast<ypipe_t *> (out_pipe_of (pipe_));
    size_t i = 0;
    for (; i != count_ && messages_[i].check (); ++i) {
        prepare (messages_[i], false);
        out->write (messages_[i], false);
        messages_[i].init ();
    }
    msgs_written_of (pipe_) += i;
    return i;
}
}

//  Why not libzmq's own send, frame by frame: between two frames it processes commands,
//  and if the pipe dies then, its load balancer swallows the rest of the message and
//  reports success; with three pipes it can even put the rest into another one. Here
//  the pipe is chosen once, commands were processed before, and the pipe shows nothing
//  to its reader until the last frame is in: nothing can come between.
int pushpull_send (void *socket_, zmq_msg_t *frames_, size_t count_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    if (!frames_ || count_ == 0) {
        errno = EINVAL;
        return -1;
    }
    zmq::msg_t *const frames = as_msg (frames_);
    for (size_t i = 0; i != count_; ++i)
        if (!frames[i].check ()) {
            errno = EFAULT;
            return -1;
        }

    zmq::lb_t &lb = lb_of (*socket);
    if (!is_whole (lb) || process_commands (*socket, 0, false) != 0)
        return -1;
    make_room_for (*socket, largest (frames, count_));
    if (someone_left (*socket) || !find_room (*socket, lb) || someone_left (*socket))
        return -1;

    zmq::pipe_t &pipe = *lb_pipes_of (lb)[lb_current_of (lb)];
    hold (*socket, pipe);
    for (size_t i = 0; i != count_; ++i) {
        prepare (frames[i], i + 1 != count_);
        if (pipe.write (&frames[i]))
            continue;
        //  Cannot happen: the first frame has found room, and a pipe counts whole
        //  messages. Should it happen all the same, the frames written so far are taken
        //  out of the pipe again. They are not closed, as pipe_t::rollback would do it,
        //  because the caller still holds every one of them: a frame changes hands only
        //  below. The load balancer never knew of the message.
        zmq::msg_t copy;
        while (out_pipe_of (pipe)->unwrite (&copy)) {
        }
        errno = EAGAIN;
        return -1;
    }
    pipe.flush ();
    next_pipe (lb);

    for (size_t i = 0; i != count_; ++i)
        frames[i].init ();
    return 0;
}

namespace
{
//  Several messages in a row for each pipe, where that is asked for.
//
//  Rows go round by themselves, beside single messages, which leave the same peer out each
//  time otherwise where both come by turns. And what is left of one goes on with the next
//  call: there is always as much left where calls are of one size, and for the same peers.
class rows_t
{
  public:
    rows_t (zmq::lb_t &lb_, pushpull_turn &turn_) :
        _lb (lb_), _turn (turn_), _single (lb_current_of (lb_))
    {
        if (_turn.length > 1)
            go_to (static_cast<out_pipes_t::size_type> (_turn.at));
    }

    ~rows_t ()
    {
        if (_turn.length == 1)
            return;
        _turn.at = lb_current_of (_lb);
        go_to (_single);
    }

    //  How many are left for the pipe whose turn it is.
    size_t left (const zmq::pipe_t &pipe_)
    {
        if (_turn.length == 1)
            return 1;
        //  Only compared: it may be gone, and another one be there.
        const uint64_t whose = reinterpret_cast<uintptr_t> (&pipe_);
        if (_turn.whose != whose || _turn.left == 0) {
            _turn.whose = whose;
            _turn.left = _turn.length;
        }
        _turn.left = std::min (_turn.left, _turn.length);
        return static_cast<size_t> (_turn.left);
    }

    //  Takes as many from it, and tells whether it is the next one's turn.
    bool is_over (size_t written_)
    {
        if (_turn.length == 1)
            return true;
        _turn.left = difference (_turn.left, written_);
        return _turn.left == 0;
    }

  private:
    void go_to (out_pipes_t::size_type at_)
    {
        lb_current_of (_lb) = at_ < lb_active_of (_lb) ? at_ : 0;
    }

    zmq::lb_t &_lb;
    pushpull_turn &_turn;
    const out_pipes_t::size_type _single;

    rows_t (const rows_t &);
    rows_t &operator= (const rows_t &);
};
}

ptrdiff_t pushpull_send_many (void *socket_,
                              zmq_msg_t *messages_,
                              size_t count_,
                              struct pushpull_turn *turn_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    if (count_ == 0)
        return 0;
    if (!turn_ || turn_->length == 0) {
        errno = EINVAL;
        return -1;
    }
    zmq::lb_t &lb = lb_of (*socket);
    //  Not as libzmq does it, at most once a millisecond: what went to one that left in that
    //  time came back only when somebody looked again, a second later.
    if (!is_whole (lb) || process_commands (*socket, 0, false) != 0
        || someone_left (*socket))
        return -1;

    //  A flush every so often, so that the I/O thread begins while we go on; not more
    //  often, since it may be asleep each time.
    const size_t stride = 2 * zmq::message_pipe_granularity;

    zmq::msg_t *const messages = as_msg (messages_);
    //  Whoever sends runs ends them with a large message; of others the last is as good as any.
    zmq::msg_t &last = messages[count_ - 1];
    make_room_for (*socket, last.check () ? last.size () : 0);
    rows_t rows (lb, *turn_);
    size_t sent = 0;
    size_t unflushed = 0;
    bool asked = false;
    while (sent != count_) {
        if (!lb.has_out ()) {
            //  Nothing may be left unflushed when commands are processed.
            flush_all (lb);
            unflushed = 0;
            if (asked)
                break;
            asked = true;
            if (process_commands (*socket, 0, false) != 0
                || someone_left (*socket))
                return sent ? static_cast<ptrdiff_t> (sent) : -1;
            continue;
        }
        zmq::pipe_t &pipe = *lb_pipes_of (lb)[lb_current_of (lb)];
        hold (*socket, pipe);
        const bool alone = lb_active_of (lb) == 1;
        const size_t run = std::min (room (pipe), alone ? stride : rows.left (pipe));
        size_t written;
        if (!conflate_of (pipe))
            written = write_run (pipe, messages + sent, std::min (run, count_ - sent));
        else if (messages[sent].check ()) {
            prepare (messages[sent], false);
            written = pipe.write (&messages[sent]) ? 1 : 0;
            if (written)
                messages[sent].init ();
        } else
            written = 0;
        if (written == 0)
            break;
        sent += written;
        unflushed += written;
        if (alone || turn_->length > 1) {
            pipe.flush ();
            //  Others may hold messages from the time when they had room.
            if (unflushed != written)
                flush_all (lb);
            unflushed = 0;
        }
        if (rows.is_over (written))
            next_pipe (lb);
    }
    if (unflushed > 0)
        flush_all (lb);
    if (sent > 0)
        return static_cast<ptrdiff_t> (sent);
    errno = messages[0].check () ? EAGAIN : EFAULT;
    return -1;
}

namespace
{
//  The I/O thread gives the rest at once, unless it resolves a name for as long as that
//  takes. Others have waited long enough for it then.
bool is_overdue (bool is_coming_, pushpull_waits *waits_)
{
    const int64_t patience_ms = 1000;
    if (!waits_)
        return false;
    if (!is_coming_)
        waits_->coming = 0;
    else if (waits_->coming == 0)
        waits_->coming = now_ms ();
    return is_coming_
           && (waits_->closing || now_ms () - waits_->coming >= patience_ms);
}

//  How many messages in a row are of the same peer: of the only one, all. With a crowd of them
//  one message of each would be a look into other memory for each.
size_t longest_row (zmq::fq_t &fq_)
{
    const in_pipes_t::size_type crowd = 16;
    if (fq_active_of (fq_) == 1)
        return (std::numeric_limits<size_t>::max) ();
    return fq_active_of (fq_) < crowd ? 1 : 16;
}

//  Receives a row of the peer whose turn it is, up to so many frames, as fq_t::recvpipe does
//  one by one. None where that is as good, and where something else than a frame is next.
size_t read_row (zmq::fq_t &fq_, zmq::msg_t *out_, size_t count_)
{
    while (!fq_more_of (fq_) && fq_active_of (fq_) != 0
           && !is_readable (fq_, fq_current_of (fq_)))
        ;
    const size_t row = longest_row (fq_);
    if (row == 1)
        return 0;
    zmq::pipe_t &pipe = *fq_pipes_of (fq_)[fq_current_of (fq_)];
    if (!front_t::is_of (pipe))
        return 0;
    front_t front (pipe);
    size_t frames = 0;
    size_t messages = 0;
    while (frames != count_ && messages != row) {
        const zmq::msg_t *const frame = front.get ();
        if (!frame)
            break;
        out_[frames++] = *frame;
        fq_more_of (fq_) = (frame->flags () & zmq::msg_t::more) != 0;
        messages += fq_more_of (fq_) ? 0 : 1;
        front.count (fq_more_of (fq_));
        front.pop ();
    }
    if (frames != 0 && !fq_more_of (fq_))
        fq_current_of (fq_) = (fq_current_of (fq_) + 1) % fq_active_of (fq_);
    return frames;
}
}

ptrdiff_t pushpull_recv_many (void *socket_,
                              zmq_msg_t *out_,
                              size_t count_,
                              struct pushpull_waits *waits_)
{
    zmq::pull_t *const socket = as_type<zmq::pull_t> (socket_, ZMQ_PULL);
    if (!socket)
        return -1;
    if (process_commands (*socket, 0, true) != 0)
        return -1;

    zmq::fq_t &fq = fq_of (*socket);
    zmq::msg_t *const out = as_msg (out_);
    size_t received = 0;
    bool asked = false;
    bool some_leave = put_in_order (fq, waits_, false);
    if (waits_ && !some_leave)
        waits_->coming = 0;
    while (received != count_) {
        const size_t row =
          some_leave ? 0 : read_row (fq, out + received, count_ - received);
        if (row != 0) {
            rcvmore_of (*socket) = fq_more_of (fq);
            received += row;
            continue;
        }
        zmq::msg_t &frame = out[received];
        frame.init ();
        turn_t turn = any;
        if (some_leave && !fq_more_of (fq)) {
            turn = turn_to_leaving (fq);
            some_leave = turn != any;
            if (is_overdue (turn == coming, waits_))
                turn = any;
        }
        if (turn != coming && fq.recvpipe (&frame, NULL) == 0) {
            rcvmore_of (*socket) = fq_more_of (fq);
            ++received;
            continue;
        }
        frame.close ();
        //  Looks into the mailbox, which may cost system calls, only to find at least
        //  something for the caller.
        if (asked || received > 0)
            break;
        asked = true;
        if (process_commands (*socket, 0, false) != 0)
            return -1;
        some_leave = put_in_order (fq, waits_, true);
    }
    if (waits_)
        waits_->messages = difference (waits_->messages, received);
    if (received > 0 || count_ == 0)
        return static_cast<ptrdiff_t> (received);
    errno = EAGAIN;
    return -1;
}

#if !defined _WIN32
namespace
{
//  Readable when another thread has something to tell the socket that it has not heard.
int mailbox_of (zmq::socket_base_t &socket_)
{
    zmq::fd_t fd = zmq::retired_fd;
    size_t size = sizeof fd;
    return socket_.getsockopt (ZMQ_FD, &fd, &size) == 0 ? fd : zmq::retired_fd;
}

//  Hears it, and tells whether there is a message; -1 for an error.
int has_message (zmq::socket_base_t &socket_)
{
    int events = 0;
    size_t size = sizeof events;
    if (socket_.getsockopt (ZMQ_EVENTS, &events, &size) != 0)
        return -1;
    return events & ZMQ_POLLIN;
}
}

//  libzmq's own poll looks at each socket before and after it waits, with a call of the
//  system for each look. Whoever waits for the one has just looked at it, and the other one
//  tells nothing that it has not told by its descriptor.
int pushpull_poll (void *socket_, short events_, void *bell_, int timeout_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    zmq::socket_base_t *const bell = as_socket (bell_);
    if (!socket || !bell)
        return -1;
    struct pollfd items[] = {{mailbox_of (*bell), POLLIN, 0},
                             {mailbox_of (*socket), POLLIN, 0}};
    const int ready = poll (items, events_ ? 2 : 1, timeout_);
    //  Who does not wait for it waits for something else to become of its pipes.
    if (ready >= 0 && !events_ && process_commands (*socket, 0, false) != 0)
        return -1;
    if (ready <= 0)
        return ready;
    const int rung = items[0].revents ? has_message (*bell) : 0;
    if (rung < 0)
        return -1;
    return (rung ? PUSHPULL_RUNG : 0) | (items[1].revents ? PUSHPULL_READY : 0);
}
#else
int pushpull_poll (void *socket_, short events_, void *bell_, int timeout_)
{
    zmq_pollitem_t items[] = {{bell_, 0, ZMQ_POLLIN, 0}, {socket_, 0, events_, 0}};
    if (zmq_poll (items, 2, timeout_) < 0)
        return -1;
    return (items[0].revents ? PUSHPULL_RUNG : 0) | (items[1].revents ? PUSHPULL_READY : 0);
}
#endif
