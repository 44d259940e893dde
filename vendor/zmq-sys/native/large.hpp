//  See large.cpp.

#ifndef PUSHPULL_LARGE_HPP
#define PUSHPULL_LARGE_HPP

#include "inside.hpp"

//  Sets how many messages fit into the pipes of a socket, for one of that size to come.
void make_room_for (zmq::push_t &socket_, size_t size_);

#endif
