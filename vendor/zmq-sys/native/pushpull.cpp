//  What pushpull needs of libzmq and its C interface cannot express. Written against
//  the private parts of libzmq 4.3.5, which Cargo.toml pins; compiled with the same
//  definitions as libzmq itself.
//
//  Threads. A socket, and its end of each pipe (`near`), belong to the thread that
//  calls us. The other end (`far`) belongs to an I/O thread, with its session and
//  engine. The calling thread never touches the I/O thread's side: it sends an agent
//  there (below) and waits. The two counters of a far end that are read from here
//  without one are read atomically and are only ever used as a hint.
//
//  Lifetime of the far end. A far end is deleted when it has received pipe_term_ack,
//  and the near end sends that only while it processes a command (or terminates), and
//  leaves the states `active` and `delimiter_received` in doing so. Our thread
//  processes no command between looking at the near end's state and the end of the
//  visit, so the far end of an active pipe outlives the visit. The session outlives
//  its pipe (its destructor asserts that there is none), and the engine is looked up
//  on the I/O thread itself.

#include "precompiled.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#if defined __linux__
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#endif

#include "command.hpp"
#include "config.hpp"
#include "ctx.hpp"
#include "err.hpp"
#include "msg.hpp"
#include "object.hpp"
#include "pipe.hpp"
#include "pull.hpp"
#include "push.hpp"
#include "raw_encoder.hpp"
#include "session_base.hpp"
#include "socket_base.hpp"
#include "stream_engine_base.hpp"
#include "v1_encoder.hpp"
#include "v2_encoder.hpp"
#include "v3_1_encoder.hpp"
#include "ypipe.hpp"

#include "grant.hpp"
#include "pushpull.h"

#if ZMQ_VERSION != ZMQ_MAKE_VERSION(4, 3, 5)
#error "native/pushpull.cpp is written against the private parts of libzmq 4.3.5"
#endif

namespace
{
typedef zmq::array_t<zmq::pipe_t, 2> out_pipes_t;
typedef zmq::array_t<zmq::pipe_t, 3> all_pipes_t;
typedef zmq::array_t<zmq::socket_base_t> sockets_t;
typedef zmq::ypipe_base_t<zmq::msg_t> upipe_t;
typedef zmq::ypipe_t<zmq::msg_t, zmq::message_pipe_granularity> ypipe_t;

GRANT (zmq::options_t, options_of, zmq::own_t, options);
GRANT (bool, ctx_terminated_of, zmq::socket_base_t, _ctx_terminated);
GRANT (bool, rcvmore_of, zmq::socket_base_t, _rcvmore);
GRANT (all_pipes_t, pipes_of, zmq::socket_base_t, _pipes);

GRANT (zmq::lb_t, lb_of, zmq::push_t, _lb);
GRANT (out_pipes_t, lb_pipes_of, zmq::lb_t, _pipes);
GRANT (out_pipes_t::size_type, lb_active_of, zmq::lb_t, _active);
GRANT (out_pipes_t::size_type, lb_current_of, zmq::lb_t, _current);
GRANT (bool, lb_more_of, zmq::lb_t, _more);
GRANT (bool, lb_dropping_of, zmq::lb_t, _dropping);
GRANT (zmq::fq_t, fq_of, zmq::pull_t, _fq);

GRANT (upipe_t *, in_pipe_of, zmq::pipe_t, _in_pipe);
GRANT (upipe_t *, out_pipe_of, zmq::pipe_t, _out_pipe);
GRANT (int, hwm_of, zmq::pipe_t, _hwm);
GRANT (uint64_t, msgs_read_of, zmq::pipe_t, _msgs_read);
GRANT (uint64_t, msgs_written_of, zmq::pipe_t, _msgs_written);
GRANT (uint64_t, peers_msgs_read_of, zmq::pipe_t, _peers_msgs_read);
GRANT (zmq::pipe_t *, peer_of, zmq::pipe_t, _peer);
GRANT (zmq::i_pipe_events *, sink_of, zmq::pipe_t, _sink);
GRANT (const bool, conflate_of, zmq::pipe_t, _conflate);
GRANT (bool, delay_of, zmq::pipe_t, _delay);

GRANT (zmq::pipe_t *, session_pipe_of, zmq::session_base_t, _pipe);
GRANT (bool, incomplete_in_of, zmq::session_base_t, _incomplete_in);
GRANT (zmq::i_engine *, engine_of, zmq::session_base_t, _engine);

GRANT (size_t, outsize_of, zmq::stream_engine_base_t, _outsize);
GRANT (zmq::i_encoder *, encoder_of, zmq::stream_engine_base_t, _encoder);
GRANT (zmq::fd_t, fd_of, zmq::stream_engine_base_t, _s);

GRANT (zmq::mutex_t, slot_sync_of, zmq::ctx_t, _slot_sync);
GRANT (sockets_t, sockets_of, zmq::ctx_t, _sockets);
GRANT (bool, starting_of, zmq::ctx_t, _starting);
GRANT (bool, terminating_of, zmq::ctx_t, _terminating);
GRANT (std::vector<zmq::io_thread_t *>, io_threads_of, zmq::ctx_t, _io_threads);

//  The state of a pipe is of an unnamed type, so it is compared in here.
bool is_active (zmq::pipe_t &);
template <typename M, M At, typename E, E Active> struct state_grant
{
    friend bool is_active (zmq::pipe_t &pipe_) { return pipe_.*At == Active; }
};
template struct state_grant<decltype (&zmq::pipe_t::_state),
                            &zmq::pipe_t::_state,
                            decltype (zmq::pipe_t::active),
                            zmq::pipe_t::active>;

bool is_left (zmq::pipe_t &);
template <typename M, M At, typename E, E Waiting> struct left_grant
{
    friend bool is_left (zmq::pipe_t &pipe_) { return pipe_.*At == Waiting; }
};
template struct left_grant<decltype (&zmq::pipe_t::_state),
                           &zmq::pipe_t::_state,
                           decltype (zmq::pipe_t::waiting_for_delimiter),
                           zmq::pipe_t::waiting_for_delimiter>;

int process_commands (zmq::socket_base_t &, int, bool);
template <typename M, M At> struct process_commands_grant
{
    friend int
    process_commands (zmq::socket_base_t &socket_, int timeout_, bool throttle_)
    {
        return (socket_.*At) (timeout_, throttle_);
    }
};
template struct process_commands_grant<
  decltype (&zmq::socket_base_t::process_commands),
  &zmq::socket_base_t::process_commands>;

//  True when the encoder of type T still has bytes of its message to give.
template <typename T, size_t zmq::encoder_base_t<T>::*ToWrite,
          bool zmq::encoder_base_t<T>::*Last,
          zmq::msg_t *zmq::encoder_base_t<T>::*Message>
struct encoder_grant
{
    friend bool encoding (T *encoder_)
    {
        //  A message whose last bytes went into a batch that they filled is finished
        //  in all but name.
        return encoder_->*Message != NULL
               && !(encoder_->*ToWrite == 0 && encoder_->*Last);
    }
};
#define reach_encoder(klass)                                                   \
    bool encoding (klass *);                                                   \
    template struct encoder_grant<                                             \
      klass, &zmq::encoder_base_t<klass>::_to_write,                           \
      &zmq::encoder_base_t<klass>::_new_msg_flag,                              \
      &zmq::encoder_base_t<klass>::_in_progress>
reach_encoder (zmq::v1_encoder_t);
reach_encoder (zmq::v2_encoder_t);
reach_encoder (zmq::v3_1_encoder_t);
reach_encoder (zmq::raw_encoder_t);
#undef reach_encoder

bool encoding (zmq::i_encoder *encoder_)
{
    if (zmq::v3_1_encoder_t *v31 = dynamic_cast<zmq::v3_1_encoder_t *> (encoder_))
        return encoding (v31);
    if (zmq::v2_encoder_t *v2 = dynamic_cast<zmq::v2_encoder_t *> (encoder_))
        return encoding (v2);
    if (zmq::v1_encoder_t *v1 = dynamic_cast<zmq::v1_encoder_t *> (encoder_))
        return encoding (v1);
    if (zmq::raw_encoder_t *raw = dynamic_cast<zmq::raw_encoder_t *> (encoder_))
        return encoding (raw);
    return false;
}

//  How long a caller waits for an I/O thread; PATIENCE_MS in native.rs.
const std::chrono::milliseconds patience (25);

zmq::socket_base_t *as_socket (void *socket_)
{
    zmq::socket_base_t *const socket =
      static_cast<zmq::socket_base_t *> (socket_);
    if (!socket || !socket->check_tag ()) {
        errno = ENOTSOCK;
        return NULL;
    }
    return socket;
}

template <typename T> T *as_type (void *socket_, int type_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return NULL;
    if (options_of (*socket).type != type_) {
        errno = ENOTSUP;
        return NULL;
    }
    if (ctx_terminated_of (*socket)) {
        errno = ETERM;
        return NULL;
    }
    return static_cast<T *> (socket);
}

uint64_t load (const uint64_t &counter_)
{
#if defined __GNUC__ || defined __clang__
    return __atomic_load_n (&counter_, __ATOMIC_RELAXED);
#else
    return *const_cast<const volatile uint64_t *> (&counter_);
#endif
}

uint64_t difference (uint64_t more_, uint64_t less_)
{
    return more_ > less_ ? more_ - less_ : 0;
}

zmq::msg_t *as_msg (zmq_msg_t *message_)
{
    return reinterpret_cast<zmq::msg_t *> (message_);
}

//  As far as libzmq's own send does it.
void prepare (zmq::msg_t &frame_, bool more_)
{
    frame_.reset_flags (zmq::msg_t::more);
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

bool on_io_thread (zmq::ctx_t &ctx_, zmq::pipe_t &pipe_)
{
    const uint32_t first = zmq::ctx_t::reaper_tid + 1;
    const uint32_t tid = pipe_.get_tid ();
    return tid >= first && tid - first < io_threads_of (ctx_).size ();
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

//  How many messages fit into a pipe that has room for one.
size_t room (zmq::pipe_t &pipe_)
{
    if (hwm_of (pipe_) <= 0)
        return (std::numeric_limits<size_t>::max) ();
    const uint64_t inside =
      msgs_written_of (pipe_) - peers_msgs_read_of (pipe_);
    return static_cast<size_t> (
      difference (static_cast<uint64_t> (hwm_of (pipe_)), inside));
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

//  What an agent does at one pipe, and what it saw there.
struct visit_t
{
    //  Given by the caller.
    zmq::pipe_t *near;
    zmq::pipe_t *far;
    upipe_t *out_pipe;
    uint64_t written;

    //  Found by the agent.
    uint64_t read;
    uint64_t unwritten;
    uint64_t in_kernel;
    bool encoding;
    bool torn;
    //  The I/O thread has given this pipe up ("hiccup"), and its reading end is ours.
    bool migrated;
    //  Memory ran out while messages were taken; the others are still in the pipe.
    bool exhausted;
    //  Whole messages, taken out of the pipe, and the end of one of which the engine
    //  has the beginning.
    std::vector<zmq::msg_t> taken;
    std::vector<zmq::msg_t> rest;

    visit_t (zmq::pipe_t *near_) :
        near (near_),
        far (peer_of (*near_)),
        out_pipe (out_pipe_of (*near_)),
        written (msgs_written_of (*near_)),
        read (0),
        unwritten (0),
        in_kernel (0),
        encoding (false),
        torn (false),
        migrated (false),
        exhausted (false)
    {
    }

    void look ()
    {
        read = msgs_read_of (*far);
        migrated = in_pipe_of (*far) != out_pipe;

        zmq::session_base_t *const session =
          dynamic_cast<zmq::session_base_t *> (sink_of (*far));
        if (!session || session_pipe_of (*session) != far)
            return;
        torn = incomplete_in_of (*session);
        zmq::stream_engine_base_t *const engine =
          dynamic_cast<zmq::stream_engine_base_t *> (engine_of (*session));
        if (!engine)
            return;
        unwritten = outsize_of (*engine);
        if (encoder_of (*engine))
            encoding = ::encoding (encoder_of (*engine));
#if defined __linux__
        //  Over tcp it would count what is not acknowledged, which an idle peer puts off
        //  for 40 ms although it has it.
        sockaddr_storage name;
        socklen_t size = sizeof name;
        const bool local =
          getsockname (fd_of (*engine), reinterpret_cast<sockaddr *> (&name),
                       &size)
            == 0
          && name.ss_family == AF_UNIX;
        int bytes = 0;
        if (local && ioctl (fd_of (*engine), SIOCOUTQ, &bytes) == 0 && bytes > 0)
            in_kernel = static_cast<uint64_t> (bytes);
#endif
    }

    //  Empties a pipe whose reading end belongs to the running thread, and returns the
    //  number of whole messages. The pipe object is not told that it is empty: should
    //  its `_in_active` be set, the engine finds the pipe empty by itself, and should
    //  it not, the next flush wakes it as usual.
    uint64_t empty (upipe_t *pipe_)
    {
        uint64_t whole = 0;
        bool rest_of_torn = torn && !migrated;
        while (true) {
            std::vector<zmq::msg_t> &to = rest_of_torn ? rest : taken;
            try {
                to.resize (to.size () + 1);
            }
            catch (const std::bad_alloc &) {
                exhausted = true;
                return whole;
            }
            zmq::msg_t &frame = to.back ();
            if (!pipe_->read (&frame)) {
                to.pop_back ();
                return whole;
            }
            if (frame.is_credential () || frame.is_routing_id ()
                || frame.is_delimiter ()) {
                frame.close ();
                to.pop_back ();
                continue;
            }
            if (!(frame.flags () & zmq::msg_t::more)) {
                if (!rest_of_torn)
                    ++whole;
                rest_of_torn = false;
            }
        }
    }

    uint64_t queued () const
    {
        return difference (written, read);
    }
};

//  Runs on another thread of libzmq: it is sent there as the destination of a `stop`
//  command, which the thread's loop hands to process_stop. Owned by the caller and by
//  the command. A caller that has lost its patience abandons it; it does nothing then
//  and deletes itself when its turn comes. Should its thread end first, it is never
//  deleted, which can happen only to a context that is being terminated.
class agent_t : public zmq::object_t
{
  public:
    agent_t (zmq::ctx_t *ctx_, uint32_t tid_, bool take_) :
        object_t (ctx_, tid_), _take (take_), _state (pending), _owners (1)
    {
    }

    std::vector<visit_t> visits;

    void depart ()
    {
        _owners.fetch_add (1);
        zmq::command_t command;
        command.destination = this;
        command.type = zmq::command_t::stop;
        get_ctx ()->send_command (get_tid (), command);
    }

    //  False if the agent did nothing and never will.
    bool wait (std::chrono::steady_clock::time_point until_)
    {
        std::unique_lock<std::mutex> lock (_sync);
        const auto is_done = [this] { return _state.load () == done; };
        if (_changed.wait_until (lock, until_, is_done))
            return true;
        int expected = pending;
        if (_state.compare_exchange_strong (expected, abandoned))
            return false;
        //  It is at work right now, and its work is short.
        _changed.wait (lock, is_done);
        return true;
    }

    void release ()
    {
        if (_owners.fetch_sub (1) == 1)
            delete this;
    }

  private:
    void process_stop () ZMQ_OVERRIDE
    {
        int expected = pending;
        if (_state.compare_exchange_strong (expected, running)) {
            for (size_t i = 0; i != visits.size (); ++i)
                work (visits[i]);
            const std::lock_guard<std::mutex> lock (_sync);
            _state = done;
            _changed.notify_all ();
        }
        release ();
    }

    void work (visit_t &visit_)
    {
        visit_.look ();
        if (!_take || visit_.migrated)
            return;
        const uint64_t whole = visit_.empty (in_pipe_of (*visit_.far));
        if (whole > 0) {
            //  To the near end these are messages that were read.
            msgs_read_of (*visit_.far) += whole;
            send_activate_write (visit_.near, msgs_read_of (*visit_.far));
        }
    }

    enum
    {
        pending,
        running,
        done,
        abandoned
    };

    const bool _take;
    std::atomic<int> _state;
    std::atomic<int> _owners;
    std::mutex _sync;
    std::condition_variable _changed;
};

//  The agents of one call, one for each I/O thread that has something to visit.
class mission_t
{
  public:
    mission_t () {}

    ~mission_t ()
    {
        for (size_t i = 0; i != _agents.size (); ++i)
            _agents[i]->release ();
    }

    //  Throws std::bad_alloc before anything has departed.
    agent_t &agent (zmq::ctx_t *ctx_, uint32_t tid_, bool take_)
    {
        for (size_t i = 0; i != _agents.size (); ++i)
            if (_agents[i]->get_tid () == tid_)
                return *_agents[i];
        _agents.reserve (_agents.size () + 1);
        _agents.push_back (new agent_t (ctx_, tid_, take_));
        return *_agents.back ();
    }

    //  One visit to the far end of each pipe whose other end is on an I/O thread.
    void plan (zmq::socket_base_t &socket_,
               bool take_,
               bool (*which_) (zmq::pipe_t &) = is_active)
    {
        zmq::ctx_t *const ctx = socket_.get_ctx ();
        all_pipes_t &pipes = pipes_of (socket_);
        for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size;
             ++i) {
            zmq::pipe_t *const near = pipes[i];
            if (!which_ (*near) || !out_pipe_of (*near)
                || !on_io_thread (*ctx, *peer_of (*near)))
                continue;
            agent (ctx, peer_of (*near)->get_tid (), take_).visits.push_back (visit_t (near));
        }
    }

    void run ()
    {
        const std::chrono::steady_clock::time_point until =
          std::chrono::steady_clock::now () + patience;
        for (size_t i = 0; i != _agents.size (); ++i)
            _agents[i]->depart ();
        _back.assign (_agents.size (), 0);
        for (size_t i = 0; i != _agents.size (); ++i)
            _back[i] = _agents[i]->wait (until);
    }

    bool all_back () const
    {
        for (size_t i = 0; i != _back.size (); ++i)
            if (!_back[i])
                return false;
        return true;
    }

    size_t size () const { return _agents.size (); }
    bool is_back (size_t i_) const { return _back[i_] != 0; }
    std::vector<visit_t> &visits (size_t i_) { return _agents[i_]->visits; }

  private:
    std::vector<agent_t *> _agents;
    std::vector<char> _back;

    mission_t (const mission_t &);
    mission_t &operator= (const mission_t &);
};
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
    if (!is_whole (lb) || process_commands (*socket, 0, true) != 0
        || someone_left (*socket) || !find_room (*socket, lb)
        || someone_left (*socket))
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

ptrdiff_t
pushpull_send_many (void *socket_, zmq_msg_t *messages_, size_t count_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    if (count_ == 0)
        return 0;
    zmq::lb_t &lb = lb_of (*socket);
    if (!is_whole (lb) || process_commands (*socket, 0, true) != 0
        || someone_left (*socket))
        return -1;

    //  A flush every so often, so that the I/O thread begins while we go on.
    const size_t stride = zmq::message_pipe_granularity;

    zmq::msg_t *const messages = as_msg (messages_);
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
        size_t run = 1;
        if (alone)
            run = std::min (std::min (room (pipe), count_ - sent), stride);
        size_t written;
        if (!conflate_of (pipe))
            written = write_run (pipe, messages + sent, run);
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
        if (alone) {
            pipe.flush ();
            //  Others may hold messages from the time when they had room.
            if (unflushed != written)
                flush_all (lb);
            unflushed = 0;
        } else if (unflushed >= stride) {
            flush_all (lb);
            unflushed = 0;
        }
        next_pipe (lb);
    }
    if (unflushed > 0)
        flush_all (lb);
    if (sent > 0)
        return static_cast<ptrdiff_t> (sent);
    errno = messages[0].check () ? EAGAIN : EFAULT;
    return -1;
}

ptrdiff_t pushpull_recv_many (void *socket_, zmq_msg_t *out_, size_t count_)
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
    while (received != count_) {
        zmq::msg_t &frame = out[received];
        frame.init ();
        if (fq.recv (&frame) == 0) {
            rcvmore_of (*socket) = (frame.flags () & zmq::msg_t::more) != 0;
            ++received;
            continue;
        }
        frame.close ();
        //  Looks into the mailbox, which costs a system call, only to find at least
        //  something for the caller.
        if (asked || received > 0)
            break;
        asked = true;
        if (process_commands (*socket, 0, false) != 0)
            return -1;
    }
    if (received > 0 || count_ == 0)
        return static_cast<ptrdiff_t> (received);
    errno = EAGAIN;
    return -1;
}

//  How it knows. A message is in one of these places: the pipe (the near end has
//  written more than the far end has read), the encoder (a message in progress), the
//  engine's batch (`_outsize`), the kernel. All but the last are looked at on the I/O
//  thread, between two of its steps, and a message only ever moves down that list.
//
//  A barrier in the pipe could not tell: the engine pulls until its batch is full and
//  writes afterwards, so that a barrier pulled together with the messages before it
//  proves nothing about them.
int pushpull_flushed (void *socket_, struct pushpull_flow *out_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    pushpull_flow flow = {0, 0, 0, 0, 0, 0};
    try {
        mission_t mission;
        mission.plan (*socket, false);
        mission.run ();
        for (size_t i = 0; i != mission.size (); ++i) {
            const std::vector<visit_t> &visits = mission.visits (i);
            flow.pipes += visits.size ();
            if (!mission.is_back (i)) {
                flow.unasked += visits.size ();
                continue;
            }
            for (size_t j = 0; j != visits.size (); ++j) {
                const visit_t &visit = visits[j];
                flow.queued += visit.queued ();
                flow.unwritten += visit.unwritten;
                flow.encoding += visit.encoding ? 1 : 0;
                flow.in_kernel += visit.in_kernel;
            }
        }
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
    if (out_)
        *out_ = flow;
    return flow.queued == 0 && flow.unwritten == 0 && flow.encoding == 0
               && flow.unasked == 0
             ? 1
             : 0;
}

int pushpull_recall (void *socket_,
                     void (*take_) (void *hint_, zmq_msg_t *frame_),
                     void *hint_,
                     struct pushpull_recalled *out_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    if (!take_) {
        errno = EINVAL;
        return -1;
    }
    pushpull_recalled recalled = {0, 0, 0, 0, 0};
    try {
        mission_t mission;
        mission.plan (*socket, true);
        mission.run ();
        for (size_t i = 0; i != mission.size (); ++i) {
            std::vector<visit_t> &visits = mission.visits (i);
            if (!mission.is_back (i)) {
                recalled.unasked += visits.size ();
                continue;
            }
            for (size_t j = 0; j != visits.size (); ++j) {
                visit_t &visit = visits[j];
                if (visit.migrated) {
                    //  The near end will drop this pipe with all it holds as soon as
                    //  it processes the hiccup, and reads it itself to do so: until
                    //  then we may. Its counter has to follow, as it does there.
                    visit.out_pipe->flush ();
                    msgs_written_of (*visit.near) -= visit.empty (visit.out_pipe);
                }
                if (visit.exhausted)
                    ++recalled.unasked;
                for (size_t k = 0; k != visit.taken.size (); ++k) {
                    zmq::msg_t &frame = visit.taken[k];
                    if (!(frame.flags () & zmq::msg_t::more))
                        ++recalled.messages;
                    take_ (hint_, reinterpret_cast<zmq_msg_t *> (&frame));
                    frame.close ();
                }
                //  The engine comes back for the other frames of the message it has
                //  begun: they go into the pipe again, which is empty now.
                if (!visit.rest.empty ()) {
                    for (size_t k = 0; k != visit.rest.size (); ++k)
                        visit.out_pipe->write (
                          visit.rest[k],
                          (visit.rest[k].flags () & zmq::msg_t::more) != 0);
                    visit.near->flush ();
                }
                if (visit.torn)
                    ++recalled.torn;
                recalled.unwritten += visit.unwritten;
                recalled.encoding += visit.encoding ? 1 : 0;
            }
        }
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
    if (out_)
        *out_ = recalled;
    return 0;
}

//  The far end of a held pipe has asked for its end and waits for our word: it is alive,
//  reads nothing any more, and its reading end still has all that no engine had pulled.
int pushpull_rescue (void *socket_,
                     void (*take_) (void *hint_, zmq_msg_t *frame_),
                     void *hint_,
                     uint64_t *lost_,
                     int *shared_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    int left = 0;
    uint64_t lost = 0;
    int used = 0;
    all_pipes_t &pipes = pipes_of (*socket);
    for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        used += msgs_written_of (*pipes[i]) > 0 ? 1 : 0;
    try {
        mission_t mission;
        mission.plan (*socket, true, is_left);
        mission.run ();
        for (size_t i = 0; i != mission.size (); ++i) {
            std::vector<visit_t> &visits = mission.visits (i);
            for (size_t j = 0; j != visits.size (); ++j) {
                visit_t &visit = visits[j];
                if (!mission.is_back (i) || visit.exhausted)
                    lost += difference (visit.written,
                                        load (msgs_read_of (*visit.far)));
                for (size_t k = 0; k != visit.taken.size (); ++k) {
                    take_ (hint_,
                           reinterpret_cast<zmq_msg_t *> (&visit.taken[k]));
                    visit.taken[k].close ();
                }
                //  The end of a message whose beginning went with the connection.
                for (size_t k = 0; k != visit.rest.size (); ++k)
                    visit.rest[k].close ();
                if (visit.torn)
                    ++lost;
                visit.near->terminate (false);
                ++left;
            }
        }
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
    if (lost_)
        *lost_ = lost;
    if (shared_)
        *shared_ = used > 1;
    return left;
}

int pushpull_depth (void *socket_, uint64_t *outbound_, uint64_t *inbound_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    uint64_t outbound = 0;
    uint64_t inbound = 0;
    all_pipes_t &pipes = pipes_of (*socket);
    for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i) {
        zmq::pipe_t &near = *pipes[i];
        if (!is_active (near))
            continue;
        zmq::pipe_t &far = *peer_of (near);
        outbound += difference (msgs_written_of (near), load (msgs_read_of (far)));
        inbound += difference (load (msgs_written_of (far)), msgs_read_of (near));
    }
    if (outbound_)
        *outbound_ = outbound;
    if (inbound_)
        *inbound_ = inbound;
    return 0;
}

int pushpull_batch (void *socket_, int in_, int out_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    if (in_ <= 0 || out_ <= 0) {
        errno = EINVAL;
        return -1;
    }
    //  As the draft options ZMQ_IN_BATCH_SIZE and ZMQ_OUT_BATCH_SIZE do.
    options_of (*socket).in_batch_size = in_;
    options_of (*socket).out_batch_size = out_;
    return 0;
}

int pushpull_pipes (void *socket_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    return socket ? static_cast<int> (pipes_of (*socket).size ()) : -1;
}

int pushpull_id (void *socket_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    return socket ? options_of (*socket).socket_id : -1;
}

//  A socket leaves its context's list when the reaper has heard from all its sessions
//  and listeners that they end. Each says so at the beginning of its destructor, so
//  its descriptors may still be open at that moment, as may the socket's own mailbox
//  on the reaper. Once those threads have come back to their mailboxes, they are not.
int pushpull_gone (void *context_, int id_)
{
    zmq::ctx_t *const ctx = static_cast<zmq::ctx_t *> (context_);
    if (!ctx || !ctx->check_tag ()) {
        errno = EFAULT;
        return -1;
    }
    try {
        mission_t mission;
        {
            zmq::scoped_lock_t lock (slot_sync_of (*ctx));
            if (starting_of (*ctx))
                return 1;
            sockets_t &sockets = sockets_of (*ctx);
            for (sockets_t::size_type i = 0, size = sockets.size (); i != size;
                 ++i)
                if (options_of (*sockets[i]).socket_id == id_)
                    return 0;
            //  A context that is being terminated and has no socket has told its
            //  reaper to end, and it would not hear us.
            if (!(terminating_of (*ctx) && sockets.empty ()))
                mission.agent (ctx, zmq::ctx_t::reaper_tid, false);
            for (size_t i = 0; i != io_threads_of (*ctx).size (); ++i)
                mission.agent (
                  ctx, zmq::ctx_t::reaper_tid + 1 + static_cast<uint32_t> (i),
                  false);
        }
        mission.run ();
        return mission.all_back () ? 1 : 0;
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
}
