/*
 * model: random calls on files, each answer compared with that of a model in memory so simple that it is plainly right.
 *
 *   model DIR SEED FROM TO    the calls FROM to TO of this seed, in a directory that the calls before have left
 *
 * The calls before FROM are made by the model alone; what it holds then must be what is found in DIR, whatever happened
 * in between: a reboot, say. Open files end at every multiple of 500, so FROM has to be one. At the end DIR is compared
 * again, and the model listed in the lines of `tree`. The same holds on Linux.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chance.h"

/* Linux numbers them alike everywhere, and C libraries keep them behind other macros. */
#define NOREPLACE 1
#define EXCHANGE 2

enum { NAMES = 7, DEPTH = 2, SLOTS = 4, END = 200000, ROUND = 500 };

static long step;
static int real; /* whether calls are made, or the model alone goes on */

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
    va_list what;
    printf("step %ld: ", step);
    va_start(what, format);
    vprintf(format, what);
    va_end(what);
    printf("\n");
    exit(1);
}

/* --- The model ---------------------------------------------------------------------------------------------------- */

struct thing {
    char kind; /* d, f or l, as `tree` says */
    int mode, links, opened;
    char *data; /* a file's bytes, a symlink's target */
    size_t size;
    struct thing *names[NAMES], *parent;
};

static struct thing root = {.kind = 'd', .mode = 0755, .links = 2};
static struct slot {
    struct thing *file;
    int fd;
} slots[SLOTS];

static const char *name(int number)
{
    static char names[NAMES][256];
    if (!names[number][0]) {
        memset(names[number], 'a' + number, number == NAMES - 1 ? 255 : 1 + number % 3);
    }
    return names[number];
}

/* A name in a directory, by the numbers of the names that lead there. */
struct place {
    int depth, way[DEPTH], last;
    char path[DEPTH * 256 + 300];
};

/* The directory of a place, or null with the errno. A symlink on the way leads to nothing. */
static struct thing *directory(const struct place *place, long *error)
{
    struct thing *at = &root;
    for (int i = 0; i < place->depth; i++) {
        at = at->names[place->way[i]];
        *error = !at || at->kind == 'l' ? -ENOENT : -ENOTDIR;
        if (!at || at->kind != 'd')
            return 0;
    }
    return at;
}

/* What is at a place, or null with the errno. */
static struct thing *find(const struct place *place, long *error)
{
    struct thing *dir = directory(place, error);
    if (!dir)
        return 0;
    *error = -ENOENT;
    return dir->names[place->last];
}

static void let_go(struct thing *thing)
{
    if (thing->links == 0 && thing->opened == 0) {
        free(thing->data);
        free(thing);
    }
}

static long create(const struct place *place, char kind, const char *target)
{
    long error;
    struct thing *dir = directory(place, &error);
    if (!dir)
        return error;
    if (dir->names[place->last])
        return -EEXIST;
    struct thing *made = calloc(1, sizeof *made);
    *made = (struct thing){.kind = kind, .mode = kind == 'l' ? 0777 : kind == 'd' ? 0755 : 0644, .parent = dir};
    made->links = kind == 'd' ? 2 : 1;
    made->data = target ? strdup(target) : 0;
    made->size = target ? strlen(target) : 0;
    dir->names[place->last] = made;
    dir->links += kind == 'd';
    return 0;
}

static long link_to(const struct place *from, const struct place *to)
{
    long error;
    struct thing *thing = find(from, &error), *dir;
    if (!thing)
        return error;
    if (!(dir = directory(to, &error)))
        return error;
    if (dir->names[to->last])
        return -EEXIST;
    if (thing->kind == 'd')
        return -EPERM;
    thing->links++;
    dir->names[to->last] = thing;
    return 0;
}

static int is_empty(const struct thing *dir)
{
    for (int i = 0; i < NAMES; i++)
        if (dir->names[i])
            return 0;
    return 1;
}

/* Takes a name away whose thing may go. */
static void take_away(struct thing *dir, int number)
{
    struct thing *thing = dir->names[number];
    dir->names[number] = 0;
    thing->links -= thing->kind == 'd' ? 2 : 1;
    dir->links -= thing->kind == 'd';
    let_go(thing);
}

static long remove_at(const struct place *place, int of_directory)
{
    long error;
    struct thing *thing = find(place, &error);
    if (!thing)
        return error;
    if (!of_directory && thing->kind == 'd')
        return -EISDIR;
    if (of_directory && thing->kind != 'd')
        return -ENOTDIR;
    if (of_directory && !is_empty(thing))
        return -ENOTEMPTY;
    take_away(directory(place, &error), place->last);
    return 0;
}

static int is_below(const struct thing *thing, const struct thing *above)
{
    while (thing && thing != above)
        thing = thing->parent;
    return thing != 0;
}

static void put(struct thing *dir, int number, struct thing *thing)
{
    dir->names[number] = thing;
    if (thing && thing->kind == 'd') {
        thing->parent = dir;
        dir->links++;
    }
}

static struct thing *take(struct thing *dir, int number)
{
    struct thing *thing = dir->names[number];
    dir->links -= thing && thing->kind == 'd';
    dir->names[number] = 0;
    return thing;
}

static long rename_to(const struct place *from, const struct place *to, int how)
{
    long error;
    struct thing *from_dir = directory(from, &error), *to_dir, *moved, *there;
    if (!from_dir || !(to_dir = directory(to, &error)))
        return error;
    moved = from_dir->names[from->last];
    there = to_dir->names[to->last];
    if (!moved || (how == EXCHANGE && !there))
        return -ENOENT;
    if (there && how == NOREPLACE)
        return -EEXIST;
    if (moved->kind == 'd' && is_below(to_dir, moved))
        return -EINVAL;
    if (there && there->kind == 'd' && is_below(from_dir, there))
        return how == EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (moved == there)
        return 0;
    if (there && how != EXCHANGE) {
        if (moved->kind == 'd' && there->kind != 'd')
            return -ENOTDIR;
        if (moved->kind != 'd' && there->kind == 'd')
            return -EISDIR;
        if (there->kind == 'd' && !is_empty(there))
            return -ENOTEMPTY;
        take_away(to_dir, to->last);
        there = 0;
    }
    take(from_dir, from->last);
    take(to_dir, to->last);
    put(to_dir, to->last, moved);
    put(from_dir, from->last, there);
    return 0;
}

/* What `open` with O_NOFOLLOW for writing says. */
static struct thing *open_file(const struct place *place, long *error)
{
    struct thing *file = find(place, error);
    if (!file)
        return 0;
    *error = file->kind == 'd' ? -EISDIR : -ELOOP;
    return file->kind == 'f' ? file : 0;
}

static void resize(struct thing *file, size_t size)
{
    file->data = realloc(file->data, size ? size : 1);
    if (size > file->size)
        memset(file->data + file->size, 0, size - file->size);
    file->size = size;
}

/* --- Chance ------------------------------------------------------------------------------------------------------- */

static void some_place(struct place *place)
{
    size_t len = 0;
    place->depth = below(DEPTH + 1);
    for (int i = 0; i < place->depth; i++) {
        place->way[i] = below(NAMES);
        len += sprintf(place->path + len, "%s/", name(place->way[i]));
    }
    place->last = below(NAMES);
    strcpy(place->path + len, name(place->last));
}

/* Lengths and offsets of all sizes, now and then at the edge of a block. */
static size_t some_size(size_t most)
{
    size_t size = below(most >> below(12));
    return below(3) ? size : size & ~(size_t)4095;
}

/* --- Both ---------------------------------------------------------------------------------------------------------- */

static long answer(long result) { return result < 0 ? -errno : result; }

static void same(const char *call, const char *path, long want, long got)
{
    if (want != got)
        fail("%s %s: %ld (%s), the model says %ld (%s)", call, path, got, got < 0 ? strerror(-got) : "ok", want,
             want < 0 ? strerror(-want) : "ok");
}

/* Bytes stored by a program that shares the file, as far as it goes. */
static void store(struct thing *file, int fd, const char *path, const char *bytes, size_t at, size_t len)
{
    if (at >= file->size)
        return;
    if (len > file->size - at)
        len = file->size - at;
    memcpy(file->data + at, bytes, len);
    if (!real)
        return;
    size_t within = at % 4096;
    char *shared = mmap(0, within + len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at - within);
    if (shared == MAP_FAILED)
        fail("mmap %s: %s", path, strerror(errno));
    memcpy(shared + within, bytes, len);
    same("munmap", path, 0, answer(munmap(shared, within + len)));
}

/* A call on an open file, and what it does to the model. */
static void on_content(struct thing *file, int fd, const char *path)
{
    static char bytes[65536], found[65536];
    size_t at = some_size(END - 65536), len = 1 + some_size(sizeof bytes - 1);
    int what = below(12), with = below(256);
    for (size_t i = 0; i < len; i++)
        bytes[i] = with + i / 13;
    if (what >= 10) {
        store(file, fd, path, bytes, at, len);
    } else if (what < 4) {
        if (file->size < at + len)
            resize(file, at + len);
        memcpy(file->data + at, bytes, len);
        if (real)
            same("pwrite", path, len, answer(pwrite(fd, bytes, len, at)));
    } else if (what < 6) {
        resize(file, at);
        if (real)
            same("ftruncate", path, 0, answer(ftruncate(fd, at)));
    } else if (what < 8) {
        static const int how[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
        int mode = how[below(5)];
        if (!(mode & FALLOC_FL_KEEP_SIZE) && file->size < at + len)
            resize(file, at + len);
        if (mode & ~FALLOC_FL_KEEP_SIZE && at < file->size)
            memset(file->data + at, 0, at + len < file->size ? len : file->size - at);
        if (real)
            same("fallocate", path, 0, answer(fallocate(fd, mode, at, len)));
    } else if (real) {
        size_t there = at < file->size ? file->size - at : 0;
        same("pread", path, there < len ? there : len, answer(pread(fd, found, len, at)));
        if (there && memcmp(found, file->data + at, there < len ? there : len) != 0)
            fail("pread %s at %zu: other bytes", path, at);
    }
}

static void close_slot(struct slot *slot)
{
    if (slot->file) {
        if (real)
            same("close", "", 0, answer(close(slot->fd)));
        slot->file->opened--;
        let_go(slot->file);
        slot->file = 0;
    }
}

static void open_and_use(const struct place *place, int keep)
{
    long error;
    struct slot *slot = &slots[below(SLOTS)];
    struct thing *file = open_file(place, &error);
    int fd = real ? open(place->path, O_RDWR | O_NOFOLLOW) : 0;
    if (real)
        same("open", place->path, file ? 0 : error, fd < 0 ? -errno : 0);
    if (!file)
        return;
    if (keep) {
        close_slot(slot);
        file->opened++;
        *slot = (struct slot){file, fd};
        return;
    }
    on_content(file, fd, place->path);
    if (real)
        close(fd);
}

/* A file without a name is written, and then gets one, if it may. */
static void name_unnamed(const struct place *place)
{
    struct thing *made = calloc(1, sizeof *made), *dir;
    *made = (struct thing){.kind = 'f', .mode = 0644, .opened = 1};
    int fd = real ? open(".", O_TMPFILE | O_RDWR, 0644) : 0;
    if (fd < 0)
        fail("O_TMPFILE: %s", strerror(errno));
    on_content(made, fd, "(no name)");
    long want = 0;
    if ((dir = directory(place, &want)))
        want = dir->names[place->last] ? -EEXIST : 0;
    if (want == 0) {
        made->links = 1;
        made->parent = dir;
        dir->names[place->last] = made;
    }
    if (real) {
        same("linkat", place->path, want, answer(linkat(fd, "", AT_FDCWD, place->path, AT_EMPTY_PATH)));
        close(fd);
    }
    made->opened = 0;
    let_go(made);
}

static void chmod_at(const struct place *place)
{
    long error;
    int mode = 0400 | below(0400);
    struct thing *thing = find(place, &error);
    /* One that is followed leads to nothing. */
    if (thing && thing->kind == 'l') {
        thing = 0;
        error = -ENOENT;
    }
    if (real)
        same("chmod", place->path, thing ? 0 : error, answer(chmod(place->path, mode)));
    if (thing)
        thing->mode = thing->kind == 'd' ? mode | 0700 : mode;
    if (thing && thing->kind == 'd' && real)
        same("chmod", place->path, 0, answer(chmod(place->path, mode | 0700)));
}

static void next(void)
{
    struct place one, two;
    some_place(&one);
    some_place(&two);
    char target[300];
    uint64_t what = below(100);
    int how = below(3), slot = below(SLOTS);
    snprintf(target, sizeof target, "missing/%.*s", (int)below(255), name(NAMES - 1));
    if (what < 3) {
        name_unnamed(&one);
    } else if (what < 14) {
        long want = create(&one, 'f', 0), got = want;
        if (real && (got = answer(open(one.path, O_RDWR | O_CREAT | O_EXCL, 0644))) >= 0)
            got = answer(close(got));
        same("create", one.path, want, got);
    } else if (what < 20) {
        long want = create(&one, 'd', 0);
        same("mkdir", one.path, want, real ? answer(mkdir(one.path, 0755)) : want);
    } else if (what < 24) {
        long want = create(&one, 'l', target);
        same("symlink", one.path, want, real ? answer(symlink(target, one.path)) : want);
    } else if (what < 29) {
        long want = link_to(&one, &two);
        same("link", one.path, want, real ? answer(link(one.path, two.path)) : want);
    } else if (what < 35) {
        long want = remove_at(&one, 0);
        same("unlink", one.path, want, real ? answer(unlink(one.path)) : want);
    } else if (what < 40) {
        long want = remove_at(&one, 1);
        same("rmdir", one.path, want, real ? answer(rmdir(one.path)) : want);
    } else if (what < 52) {
        long want = rename_to(&one, &two, how);
        same("rename", one.path, want, real ? answer(renameat2(AT_FDCWD, one.path, AT_FDCWD, two.path, how)) : want);
    } else if (what < 56) {
        chmod_at(&one);
    } else if (what < 60) {
        close_slot(&slots[slot]);
    } else if (what < 68) {
        open_and_use(&one, 1);
    } else if (what < 80 && slots[slot].file) {
        on_content(slots[slot].file, slots[slot].fd, "(open)");
    } else {
        open_and_use(&one, 0);
    }
}

/* --- The whole tree ------------------------------------------------------------------------------------------------ */

/* Directories that are moved into others may lie deeper than a place reaches. */
static char *joined(const char *path, const char *name)
{
    char *both;
    if (asprintf(&both, "%s/%s", path, name) < 0)
        fail("no memory");
    return both;
}

static void compare(const struct thing *thing, const char *path);

static void compare_names(const struct thing *dir, const char *path)
{
    int found = 0, known = 0;
    DIR *stream = opendir(path);
    if (!stream)
        fail("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(stream));)
        found += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(stream);
    for (int i = 0; i < NAMES; i++) {
        if (!dir->names[i])
            continue;
        char *below = joined(path, name(i));
        known++;
        compare(dir->names[i], below);
        free(below);
    }
    if (found != known)
        fail("%s: %d names, %d known", path, found, known);
}

static void compare(const struct thing *thing, const char *path)
{
    static char bytes[2 * END];
    struct stat st;
    if (lstat(path, &st) != 0)
        fail("%s: %s", path, strerror(errno));
    char kind = S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f';
    if (kind != thing->kind || (int)(st.st_mode & 07777) != thing->mode)
        fail("%s: %c %o, the model says %c %o", path, kind, st.st_mode & 07777, thing->kind, thing->mode);
    if ((int)st.st_nlink != thing->links)
        fail("%s: %d links, the model says %d", path, (int)st.st_nlink, thing->links);
    if (kind == 'd') {
        compare_names(thing, path);
        return;
    }
    int fd = kind == 'f' ? open(path, O_RDONLY) : -1;
    ssize_t len = kind == 'f' ? read(fd, bytes, sizeof bytes) : readlink(path, bytes, sizeof bytes);
    if (len != (ssize_t)thing->size || (len && memcmp(bytes, thing->data, len) != 0))
        fail("%s: %zd bytes, other than the %zu of the model", path, len, thing->size);
    if (kind == 'f')
        close(fd);
}

static void list(const struct thing *thing, const char *path)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < thing->size; i++)
        sum = (sum ^ (unsigned char)thing->data[i]) * 1099511628211u;
    printf("%c %04o %d %zu %016" PRIx64 " %s\n", thing->kind, thing->mode, thing->links, thing->size, sum, path);
    for (int i = 0; i < NAMES; i++)
        if (thing->names[i]) {
            char *below = joined(path, name(i));
            list(thing->names[i], below);
            free(below);
        }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: model DIR SEED FROM TO\n");
        return 2;
    }
    long from = atol(argv[3]), to = atol(argv[4]);
    state = strtoull(argv[2], 0, 10) * 0x9e3779b97f4a7c15 + 1;
    umask(022);
    if (chdir(argv[1]) != 0 || from % ROUND || chmod(".", 0755) != 0) {
        fprintf(stderr, "model: not in %s, or not from %ld\n", argv[1], from);
        return 2;
    }
    for (step = 0; step < to; step++) {
        if (step % ROUND == 0)
            for (int i = 0; i < SLOTS; i++)
                close_slot(&slots[i]);
        if (step == from) {
            compare(&root, ".");
            real = 1;
        }
        next();
    }
    for (int i = 0; i < SLOTS; i++)
        close_slot(&slots[i]);
    compare(&root, ".");
    list(&root, "");
    return 0;
}
