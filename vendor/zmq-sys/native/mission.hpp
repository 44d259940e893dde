//  Errands on libzmq's own threads.
//
//  Threads. A socket, and its end of each pipe (`near`), belong to the thread that
//  calls us. The other end (`far`) belongs to an I/O thread, with its session and
//  engine. The calling thread never touches the I/O thread's side: it sends an agent
//  there and waits. The two counters of a far end that are read from here
//  without one are read atomically and are only ever used as a hint.
//
//  Lifetime of the far end. A far end is deleted when it has received pipe_term_ack,
//  and the near end sends that only while it processes a command (or terminates), and
//  leaves the states `active` and `delimiter_received` in doing so. Our thread
//  processes no command between looking at the near end's state and the end of the
//  visit, so the far end of an active pipe outlives the visit. The session outlives
//  its pipe (its destructor asserts that there is none), and the engine is looked up
//  on the I/O thread itself.

#ifndef PUSHPULL_MISSION_HPP
#define PUSHPULL_MISSION_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <vector>

#if !defined _WIN32
#include <sys/ioctl.h>
#include <sys/socket.h>
#endif
#if defined __linux__
#include <linux/sockios.h>
#endif

#include "command.hpp"
#include "inside.hpp"

namespace
{
//  How long a caller waits for an I/O thread, and how much longer for one that is kept from
//  running, where it is worth that; PATIENCE_MS and STARVED_MS in native.rs.
const std::chrono::milliseconds patience (25);
const std::chrono::milliseconds starved (500);
//  When so many messages wait for a socket that closes, no more is read of what its crowd's
//  kernels have: to take it all out, after that, takes longer than the reading. (This and the
//  next one are for each I/O thread.)
const uint64_t many = 110000;
//  But so many are read in any case: those that wait have to be taken out anyway.
const uint64_t few = 20000;

//  What an agent is sent for, besides looking.
enum errand_t
{
    looking,
    //  To bring back what waits in the pipes.
    taking,
    //  To have everything come into the pipes that is there.
    opening
};

typedef std::chrono::steady_clock::time_point instant_t;

void activate_write (zmq::pipe_t &, uint64_t);
template <typename M, M At> struct activate_write_grant
{
    friend void activate_write (zmq::pipe_t &pipe_, uint64_t read_)
    {
        (pipe_.*At) (read_);
    }
};
template struct activate_write_grant<decltype (&zmq::pipe_t::process_activate_write),
                                     &zmq::pipe_t::process_activate_write>;

void stop_polling (zmq::stream_engine_base_t &);
template <typename H, H Handle, typename M, M At> struct stop_polling_grant
{
    friend void stop_polling (zmq::stream_engine_base_t &engine_)
    {
        (engine_.*At) (engine_.*Handle);
    }
};
template struct stop_polling_grant<decltype (&zmq::stream_engine_base_t::_handle),
                                   &zmq::stream_engine_base_t::_handle,
                                   decltype (&zmq::io_object_t::reset_pollin),
                                   &zmq::io_object_t::reset_pollin>;

//  How many bytes the kernel has for a connection.
size_t bytes_in_kernel (zmq::stream_engine_base_t &engine_)
{
#if defined _WIN32
    u_long bytes = 0;
    return ioctlsocket (fd_of (engine_), FIONREAD, &bytes) == 0 ? bytes : 0;
#else
    int bytes = 0;
    return ioctl (fd_of (engine_), FIONREAD, &bytes) == 0 && bytes > 0
             ? static_cast<size_t> (bytes)
             : 0;
#endif
}

//  What an agent does at one pipe, and what it saw there.
struct visit_t
{
    //  Given by the caller.
    zmq::pipe_t *near;
    zmq::pipe_t *far;
    upipe_t *out_pipe;
    uint64_t written;
    uint64_t received;

    //  Found by the agent.
    uint64_t read;
    uint64_t unwritten;
    uint64_t being_written;
    uint64_t in_kernel;
    bool encoding;
    bool torn;
    //  How many reads bring what the kernel has, at most.
    size_t reads;
    //  Whether it was let in, and whether there was no time for all.
    bool asked;
    bool cut;
    //  Its peer can write no more.
    bool shut;
    //  More came meanwhile than was there at first.
    bool sending;
    //  More may be on its way to this kernel, as room was made here.
    bool coming;
    //  Whole messages, taken out of the pipe, and how many there was no memory for.
    std::vector<zmq::msg_t> taken;
    uint64_t lost;

    visit_t (zmq::pipe_t *near_) :
        near (near_),
        far (peer_of (*near_)),
        out_pipe (out_pipe_of (*near_)),
        written (msgs_written_of (*near_)),
        received (msgs_read_of (*near_)),
        read (0),
        unwritten (0),
        being_written (0),
        in_kernel (0),
        encoding (false),
        torn (false),
        reads (0),
        asked (false),
        cut (false),
        shut (false),
        sending (false),
        coming (false),
        lost (0)
    {
    }

    //  What drives the far end; NULL if it is another socket.
    zmq::session_base_t *session () const
    {
        zmq::session_base_t *const session =
          dynamic_cast<zmq::session_base_t *> (sink_of (*far));
        return session && session_pipe_of (*session) == far ? session : NULL;
    }

    //  The connection at the far end; NULL if there is none.
    zmq::stream_engine_base_t *engine () const
    {
        zmq::session_base_t *const session = this->session ();
        return session
                 ? dynamic_cast<zmq::stream_engine_base_t *> (engine_of (*session))
                 : NULL;
    }

    //  The same; NULL if it does not read any more.
    zmq::stream_engine_base_t *reader () const
    {
        zmq::stream_engine_base_t *const engine = this->engine ();
        return engine && !input_stopped_of (*engine) ? engine : NULL;
    }

    //  Has room made for what the connection has read, and from now on it only reads on
    //  when it is told to.
    void open ()
    {
        const bool was_full = engine () && !reader ();
        hwm_of (*far) = 0;
        activate_write (*far, peers_msgs_read_of (*far));
        asked = true;
        zmq::stream_engine_base_t *const engine = reader ();
        if (!engine)
            return;
        stop_polling (*engine);
#if defined __linux__
        //  What the peer has written can still be read, and it can write no more: nothing
        //  is between the last look here and the close, and what it could not write it
        //  still has, and knows.
        shut = is_local (fd_of (*engine)) && shutdown (fd_of (*engine), SHUT_RD) == 0;
#endif
        const size_t bytes = bytes_in_kernel (*engine);
        //  None is smaller than a batch, but for those at both ends. (The engine has another
        //  number there, see large.cpp.)
        reads = bytes / options_of (*session ()).in_batch_size + 2;
        coming = (was_full || bytes > 0) && !is_local (fd_of (*engine));
    }

    //  One read of what the kernel had then: a peer that goes on sending has no end. False
    //  if that was the last.
    bool read_on ()
    {
        zmq::stream_engine_base_t *const engine = reader ();
        if (!engine)
            reads = 0;
        if (reads == 0)
            return false;
        const bool last = bytes_in_kernel (*engine) == 0;
        //  Behind all is the end of the stream. A session that calls would call again for
        //  it; and where it is of our own making the connection would end, and its peer
        //  call again, while we still listen.
        if (!last || !(shut || is_calling (*session ())))
            engine->in_event ();
        if (!shut)
            --reads;
        if (last)
            reads = 0;
        return reads > 0;
    }

    //  How many messages the socket has not received; its thread waits for us.
    uint64_t waiting () const
    {
        return difference (msgs_written_of (*far), received);
    }

    //  Whether there would have been more to read.
    void stop ()
    {
        zmq::stream_engine_base_t *const engine = reader ();
        const bool more = engine && bytes_in_kernel (*engine) > 0;
        cut = more && reads > 0;
        sending = more && asked && reads == 0;
        coming = coming && engine;
    }

    void look ()
    {
        read = msgs_read_of (*far);

        zmq::session_base_t *const session = this->session ();
        if (!session)
            return;
        torn = incomplete_in_of (*session);
        zmq::stream_engine_base_t *const engine = this->engine ();
        if (!engine)
            return;
        unwritten = ::unwritten (*engine);
        if (unwritten > 0)
            being_written = ::being_written (*engine);
        if (encoder_of (*engine))
            encoding = ::encoding (encoder_of (*engine));
#if defined __linux__
        //  Over ipc, what the peer has not read; over tcp, what was not sent to its kernel,
        //  which had no room: it is lost if the peer says something to a socket that is
        //  closed. (What is not acknowledged would be too much: an idle peer puts that off
        //  for 40 ms.)
        int bytes = 0;
        const unsigned long what = is_local (fd_of (*engine)) ? SIOCOUTQ : SIOCOUTQNSD;
        if (ioctl (fd_of (*engine), what, &bytes) == 0 && bytes > 0)
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
        //  The engine has the beginning of the first message, and comes back for its other
        //  frames: they go into the pipe again, behind all that can be read now. That is
        //  before anything else happens on this thread, as a connection that fails while
        //  they are missing takes the process along.
        bool rest = torn;
        const bool goes_on = is_active (*near);
        std::vector<zmq::msg_t>::size_type begin = 0;
        zmq::msg_t frame;
        frame.init ();
        while (pipe_->read (&frame)) {
            if (frame.is_credential () || frame.is_routing_id ()
                || frame.is_delimiter ()) {
                frame.close ();
                continue;
            }
            const bool more = (frame.flags () & zmq::msg_t::more) != 0;
            if (rest) {
                rest = more;
                if (goes_on)
                    out_pipe->write (frame, more);
                else
                    frame.close ();
                continue;
            }
            keep (frame, &begin);
            if (!more) {
                ++whole;
                if (begin == spoilt)
                    ++lost;
                begin = taken.size ();
            }
        }
        if (torn && goes_on)
            near->flush ();
        return whole;
    }

    static const std::vector<zmq::msg_t>::size_type spoilt = -1;

    //  Puts a frame to those of its message, of which `begin_` is the first. If there is no
    //  memory the whole message is dropped.
    void keep (zmq::msg_t &frame_, std::vector<zmq::msg_t>::size_type *begin_)
    {
        if (*begin_ != spoilt)
            try {
                taken.push_back (frame_);
                return;
            }
            catch (const std::bad_alloc &) {
                for (; taken.size () > *begin_; taken.pop_back ())
                    taken.back ().close ();
                *begin_ = spoilt;
            }
        frame_.close ();
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
    agent_t (zmq::ctx_t *ctx_, uint32_t tid_, errand_t errand_) :
        object_t (ctx_, tid_),
        _errand (errand_),
        _looks_up (false),
        _state (pending),
        _owners (1)
    {
    }

    std::vector<visit_t> visits;

    void depart (instant_t until_)
    {
        _until = until_;
        _looks_up = pushpull_is_looking_up ();
        _owners.fetch_add (1);
        zmq::command_t command;
        command.destination = this;
        command.type = zmq::command_t::stop;
        get_ctx ()->send_command (get_tid (), command);
    }

    //  False if the agent did nothing and never will.
    bool wait (std::chrono::milliseconds longer_)
    {
        std::unique_lock<std::mutex> lock (_sync);
        const auto is_done = [this] { return _state.load () == done; };
        if (_changed.wait_until (lock, _until, is_done))
            return true;
        //  Nothing takes it as long as this but a name that is looked up, perhaps for minutes
        //  (most take microseconds); so it has not come to run.
        const instant_t until = _until + longer_;
        while (std::chrono::steady_clock::now () < until) {
            const bool looked_up = _looks_up;
            _looks_up = pushpull_is_looking_up ();
            if (looked_up && _looks_up)
                break;
            if (_changed.wait_for (lock, patience, is_done))
                return true;
        }
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
            if (_errand == opening)
                let_in (std::chrono::steady_clock::now () + patience);
            else
                for (size_t i = 0; i != visits.size (); ++i)
                    work (visits[i]);
            const std::lock_guard<std::mutex> lock (_sync);
            _state = done;
            _changed.notify_all ();
        }
        release ();
    }

    //  By turns, so that nobody who sent much takes the time of the others.
    void let_in (instant_t until_)
    {
        const auto is_late = [until_] {
            return std::chrono::steady_clock::now () >= until_;
        };
        uint64_t waiting = 0;
        uint64_t came = 0;
        const auto is_over = [&waiting, &came, is_late] {
            return (waiting + came >= many && came >= few) || is_late ();
        };
        for (size_t i = 0; i != visits.size () && !is_late (); ++i) {
            visits[i].open ();
            waiting += visits[i].waiting ();
        }
        for (bool goes_on = true; goes_on;) {
            goes_on = false;
            for (size_t i = 0; i != visits.size () && !is_over (); ++i) {
                const uint64_t before = visits[i].waiting ();
                goes_on = visits[i].read_on () || goes_on;
                came += visits[i].waiting () - before;
            }
            goes_on = goes_on && !is_over ();
        }
        for (size_t i = 0; i != visits.size (); ++i)
            visits[i].stop ();
    }

    void work (visit_t &visit_)
    {
        visit_.look ();
        if (_errand == looking)
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

    const errand_t _errand;
    //  When the caller loses its patience.
    instant_t _until;
    //  Whether a name was looked up when it last looked.
    bool _looks_up;
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
    agent_t &agent (zmq::ctx_t *ctx_, uint32_t tid_, errand_t errand_)
    {
        for (size_t i = 0; i != _agents.size (); ++i)
            if (_agents[i]->get_tid () == tid_)
                return *_agents[i];
        _agents.reserve (_agents.size () + 1);
        _agents.push_back (new agent_t (ctx_, tid_, errand_));
        return *_agents.back ();
    }

    //  One visit to the far end of each pipe whose other end is on an I/O thread.
    void plan (zmq::socket_base_t &socket_,
               errand_t errand_,
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
            agent (ctx, peer_of (*near)->get_tid (), errand_).visits.push_back (visit_t (near));
        }
    }

    void run (std::chrono::milliseconds longer_ = std::chrono::milliseconds::zero ())
    {
        const instant_t until = std::chrono::steady_clock::now () + patience;
        //  First, as it may fail, and nobody would wait for those who have departed.
        _back.assign (_agents.size (), 0);
        for (size_t i = 0; i != _agents.size (); ++i)
            _agents[i]->depart (until);
        for (size_t i = 0; i != _agents.size (); ++i)
            _back[i] = _agents[i]->wait (longer_);
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

#endif
