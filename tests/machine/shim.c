/* Journals what a process does to the files below a folder, in the order in which it does it.
 *
 * Loaded with LD_PRELOAD. DISK_ROOT names the folder, DISK_JOURNAL the file to append to, if any.
 * A record is: one letter (w write, t truncate, u unlink, s sync), the lengths of name and data
 * (4 bytes each), the offset or size (8 bytes), the name, the data. SQLite's shared memory is left
 * out: it does not outlive a power cut.
 *
 * While the file that DISK_FAULT names is there, all of these fail with the error number in it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static const char *root;
static const char *fault;

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("DISK_JOURNAL");
    root = getenv("DISK_ROOT");
    fault = getenv("DISK_FAULT");
    if (name == NULL || root == NULL)
        return;
    journal = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (journal < 0)
        abort();
}

static int is_meant(const char *path)
{
    size_t length = strlen(path);
    if (root == NULL || strncmp(path, root, strlen(root)) != 0)
        return 0;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

static int find_path(int fd, char *path, size_t size)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_meant(path);
}

static void note(char kind, const char *path, int64_t offset, const void *data, uint32_t length)
{
    if (journal < 0)
        return;
    char head[17];
    uint32_t name = (uint32_t)strlen(path);
    head[0] = kind;
    memcpy(head + 1, &name, 4);
    memcpy(head + 5, &length, 4);
    memcpy(head + 9, &offset, 8);
    struct iovec parts[] = {{head, sizeof head}, {(void *)path, name}, {(void *)data, length}};
    /* One call, so that a record of another process never lands inside it. */
    if (writev(journal, parts, 3) != (ssize_t)(sizeof head + name + length))
        abort();
}

/* Whether the disk refuses now; says why in errno. */
static int is_refused(void)
{
    char text[16] = "";
    int file = fault == NULL ? -1 : open(fault, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length > 0)
        errno = atoi(text);
    return length > 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITE(name)                                                                       \
    ssize_t name(int fd, const void *data, size_t length, off_t offset)                   \
    {                                                                                     \
        char path[4096];                                                                  \
        if (!find_path(fd, path, sizeof path))                                            \
            return REAL(name)(fd, data, length, offset);                                  \
        if (is_refused())                                                                 \
            return -1;                                                                    \
        pthread_mutex_lock(&lock);                                                        \
        ssize_t written = REAL(name)(fd, data, length, offset);                           \
        if (written > 0)                                                                  \
            note('w', path, offset, data, (uint32_t)written);                             \
        pthread_mutex_unlock(&lock);                                                      \
        return written;                                                                   \
    }

#define TRUNCATE(name)                                                                    \
    int name(int fd, off_t size)                                                          \
    {                                                                                     \
        char path[4096];                                                                  \
        if (!find_path(fd, path, sizeof path))                                            \
            return REAL(name)(fd, size);                                                  \
        if (is_refused())                                                                 \
            return -1;                                                                    \
        pthread_mutex_lock(&lock);                                                        \
        int result = REAL(name)(fd, size);                                                \
        if (result == 0)                                                                  \
            note('t', path, size, "", 0);                                                 \
        pthread_mutex_unlock(&lock);                                                      \
        return result;                                                                    \
    }

#define SYNC(name)                                                                        \
    int name(int fd)                                                                      \
    {                                                                                     \
        char path[4096];                                                                  \
        if (!find_path(fd, path, sizeof path))                                            \
            return REAL(name)(fd);                                                        \
        if (is_refused())                                                                 \
            return -1;                                                                    \
        pthread_mutex_lock(&lock);                                                        \
        int result = REAL(name)(fd);                                                      \
        if (result == 0)                                                                  \
            note('s', path, 0, "", 0);                                                    \
        pthread_mutex_unlock(&lock);                                                      \
        return result;                                                                    \
    }

WRITE(pwrite)
WRITE(pwrite64)
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path)
{
    if (!is_meant(path))
        return REAL(unlink)(path);
    if (is_refused())
        return -1;
    pthread_mutex_lock(&lock);
    int result = REAL(unlink)(path);
    if (result == 0)
        note('u', path, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}
