/* A disk that fails when told to: preloaded into the program under test. What it does stands in the file that
 * FAULTY_DISK names: "full" (no write gets room), "sync" (nothing reaches the disk), "slow" (it takes 200 ms), "hang" (whoever
 * opens accounts.yaml or asks about it waits, and the file of this name with .hangs is there). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int is_on(const char *fault) {
    const char *path = getenv("FAULTY_DISK");
    char text[16] = {0};
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 && strncmp(text, fault, strlen(fault)) == 0;
}

static int is_state(int file) {
    char link[64], name[4096] = {0};
    char number[16];
    int at = 0, value = file;
    do { number[at++] = '0' + value % 10; value /= 10; } while (value > 0);
    strcpy(link, "/proc/self/fd/");
    size_t length = strlen(link);
    while (at > 0) link[length++] = number[--at];
    link[length] = 0;
    return readlink(link, name, sizeof name - 1) > 0 && strstr(name, "state.redb") != NULL;
}

static int sync_fault(int file) {
    if (!is_state(file))
        return 0;
    if (is_on("slow")) {
        struct timespec pause = {0, 200000000};
        nanosleep(&pause, NULL);
    }
    if (is_on("sync")) {
        errno = EIO;
        return -1;
    }
    return 0;
}

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return sync_fault(file) ? -1 : real(file);
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return sync_fault(file) ? -1 : real(file);
}

static int room_fault(int file) {
    if (is_state(file) && is_on("full")) {
        errno = ENOSPC;
        return -1;
    }
    return 0;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    return room_fault(file) ? -1 : real(file, bytes, count, at);
}

int ftruncate64(int file, off64_t length) {
    int (*real)(int, off64_t) = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    return room_fault(file) ? -1 : real(file, length);
}

static void hang(const char *path) {
    struct timespec pause = {0, 5000000};
    char told[4096];
    while (path && strstr(path, "accounts.yaml") && is_on("hang")) {
        snprintf(told, sizeof told, "%s.hangs", getenv("FAULTY_DISK"));
        close(open(told, O_WRONLY | O_CREAT, 0600));
        nanosleep(&pause, NULL);
    }
}

int open64(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    hang(path);
    return real(path, flags, mode);
}

int statx(int directory, const char *restrict path, int flags, unsigned int mask, struct statx *restrict found) {
    int (*real)(int, const char *, int, unsigned int, struct statx *) =
        (int (*)(int, const char *, int, unsigned int, struct statx *))dlsym(RTLD_NEXT, "statx");
    hang(path);
    return real(directory, path, flags, mask, found);
}
