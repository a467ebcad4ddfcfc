/* A preload library that records what a process does to the files of a folder, in order.

   POWERLOSS_FOLDER  the folder; nothing is recorded until it is set
   POWERLOSS_LOG     the record: "KIND INODE OFFSET LENGTH\n" and so many bytes, again and again

   KIND  W bytes written at OFFSET   T cut to OFFSET    S file or folder synced, its path
         C path created              U path unlinked    R path renamed, L linked: old\nnew

   A call and its record are one step: a lock is held over both. The index of a write-ahead log (-shm) is
   left out, because SQLite makes it anew. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int record_fd = -2;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int concerns(const char *path) {
    const char *folder = getenv("POWERLOSS_FOLDER");
    size_t length = strlen(path);
    return folder && !strncmp(path, folder, strlen(folder)) && !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static void record(char kind, long inode, long offset, const void *data, size_t length) {
    char head[99];
    if (record_fd == -2)
        record_fd = REAL(open)(getenv("POWERLOSS_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int size = snprintf(head, sizeof head, "%c %ld %ld %zu\n", kind, inode, offset, length);
    if (REAL(write)(record_fd, head, size) != size || REAL(write)(record_fd, data, length) != (ssize_t)length)
        abort();
}

/* Whether a descriptor is that of a file or folder there; its inode and path. */
static int of(int fd, long *inode, char *path) {
    char link[40];
    struct stat status;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length < 0 || fstat(fd, &status)) return 0;
    path[length] = 0;
    *inode = status.st_ino;
    return concerns(path);
}

#define STEP(call, done, ...) \
    pthread_mutex_lock(&lock); \
    __typeof__(call) result = call; \
    if (done) { char path[4096]; long inode; (void)path; (void)inode; __VA_ARGS__ } \
    pthread_mutex_unlock(&lock); \
    return result;

#define WRITES(name, type) \
    ssize_t name(int fd, const void *data, size_t length, type offset) { \
        STEP(REAL(name)(fd, data, length, offset), result > 0, \
             if (of(fd, &inode, path)) record('W', inode, offset, data, result);) }
#define CUTS(name, type) \
    int name(int fd, type length) { \
        STEP(REAL(name)(fd, length), !result, if (of(fd, &inode, path)) record('T', inode, length, "", 0);) }
#define SYNCS(name) \
    int name(int fd) { \
        STEP(REAL(name)(fd), !result, if (of(fd, &inode, path)) record('S', inode, 0, path, strlen(path));) }
#define RENAMES(name, kind) \
    int name(const char *old, const char *new) { \
        STEP(REAL(name)(old, new), !result && concerns(new), \
             snprintf(path, sizeof path, "%s\n%s", old, new); record(kind, 0, 0, path, strlen(path));) }
#define OPENS(name) \
    int name(const char *file, int flags, ...) { \
        va_list rest; va_start(rest, flags); int mode = flags & O_CREAT ? va_arg(rest, int) : 0; va_end(rest); \
        pthread_mutex_lock(&lock); \
        int is_new = flags & O_CREAT && access(file, F_OK); \
        int fd = REAL(name)(file, flags, mode); \
        char path[4096]; long inode; \
        if (fd >= 0 && (is_new || flags & O_TRUNC) && of(fd, &inode, path)) \
            record(is_new ? 'C' : 'T', inode, 0, path, is_new ? strlen(path) : 0); \
        pthread_mutex_unlock(&lock); \
        return fd; }

WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)
CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)
SYNCS(fsync)
SYNCS(fdatasync)
RENAMES(rename, 'R')
RENAMES(link, 'L')
OPENS(open)
OPENS(open64)

ssize_t write(int fd, const void *data, size_t length) {
    STEP(REAL(write)(fd, data, length), result > 0,
         if (of(fd, &inode, path)) record('W', inode, lseek(fd, 0, SEEK_CUR) - result, data, result);)
}

int unlink(const char *file) {
    STEP(REAL(unlink)(file), !result && concerns(file), record('U', 0, 0, file, strlen(file));)
}
int mkdir(const char *file, mode_t mode) {
    STEP(REAL(mkdir)(file, mode), !result && concerns(file), record('C', 0, 0, file, strlen(file));)
}
