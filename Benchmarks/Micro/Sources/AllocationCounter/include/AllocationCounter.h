#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

/// Heap allocations of this process since it started, from every thread.
uint64_t allocation_count(void);

#endif
