// What Embedded Swift expects of a C library, for a module that has none.
//
// The allocator keeps freed blocks in lists by size class; classes are four per power of two, so at most a fifth of a
// block is unused. A block has sixteen bytes in front that name its class. Memory is only ever taken from the host.

#include <stddef.h>
#include <stdint.h>

enum { HEADER = 16, PAGE = 65536, CLASSES = 128 };

extern unsigned char __heap_base;
static uintptr_t top, end;
static void *lists[CLASSES];

static unsigned class_of(size_t size) {
    if (size < 64) return (unsigned)((size + 15) / 16);
    unsigned log = 31 - (unsigned)__builtin_clz((unsigned)(size - 1));
    return log * 4 - 20 + (unsigned)((size - 1) >> (log - 2) & 3) + 1;
}

static size_t size_of(unsigned class) {
    if (class < 5) return (size_t)class * 16;
    unsigned log = (class - 1 + 20) / 4, quarter = (class - 1 + 20) % 4;
    return ((size_t)1 << log) + ((size_t)(quarter + 1) << (log - 2));
}

static void *take(size_t size) {
    if (!top) {
        top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
        end = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
    }
    if (size > UINT32_MAX - top) return NULL;
    if (top + size > end) {
        size_t pages = (top + size - end + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) return NULL;
        end += pages * PAGE;
    }
    void *block = (void *)top;
    top += size;
    return block;
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    // Sixteen is the most that anything here asks for.
    if (alignment > 16 || size > (size_t)1 << 30) return 12;
    unsigned class = class_of(size ? size : 1);
    if (lists[class]) {
        *result = lists[class];
        lists[class] = *(void **)*result;
        return 0;
    }
    unsigned char *block = take((HEADER + size_of(class) + 15) & ~(size_t)15);
    if (!block) return 12;
    *(unsigned *)block = class;
    *result = block + HEADER;
    return 0;
}

void free(void *address) {
    if (!address) return;
    unsigned class = *(unsigned *)((unsigned char *)address - HEADER);
    *(void **)address = lists[class];
    lists[class] = address;
}

void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *left, const void *right, size_t size) {
    const unsigned char *a = left, *b = right;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

// The host fills this; it seeds the hash tables.
__attribute__((import_module("env"), import_name("random"))) void host_random(void *bytes, size_t size);
void arc4random_buf(void *bytes, size_t size) { host_random(bytes, size); }

// 64 x 64 -> 128 bits, which the compiler calls by name.
void __multi3(uint64_t *result, uint64_t a, uint64_t a_high, uint64_t b, uint64_t b_high) {
    uint64_t low = (a & 0xffffffff) * (b & 0xffffffff);
    uint64_t cross = (a >> 32) * (b & 0xffffffff) + (low >> 32);
    uint64_t other = (a & 0xffffffff) * (b >> 32) + (cross & 0xffffffff);
    result[0] = other << 32 | (low & 0xffffffff);
    result[1] = (a >> 32) * (b >> 32) + (cross >> 32) + (other >> 32) + a * b_high + a_high * b;
}
