//  The memory of messages. A message is made on one thread and freed on another, which
//  costs malloc more than all the rest of a small message's way; and the C library gives
//  the pages of large ones back to the system, to have them zeroed again for the next.
//
//  Small blocks wait in magazines: each thread has two for each size, and takes full ones
//  from a depot, or brings them there, so that two threads meet once in 64 messages.
//  Large blocks wait in one list, the hottest first. What is waiting is bounded; beyond
//  that it goes back to the C library, block by block.
//
//  No lock is ever waited for: who does not get it at once asks the C library. A forked
//  child may find a lock taken for ever.

#include "mends.h"

#if defined PUSHPULL_POOL

#undef malloc
#undef free

#include <mutex>
#include <stdint.h>

namespace
{
//  In front of every block: what it is, and how many bytes the caller can have.
struct head_t
{
    uint64_t kind;
    uint64_t room;
};

//  A block that waits.
struct block_t
{
    head_t head;
    block_t *next;
    //  Of a magazine's first block: the next magazine of the depot.
    block_t *magazine;
};

const uint64_t plain = ~uint64_t (0);
const uint64_t large = plain - 1;

//  Small blocks come in multiples of a cache line. A message of 64 bytes and libzmq's
//  record of it take two.
const size_t line = 64;
const size_t classes = 16;
const unsigned magazine_blocks = 64;
//  For each size. As much as two high-water marks and two channels of 1000 hold.
const size_t depot_bytes = 2 << 20;

//  From here on a block has many pages of its own.
const size_t large_from = 48 << 10;
const size_t large_most = 4 << 20;
const size_t large_bytes = 8 << 20;
const unsigned large_blocks = 64;

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

//  Never destroyed: messages are freed at any time, also while the process ends.
struct depot_t
{
    std::mutex sync;
    block_t *magazines;
    size_t count;
};

struct store_t
{
    depot_t depots[classes];
    std::mutex sync;
    block_t *blocks[large_blocks];
    unsigned count;
    size_t bytes;
};

store_t &store ()
{
    static store_t *const the_store = new store_t ();
    return *the_store;
}

struct shelf_t
{
    block_t *open;
    unsigned count;
    //  A full magazine, or none.
    block_t *full;
};

//  Plain data, so that reaching it is one instruction; `closer` empties it.
thread_local shelf_t shelves[classes];
thread_local bool is_closed;
thread_local bool is_watched;

void free_chain (block_t *block_)
{
    while (block_) {
        block_t *const next = block_->next;
        ::free (block_);
        block_ = next;
    }
}

void bring (size_t class_, block_t *magazine_)
{
    depot_t &depot = store ().depots[class_];
    {
        const try_lock_t lock (depot.sync);
        if (lock.is_held ()
            && (depot.count + 1) * magazine_blocks * line * (class_ + 1) <= depot_bytes) {
            magazine_->magazine = depot.magazines;
            depot.magazines = magazine_;
            ++depot.count;
            return;
        }
    }
    free_chain (magazine_);
}

block_t *fetch (size_t class_)
{
    depot_t &depot = store ().depots[class_];
    const try_lock_t lock (depot.sync);
    if (!lock.is_held () || !depot.magazines)
        return NULL;
    block_t *const magazine = depot.magazines;
    depot.magazines = magazine->magazine;
    --depot.count;
    return magazine;
}

struct closer_t
{
    ~closer_t ()
    {
        is_closed = true;
        for (size_t i = 0; i != classes; ++i) {
            free_chain (shelves[i].open);
            if (shelves[i].full)
                bring (i, shelves[i].full);
            shelves[i] = shelf_t ();
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

void *body (block_t *block_)
{
    return &block_->head + 1;
}

void *take_small (size_t class_)
{
    shelf_t &shelf = shelves[class_];
    if (!shelf.open && !is_closed) {
        shelf.open = shelf.full ? shelf.full : fetch (class_);
        shelf.full = NULL;
        shelf.count = shelf.open ? magazine_blocks : 0;
        watch ();
    }
    if (block_t *const block = shelf.open) {
        shelf.open = block->next;
        --shelf.count;
        //  The next one comes from another core's cache, and who takes it is in a hurry.
        if (shelf.open) {
            __builtin_prefetch (shelf.open, 1);
            __builtin_prefetch (reinterpret_cast<char *> (shelf.open) + line, 1);
        }
        return body (block);
    }
    void *fresh;
    const size_t size = line * (class_ + 1);
    if (posix_memalign (&fresh, line, size) != 0)
        return NULL;
    block_t *const block = static_cast<block_t *> (fresh);
    block->head.kind = class_;
    block->head.room = size - sizeof (head_t);
    return body (block);
}

void put_small (size_t class_, block_t *block_)
{
    shelf_t &shelf = shelves[class_];
    if (shelf.count == magazine_blocks) {
        if (shelf.full)
            bring (class_, shelf.full);
        shelf.full = shelf.open;
        shelf.open = NULL;
        shelf.count = 0;
    }
    if (!shelf.open) {
        if (is_closed)
            return ::free (block_);
        watch ();
    }
    block_->next = shelf.open;
    shelf.open = block_;
    ++shelf.count;
}

void *take_large (size_t room_)
{
    store_t &all = store ();
    {
        const try_lock_t lock (all.sync);
        if (lock.is_held ())
            for (unsigned i = all.count; i-- != 0;) {
                block_t *const block = all.blocks[i];
                if (block->head.room < room_ || block->head.room / 2 > room_)
                    continue;
                for (--all.count; i != all.count; ++i)
                    all.blocks[i] = all.blocks[i + 1];
                all.bytes -= block->head.room;
                return body (block);
            }
    }
    block_t *const block = static_cast<block_t *> (::malloc (sizeof (head_t) + room_));
    if (!block)
        return NULL;
    block->head.kind = room_ > large_most ? plain : large;
    block->head.room = room_;
    return body (block);
}

void put_large (block_t *block_)
{
    store_t &all = store ();
    block_t *oldest[large_blocks];
    unsigned leaving = 0;
    {
        const try_lock_t lock (all.sync);
        if (!lock.is_held ())
            return ::free (block_);
        //  Sizes change with the traffic: the ones that nobody asks for go.
        while (leaving != all.count
               && (all.bytes + block_->head.room > large_bytes
                   || all.count - leaving == large_blocks)) {
            oldest[leaving] = all.blocks[leaving];
            all.bytes -= oldest[leaving]->head.room;
            ++leaving;
        }
        for (unsigned i = leaving; i != all.count; ++i)
            all.blocks[i - leaving] = all.blocks[i];
        all.count -= leaving;
        all.blocks[all.count++] = block_;
        all.bytes += block_->head.room;
    }
    for (unsigned i = 0; i != leaving; ++i)
        ::free (oldest[i]);
}
}

void *pushpull_pool_take (size_t room_)
{
    const size_t size = room_ + sizeof (head_t);
    if (size <= line * classes)
        return take_small ((size - 1) / line);
    if (room_ >= large_from && size > room_)
        return take_large (room_);
    head_t *const head =
      size > room_ ? static_cast<head_t *> (::malloc (size)) : NULL;
    if (!head)
        return NULL;
    head->kind = plain;
    head->room = room_;
    return head + 1;
}

void pushpull_pool_put (void *body_)
{
    if (!body_)
        return;
    head_t *const head = static_cast<head_t *> (body_) - 1;
    block_t *const block = reinterpret_cast<block_t *> (head);
    if (head->kind < classes)
        put_small (static_cast<size_t> (head->kind), block);
    else if (head->kind == large)
        put_large (block);
    else
        ::free (head);
}

#endif
