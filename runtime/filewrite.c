/* filewrite.c - safetensors files, written whole or not at all. */
#define _GNU_SOURCE
#include "internal.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_name(FILE *stream, const char *name) {
  fputc('"', stream);
  for (; *name; ++name) {
    if (*name == '"' || *name == '\\')
      fprintf(stream, "\\%c", *name);
    else if ((unsigned char)*name < 32)
      fprintf(stream, "\\u%04x", *name);
    else
      fputc(*name, stream);
  }
  fputc('"', stream);
}

static void write_metadata(FILE *stream, const nncc_metadata *metadata,
                           uint32_t count) {
  fputs("\"__metadata__\":{", stream);
  for (uint32_t i = 0; i < count; ++i) {
    fputs(i ? "," : "", stream);
    write_name(stream, metadata[i].key);
    fputc(':', stream);
    write_name(stream, metadata[i].value);
  }
  fputc('}', stream);
}

static char *make_header(const nncc_file_tensor *tensors, uint32_t count,
                         const nncc_metadata *metadata, uint32_t metadata_count,
                         size_t *length) {
  char *text = NULL;
  FILE *stream = open_memstream(&text, length);
  if (!stream)
    return NULL;
  uint64_t offset = 0;
  fputc('{', stream);
  if (metadata_count)
    write_metadata(stream, metadata, metadata_count);
  for (uint32_t i = 0; i < count; ++i) {
    const nncc_file_tensor *t = &tensors[i];
    char dtype[8] = "?"; /* as our names, in capitals */
    const char *name = nncc_dtype_name(t->dtype);
    for (size_t k = 0; k < sizeof dtype && (k == 0 || name[k - 1]); ++k)
      dtype[k] = (char)toupper((unsigned char)name[k]);
    fputs(i || metadata_count ? "," : "", stream);
    write_name(stream, t->name);
    fprintf(stream, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
    for (uint32_t d = 0; d < t->rank; ++d)
      fprintf(stream, "%s%" PRId64, d ? "," : "", t->dims[d]);
    fprintf(stream, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
            offset + t->bytes);
    offset += t->bytes;
  }
  fputc('}', stream);
  while (ftell(stream) % 8)
    fputc(' ', stream);
  fclose(stream);
  return text;
}

/* A new file beside `path`, with the umask's mode, which mkstemp would not
 * give. */
static int open_temporary(const char *path, char *temporary, size_t room) {
  for (unsigned i = 0;; ++i) {
    snprintf(temporary, room, "%s.tmp%ld.%u", path, (long)getpid(), i);
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST)
      return file;
  }
}

/* Where a symbolic link points, also if nothing is there yet; null without
 * memory. */
static char *target_of(const char *path) {
  char *now = strdup(path);
  for (int links = 0; now && links < 40; ++links) {
    char *real = realpath(now, NULL), to[4096];
    ssize_t length = real ? 0 : readlink(now, to, sizeof to);
    if (real || length <= 0) {
      if (real)
        free(now);
      return real ? real : now;
    }
    const char *slash = strrchr(now, '/');
    size_t folder = *to != '/' && slash ? (size_t)(slash - now) + 1 : 0;
    char *next = malloc(folder + (size_t)length + 1);
    if (next) {
      memcpy(next, now, folder);
      memcpy(next + folder, to, (size_t)length);
      next[folder + (size_t)length] = 0;
    }
    free(now);
    now = next;
  }
  return now;
}

/* Header and data; the descriptor is closed. False with errno. */
static bool write_all(int file, const char *head, size_t length,
                      const nncc_file_tensor *tensors, uint32_t count,
                      bool syncs) {
  FILE *stream = fdopen(file, "wb");
  if (!stream) {
    int error = errno;
    close(file);
    errno = error;
    return false;
  }
  unsigned char size[8];
  for (int i = 0; i < 8; ++i)
    size[i] = (unsigned char)((uint64_t)length >> (8 * i));
  bool good = fwrite(size, 1, 8, stream) == 8 &&
              fwrite(head, 1, length, stream) == length;
  for (uint32_t i = 0; good && i < count; ++i)
    good = fwrite(tensors[i].data, 1, tensors[i].bytes, stream) ==
           tensors[i].bytes;
  good = good && !fflush(stream) && (!syncs || !fsync(file));
  int error = errno;
  if (fclose(stream) && good) {
    good = false;
    error = errno;
  }
  errno = error;
  return good;
}

nncc_status nncc_file_write_with(const char *path,
                                 const nncc_file_tensor *tensors,
                                 uint32_t count, const nncc_metadata *metadata,
                                 uint32_t metadata_count) {
  if (!path || (count && !tensors) || (metadata_count && !metadata))
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  size_t length = 0;
  /* A rename would replace a device or a pipe, and a symbolic link. */
  struct stat info;
  bool direct = !stat(path, &info) && !S_ISREG(info.st_mode);
  char *place = target_of(path);
  size_t room = place ? strlen(place) + 40 : 0;
  char *head = make_header(tensors, count, metadata, metadata_count, &length);
  char *temporary = room ? malloc(room) : NULL;
  if (!head || !temporary) {
    free(head);
    free(temporary);
    free(place);
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to write %s", path);
  }
  int file = direct ? open(path, O_WRONLY | O_CLOEXEC)
                    : open_temporary(place, temporary, room);
  bool good = file >= 0 &&
              write_all(file, head, length, tensors, count, !direct) &&
              (direct || !rename(temporary, place));
  int error = errno;
  if (!good && file >= 0 && !direct)
    unlink(temporary);
  free(head);
  free(temporary);
  free(place);
  if (!good)
    return nncc_fail(NNCC_ERROR_IO, "cannot write %s: %s", path,
                     direct && S_ISDIR(info.st_mode) ? "it is a directory"
                                                     : strerror(error));
  return NNCC_OK;
}

nncc_status nncc_file_write(const char *path, const nncc_file_tensor *tensors,
                            uint32_t count) {
  return nncc_file_write_with(path, tensors, count, NULL, 0);
}
