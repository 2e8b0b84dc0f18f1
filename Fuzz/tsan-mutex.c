// What the thread sanitizer cannot see of a `Mutex` of Swift's Synchronization on Linux, told to it.
//
// The uncontended path of a lock is an atomic exchange that is compiled into the code under test, where the sanitizer
// sees it. The contended path lies in libswiftSynchronization, which is not instrumented, and the kernel hands the lock
// over: so the sanitizer takes what two threads do one after the other under one contended lock for a race. Loaded
// before that library (LD_PRELOAD), these two functions stand before its own, call them, and say what they mean: a lock
// that was taken comes after every lock that was given back. Nothing is suppressed, and real races are still found.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// Absent in programs that the tests start and that are not instrumented.
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

#define HANDLE __attribute__((swift_context)) void *handle

typedef __attribute__((swiftcall)) void (*LockSlow)(uint32_t thread, HANDLE);
typedef __attribute__((swiftcall)) void (*UnlockSlow)(HANDLE);

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

// _MutexHandle._lockSlow(UInt32)
__attribute__((swiftcall)) void lockSlow(uint32_t thread, HANDLE)
    __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
__attribute__((swiftcall)) void lockSlow(uint32_t thread, HANDLE) {
    static LockSlow original;
    if (!original) original = (LockSlow)next("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
    original(thread, handle);
    if (__tsan_acquire) __tsan_acquire(handle);
}

// _MutexHandle._unlockSlow()
__attribute__((swiftcall)) void unlockSlow(HANDLE) __asm__("$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
__attribute__((swiftcall)) void unlockSlow(HANDLE) {
    static UnlockSlow original;
    if (!original) original = (UnlockSlow)next("$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
    if (__tsan_release) __tsan_release(handle);
    original(handle);
}
