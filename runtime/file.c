/* file.c - safetensors files in memory, read or mapped. */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void nncc_file_free(nncc_file *file) {
  if (!file)
    return;
  for (uint32_t i = 0; i < file->count; ++i) {
    free((void *)(uintptr_t)file->tensors[i].name);
    free((void *)(uintptr_t)file->tensors[i].dims);
  }
  free(file->tensors);
  for (uint32_t i = 0; i < file->metadata_count; ++i) {
    free((void *)(uintptr_t)file->metadata[i].key);
    free((void *)(uintptr_t)file->metadata[i].value);
  }
  free(file->metadata);
  free(file->owned);
  if (file->mapped)
    munmap(file->mapped, file->mapped_bytes);
  free(file);
}

uint32_t nncc_file_count(const nncc_file *file) { return file->count; }
const nncc_file_tensor *nncc_file_get(const nncc_file *file, uint32_t index) {
  return index < file->count ? &file->tensors[index] : NULL;
}

const char *nncc_file_metadata(const nncc_file *file, const char *key) {
  for (uint32_t i = 0; i < file->metadata_count; ++i)
    if (!strcmp(file->metadata[i].key, key))
      return file->metadata[i].value;
  return NULL;
}

/* An open regular file and its size, or -1 with the error set. */
static int open_file(const char *path, size_t *bytes) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (descriptor < 0 || fstat(descriptor, &info)) {
    nncc_fail(NNCC_ERROR_IO, "cannot read %s: %s", path, strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    nncc_fail(NNCC_ERROR_IO, "cannot read %s: it is no regular file", path);
  } else {
    *bytes = (size_t)info.st_size;
    return descriptor;
  }
  if (descriptor >= 0)
    close(descriptor);
  return -1;
}

static bool read_all(int descriptor, char *data, size_t bytes) {
  while (bytes) {
    ssize_t got = read(descriptor, data, bytes);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    data += got;
    bytes -= (size_t)got;
  }
  return true;
}

nncc_status nncc_file_read(const char *path, nncc_file **result) {
  size_t bytes;
  int descriptor = open_file(path, &bytes);
  if (descriptor < 0)
    return NNCC_ERROR_IO;
  char *data = nncc_allocate(bytes);
  bool good = data && read_all(descriptor, data, bytes);
  close(descriptor);
  if (!good) {
    free(data);
    return nncc_fail(data ? NNCC_ERROR_IO : NNCC_ERROR_MEMORY,
                     "cannot read the %zu bytes of %s", bytes, path);
  }
  nncc_status status = nncc_file_parse(data, bytes, path, result);
  if (status)
    free(data);
  else
    (*result)->owned = data;
  return status;
}

nncc_status nncc_file_map(const char *path, nncc_file **result) {
  size_t bytes;
  int descriptor = open_file(path, &bytes);
  if (descriptor < 0)
    return NNCC_ERROR_IO;
  void *data =
      bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0) : NULL;
  int error = errno;
  close(descriptor);
  if (data == MAP_FAILED)
    return nncc_fail(NNCC_ERROR_IO, "cannot map %s: %s", path, strerror(error));
  nncc_status status = nncc_file_parse(data, bytes, path, result);
  if (status && data) {
    munmap(data, bytes);
  } else if (!status) {
    (*result)->mapped = data;
    (*result)->mapped_bytes = bytes;
  }
  return status;
}
