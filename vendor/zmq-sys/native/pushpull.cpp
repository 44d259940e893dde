//  Questions to the pipes of a socket, and the way back for what they hold.

#include "mission.hpp"

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
        mission.plan (*socket, looking);
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
    pushpull_recalled recalled = {0, 0, 0, 0, 0, 0, 0, 0};
    all_pipes_t &pipes = pipes_of (*socket);
    for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        if (is_active (*pipes[i])
            && !on_io_thread (*socket->get_ctx (), *peer_of (*pipes[i])))
            recalled.unread += unread (*pipes[i]);
    try {
        mission_t mission;
        mission.plan (*socket, taking, is_there);
        mission.run (starved);
        for (size_t i = 0; i != mission.size (); ++i) {
            std::vector<visit_t> &visits = mission.visits (i);
            if (!mission.is_back (i)) {
                recalled.unasked += visits.size ();
                for (size_t j = 0; j != visits.size (); ++j)
                    recalled.unread += unread (*visits[j].near);
                continue;
            }
            for (size_t j = 0; j != visits.size (); ++j) {
                visit_t &visit = visits[j];
                recalled.unread += visit.lost;
                for (size_t k = 0; k != visit.taken.size (); ++k) {
                    zmq::msg_t &frame = visit.taken[k];
                    if (!(frame.flags () & zmq::msg_t::more))
                        ++recalled.messages;
                    take_ (hint_, reinterpret_cast<zmq_msg_t *> (&frame));
                    frame.close ();
                }
                if (visit.torn)
                    ++recalled.torn;
                recalled.unwritten += visit.unwritten;
                recalled.being_written += visit.being_written;
                recalled.writes += visit.unwritten > 0 ? 1 : 0;
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
//  Until its I/O thread has answered, the pipe stays held.
int pushpull_rescue (void *socket_,
                     void (*take_) (void *hint_, zmq_msg_t *frame_),
                     void *hint_,
                     struct pushpull_rescued *out_)
{
    zmq::push_t *const socket = as_type<zmq::push_t> (socket_, ZMQ_PUSH);
    if (!socket)
        return -1;
    pushpull_rescued rescued = {0, 0, 0, 0};
    uint64_t used = 0;
    all_pipes_t &pipes = pipes_of (*socket);
    for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        used += msgs_written_of (*pipes[i]) > 0 ? 1 : 0;
    try {
        mission_t mission;
        mission.plan (*socket, taking, is_left);
        mission.run ();
        for (size_t i = 0; i != mission.size (); ++i) {
            std::vector<visit_t> &visits = mission.visits (i);
            if (!mission.is_back (i)) {
                rescued.held += visits.size ();
                continue;
            }
            for (size_t j = 0; j != visits.size (); ++j) {
                visit_t &visit = visits[j];
                for (size_t k = 0; k != visit.taken.size (); ++k) {
                    take_ (hint_,
                           reinterpret_cast<zmq_msg_t *> (&visit.taken[k]));
                    visit.taken[k].close ();
                }
                rescued.lost += visit.lost;
                if (visit.torn)
                    ++rescued.lost;
                visit.near->terminate (false);
                ++rescued.pipes;
            }
        }
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
    rescued.shared = used > 1;
    if (out_)
        *out_ = rescued;
    return 0;
}

//  libzmq reads the end of a stream, and lets the pipe go, when somebody receives from
//  it. A socket that nobody receives from keeps the pipe of every peer that came, said
//  nothing and left. This looks into each pipe as libzmq's fair queue does.
int pushpull_care (void *socket_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    if (process_commands (*socket, 0, false) != 0)
        return -1;
    if (options_of (*socket).type != ZMQ_PULL)
        return 0;
    zmq::fq_t &fq = fq_of (*static_cast<zmq::pull_t *> (socket));
    if (fq_more_of (fq))
        return 0;
    for (in_pipes_t::size_type i = 0; i != fq_active_of (fq);)
        if (is_readable (fq, i))
            ++i;
    return 0;
}

//  What a connection has read, and could not put into a full pipe, is lost when it is
//  closed, and what the kernel has for it; and its peer has every reason to believe that
//  it arrived.
int pushpull_let_in (void *socket_, struct pushpull_come *out_)
{
    zmq::pull_t *const socket = as_type<zmq::pull_t> (socket_, ZMQ_PULL);
    if (!socket)
        return -1;
    pushpull_come came = {0, 0, 0, 0};
    size_t back = 0;
    size_t gone = 0;
    try {
        mission_t mission;
        mission.plan (*socket, opening);
        mission.run (starved);
        for (size_t i = 0; i != mission.size (); ++i) {
            const std::vector<visit_t> &visits = mission.visits (i);
            if (!mission.is_back (i)) {
                ++gone;
                came.unasked += visits.size ();
                continue;
            }
            ++back;
            for (size_t j = 0; j != visits.size (); ++j) {
                came.unasked += visits[j].asked ? 0 : 1;
                came.cut += visits[j].cut ? 1 : 0;
                came.coming += visits[j].coming ? 1 : 0;
                came.sending += visits[j].sending ? 1 : 0;
            }
        }
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
    if (out_)
        *out_ = came;
    return back > 0 || gone == 0 ? 1 : 0;
}

int pushpull_depth (void *socket_,
                    uint64_t *outbound_,
                    uint64_t *inbound_,
                    uint64_t *left_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    uint64_t outbound = 0;
    uint64_t inbound = 0;
    uint64_t left = 0;
    all_pipes_t &pipes = pipes_of (*socket);
    for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i) {
        zmq::pipe_t &near = *pipes[i];
        if (is_active (near))
            outbound += unread (near);
        if (!is_there (near))
            continue;
        const uint64_t waiting = difference (
          load (msgs_written_of (*peer_of (near))), msgs_read_of (near));
        inbound += waiting;
        left += is_left (near) ? waiting : 0;
    }
    if (outbound_)
        *outbound_ = outbound;
    if (inbound_)
        *inbound_ = inbound;
    if (left_)
        *left_ = left;
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

int pushpull_plain (void *socket_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    options_of (*socket).invert_matching = true;
    return 0;
}

int pushpull_pipes (void *socket_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    if (!socket)
        return -1;
    int count = 0;
    all_pipes_t &pipes = pipes_of (*socket);
    for (all_pipes_t::size_type i = 0, size = pipes.size (); i != size; ++i)
        //  The other end of a pipe that is ending may be gone already.
        if (!is_there (*pipes[i])
            || on_io_thread (*socket->get_ctx (), *peer_of (*pipes[i])))
            ++count;
    return count;
}

int pushpull_id (void *socket_)
{
    zmq::socket_base_t *const socket = as_socket (socket_);
    return socket ? options_of (*socket).socket_id : -1;
}

int pushpull_awake (void *context_)
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
            for (size_t i = 0; i != io_threads_of (*ctx).size (); ++i)
                mission.agent (
                  ctx, zmq::ctx_t::reaper_tid + 1 + static_cast<uint32_t> (i),
                  looking);
        }
        mission.run (starved);
        return mission.all_back () ? 1 : 0;
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
}

//  A socket leaves its context's list when the reaper has heard from all its sessions
//  and listeners that they end. Each says so at the beginning of its destructor, so
//  its descriptors may still be open at that moment, as may the socket's own mailbox
//  on the reaper. Once those threads have come back to their mailboxes, they are not.
int pushpull_gone (void *context_, void *socket_, int id_)
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
                //  By its address first: a look into each of thousands of sockets costs
                //  milliseconds. At that address there may be another one by now.
                if (sockets[i] == socket_ && options_of (*sockets[i]).socket_id == id_)
                    return 0;
            //  A context that is being terminated and has no socket has told its
            //  reaper to end, and it would not hear us.
            if (!(terminating_of (*ctx) && sockets.empty ()))
                mission.agent (ctx, zmq::ctx_t::reaper_tid, looking);
            for (size_t i = 0; i != io_threads_of (*ctx).size (); ++i)
                mission.agent (
                  ctx, zmq::ctx_t::reaper_tid + 1 + static_cast<uint32_t> (i),
                  looking);
        }
        mission.run ();
        return mission.all_back () ? 1 : 0;
    }
    catch (...) {
        errno = ENOMEM;
        return -1;
    }
}

//  A connection that fails in the middle of a message of many frames has its session
//  read the rest out of the pipe, and abort the process if it is not there. It is not
//  when the pipe is being terminated already: then the pipe refuses to be read.
void pushpull_failing (zmq::session_base_t *session_)
{
    if (!session_ || !incomplete_in_of (*session_))
        return;
    zmq::pipe_t *const pipe = session_pipe_of (*session_);
    if (!pipe || !pipe->check_read ())
        incomplete_in_of (*session_) = false;
}

//  See mends.h.
bool pushpull_has_unread (zmq::stream_engine_base_t *engine_)
{
    //  A PUSH socket never reads it, and others' peers need the pings of stock libzmq.
    return engine_options_of (*engine_).type == ZMQ_PULL
           && (input_stopped_of (*engine_) || bytes_in_kernel (*engine_) > 0);
}

//  See mends.h. libzmq has put a new, empty pipe in the old one's place. The
//  socket's end still has the old one: it changes that for a hiccup, which it will not
//  get, or when we are told of its leave, which we were not, as we are active.
bool pushpull_keep (zmq::pipe_t *pipe_)
{
    zmq::session_base_t *const session =
      dynamic_cast<zmq::session_base_t *> (sink_of (*pipe_));
    if (!session || options_of (*session).type != ZMQ_PUSH)
        return false;
    delete in_pipe_of (*pipe_);
    in_pipe_of (*pipe_) = out_pipe_of (*peer_of (*pipe_));
    return true;
}
