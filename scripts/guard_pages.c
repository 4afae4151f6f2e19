/*
 * An allocator that notices every access outside a block. scripts/find_overruns.py compiles it and
 * puts it under its children with LD_PRELOAD (Linux, x86-64, glibc).
 *
 * A block that was asked for with an alignment, or of 4 KiB and more, ends where its last page ends
 * (or fewer bytes before that than its alignment), and pages that nobody may touch lie before it and
 * after it. An access there is noted, as a read or as a write, the page is opened for it, and the
 * program goes on. What is left of a block's own pages holds a pattern that is looked at when the
 * block is freed: a write there is noted then. Addresses are never used again, so that an access to
 * a freed block is noted as well. Smaller blocks without an alignment are glibc's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE ((size_t)4096)
#define SLOT ((size_t)1 << 16) /* a block begins at a multiple of it */
#define ARENA ((size_t)1 << 44)
#define MOST_CLOSED ((size_t)1 << 28)
#define LEAST ((size_t)4096) /* smaller blocks without an alignment are not guarded */
#define MOST_LIVE 16000      /* Linux lets a process have 65530 mappings */
#define PATTERN 0xA5
#define WRITE_FAULT 2 /* in the error code of a page fault */

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

struct block {
    char *user; /* what the program was given; NULL: no block begins in this slot */
    size_t size;
    int freed;
};

/* What find_overruns.py reads with ctypes. */
struct notes {
    long reads, writes; /* of closed pages */
    long patterns;      /* blocks freed with a pattern that was written over */
    long unguarded;     /* blocks that found no room */
    long size, offset;  /* of the first write, or else the first read: bytes past the block's end, or
                           before its beginning if negative */
    long freed;         /* whether that block was freed before */
};

static char *arena;
static struct block *blocks;
static atomic_size_t next_slot = 1;
static atomic_long live;
static struct notes notes;
static int on; /* whether new blocks are guarded; those that were stay so */
static atomic_int lock;

static int ours(const void *p) {
    return arena && (const char *)p >= arena && (const char *)p < arena + ARENA;
}

static size_t up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* What a block takes with the closed pages after it: they are many times as long as the block, as an
   overrun that ends in the next block would not be seen. */
static size_t span(size_t pages) {
    size_t closed = 32 * pages < MOST_CLOSED ? 32 * pages : MOST_CLOSED;
    return up(pages + closed, SLOT) + SLOT;
}

static size_t slot_of(const void *p) { return (size_t)((const char *)p - arena) / SLOT; }

static void note(long *counter, const struct block *block, long offset, int first) {
    while (atomic_exchange(&lock, 1)) {
    }
    if (first) {
        notes.size = (long)block->size, notes.offset = offset, notes.freed = block->freed;
    }
    ++*counter;
    atomic_store(&lock, 0);
}

/* The block whose end or beginning is nearest to an address outside all of them. */
static const struct block *nearest(const char *at, long *offset) {
    size_t below = slot_of(at), above = below + 1, last = atomic_load(&next_slot);
    while (below > 0 && !blocks[below].user)
        --below;
    while (above < last && !blocks[above].user)
        ++above;
    ptrdiff_t past = blocks[below].user ? at - (blocks[below].user + blocks[below].size) : PTRDIFF_MAX;
    ptrdiff_t before = above < last ? blocks[above].user - at : PTRDIFF_MAX;
    *offset = past <= before ? past : -before;
    return &blocks[past <= before ? below : above];
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    if (!ours(info->si_addr)) {
        signal(signal_number, SIG_DFL); /* the instruction is run again, and the process dies of it */
        return;
    }
    int write = (((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT) != 0;
    long offset;
    const struct block *block = nearest(info->si_addr, &offset);
    int none_yet = notes.writes + notes.patterns == 0;
    note(write ? &notes.writes : &notes.reads, block, offset, none_yet && (write || !notes.reads));
    char *page = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));
    mprotect(page, PAGE, write ? PROT_READ | PROT_WRITE : PROT_READ);
}

static void reserve(void) {
    const int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *got = mmap(NULL, ARENA + SLOT, PROT_NONE, kind, -1, 0);
    size_t table = ARENA / SLOT * sizeof(struct block);
    blocks = mmap(NULL, table, PROT_READ | PROT_WRITE, kind, -1, 0);
    if (got == MAP_FAILED || blocks == MAP_FAILED)
        return;
    static char stack[1 << 16];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    arena = (char *)up((size_t)got, SLOT);
}

__attribute__((constructor)) static void begin(void) { reserve(); }

static char *pages_of(const struct block *block) {
    return (char *)((uintptr_t)block->user & ~(PAGE - 1));
}

static char *end_of(const struct block *block) {
    return (char *)up((size_t)block->user + block->size, PAGE);
}

static void *guarded(size_t alignment, size_t size) {
    size_t room = up(size ? size : 1, alignment), pages = up(room, PAGE);
    if (!on || !arena || size > ARENA / 4 || alignment > PAGE || atomic_load(&live) > MOST_LIVE)
        return NULL;
    size_t slots = span(pages) / SLOT, slot = atomic_fetch_add(&next_slot, slots);
    if ((slot + slots) * SLOT > ARENA)
        return NULL;
    char *begin = arena + slot * SLOT;
    if (mprotect(begin, pages, PROT_READ | PROT_WRITE))
        return NULL;
    struct block *block = &blocks[slot];
    *block = (struct block){.user = begin + pages - room, .size = size};
    memset(begin, PATTERN, (size_t)(block->user - begin));
    memset(block->user + size, PATTERN, room - size);
    atomic_fetch_add(&live, 1);
    return block->user;
}

/* The first byte of [from, to) that has lost the pattern, or NULL. */
static const char *lost(const char *from, const char *to) {
    for (; from < to; ++from)
        if ((unsigned char)*from != PATTERN)
            return from;
    return NULL;
}

static void look(const struct block *block) {
    const char *end = block->user + block->size;
    const char *past = lost(end, end_of(block)), *before = lost(pages_of(block), block->user);
    if (past)
        note(&notes.patterns, block, past - end, notes.writes + notes.patterns == 0);
    else if (before)
        note(&notes.patterns, block, before - block->user, notes.writes + notes.patterns == 0);
}

static void let_go(void *p) {
    struct block *block = &blocks[slot_of(p)];
    if (block->user != p || block->freed) {
        note(&notes.patterns, block, 0, 1);
        return;
    }
    look(block);
    block->freed = 1;
    size_t length = span((size_t)(end_of(block) - pages_of(block)));
    mmap(pages_of(block), length, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    atomic_fetch_sub(&live, 1);
}

/* What the children call. */
void guard_switch(int to) { on = to; }

long guard_live(void) { return atomic_load(&live); }

void guard_take(struct notes *into) {
    *into = notes;
    notes = (struct notes){0};
}

/* What the C library calls. */
void *memalign(size_t alignment, size_t size) {
    void *p = guarded(alignment, size);
    if (!p)
        notes.unguarded += on;
    return p ? p : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **into, size_t alignment, size_t size) {
    *into = memalign(alignment, size);
    return *into ? 0 : ENOMEM;
}

void *malloc(size_t size) {
    void *p = size >= LEAST ? guarded(16, size) : NULL;
    return p ? p : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(count, size, &all) || all < LEAST)
        return __libc_calloc(count, size);
    void *p = guarded(16, all); /* fresh pages hold zeros */
    return p ? p : __libc_calloc(count, size);
}

void free(void *p) {
    int before = errno;
    if (ours(p))
        let_go(p);
    else
        __libc_free(p);
    errno = before;
}

void *realloc(void *p, size_t size) {
    if (!ours(p))
        return __libc_realloc(p, size);
    size_t had = blocks[slot_of(p)].size;
    void *fresh = malloc(size);
    if (fresh)
        memcpy(fresh, p, had < size ? had : size);
    if (fresh || !size)
        free(p);
    return fresh;
}

size_t malloc_usable_size(void *p) {
    size_t *header = (size_t *)p - 1; /* glibc keeps a chunk's size, and three flags, before it */
    if (!p)
        return 0;
    return ours(p) ? blocks[slot_of(p)].size : (*header & ~(size_t)7) - sizeof(size_t) * (*header & 2 ? 2 : 1);
}
