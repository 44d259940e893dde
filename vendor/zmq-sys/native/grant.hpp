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

#endif
