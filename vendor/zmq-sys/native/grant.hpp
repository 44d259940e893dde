//  Access to private members, the legal way: access is not checked for the names in an
//  explicit instantiation, so a pointer to the member can be handed to a template,
//  whose friend function then applies it. `GRANT (T, f, C, m)` defines `T &f (C &)`,
//  which yields the member `m` of a `C`. One grant for each member in each file.

#ifndef PUSHPULL_GRANT_HPP
#define PUSHPULL_GRANT_HPP

#define GRANT(type, name, klass, member)                                       \
    type &name (klass &);                                                      \
    template <typename M, M At> struct name##_grant                            \
    {                                                                          \
        friend type &name (klass &object_) { return object_.*At; }             \
    };                                                                         \
    template struct name##_grant<decltype (&klass::member), &klass::member>

//  `bool name (pipe)`: whether a pipe is in a state. States are of an unnamed type, so
//  they are compared in here.
#define GRANT_STATE(name, state)                                               \
    bool name (zmq::pipe_t &);                                                 \
    template <typename M, M At, typename E, E State> struct name##_grant       \
    {                                                                          \
        friend bool name (zmq::pipe_t &pipe_) { return pipe_.*At == State; }   \
    };                                                                         \
    template struct name##_grant<                                              \
      decltype (&zmq::pipe_t::_state), &zmq::pipe_t::_state,                   \
      decltype (zmq::pipe_t::state), zmq::pipe_t::state>

#endif
