//  See large.cpp.

#ifndef PUSHPULL_LARGE_HPP
#define PUSHPULL_LARGE_HPP

#include "inside.hpp"

//  Messages of so many bytes are weighed and not only counted. (HEAVY in src/native.rs, and
//  `heavy_from` in pool.cpp.)
const size_t heavy = 8 << 10;

//  As many as a connection of ours writes at once. (LARGE in src/native.rs.)
const size_t large = 256 << 10;

//  A message of that size, which is heavy, leaves a pipe.
void has_read_heavy (zmq::pipe_t &pipe_, size_t size_);

//  Sets how many messages fit into the pipes of a socket, for one of that size to come.
void make_room_for (zmq::push_t &socket_, size_t size_);

#endif
