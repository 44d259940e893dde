//  bounded-messages, as the poller's stand-ins in mends_*.cpp use it. An entry is the
//  poller's own record of a descriptor; each belongs to the I/O thread that calls.

#ifndef PUSHPULL_BOUNDS_HPP
#define PUSHPULL_BOUNDS_HPP

#include <stdint.h>

extern "C" {
//  The greatest number of frames of a message that is received; see mends.h.
void pushpull_max_frames (uint64_t frames_);
}

//  The entry is new, and its connection has said nothing yet.
void pushpull_bounds_begin (void *entry_);

//  The entry is going away.
void pushpull_bounds_forget (void *entry_);

//  The entry has stopped reading; if nobody will ever make it read on, the next
//  pushpull_bounds_end_deaf ends it.
void pushpull_bounds_deaf (void *entry_);
void pushpull_bounds_end_deaf ();

//  Ends the connection whose peer has sent more than it may.
void pushpull_bounds_check (void *entry_);

//  The entry's peer has hung up, and a full pipe keeps us from reading to the end.
void pushpull_ending (void *entry_);

#endif
