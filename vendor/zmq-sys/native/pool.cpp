//  The memory of messages. A message is made on one thread and freed on another, which
//  costs malloc more than all the rest of a small message's way; and the C library gives
//  the pages of large ones back to the system, to have them zeroed again for the next.
//
//  Small blocks lie side by side in slabs. A thread takes the blocks of one slab in the
//  order in which they lie, and they come back in much the same order, as messages do, so
//  that those who read and write them move on in memory. (Lists of blocks lose that: after a
//  while every next one is in another page, which costs more than the cache line.) Whoever
//  puts blocks back counts them, and adds to the slab's count only when one of another slab
//  comes, so that two threads meet once in a slab, where a sender's come in a row. When all
//  are back it waits in a depot.
//
//  Heavy blocks wait by themselves, and are taken the hottest first; in two lists, so that
//  messages below 128 KiB do not drive out what libzmq receives into. What is waiting is
//  bounded; beyond that it goes back to the C library, slab by slab and block by block.
//
//  No lock is ever waited for: who does not get it at once asks the C library. A forked
//  child may find a lock taken for ever.

#include "mends.h"

#if defined PUSHPULL_POOL

#undef malloc
#undef free

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <stdint.h>

namespace
{
struct slab_t;

//  In front of every block: what it is of, and how many bytes the caller can have.
struct head_t
{
    union
    {
        slab_t *slab;
        uint64_t as_wide;
    };
    uint64_t room;
};
static_assert (sizeof (head_t) == 16, "what malloc aligns to stays aligned behind it");

//  In place of a slab: that it is of none, and whether it waits for the next one.
slab_t *const plain = NULL;
slab_t *const waits = reinterpret_cast<slab_t *> (1);

//  Small blocks come in multiples of a cache line. A message of 64 bytes and libzmq's
//  record of it take two, one of a kibibyte takes seventeen.
const size_t line = 64;
const size_t classes = 32;
//  Of one slab. As much is kept by a message that is never freed.
const size_t slab_bytes = 16 << 10;
const size_t most_blocks = 128;
//  Of all depots together. A queue of 1000 messages of 64 bytes, in its channel and in
//  libzmq, has a quarter of a megabyte.
const size_t depot_bytes = 16 << 20;

//  From here on a block waits by itself. (`heavy` in large.hpp; here libzmq's record of a
//  message counts, too.)
const size_t heavy_from = 8 << 10;
//  And from here on in the other list, as the 142 KiB of a receive buffer do,
const size_t heavier_from = 128 << 10;
//  up to here.
const size_t heavier_most = 4 << 20;
//  Of each list. While its receiver keeps up, a queue has a megabyte of heavy messages in its
//  channel (ENOUGH_HEAVY in src/control/pace.rs), one in its worker's hand (BYTES in
//  src/push/hand.rs) and one in libzmq (`enough` in large.cpp).
const size_t list_bytes = 8 << 20;
const size_t list_blocks = 512;
//  So many leave a long list at once, as all the others move up.
const size_t list_leaving = list_blocks / 8;
static_assert (heavier_most / heavier_from <= list_leaving
                 && heavier_from / heavy_from <= list_leaving,
               "so many that leave have room for any that comes");

//  Its blocks begin a line further on.
struct slab_t
{
    size_t kind;
    unsigned blocks;
    //  How many of them are back, or will never be taken.
    std::atomic<unsigned> back;
    //  In a depot.
    slab_t *next;
};
static_assert (sizeof (slab_t) <= line, "its blocks begin a line further on");

size_t size_of (size_t class_)
{
    return line * (class_ + 1);
}

size_t bytes_of (const slab_t &slab_)
{
    return line + slab_.blocks * size_of (slab_.kind);
}

class try_lock_t
{
  public:
    explicit try_lock_t (std::mutex &sync_) : _sync (sync_), _held (false)
    {
        for (int i = 0; i != 32 && !_held; ++i)
            _held = _sync.try_lock ();
    }
    ~try_lock_t ()
    {
        if (_held)
            _sync.unlock ();
    }
    bool is_held () const { return _held; }

  private:
    std::mutex &_sync;
    bool _held;
};

struct depot_t
{
    std::mutex sync;
    slab_t *slabs;
};

//  Tells how large the blocks are, so that who looks for one need not touch them.
struct waiting_t
{
    size_t room;
    head_t *block;
};

struct list_t
{
    std::mutex sync;
    size_t count;
    size_t bytes;
    waiting_t blocks[list_blocks];
};

//  Never destroyed: messages are freed at any time, also while the process ends.
struct store_t
{
    depot_t depots[classes];
    std::atomic<size_t> in_depots;
    list_t heavy;
    list_t heavier;
};

store_t &store ()
{
    static store_t *const the_store = new store_t ();
    return *the_store;
}

//  What a thread has of one size.
struct shelf_t
{
    //  The next block that it takes, and how many there are in its slab.
    char *at;
    size_t left;
    //  The slab of which it puts back, and how many blocks that slab does not know of.
    slab_t *putting;
    unsigned put;
    //  A slab that is taken from next, or none.
    slab_t *spare;
};

//  Plain data, so that reaching it is one instruction; `closer` empties it.
thread_local shelf_t shelves[classes];
thread_local bool is_closed;
thread_local bool is_watched;

//  All blocks of it are back.
void bring (slab_t *slab_)
{
    store_t &all = store ();
    depot_t &depot = all.depots[slab_->kind];
    const size_t bytes = bytes_of (*slab_);
    if (all.in_depots.fetch_add (bytes, std::memory_order_relaxed) + bytes <= depot_bytes) {
        const try_lock_t lock (depot.sync);
        if (lock.is_held ()) {
            slab_->next = depot.slabs;
            depot.slabs = slab_;
            return;
        }
    }
    all.in_depots.fetch_sub (bytes, std::memory_order_relaxed);
    ::free (slab_);
}

slab_t *fetch (size_t class_)
{
    store_t &all = store ();
    depot_t &depot = all.depots[class_];
    const try_lock_t lock (depot.sync);
    if (!lock.is_held () || !depot.slabs)
        return NULL;
    slab_t *const slab = depot.slabs;
    depot.slabs = slab->next;
    all.in_depots.fetch_sub (bytes_of (*slab), std::memory_order_relaxed);
    return slab;
}

slab_t *make (size_t class_)
{
    const size_t size = size_of (class_);
    const size_t blocks = std::min (slab_bytes / size, most_blocks);
    void *fresh;
    if (posix_memalign (&fresh, line, line + blocks * size) != 0)
        return NULL;
    slab_t *const slab = new (fresh) slab_t ();
    slab->kind = class_;
    slab->blocks = static_cast<unsigned> (blocks);
    char *at = static_cast<char *> (fresh) + line;
    for (size_t i = 0; i != blocks; ++i, at += size) {
        head_t *const head = new (at) head_t ();
        head->slab = slab;
        head->room = size - sizeof (head_t);
    }
    return slab;
}

//  So many more blocks are back; true if they were the last.
bool is_whole (slab_t *slab_, size_t blocks_)
{
    const unsigned more = static_cast<unsigned> (blocks_);
    //  Asked first: if others are not back yet, it may be gone as soon as they are.
    const unsigned all = slab_->blocks;
    if (slab_->back.fetch_add (more, std::memory_order_acq_rel) + more != all)
        return false;
    slab_->back.store (0, std::memory_order_relaxed);
    return true;
}

struct closer_t
{
    ~closer_t ()
    {
        is_closed = true;
        for (size_t i = 0; i != classes; ++i) {
            const shelf_t shelf = shelves[i];
            shelves[i] = shelf_t ();
            if (shelf.spare)
                bring (shelf.spare);
            if (shelf.putting && is_whole (shelf.putting, shelf.put))
                bring (shelf.putting);
            slab_t *const taking =
              shelf.left ? reinterpret_cast<head_t *> (shelf.at)->slab : NULL;
            if (taking && is_whole (taking, shelf.left))
                bring (taking);
        }
    }
};

//  Has this thread's shelves emptied when it ends.
void watch ()
{
    if (!is_watched) {
        is_watched = true;
        static thread_local closer_t closer;
        (void) &closer;
    }
}

void *take_plain (size_t room_)
{
    head_t *const head = static_cast<head_t *> (::malloc (sizeof (head_t) + room_));
    if (!head)
        return NULL;
    head->slab = plain;
    head->room = room_;
    return head + 1;
}

//  False without memory.
bool take_slab (shelf_t &shelf_, size_t class_)
{
    slab_t *slab = shelf_.spare ? shelf_.spare : fetch (class_);
    if (!slab)
        slab = make (class_);
    if (!slab)
        return false;
    watch ();
    shelf_.spare = NULL;
    shelf_.at = reinterpret_cast<char *> (slab) + line;
    shelf_.left = slab->blocks;
    return true;
}

void *take_small (size_t class_)
{
    shelf_t &shelf = shelves[class_];
    if (shelf.left == 0) {
        if (is_closed)
            return take_plain (size_of (class_) - sizeof (head_t));
        if (!take_slab (shelf, class_))
            return NULL;
    }
    head_t *const head = reinterpret_cast<head_t *> (shelf.at);
    shelf.at += size_of (class_);
    --shelf.left;
    return head + 1;
}

void put_small (slab_t *slab_)
{
    shelf_t &shelf = shelves[slab_->kind];
    if (shelf.putting == slab_) {
        ++shelf.put;
        return;
    }
    if (is_closed) {
        if (is_whole (slab_, 1))
            bring (slab_);
        return;
    }
    watch ();
    slab_t *const last = shelf.putting;
    const unsigned put = shelf.put;
    shelf.putting = slab_;
    shelf.put = 1;
    if (!last || !is_whole (last, put))
        return;
    if (shelf.spare)
        bring (last);
    else
        shelf.spare = last;
}

list_t &list_of (size_t room_)
{
    return room_ < heavier_from ? store ().heavy : store ().heavier;
}

void *take_waiting (size_t room_)
{
    list_t &all = list_of (room_);
    {
        const try_lock_t lock (all.sync);
        if (lock.is_held ())
            for (size_t i = all.count; i-- != 0;) {
                const waiting_t found = all.blocks[i];
                if (found.room < room_ || found.room / 2 > room_)
                    continue;
                std::copy (all.blocks + i + 1, all.blocks + all.count, all.blocks + i);
                --all.count;
                all.bytes -= found.room;
                return found.block + 1;
            }
    }
    void *const body = take_plain (room_);
    if (body)
        (static_cast<head_t *> (body) - 1)->slab = waits;
    return body;
}

void put_waiting (head_t *block_)
{
    const waiting_t waiting = {static_cast<size_t> (block_->room), block_};
    list_t &all = list_of (waiting.room);
    head_t *oldest[list_leaving];
    size_t leaving = 0;
    {
        const try_lock_t lock (all.sync);
        if (!lock.is_held ())
            return ::free (block_);
        //  Sizes change with the traffic: the ones that nobody asks for go.
        const bool is_full =
          all.count == list_blocks || all.bytes + waiting.room > list_bytes;
        const size_t least = is_full && all.count > list_blocks / 2 ? list_leaving : 0;
        while (leaving < least || all.bytes + waiting.room > list_bytes) {
            oldest[leaving] = all.blocks[leaving].block;
            all.bytes -= all.blocks[leaving].room;
            ++leaving;
        }
        if (leaving != 0)
            std::copy (all.blocks + leaving, all.blocks + all.count, all.blocks);
        all.count -= leaving;
        all.blocks[all.count++] = waiting;
        all.bytes += waiting.room;
    }
    for (size_t i = 0; i != leaving; ++i)
        ::free (oldest[i]);
}
}

void *pushpull_pool_take (size_t room_)
{
    const size_t size = room_ + sizeof (head_t);
    if (size < room_)
        return NULL;
    if (size <= line * classes)
        return take_small ((size - 1) / line);
    return room_ < heavy_from || room_ > heavier_most ? take_plain (room_)
                                                      : take_waiting (room_);
}

void pushpull_pool_put (void *body_)
{
    if (!body_)
        return;
    head_t *const head = static_cast<head_t *> (body_) - 1;
    if (head->slab == plain)
        ::free (head);
    else if (head->slab == waits)
        put_waiting (head);
    else
        put_small (head->slab);
}

#endif
