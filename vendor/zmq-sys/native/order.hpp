//  In which order a PULL socket reads its pipes.
//
//  libzmq deals from all of them in turn. A peer whose connection is lost comes back with
//  a new one, and so with a new pipe, while the old one may still hold messages of its
//  own, in the socket or on the way: they would change places. So
//
//  - pipes have numbers, in the order in which they came;
//  - what a connection that is known to end has left is read before anything else;
//  - a peer that gives its name (pushpull_introduce) is read from its newest connection
//    only when the older ones have ended: their end may wait in a kernel behind data for
//    which there is no room. Others go on meanwhile.

#ifndef PUSHPULL_ORDER_HPP
#define PUSHPULL_ORDER_HPP

#include "inside.hpp"

enum turn_t
{
    //  Nobody is leaving.
    any,
    //  The next message is of the peer that leaves.
    found,
    //  It is still on its way through the I/O thread.
    coming
};

//  Has the fair queue read next what is left of the peer that came first of those that
//  leave.
turn_t turn_to_leaving (zmq::fq_t &fq_);

//  Has those wait that shall, and tells whether someone leaves. Whether they still have
//  to is looked at if that is asked for, or messages have been received since. Where
//  nobody keeps that in mind, nobody waits.
bool put_in_order (zmq::fq_t &fq_, struct pushpull_waits *waits_, bool look_);

#endif
